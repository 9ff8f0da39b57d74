// The visible part of the map: pixels of points of the unit square, and the points nearest to a place.

const MAX_ZOOM = 60;

/** The visible part of the unit square, moved and zoomed; y points up, and the map is wider than high. */
export class MapView {
  constructor(canvas) {
    this.canvas = canvas;
    this.x = 0; // offset of the centre, in units of the square
    this.y = 0;
    this.zoom = 1;
  }

  /** Pixels of one unit, horizontally and vertically. */
  get scale() {
    const { width, height } = this.canvas;
    return [Math.min(width * 0.94, height * 0.94 * 1.6) * this.zoom, Math.min(height * 0.94, width * 0.94) * this.zoom];
  }

  /** Pixels of a point. */
  toPixels([x, y]) {
    const [wide, tall] = this.scale;
    return [this.canvas.width / 2 + (x - 0.5 - this.x) * wide, this.canvas.height / 2 - (y - 0.5 - this.y) * tall];
  }

  move(dx, dy) {
    const [wide, tall] = this.scale;
    this.x -= dx / wide;
    this.y += dy / tall;
  }

  /** Zoom around a pixel, which keeps its place. At zoom 1 the whole map is visible. */
  zoomAt(factor, x, y) {
    const next = Math.max(1, Math.min(MAX_ZOOM, this.zoom * factor));
    const [wide, tall] = this.scale;
    const share = 1 - this.zoom / next;
    this.x += ((x - this.canvas.width / 2) / wide) * share;
    this.y -= ((y - this.canvas.height / 2) / tall) * share;
    this.zoom = next;
    if (next === 1) this.x = this.y = 0;
  }
}

/** Index of the point nearest to a pixel, within a distance in pixels; null if there is none. */
export function findNearest(count, pixelsOf, [x, y], within) {
  return findLowest(count, (n) => {
    const spot = pixelsOf(n);
    const away = spot ? Math.hypot(spot[0] - x, spot[1] - y) : Infinity;
    return away < within ? away : Infinity;
  });
}

/** Index of the next point in a direction; a point straight ahead wins over a nearer one to the side. */
export function findNext(count, pixelsOf, [x, y], [dx, dy]) {
  return findLowest(count, (n) => {
    const spot = pixelsOf(n);
    if (!spot) return Infinity;
    const along = (spot[0] - x) * dx + (spot[1] - y) * dy;
    const across = Math.abs((spot[0] - x) * dy) + Math.abs((spot[1] - y) * dx);
    return along <= 0 || across > along * 2 ? Infinity : along + 2 * across;
  });
}

function findLowest(count, costOf) {
  let best = null;
  let lowest = Infinity;
  for (let n = 0; n < count; n += 1) {
    const cost = costOf(n);
    if (cost < lowest) [best, lowest] = [n, cost];
  }
  return best;
}
