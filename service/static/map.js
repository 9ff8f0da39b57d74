// The map: each item is a point, coloured by a column. Hover shows its picture, a click opens the item.

import { get } from './api.js';
import { openDetails } from './details.js';
import { empty, h, iconButton, latestRequest, reducedMotion } from './dom.js';
import { colourOf, paint } from './map_painter.js';
import { picture } from './media.js';
import { findNearest, findNext, MapView } from './map_view.js';

const POINTER_PX = 14;
const GLIDE_MS = 500;

export function build(main) {
  const canvas = h('canvas', { tabIndex: 0, role: 'application', 'aria-label': 'Map of the items. Arrow keys go from item to item, Enter opens, plus and minus zoom.' });
  const tip = h('div', { class: 'tip', hidden: true });
  const announcement = h('p', { class: 'unseen', 'aria-live': 'polite' });
  const legend = h('ul', { class: 'legend' });
  const by = h('select', { id: 'colour', onchange: () => recolour() });
  const sample = h('select', { id: 'sample', onchange: () => load() }, ...[500, 2000, 5000, 10000].map((n) => h('option', { value: n, selected: n === 2000 }, n.toLocaleString('en'))));
  const status = h('p', { class: 'dim', role: 'status' });
  const zoom = h('div', { class: 'zoom' }, iconButton('plus', 'Zoom in', () => zoomAt(1.6)), iconButton('minus', 'Zoom out', () => zoomAt(1 / 1.6)), iconButton('whole', 'Show all', () => zoomAt(0)));
  const frame = h('div', { class: 'map' }, canvas, zoom, tip);
  const nothing = h('div');
  const mapped = h('div', { class: 'mapped' }, frame, legend);
  main.append(h('section', { class: 'page' }, h('header', { class: 'row' }, h('h1', {}, 'Map'), status,
    h('label', { class: 'aside' }, 'Coloured by ', by), h('label', { class: 'aside' }, 'at most ', sample, ' items')), nothing, mapped, announcement));

  const view = new MapView(canvas);
  const request = latestRequest();
  const pointers = new Map();
  let data = null;
  let colouring = null;
  let hidden = new Set(); // codes of the legend that are switched off
  let selected = null; // the point chosen by pointer or keyboard
  let drawing = 0;
  let moved = false;
  let tipTimer = 0;

  const ratio = () => devicePixelRatio || 1;
  /** Pixels of the n-th point; null if it is hidden. */
  const pixelsOf = (n) => (hidden.has(colouring.codes[n]) ? null : view.toPixels(data.points[n]));
  const nearest = (x, y) => findNearest(data.points.length, pixelsOf, [x * ratio(), y * ratio()], POINTER_PX * ratio());

  /** Show the PCA map at once. When the t-SNE map arrives, seconds later, the points move to their new places. */
  async function load() {
    const signal = request();
    let fine = null;
    status.textContent = 'Placing the items…';
    frame.setAttribute('aria-busy', 'true');
    frame.classList.add('breathes');
    get(`map?sample=${sample.value}&method=pca`, signal).then((coarse) => {
      if (!fine) show(coarse, 'a rough map; a finer one is being computed');
    }, () => {});
    try {
      fine = await get(`map?sample=${sample.value}`, signal);
      await show(fine, 'similar items are close together');
    } catch (error) {
      if (signal.aborted) return;
      mapped.hidden = true;
      nothing.replaceChildren(empty('The map could not be made', error.message));
      status.textContent = '';
    } finally {
      if (!signal.aborted) frame.removeAttribute('aria-busy');
    }
  }

  async function show(loaded, meaning) {
    const before = data;
    data = loaded;
    mapped.hidden = false;
    nothing.replaceChildren();
    frame.classList.remove('breathes');
    const shown = data.points.length.toLocaleString('en');
    status.textContent = `${shown}${data.total > data.points.length ? ` of ${data.total.toLocaleString('en')}` : ''} items; ${meaning}`;
    const chosen = by.value;
    by.replaceChildren(...data.colourings.map(({ column }) => h('option', { value: column, selected: column === chosen }, column)));
    if (before?.points.length === loaded.points.length && loaded.points.every((point, n) => point[2] === before.points[n][2])) {
      colouring = loaded.colourings.find((candidate) => candidate.column === by.value);
      await glide(before.points);
    } else {
      select(null);
      recolour();
    }
  }

  function glide(from) {
    const to = data.points;
    const own = data;
    const began = performance.now();
    const described = tip.hidden ? null : selected;
    tip.hidden = true;
    return new Promise((done) => { move(done); });

    function move(done) {
      if (data !== own) return done();
      const share = reducedMotion() ? 1 : Math.min(1, (performance.now() - began) / GLIDE_MS);
      const eased = 1 - (1 - share) ** 3;
      data.points = share === 1 ? to : to.map((point, n) => [from[n][0] + (point[0] - from[n][0]) * eased, from[n][1] + (point[1] - from[n][1]) * eased, ...point.slice(2)]);
      draw();
      if (share < 1) return requestAnimationFrame(() => move(done));
      if (described !== null && described === selected) select(selected);
      return done();
    }
  }

  function recolour() {
    colouring = data.colourings.find((candidate) => candidate.column === by.value) ?? data.colourings[0];
    hidden = new Set();
    const counts = new Map();
    for (const code of colouring.codes) counts.set(code, (counts.get(code) ?? 0) + 1);
    legend.replaceChildren(...colouring.labels.map((label, code) => {
      const dot = h('i');
      dot.style.background = colour(code);
      return h('li', {}, h('label', {}, h('input', { type: 'checkbox', checked: true, onchange: (event) => {
        if (event.target.checked) hidden.delete(code);
        else hidden.add(code);
        draw();
      } }), dot, h('span', {}, label), h('span', { class: 'dim' }, String(counts.get(code) ?? 0))));
    }));
    draw();
  }

  const colour = (code) => colourOf(colouring, code);

  function draw() {
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(() => {
      if (data && colouring) paint(canvas, view, { count: data.points.length, pixelsOf, colour: (n) => colour(colouring.codes[n]), selected });
    });
  }

  function select(n, { speak = false } = {}) {
    if (n === selected && !(n !== null && tip.hidden)) return;
    selected = n;
    draw();
    clearTimeout(tipTimer);
    if (n === null) {
      tip.hidden = true;
      return;
    }
    const [, , itemId, title, kind] = data.points[n];
    const label = colouring.labels[colouring.codes[n]];
    if (speak) announcement.textContent = `${title}, ${kind}, ${colouring.column} ${label}`;
    tip.replaceChildren(h('b', { dir: 'auto' }, title), h('span', { class: 'dim' }, `${kind} · ${colouring.column}: ${label}`));
    tip.hidden = false;
    const [x, y] = view.toPixels(data.points[n]).map((pixels) => pixels / ratio());
    const { clientWidth: width, clientHeight: height } = canvas;
    const left = x < width / 2 ? x + 16 : x - 16 - tip.offsetWidth;
    tip.style.left = `${Math.max(4, Math.min(left, width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(y - 90, height - tip.offsetHeight - 172))}px`;
    // a pointer that only passes over a point fetches no picture
    tipTimer = setTimeout(() => {
      const veiled = data.decisions[n] !== 'allow';
      tip.prepend(h('div', { class: veiled ? 'thumb veiled' : 'thumb' }, picture({ itemId, size: 192, alt: '' })));
    }, 60);
  }

  function zoomAt(factor, x = canvas.width / 2, y = canvas.height / 2) {
    view.zoomAt(factor, x, y);
    // at zoom 1 the map cannot be moved, so one finger scrolls the page
    canvas.style.touchAction = view.zoom === 1 ? 'pan-y' : 'none';
    tip.hidden = true;
    draw();
  }

  function step(dx, dy) {
    const next = selected === null
      ? findNearest(data.points.length, pixelsOf, [canvas.width / 2, canvas.height / 2], Infinity)
      : findNext(data.points.length, (n) => (n === selected ? null : pixelsOf(n)), view.toPixels(data.points[selected]), [dx, dy]);
    if (next !== null) select(next, { speak: true });
  }

  canvas.addEventListener('pointerdown', (event) => {
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
    canvas.setPointerCapture(event.pointerId);
    moved = false;
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!data) return;
    const before = pointers.get(event.pointerId);
    if (!before) {
      select(nearest(event.offsetX, event.offsetY));
      return;
    }
    const shift = [event.offsetX - before[0], event.offsetY - before[1]];
    if (Math.hypot(...shift) < 3 && !moved) return;
    moved = true;
    if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, spot]) => spot);
      const lastDistance = Math.hypot(before[0] - other[0], before[1] - other[1]);
      const distance = Math.hypot(event.offsetX - other[0], event.offsetY - other[1]);
      if (lastDistance > 0) zoomAt(distance / lastDistance, ((event.offsetX + other[0]) / 2) * ratio(), ((event.offsetY + other[1]) / 2) * ratio());
    } else if (view.zoom > 1) {
      view.move(shift[0] * ratio(), shift[1] * ratio());
      tip.hidden = true;
      draw();
    }
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  });
  canvas.addEventListener('pointerup', (event) => {
    pointers.delete(event.pointerId);
    if (moved || !data) return;
    const found = nearest(event.offsetX, event.offsetY);
    // the first tap of a finger shows the hint of a point, the second opens the item
    if (found !== null && (event.pointerType === 'mouse' || (found === selected && !tip.hidden))) openDetails(data.points[found][2]);
    else select(found);
  });
  canvas.addEventListener('pointercancel', (event) => pointers.delete(event.pointerId));
  canvas.addEventListener('pointerleave', (event) => { if (event.pointerType === 'mouse' && !pointers.size) select(null); });
  canvas.addEventListener('wheel', (event) => {
    if (event.deltaY > 0 && view.zoom === 1) return; // fully zoomed out: the page scrolls
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 400), event.offsetX * ratio(), event.offsetY * ratio());
  }, { passive: false });
  canvas.addEventListener('keydown', (event) => {
    if (!data || event.ctrlKey || event.metaKey) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const zooms = { '+': 1.4, '=': 1.4, '-': 1 / 1.4, 0: 0 };
    if (event.key in steps) step(...steps[event.key]);
    else if (event.key in zooms) zoomAt(zooms[event.key]);
    else if (event.key === 'Enter' && selected !== null) openDetails(data.points[selected][2]);
    else return;
    event.preventDefault();
  });

  const watch = new ResizeObserver(draw);
  watch.observe(canvas);
  document.addEventListener('themechange', draw);
  load();
  return {
    leave() {
      request.stop();
      watch.disconnect();
      document.removeEventListener('themechange', draw);
    },
  };
}
