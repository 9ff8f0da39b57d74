// Colours and points of a map of items. The gallery page imports this module; the map page contains it.

// Distinguishable with the common kinds of colour blindness (Okabe and Ito 2008, plus four).
const CLASSES = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#8c6bb1', '#a6761d', '#7a9a01', '#e7298a'];
// Viridis without its yellow end, which is hard to see on a light background.
const ORDERED = ['#472d7b', '#3b528b', '#2c728e', '#21918c', '#28ae80', '#5ec962'];
const OTHER = '#8a8f98';

const OUTLINED_POINTS = 3000; // more points are drawn without an outline, and one path per colour

/**
 * The colour of a class.
 *
 * @param colouring { labels, ordered }: labels by code; ordered codes rise
 * @param code number of the class
 */
export function colourOf(colouring, code) {
  const colours = colouring.ordered ? ORDERED : CLASSES;
  return code < colours.length && colouring.labels[code] !== 'none' ? colours[code] : OTHER;
}

/**
 * Draw all points, and a ring around the selected one. Sets the canvas to its size on the screen.
 *
 * The styles --ground and --ink of the document are the background and the ring colour.
 *
 * @param canvas the canvas
 * @param view its `zoom` is the magnification, 1 for the whole map
 * @param count number of points
 * @param pixelsOf (n) => [x, y] of the n-th point in canvas pixels; null if it is hidden
 * @param colour (n) => colour of the n-th point
 * @param selected number of the point with the ring, or null
 * @param faded (n) => true if the n-th point is drawn faintly
 */
export function paint(canvas, view, { count, pixelsOf, colour, selected = null, faded = () => false }) {
  const density = devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * density);
  canvas.height = Math.round(canvas.clientHeight * density);
  const pen = canvas.getContext('2d');
  const style = getComputedStyle(document.documentElement);
  const outlined = count < OUTLINED_POINTS;
  const radius = density * Math.max(2, Math.min(7, 90 / Math.sqrt(count))) * Math.max(0.7, Math.min(2, Math.sqrt(view.zoom)));
  const inside = ([x, y]) => x > -radius && y > -radius && x < canvas.width + radius && y < canvas.height + radius;

  const faint = new Map(); // colour to places
  const clear = new Map();
  for (let n = 0; n < count; n += 1) {
    const place = pixelsOf(n);
    if (!place || !inside(place)) continue;
    const places = faded(n) ? faint : clear;
    const key = colour(n);
    if (!places.has(key)) places.set(key, []);
    places.get(key).push(place);
  }

  function fill(byColour, alpha) {
    pen.globalAlpha = alpha;
    pen.lineWidth = density;
    pen.strokeStyle = style.getPropertyValue('--ground');
    for (const [key, places] of byColour) {
      pen.fillStyle = key;
      pen.beginPath();
      for (const [x, y] of places) {
        if (outlined) pen.beginPath();
        pen.moveTo(x + radius, y);
        pen.arc(x, y, radius, 0, 2 * Math.PI);
        if (outlined) {
          pen.fill();
          pen.stroke();
        }
      }
      if (!outlined) pen.fill();
    }
  }
  fill(faint, 0.12);
  fill(clear, outlined ? 0.9 : 0.7);

  const place = selected === null ? null : pixelsOf(selected);
  if (!place) return;
  pen.globalAlpha = 1;
  pen.lineWidth = 2.5 * density;
  pen.strokeStyle = style.getPropertyValue('--ink');
  pen.beginPath();
  pen.arc(...place, radius + 3 * density, 0, 2 * Math.PI);
  pen.stroke();
}
