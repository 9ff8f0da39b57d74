// Chips with counts for facts and tags: main colour, language, problems of pictures, text in pictures, tags. A click
// filters the search; the selection is in the address.

import { get } from './api.js';
import { h, latestRequest } from './dom.js';

export const SWATCHES = {
  black: '#141414', white: '#ffffff', gray: '#8c8c8c', brown: '#7a4a24', beige: '#dcc8a4', red: '#d32020', orange: '#f08020',
  yellow: '#f2cf1d', green: '#2e8b3d', blue: '#2b62c9', purple: '#7d3fa8', pink: '#ef8fb5',
};
const SHOWN = 8;
const TITLES = { colour: 'Colour', language: 'Language', 'quality.problems': 'Picture quality', ocr_text: 'Text in pictures' };
const languages = typeof Intl.DisplayNames === 'function' ? new Intl.DisplayNames(['en'], { type: 'language', fallback: 'code' }) : null;
const count = new Intl.NumberFormat('en');
const plain = (name) => name.replace(/^facts\./, '');

/** A small square of a colour; its name or hex value stands beside it. */
export function swatch(colour) {
  const node = h('i', { class: 'swatch', 'aria-hidden': 'true' });
  node.style.background = colour;
  return node;
}

/** The name of a language by its code; the code itself if the browser does not know it. */
export function languageName(code) {
  try {
    return languages?.of(code) ?? code;
  } catch {
    return code;
  }
}

/** The title of a fact or tag: `tags.product_type` is "Product type". */
export function factTitle(name) {
  const short = plain(name);
  const text = TITLES[short] ?? short.replace(/^tags\./, '').replaceAll('_', ' ');
  return text[0].toUpperCase() + text.slice(1);
}

function valueText(name, value) {
  if (value === null) return "don't know";
  if (plain(name) === 'language') return languageName(value);
  if (plain(name) === 'quality.problems') return value ? value.replaceAll('_', ' ') : 'no problem';
  if (plain(name) === 'ocr_text') return value === 'yes' ? 'with text' : 'without text';
  return value;
}

const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

function conditionOf(name, value, several) {
  if (value === null) return `${name} IS NULL`;
  if (plain(name) === 'ocr_text') return value === 'yes' ? `${name} <> ''` : `${name} = ''`;
  if (plain(name) === 'quality.problems' && value) return `${name} LIKE ${quoted(`%${value}%`)}`; // no name is a part of another
  const is = `${name} = ${quoted(value)}`;
  if (!plain(name).startsWith('tags.') || several === false) return is;
  const like = ['$, %', '%, $', '%, $, %'].map((pattern) => `${name} LIKE ${quoted(pattern.replace('$', () => value))}`);
  return `(${[is, ...like].join(' OR ')})`;
}

/** The chips; `changed` is called after each change of the selection. */
export function factChips(changed) {
  const node = h('div', { class: 'fact-chips', hidden: true });
  const chosen = new Map(); // name of the fact -> value; null for unknown
  const several = new Map();
  const opened = new Set(); // facets that show all of their values
  const request = latestRequest();
  let shown = null;
  let facets = [];

  function draw() {
    const focused = document.activeElement?.closest?.('.fact-chips button')?.dataset.key;
    const rows = facets.filter((facet) => facet.values.length > 1 || chosen.has(facet.name)).map(row);
    node.replaceChildren(...rows);
    node.hidden = !rows.length;
    if (focused) [...node.querySelectorAll('button')].find((button) => button.dataset.key === focused)?.focus();
  }

  function row(facet) {
    const values = [...facet.values];
    const selected = chosen.get(facet.name);
    if (chosen.has(facet.name) && !values.some((entry) => entry.value === selected)) values.push({ value: selected, count: 0 });
    const all = opened.has(facet.name) || values.length <= SHOWN + 1;
    const visible = all ? values : values.filter((entry, n) => n < SHOWN || (chosen.has(facet.name) && entry.value === selected));
    const title = factTitle(facet.name);
    return h('div', { class: 'facet', role: 'group', 'aria-label': title }, h('span', { class: 'dim', 'aria-hidden': 'true' }, title),
      h('div', {}, ...visible.map((entry) => chip(facet, entry)), !all && h('button', {
        type: 'button', class: 'link', 'data-key': `${facet.name} more`, onclick: () => { opened.add(facet.name); draw(); },
      }, `${values.length - visible.length} more`)));
  }

  function chip(facet, { value, count: items }) {
    const pressed = chosen.has(facet.name) && chosen.get(facet.name) === value;
    const colour = plain(facet.name) === 'colour' ? SWATCHES[value] : null;
    return h('button', {
      type: 'button', class: value === null ? 'chip unknown' : 'chip', 'aria-pressed': String(pressed), 'data-key': `${facet.name}=${value}`,
      onclick: () => {
        if (pressed) chosen.delete(facet.name);
        else chosen.set(facet.name, value);
        draw();
        changed();
      },
    }, colour && swatch(colour), h('span', { dir: 'auto' }, valueText(facet.name, value)), ' ', h('b', {}, count.format(items)));
  }

  return {
    node,
    used: () => chosen.size,
    conditions: () => [...chosen].map(([name, value]) => conditionOf(name, value, several.get(name))),
    read(settings) {
      chosen.clear();
      for (const pair of settings.getAll('fact')) {
        const place = pair.indexOf('=');
        if (place > 0) chosen.set(pair.slice(0, place), pair.slice(place + 1));
      }
      for (const name of settings.getAll('unknown')) chosen.set(name, null);
      draw();
    },
    write(settings) {
      for (const [name, value] of chosen) settings.append(value === null ? 'unknown' : 'fact', value === null ? name : `${name}=${value}`);
    },
    hide() {
      node.hidden = true;
    },
    /** Count again under other filters; the same filters are counted again only with `anew`. */
    async count({ where, kinds }, anew = false) {
      const settings = new URLSearchParams(kinds.map((kind) => ['kind', kind]));
      if (where) settings.set('where', where);
      for (const [name, value] of chosen) settings.append(value === null ? 'unknown' : 'is', value === null ? name : `${name}=${value}`);
      const path = `facets?${settings}`;
      if (path === shown && !anew) {
        draw();
        return;
      }
      const signal = request();
      const found = await get(path, signal).catch(() => null); // the search says what is wrong with a filter
      if (signal.aborted || !found) return;
      shown = path;
      facets = found.facets;
      for (const facet of facets) several.set(facet.name, facet.several);
      draw();
    },
    stop: request.stop,
  };
}
