// The state of a search: its text, items, pictures and exclusions, with a chip in the search field for each of them.
// Text and items are in the address of the page. Pictures are too large for it: the tab keeps them by history entry.

import { findVeiled } from './api.js';
import { h, icon } from './dom.js';
import { picture } from './media.js';

const LISTS = ['items', 'minus', 'images', 'minusImages'];

export const emptyState = () => ({ text: '', items: [], minus: [], images: [], minusImages: [] });

/** The state from the settings in the address, with the pictures of this history entry. */
export function stateFromSettings(settings) {
  const state = { ...emptyState(), text: settings.get('q') ?? '', items: settings.getAll('item'), minus: settings.getAll('minus') };
  return { ...state, ...recall() };
}

/** The settings of the address for a state; pictures are left out. */
export function settingsFromState(state) {
  const settings = new URLSearchParams();
  if (state.text) settings.set('q', state.text);
  for (const item of state.items) settings.append('item', item);
  for (const text of state.minus) settings.append('minus', text);
  return settings;
}

const MAX_ENTRIES = 20;
const pictures = new Map(); // by the id of a history entry; the oldest are dropped
const entry = () => history.state?.entry;
const last = { hash: null, entry: null };

function recall() {
  // a link back to the previous search has no entry id yet
  if (entry()) Object.assign(last, { hash: location.hash, entry: entry() });
  const stored = pictures.get(location.hash === last.hash ? last.entry : null);
  return stored ? { images: [...stored.images], minusImages: [...stored.minusImages] } : {};
}

/** Add a search to the address and the history. Going back restores it with its pictures. */
export function pushHistoryEntry(hash, { images, minusImages }) {
  const now = pictures.get(entry()) ?? { images: [], minusImages: [] };
  const same = (left, right) => left.length === right.length && left.every((image, n) => image.data === right[n].data);
  if (location.hash === hash && same(images, now.images) && same(minusImages, now.minusImages)) return;
  last.hash = hash;
  last.entry = `${Date.now()} ${Math.random()}`; // unique after a reload too: entries survive it, their pictures do not
  pictures.set(last.entry, { images: [...images], minusImages: [...minusImages] });
  if (pictures.size > MAX_ENTRIES) pictures.delete(pictures.keys().next().value);
  history.pushState({ entry: last.entry }, '', hash);
}

/** The body of a search request. */
export function requestBody(state) {
  const query = { items: state.items, minus: state.minus };
  if (state.text) query.text = state.text;
  query.images = state.images.map((image) => image.data);
  query.minus_images = state.minusImages.map((image) => image.data);
  return query;
}

/** A chip for each item, picture and exclusion; `onRemove` is called after one was removed from the state. */
export function makeChips(state, onRemove) {
  return LISTS.flatMap((name) => state[name].map((entry) => {
    const minus = name.startsWith('minus');
    const label = entry.name ?? entry;
    const remove = () => {
      state[name].splice(state[name].indexOf(entry), 1);
      onRemove();
    };
    return h('span', { class: minus ? 'chip minus' : 'chip' }, minus && h('b', { 'aria-hidden': 'true' }, '−'),
      chipPicture(name, entry), h('span', { dir: 'auto' }, label),
      h('button', { type: 'button', class: 'quiet', 'aria-label': `Remove ${minus ? 'excluded ' : ''}${label}`, onclick: remove }, icon('close')));
  }));
}

function chipPicture(name, entry) {
  if (name === 'items') {
    const thumb = h('span', { class: 'thumb veiled' }, picture({ itemId: entry, size: 96 }));
    findVeiled([entry]).then((veiled) => thumb.classList.toggle('veiled', veiled.has(entry)));
    return thumb;
  }
  return entry.data?.startsWith('data:image/') ? h('img', { src: entry.data, alt: '' }) : null;
}
