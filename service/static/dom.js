// Create elements. Texts are always set as text nodes, so a catalogue's text is never parsed as markup.

const SVG = 'http://www.w3.org/2000/svg';

const ICONS = {
  close: 'M6 6l12 12M18 6L6 18',
  theme: 'M12 3a9 9 0 1 0 9 9 7 7 0 0 1-9-9z',
  search: 'M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM15.5 15.5L21 21',
  picture: 'M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.01',
  play: 'M8 5.5v13l10.5-6.5z',
  like: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM16.5 13v7M13 16.5h7',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  eye: 'M2.5 12c2.5-4.3 5.7-6.5 9.5-6.5s7 2.2 9.5 6.5c-2.5 4.3-5.7 6.5-9.5 6.5S5 16.3 2.5 12zM12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  block: 'M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16zM6.5 6.5l11 11',
  spark: 'M12 3l1.8 6.2L20 11l-6.2 1.8L12 19l-1.8-6.2L4 11l6.2-1.8z',
  filter: 'M4 6h16M7 12h10M10 18h4',
  whole: 'M9 4H4v5M15 4h5v5M9 20H4v-5M15 20h5v-5',
};

/** An element with properties, attributes (`aria-…`, `data-…`, `role`), listeners (`on…`) and children. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (name.includes('-') || name === 'role' || name === 'list' || name === 'for') node.setAttribute(name, value);
    else if (name === 'class') node.className = value;
    else node[name] = value;
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An icon; hidden from screen readers, so a text next to it must give the meaning. */
export function icon(name) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', 'icon');
  const path = document.createElementNS(SVG, 'path');
  path.setAttribute('d', ICONS[name]);
  svg.append(path);
  return svg;
}

/** A button with an icon; its label is shown on hover and read by screen readers. */
export function iconButton(name, label, onclick, extra = {}) {
  return h('button', { type: 'button', class: 'quiet', title: label, 'aria-label': label, onclick, ...extra }, icon(name));
}

/** Show a message for a few seconds; `action` is [label, function], such as an undo. */
export function toast(text, { wrong = false, action = null } = {}) {
  const node = h('div', { class: wrong ? 'toast wrong' : 'toast' }, h('span', {}, text));
  if (action) {
    node.append(h('button', { type: 'button', onclick: () => { node.remove(); action[1](); } }, action[0]));
  }
  document.getElementById('toasts').append(node);
  setTimeout(() => node.remove(), wrong || action ? 9000 : 4000);
}

/** Seconds as a player shows them: 75 is 1:15. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}

/** Call `run` once no further call has come for `wait` milliseconds. */
export function debounce(run, wait) {
  let timer = 0;
  return (...args) => {
    clearTimeout(timer);
    timer = setTimeout(() => run(...args), wait);
  };
}

/** A message shown instead of content. */
export function empty(title, text = '', ...more) {
  return h('div', { class: 'empty' }, h('h2', {}, title), text && h('p', {}, text), ...more);
}

/** A function that aborts the previous request and returns the signal of a new one: only the last result is shown. */
export function latestRequest() {
  let running = null;
  const next = () => {
    running?.abort();
    running = new AbortController();
    return running.signal;
  };
  next.stop = () => running?.abort();
  return next;
}

export function reducedMotion() {
  return matchMedia('(prefers-reduced-motion: reduce)').matches;
}
