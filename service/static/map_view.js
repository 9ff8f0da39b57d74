// The plane of the map: where a point of the unit square lies on the canvas, and which points are next to a place.

const MOST = 60;

/** What is seen of the unit square: y upwards, wider than high, moved and enlarged. */
export class Plane {
  constructor(canvas) {
    this.canvas = canvas;
    this.x = 0; // of the middle, in units of the square
    this.y = 0;
    this.zoom = 1;
  }

  /** Pixels of a unit, along and up. */
  get scale() {
    const { width, height } = this.canvas;
    return [Math.min(width * 0.94, height * 0.94 * 1.6) * this.zoom, Math.min(height * 0.94, width * 0.94) * this.zoom];
  }

  /** Pixels of a point. */
  place([x, y]) {
    const [wide, tall] = this.scale;
    return [this.canvas.width / 2 + (x - 0.5 - this.x) * wide, this.canvas.height / 2 - (y - 0.5 - this.y) * tall];
  }

  move(dx, dy) {
    const [wide, tall] = this.scale;
    this.x -= dx / wide;
    this.y += dy / tall;
  }

  /** Enlarge around a pixel, which stays; back at 1 all of it is seen. */
  zoomAt(factor, x, y) {
    const next = Math.max(1, Math.min(MOST, this.zoom * factor));
    const [wide, tall] = this.scale;
    const share = 1 - this.zoom / next;
    this.x += ((x - this.canvas.width / 2) / wide) * share;
    this.y -= ((y - this.canvas.height / 2) / tall) * share;
    this.zoom = next;
    if (next === 1) this.x = this.y = 0;
  }
}

/** The place in the list of the point nearest to a pixel, within so many; null where there is none. */
export function nearestTo(count, placeOf, [x, y], within) {
  return least(count, (n) => {
    const spot = placeOf(n);
    const away = spot ? Math.hypot(spot[0] - x, spot[1] - y) : Infinity;
    return away < within ? away : Infinity;
  });
}

/** The next point in a direction: rather one straight ahead than a nearer one to the side. */
export function nextTo(count, placeOf, [x, y], [dx, dy]) {
  return least(count, (n) => {
    const spot = placeOf(n);
    if (!spot) return Infinity;
    const along = (spot[0] - x) * dx + (spot[1] - y) * dy;
    const across = Math.abs((spot[0] - x) * dy) + Math.abs((spot[1] - y) * dx);
    return along <= 0 || across > along * 2 ? Infinity : along + 2 * across;
  });
}

function least(count, costOf) {
  let best = null;
  let lowest = Infinity;
  for (let n = 0; n < count; n += 1) {
    const cost = costOf(n);
    if (cost < lowest) [best, lowest] = [n, cost];
  }
  return best;
}
