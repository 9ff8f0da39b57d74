// The map: every item a point, coloured by a column; a picture on hover, the item on a click.

import { get } from './api.js';
import { empty, h } from './dom.js';
import { openDetails } from './details.js';
import { picture } from './media.js';

// Told apart by people with the usual kinds of colour blindness (Okabe and Ito 2008, with three more); the last is "others".
const COLOURS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#8c6bb1', '#a6761d', '#7a9a01', '#e7298a', '#8a8f98'];
const RISING = ['#c6b8f5', '#a492ea', '#826dd8', '#644bbf', '#4a309f', '#311a78', '#8a8f98'];
const NEAR = 14;

export function build(main) {
  const canvas = h('canvas', { tabIndex: 0, role: 'application', 'aria-label': 'Map of the items. Arrow keys go from item to item, Enter opens, plus and minus zoom.' });
  const tip = h('div', { class: 'tip', hidden: true });
  const said = h('p', { class: 'unseen', 'aria-live': 'polite' });
  const legend = h('ul', { class: 'legend' });
  const by = h('select', { id: 'colour', onchange: () => recolour() });
  const sample = h('select', { id: 'sample', onchange: () => load() }, ...[500, 2000, 5000, 10000].map((n) => h('option', { value: n, selected: n === 2000 }, n.toLocaleString('en'))));
  const status = h('p', { class: 'dim' });
  const frame = h('div', { class: 'map' }, canvas, tip);
  main.append(h('section', { class: 'page' }, h('header', { class: 'row' }, h('h1', {}, 'Map'), status,
    h('label', { class: 'aside' }, 'Coloured by ', by), h('label', { class: 'aside' }, 'at most ', sample, ' items')), h('div', { class: 'mapped' }, frame, legend), said));

  let data = null;
  let colouring = null;
  let hidden = new Set();
  let at = null; // the point under the pointer or the keyboard
  let view = { x: 0, y: 0, zoom: 1 }; // of the unit square, in units of its side
  let drawing = 0;
  const pointers = new Map();
  let moved = false;
  let tipTimer = 0;

  async function load() {
    status.textContent = 'Placing the items…';
    frame.setAttribute('aria-busy', 'true');
    try {
      data = await get(`map?sample=${sample.value}`);
    } catch (error) {
      frame.replaceChildren(empty('There is no map', error.message));
      status.textContent = '';
      return;
    } finally {
      frame.removeAttribute('aria-busy');
    }
    const shown = data.points.length.toLocaleString('en');
    status.textContent = data.total > data.points.length ? `${shown} of ${data.total.toLocaleString('en')} items; near means alike` : `${shown} items; near means alike`;
    by.replaceChildren(...data.colourings.map((one) => h('option', { value: one.column }, one.column)));
    recolour();
  }

  function recolour() {
    colouring = data.colourings.find((one) => one.column === by.value) ?? data.colourings[0];
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

  function colour(code) {
    const palette = colouring.ordered ? RISING : COLOURS;
    return palette[Math.min(code, palette.length - 1)];
  }

  /** Pixels of a point: the square of the data is fitted into the canvas, y upwards. */
  function place([x, y]) {
    const { width, height } = canvas;
    const side = Math.min(width * 0.94, height * 0.94 * 1.6) * view.zoom;
    const tall = Math.min(height * 0.94, width * 0.94) * view.zoom;
    return [width / 2 + (x - 0.5 - view.x) * side, height / 2 - (y - 0.5 - view.y) * tall];
  }

  function scale() {
    const [x0, y0] = place([0, 0]);
    const [x1, y1] = place([1, 1]);
    return [x1 - x0, y0 - y1];
  }

  function draw() {
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(() => {
      if (!data || !colouring) return;
      const ratio = devicePixelRatio || 1;
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(canvas.clientHeight * ratio);
      const pen = canvas.getContext('2d');
      const style = getComputedStyle(document.documentElement);
      const many = data.points.length;
      const radius = ratio * Math.max(2, Math.min(7, 90 / Math.sqrt(many))) * Math.min(2, Math.sqrt(view.zoom));
      pen.globalAlpha = many > 3000 ? 0.7 : 0.9;
      pen.lineWidth = ratio;
      pen.strokeStyle = style.getPropertyValue('--ground');
      data.points.forEach((point, n) => {
        if (hidden.has(colouring.codes[n])) return;
        const [x, y] = place(point);
        pen.fillStyle = colour(colouring.codes[n]);
        pen.beginPath();
        pen.arc(x, y, radius, 0, 2 * Math.PI);
        pen.fill();
        if (many < 3000) pen.stroke();
      });
      if (at !== null) {
        const [x, y] = place(data.points[at]);
        pen.globalAlpha = 1;
        pen.lineWidth = 2.5 * ratio;
        pen.strokeStyle = style.getPropertyValue('--ink');
        pen.beginPath();
        pen.arc(x, y, radius + 3 * ratio, 0, 2 * Math.PI);
        pen.stroke();
      }
    });
  }

  function nearest(x, y) {
    const ratio = devicePixelRatio || 1;
    let best = null;
    let least = (NEAR * ratio) ** 2;
    data.points.forEach((point, n) => {
      if (hidden.has(colouring.codes[n])) return;
      const [px, py] = place(point);
      const away = (px - x * ratio) ** 2 + (py - y * ratio) ** 2;
      if (away < least) [best, least] = [n, away];
    });
    return best;
  }

  function point(n, { speak = false } = {}) {
    if (n === at) return;
    at = n;
    draw();
    clearTimeout(tipTimer);
    if (n === null) {
      tip.hidden = true;
      return;
    }
    const [, , itemId, title, kind] = data.points[n];
    const label = colouring.labels[colouring.codes[n]];
    if (speak) said.textContent = `${title}, ${kind}, ${colouring.column} ${label}`;
    const ratio = devicePixelRatio || 1;
    const [x, y] = place(data.points[n]).map((pixels) => pixels / ratio);
    const right = x < canvas.clientWidth / 2;
    tip.replaceChildren(h('b', {}, title), h('span', { class: 'dim' }, `${kind} · ${colouring.column}: ${label}`));
    tip.style.left = right ? `${x + 16}px` : '';
    tip.style.right = right ? '' : `${canvas.clientWidth - x + 16}px`;
    tip.style.top = `${Math.max(4, Math.min(y - 90, canvas.clientHeight - 230))}px`;
    tip.hidden = false;
    // a pointer that only passes fetches nothing
    tipTimer = setTimeout(() => {
      const veiled = data.decisions[n] !== 'allow';
      tip.prepend(h('div', { class: veiled ? 'thumb veiled' : 'thumb' }, picture({ itemId, size: 192, alt: '' })));
    }, 60);
  }

  function zoomAt(factor, x = canvas.width / 2, y = canvas.height / 2) {
    const [wide, tall] = scale();
    const next = Math.max(1, Math.min(60, view.zoom * factor));
    const grown = next / view.zoom;
    view.x += ((x - canvas.width / 2) / wide) * (1 - 1 / grown);
    view.y -= ((y - canvas.height / 2) / tall) * (1 - 1 / grown);
    view.zoom = next;
    if (next === 1) view = { x: 0, y: 0, zoom: 1 };
    tip.hidden = true;
    draw();
  }

  function step(dx, dy) {
    if (at === null) {
      point(data.points.findIndex((_, n) => !hidden.has(colouring.codes[n])), { speak: true });
      return;
    }
    const [x, y] = place(data.points[at]);
    let best = null;
    let least = Infinity;
    data.points.forEach((other, n) => {
      if (n === at || hidden.has(colouring.codes[n])) return;
      const [px, py] = place(other);
      const along = (px - x) * dx + (py - y) * dy;
      const across = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (along <= 0 || across > along * 2) return;
      const cost = along + 2 * across;
      if (cost < least) [best, least] = [n, cost];
    });
    if (best !== null) point(best, { speak: true });
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
      point(nearest(event.offsetX, event.offsetY));
      return;
    }
    const ratio = devicePixelRatio || 1;
    const shift = [event.offsetX - before[0], event.offsetY - before[1]];
    if (Math.hypot(...shift) < 3 && !moved) return;
    moved = true;
    if (pointers.size === 2) {
      const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, spot]) => spot);
      const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
      const is = Math.hypot(event.offsetX - other[0], event.offsetY - other[1]);
      if (was > 0) zoomAt(is / was, ((event.offsetX + other[0]) / 2) * ratio, ((event.offsetY + other[1]) / 2) * ratio);
    } else {
      const [wide, tall] = scale();
      view.x -= (shift[0] * ratio) / wide;
      view.y += (shift[1] * ratio) / tall;
      tip.hidden = true;
      draw();
    }
    pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  });
  const lift = (event) => {
    pointers.delete(event.pointerId);
    if (!moved && event.type === 'pointerup' && data) {
      const found = nearest(event.offsetX, event.offsetY);
      if (found !== null && event.pointerType === 'mouse') openDetails(data.points[found][2]);
      else if (found !== null && found === at) openDetails(data.points[found][2]); // a finger: the second tap opens
      else point(found);
    }
  };
  canvas.addEventListener('pointerup', lift);
  canvas.addEventListener('pointercancel', lift);
  canvas.addEventListener('pointerleave', () => { if (!pointers.size) point(null); });
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const ratio = devicePixelRatio || 1;
    zoomAt(Math.exp(-event.deltaY / 400), event.offsetX * ratio, event.offsetY * ratio);
  }, { passive: false });
  canvas.addEventListener('keydown', (event) => {
    if (!data || event.ctrlKey || event.metaKey) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key in steps) step(...steps[event.key]);
    else if (event.key === 'Enter' && at !== null) openDetails(data.points[at][2]);
    else if (event.key === '+' || event.key === '=') zoomAt(1.4);
    else if (event.key === '-') zoomAt(1 / 1.4);
    else if (event.key === '0') zoomAt(0);
    else return;
    event.preventDefault();
  });

  const watch = new ResizeObserver(draw);
  watch.observe(canvas);
  document.addEventListener('themechange', draw);
  load();
  return { leave: () => { watch.disconnect(); document.removeEventListener('themechange', draw); } };
}
