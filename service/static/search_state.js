// What a search asks for beside its words: pictures, items, and what is excluded, as chips in the search field. Words
// and items stand in the page's address; pictures are too large for it, so that the tab remembers them by its entries.

import { veiledOf } from './api.js';
import { h, icon } from './dom.js';
import { picture } from './media.js';

const LISTS = ['items', 'minus', 'images', 'minusImages'];

export const blank = () => ({ text: '', items: [], minus: [], images: [], minusImages: [] });

/** What the address says, with the pictures that this entry of the history had. */
export function readAsked(settings) {
  const asked = { ...blank(), text: settings.get('q') ?? '', items: settings.getAll('item'), minus: settings.getAll('minus') };
  return { ...asked, ...recall() };
}

/** As the settings of an address. */
export function writeAsked(asked) {
  const settings = new URLSearchParams();
  if (asked.text) settings.set('q', asked.text);
  for (const item of asked.items) settings.append('item', item);
  for (const text of asked.minus) settings.append('minus', text);
  return settings;
}

const REMEMBERED = 20;
const pictures = new Map(); // by the name of an entry; the oldest go
const entry = () => history.state?.entry;
const last = { hash: null, entry: null };

function recall() {
  // a link back to the search of before has no entry of its own yet
  if (entry()) Object.assign(last, { hash: location.hash, entry: entry() });
  const kept = pictures.get(location.hash === last.hash ? last.entry : null);
  return kept ? { images: [...kept.images], minusImages: [...kept.minusImages] } : {};
}

/** Put a search into the address and the history; going back brings it again, with its pictures. */
export function enter(hash, { images, minusImages }) {
  const now = pictures.get(entry()) ?? { images: [], minusImages: [] };
  const same = (some, others) => some.length === others.length && some.every((one, n) => one.data === others[n].data);
  if (location.hash === hash && same(images, now.images) && same(minusImages, now.minusImages)) return;
  last.hash = hash;
  last.entry = `${Date.now()} ${Math.random()}`; // entries outlive a reload, and what they name does not
  pictures.set(last.entry, { images: [...images], minusImages: [...minusImages] });
  if (pictures.size > REMEMBERED) pictures.delete(pictures.keys().next().value);
  history.pushState({ entry: last.entry }, '', hash);
}

/** The body of a search. */
export function queryOf(asked) {
  const query = { items: asked.items, minus: asked.minus };
  if (asked.text) query.text = asked.text;
  query.images = asked.images.map((one) => one.data);
  query.minus_images = asked.minusImages.map((one) => one.data);
  return query;
}

/** A chip for each; `removed` is called once one has been taken out. */
export function chipsOf(asked, removed) {
  return LISTS.flatMap((name) => asked[name].map((one) => {
    const minus = name.startsWith('minus');
    const label = one.name ?? one;
    const remove = () => {
      asked[name].splice(asked[name].indexOf(one), 1);
      removed();
    };
    return h('span', { class: minus ? 'chip minus' : 'chip' }, minus && h('b', { 'aria-hidden': 'true' }, '−'),
      shown(name, one), h('span', { dir: 'auto' }, label),
      h('button', { type: 'button', class: 'quiet', 'aria-label': `Remove ${minus ? 'excluded ' : ''}${label}`, onclick: remove }, icon('close')));
  }));
}

function shown(name, one) {
  if (name === 'items') {
    const thumb = h('span', { class: 'thumb veiled' }, picture({ itemId: one, size: 96 }));
    veiledOf([one]).then((veiled) => thumb.classList.toggle('veiled', veiled.has(one)));
    return thumb;
  }
  return one.data?.startsWith('data:image/') ? h('img', { src: one.data, alt: '' }) : null;
}
