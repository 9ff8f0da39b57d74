// Draw the points of the map.

// Distinguishable with the common kinds of colour blindness (Okabe and Ito 2008, plus three). The last is for "others".
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#8c6bb1', '#a6761d', '#7a9a01', '#e7298a', '#8a8f98'];
const RISING = ['#c6b8f5', '#a492ea', '#826dd8', '#644bbf', '#4a309f', '#311a78', '#8a8f98'];

/** The colour of a code; `ordered` codes get a scale from light to dark. */
export function colourOf(code, ordered) {
  const palette = ordered ? RISING : COLOURS;
  return palette[Math.min(code, palette.length - 1)];
}

/**
 * Draw all points, and a ring around the selected one.
 *
 * @param count number of points
 * @param pixelsOf (n) => pixels of the n-th point; null if it is hidden
 * @param colour (n) => colour of the n-th point
 * @param selected number of the point with the ring, or null
 */
export function paint(canvas, view, { count, pixelsOf, colour, selected }) {
  const fine = devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * fine);
  canvas.height = Math.round(canvas.clientHeight * fine);
  const pen = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  const radius = fine * Math.max(2, Math.min(7, 90 / Math.sqrt(count))) * Math.min(2, Math.sqrt(view.zoom));
  const dot = ([x, y], size) => {
    pen.beginPath();
    pen.arc(x, y, size, 0, 2 * Math.PI);
  };
  pen.globalAlpha = count > 3000 ? 0.7 : 0.9;
  pen.lineWidth = fine;
  pen.strokeStyle = style.getPropertyValue('--ground');
  for (let n = 0; n < count; n += 1) {
    const spot = pixelsOf(n);
    if (!spot) continue;
    pen.fillStyle = colour(n);
    dot(spot, radius);
    pen.fill();
    if (count < 3000) pen.stroke();
  }
  const marked = selected === null ? null : pixelsOf(selected);
  if (!marked) return;
  pen.globalAlpha = 1;
  pen.lineWidth = 2.5 * fine;
  pen.strokeStyle = style.getPropertyValue('--ink');
  dot(marked, radius + 3 * fine);
  pen.stroke();
}
