// Search: words, pictures and items together, less what is excluded; filters; results page by page.

import { post } from './api.js';
import { card, relevance, waiting, whyMatched } from './cards.js';
import { empty, h, icon, toast } from './dom.js';
import { filters } from './filters.js';
import { picture, viewAsDataUri } from './media.js';
import { readPictures } from './pictures.js';

const PAGE = 24;

/** Everything that is asked for; what can stand in an address does, pictures stay in the tab. */
function blank() {
  return { text: '', items: [], minus: [], images: [], minusImages: [] };
}

export function build(main) {
  let asked = blank();
  let shownHash = null;
  let request = null;
  let page = { snapshot: null, next: null };

  const words = h('input', {
    id: 'words', type: 'search', autocomplete: 'off', placeholder: 'What are you looking for?', 'aria-label': 'Words to search by',
  });
  const chosen = h('div', { class: 'chosen' });
  const file = h('input', { id: 'file', type: 'file', accept: 'image/*', multiple: true, class: 'unseen', tabIndex: -1, 'aria-label': 'Pictures to search by' });
  const avoid = h('input', { id: 'avoid', autocomplete: 'off', placeholder: 'exclude…', 'aria-label': 'What to exclude; Enter adds it' });
  const where = filters(() => go());
  const form = h('form', { class: 'composer', role: 'search' },
    h('div', { class: 'box' },
      icon('search'), chosen, words,
      h('button', { type: 'button', class: 'quiet', title: 'Choose a picture, or drop or paste one', onclick: () => file.click() },
        icon('picture'), h('span', { class: 'unseen' }, 'Choose a picture')),
      file,
      h('button', { type: 'submit', class: 'main' }, 'Search')),
    h('div', { class: 'below' }, h('span', { class: 'avoids' }, icon('minus'), avoid), where.node));
  const status = h('p', { class: 'status', role: 'status' });
  const grid = h('div', { class: 'grid' });
  const more = h('button', { type: 'button', class: 'more', hidden: true, onclick: () => load(true) }, 'More results');
  const start = welcome((text) => { words.value = text; go(); });
  main.append(h('section', { class: 'page search' }, h('h1', { class: 'unseen' }, 'Search'), form, status, start, grid,
    h('p', { class: 'center' }, more)));

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    takeAvoided();
    go();
  });
  avoid.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter') return;
    event.preventDefault();
    takeAvoided();
    go();
  });
  file.addEventListener('change', async () => {
    addPictures(await readPictures([...file.files]));
    file.value = '';
  });
  words.addEventListener('keydown', (event) => {
    if (event.key === 'Backspace' && !words.value && chosen.lastElementChild) chosen.lastElementChild.querySelector('button').click();
  });

  function takeAvoided() {
    const text = avoid.value.trim();
    if (text && !asked.minus.includes(text)) asked.minus.push(text);
    avoid.value = '';
  }

  /** Put what is asked into the address, which then shows it: back and forward work, and a search can be sent on. */
  function go() {
    asked.text = words.value.trim();
    const settings = new URLSearchParams();
    if (asked.text) settings.set('q', asked.text);
    for (const item of asked.items) settings.append('item', item);
    for (const text of asked.minus) settings.append('minus', text);
    where.write(settings);
    const hash = `#/search${[...settings].length ? `?${settings}` : ''}`;
    shownHash = hash;
    if (location.hash !== hash) history.pushState(null, '', hash);
    drawChosen();
    load();
  }

  function drawChosen() {
    const drop = (list, one) => () => {
      list.splice(list.indexOf(one), 1);
      go();
      words.focus();
    };
    const chip = (minus, name, remove, shown) => h('span', { class: minus ? 'chip minus' : 'chip' },
      minus && h('b', { 'aria-hidden': 'true' }, '−'), shown, h('span', {}, name),
      h('button', { type: 'button', class: 'quiet', 'aria-label': `Remove ${minus ? 'excluded ' : ''}${name}`, onclick: remove }, icon('close')));
    const thumb = (one) => (one.data.startsWith('data:image/') ? h('img', { src: one.data, alt: '' }) : null);
    chosen.replaceChildren(
      ...asked.items.map((one) => chip(false, one, drop(asked.items, one), picture({ itemId: one, size: 96, alt: '' }))),
      ...asked.images.map((one) => chip(false, one.name, drop(asked.images, one), thumb(one))),
      ...asked.minus.map((one) => chip(true, one, drop(asked.minus, one))),
      ...asked.minusImages.map((one) => chip(true, one.name, drop(asked.minusImages, one), thumb(one))),
    );
  }

  function body() {
    const query = { k: PAGE, items: asked.items, minus: asked.minus, ...where.query() };
    if (asked.text) query.text = asked.text;
    query.images = asked.images.map((one) => one.data);
    query.minus_images = asked.minusImages.map((one) => one.data);
    return query;
  }

  async function load(next = false) {
    request?.abort();
    const own = request = new AbortController();
    const query = body();
    const nothing = !query.text && !query.items.length && !query.images.length;
    start.hidden = !nothing;
    if (nothing) {
      const only = query.minus.length || query.minus_images.length || query.where || query.kinds?.length;
      status.textContent = only ? 'Say what to look for; filters and exclusions narrow that.' : '';
      grid.replaceChildren();
      more.hidden = true;
      return;
    }
    if (next) Object.assign(query, { offset: page.next, snapshot: page.snapshot });
    else grid.replaceChildren(...waiting(8));
    grid.setAttribute('aria-busy', 'true');
    more.disabled = true;
    const began = performance.now();
    try {
      const found = await post('search', query, own.signal);
      const took = Math.round(performance.now() - began);
      page = { snapshot: found.snapshot, next: found.next_offset };
      if (!next) grid.replaceChildren();
      const first = grid.childElementCount;
      grid.append(...found.results.map(resultCard));
      if (next) grid.children[first]?.querySelector('button')?.focus();
      const count = grid.childElementCount;
      status.textContent = count ? `${found.next_offset ? 'first ' : ''}${count} result${count === 1 ? '' : 's'} · ${took} ms` : '';
      if (!count) grid.replaceChildren(empty('Nothing fits', 'Loosen the filters, or say it in other words.'));
      more.hidden = !found.next_offset;
    } catch (error) {
      if (own.signal.aborted) return;
      status.textContent = '';
      if (!next) grid.replaceChildren(empty('The search did not work', error.message));
      else toast(error.message, { wrong: true });
    } finally {
      if (request === own) {
        grid.removeAttribute('aria-busy');
        more.disabled = false;
      }
    }
  }

  function resultCard(result) {
    const name = result.title || result.item_id;
    const lines = [h('p', { class: 'why' }, relevance(result.relevance), h('span', { title: 'The view that matched, and its cosine to the query' }, whyMatched(result)))];
    if (result.others) lines.push(h('p', { class: 'why' }, `and ${result.others} more of this group`));
    return card(result, {
      lines,
      actions: [
        ['like', `More like ${name}`, () => only(result.item_id)],
        ['plus', `Combine with ${name}`, () => combine(result.item_id)],
        ['minus', `Less like ${name}`, () => less(result)],
      ],
    });
  }

  function only(itemId) {
    asked = { ...blank(), items: [itemId] };
    words.value = '';
    scrollTo({ top: 0 });
    go();
  }

  function combine(itemId) {
    if (!asked.items.includes(itemId)) asked.items.push(itemId);
    go();
    words.focus();
  }

  async function less(result) {
    const viewId = result.picture?.view_id;
    if (!viewId) {
      asked.minus.push(result.title || result.item_id);
      go();
      return;
    }
    try {
      asked.minusImages.push({ name: result.title || result.item_id, data: await viewAsDataUri(viewId) });
      go();
    } catch (error) {
      toast(error.message, { wrong: true });
    }
  }

  function addPictures(pictures) {
    asked.images.push(...pictures);
    if (pictures.length) go();
  }

  addEventListener('popstate', () => { shownHash = null; });

  return {
    addPictures,
    show(settings) {
      if (location.hash === shownHash) return;
      shownHash = location.hash;
      const kept = location.hash.includes('?') ? { images: [], minusImages: [] } : { images: asked.images, minusImages: asked.minusImages };
      asked = { text: settings.get('q') ?? '', items: settings.getAll('item'), minus: settings.getAll('minus'), ...kept };
      words.value = asked.text;
      where.read(settings);
      drawChosen();
      load();
      if (matchMedia('(pointer: fine)').matches && !settings.size) words.focus();
    },
    leave: () => request?.abort(),
  };
}

function welcome(use) {
  const tries = ['red running shoes', 'pouring tea', 'something to play music on', 'a cat'];
  return h('div', { class: 'empty welcome' },
    h('h2', {}, 'Search by what things look like'),
    h('p', {}, 'Type, or drop or paste a picture anywhere on this page. Words and pictures combine; a minus takes away.'),
    h('p', { class: 'row center' }, ...tries.map((text) => h('button', { type: 'button', class: 'chip', onclick: () => use(text) }, text))));
}
