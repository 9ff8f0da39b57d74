// The points of the map as they are drawn.

// Told apart by people with the usual kinds of colour blindness (Okabe and Ito 2008, with three more); the last is "others".
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#8c6bb1', '#a6761d', '#7a9a01', '#e7298a', '#8a8f98'];
const RISING = ['#c6b8f5', '#a492ea', '#826dd8', '#644bbf', '#4a309f', '#311a78', '#8a8f98'];

/** The colour of a code; `ordered` codes rise. */
export function colourOf(code, ordered) {
  const palette = ordered ? RISING : COLOURS;
  return palette[Math.min(code, palette.length - 1)];
}

/**
 * Draw all points, and a ring around one.
 *
 * @param count how many points
 * @param placed the pixels of the n-th; null for one that is not shown
 * @param colour the colour of the n-th
 * @param at the point with the ring, or null
 */
export function paint(canvas, plane, { count, placed, colour, at }) {
  const fine = devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * fine);
  canvas.height = Math.round(canvas.clientHeight * fine);
  const pen = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  const radius = fine * Math.max(2, Math.min(7, 90 / Math.sqrt(count))) * Math.min(2, Math.sqrt(plane.zoom));
  const dot = ([x, y], size) => {
    pen.beginPath();
    pen.arc(x, y, size, 0, 2 * Math.PI);
  };
  pen.globalAlpha = count > 3000 ? 0.7 : 0.9;
  pen.lineWidth = fine;
  pen.strokeStyle = style.getPropertyValue('--ground');
  for (let n = 0; n < count; n += 1) {
    const spot = placed(n);
    if (!spot) continue;
    pen.fillStyle = colour(n);
    dot(spot, radius);
    pen.fill();
    if (count < 3000) pen.stroke();
  }
  const marked = at === null ? null : placed(at);
  if (!marked) return;
  pen.globalAlpha = 1;
  pen.lineWidth = 2.5 * fine;
  pen.strokeStyle = style.getPropertyValue('--ink');
  dot(marked, radius + 3 * fine);
  pen.stroke();
}
