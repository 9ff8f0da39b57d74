// Search: words, pictures and items together, less what is excluded; filters; results page by page.

import { post } from './api.js';
import { blank, chipsOf, enter, queryOf, readAsked, writeAsked } from './asked.js';
import { card, relevance, waiting, whyMatched } from './cards.js';
import { empty, h, icon, latest, toast } from './dom.js';
import { filters } from './filters.js';
import { viewAsDataUri } from './media.js';
import { readPictures } from './pictures.js';
import { readWords } from './words.js';

const PAGE = 24;

export function build(main) {
  let asked = blank();
  let shownHash = null;
  let page = { snapshot: null, next: null };
  const request = latest();

  const words = h('input', {
    id: 'words', type: 'search', autocomplete: 'off', enterKeyHint: 'search', dir: 'auto', placeholder: 'What are you looking for?', 'aria-label': 'Words to search by',
  });
  const chosen = h('div', { class: 'chosen' });
  const file = h('input', { id: 'file', type: 'file', accept: 'image/*', multiple: true, class: 'unseen', tabIndex: -1, 'aria-label': 'Pictures to search by' });
  const avoid = h('input', { id: 'avoid', autocomplete: 'off', enterKeyHint: 'search', dir: 'auto', placeholder: 'exclude, such as leather', 'aria-label': 'What to exclude; Enter adds it' });
  const where = filters(() => go());
  const form = h('form', { class: 'composer', role: 'search' },
    h('div', { class: 'box' },
      icon('search'), chosen, words,
      h('button', { type: 'button', class: 'quiet', title: 'Choose a picture, or drop or paste one', onclick: () => file.click() },
        icon('picture'), h('span', { class: 'unseen' }, 'Choose a picture')),
      file,
      h('button', { type: 'submit', class: 'main' }, 'Search')),
    h('div', { class: 'below' }, h('span', { class: 'avoids' }, icon('minus'), avoid), where.node, where.panel));
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

  function exclude(text) {
    if (text && !asked.minus.includes(text)) asked.minus.push(text);
  }

  function takeAvoided() {
    exclude(avoid.value.trim().replace(/^-\s*/, ''));
    avoid.value = '';
  }

  /** Put what is asked into the address, which then shows it: back and forward work, and a search can be sent on. */
  function go() {
    const typed = readWords(words.value);
    typed.minus.forEach(exclude);
    asked.text = words.value = typed.text;
    const settings = writeAsked(asked);
    where.write(settings);
    const hash = `#/search${[...settings].length ? `?${settings}` : ''}`;
    shownHash = hash;
    enter(hash, asked);
    draw();
    load();
  }

  function draw() {
    document.title = asked.text ? `${asked.text} · firstsight` : 'firstsight';
    chosen.replaceChildren(...chipsOf(asked, () => {
      go();
      words.focus();
    }));
  }

  async function load(next = false) {
    const signal = request();
    const query = { k: PAGE, ...queryOf(asked), ...where.query() };
    const nothing = !query.text && !query.items.length && !query.images.length;
    start.hidden = !nothing;
    if (nothing) {
      const only = query.minus.length || query.minus_images.length || query.where || query.kinds?.length;
      status.textContent = only ? 'Say what to look for; filters and exclusions narrow that.' : '';
      grid.replaceChildren();
      grid.removeAttribute('aria-busy');
      more.hidden = true;
      return;
    }
    if (next) Object.assign(query, { offset: page.next, snapshot: page.snapshot });
    else if (!grid.querySelector('.card')) grid.replaceChildren(...waiting(8)); // else what was found stays, and pales
    grid.setAttribute('aria-busy', 'true');
    status.textContent = 'Searching…';
    more.disabled = true;
    const began = performance.now();
    try {
      const found = await post('search', query, signal);
      show(found, next, Math.round(performance.now() - began));
    } catch (error) {
      if (signal.aborted) return;
      status.textContent = '';
      if (next) {
        toast(error.message, { wrong: true });
      } else {
        const again = error.passing && h('p', {}, h('button', { type: 'button', onclick: () => load() }, 'Try again'));
        grid.replaceChildren(empty('The search did not work', error.message, again));
        more.hidden = true;
      }
    } finally {
      if (!signal.aborted) {
        grid.removeAttribute('aria-busy');
        more.disabled = false;
      }
    }
  }

  function show(found, next, took) {
    page = { snapshot: found.snapshot, next: found.next_offset };
    if (!next) grid.replaceChildren();
    const first = grid.childElementCount;
    grid.append(...found.results.map(resultCard));
    if (next) (grid.children[first] ?? grid.lastElementChild)?.querySelector('button')?.focus();
    const count = grid.childElementCount;
    status.textContent = count ? `${found.next_offset ? 'first ' : ''}${count} result${count === 1 ? '' : 's'} · ${took} ms` : 'No results';
    if (!count) {
      const clear = where.used() && h('p', {}, h('button', { type: 'button', onclick: () => { where.clear(); go(); } }, 'Clear the filters'));
      grid.replaceChildren(empty('Nothing fits', where.used() ? 'The filters leave nothing over.' : 'Say it in other words, or take less away.', clear));
    }
    more.hidden = !found.next_offset;
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
    const name = result.title || result.item_id;
    try {
      if (viewId) asked.minusImages.push({ name, data: await viewAsDataUri(viewId) });
      else exclude(name);
      go();
    } catch (error) {
      toast(error.message, { wrong: true });
    }
  }

  function addPictures(pictures) {
    asked.images.push(...pictures);
    if (pictures.length) go();
  }

  function changed() {
    const same = location.hash === shownHash; // two searches by pictures differ in nothing that the address has
    shownHash = null;
    if (same) view.show(new URLSearchParams(location.hash.split('?')[1] ?? ''));
  }
  addEventListener('popstate', changed);

  const view = {
    addPictures,
    show(settings) {
      if (location.hash === shownHash) return;
      shownHash = location.hash;
      asked = readAsked(settings);
      words.value = asked.text;
      where.read(settings);
      draw();
      load();
      if (matchMedia('(pointer: fine)').matches && ![...settings].length) words.focus();
    },
    leave() {
      request.stop();
      removeEventListener('popstate', changed);
    },
  };
  return view;
}

function welcome(use) {
  const tries = ['red running shoes', 'pouring tea', 'something to play music on', 'a cat'];
  return h('div', { class: 'empty welcome' },
    h('h2', {}, 'Search by what things look like'),
    h('p', {}, 'Type, or drop or paste a picture anywhere on this page. Words and pictures combine.'),
    h('p', {}, 'A minus takes away: ', h('code', {}, 'boots -leather'), ', or − on a result.'),
    h('p', { class: 'row center' }, ...tries.map((text) => h('button', { type: 'button', class: 'chip', onclick: () => use(text) }, text))));
}
