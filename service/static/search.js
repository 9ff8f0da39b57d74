// Search by words, pictures and items, with exclusions and filters; results come page by page.

import { post } from './api.js';
import { emptyState, makeChips, pushHistoryEntry, requestBody, settingsFromState, stateFromSettings } from './search_state.js';
import { card, describeMatch, placeholderCards, relevance, showCorrection, variants } from './cards.js';
import { openDetails } from './details.js';
import { clock, empty, h, icon, latestRequest, toast } from './dom.js';
import { filters } from './filters.js';
import { learnShapes, viewAsDataUri } from './media.js';
import { readPictures } from './picture_input.js';
import { parseQuery } from './query_parser.js';

const PAGE = 24;
const MOST_MS_FOR_CHIPS = 500;

export function build(main) {
  let state = emptyState();
  let shownHash = null;
  let page = { snapshot: null, next: null };
  const request = latestRequest();
  const results = new Map(); // shown results by item id

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
  main.append(h('section', { class: 'page search' }, h('h1', { class: 'unseen' }, 'Search'), form, where.chips, status, start, grid,
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
    if (text && !state.minus.includes(text)) state.minus.push(text);
  }

  function takeAvoided() {
    exclude(avoid.value.trim().replace(/^-\s*/, ''));
    avoid.value = '';
  }

  /** Write the search into the address, then run it: back and forward work, and the address can be shared. */
  function go() {
    const typed = parseQuery(words.value);
    typed.minus.forEach(exclude);
    state.text = words.value = typed.text;
    const settings = settingsFromState(state);
    where.write(settings);
    const hash = `#/search${[...settings].length ? `?${settings}` : ''}`;
    shownHash = hash;
    pushHistoryEntry(hash, state);
    draw();
    load();
  }

  function draw() {
    document.title = state.text ? `${state.text} · firstsight` : 'firstsight';
    chosen.replaceChildren(...makeChips(state, () => {
      go();
      words.focus();
    }));
  }

  async function load(next = false) {
    const signal = request();
    const query = { k: PAGE, moments: true, ...requestBody(state), ...where.query() };
    const nothing = !query.text && !query.items.length && !query.images.length;
    start.hidden = !nothing;
    if (nothing) {
      const only = query.minus.length || query.minus_images.length || query.where || query.kinds?.length;
      status.textContent = only ? 'Enter words, a picture or an item first. Filters and exclusions then narrow the results.' : '';
      grid.replaceChildren();
      grid.removeAttribute('aria-busy');
      more.hidden = true;
      where.hideFacts();
      return;
    }
    if (next) Object.assign(query, { offset: page.next, snapshot: page.snapshot });
    grid.setAttribute('aria-busy', 'true');
    status.textContent = 'Searching…';
    more.disabled = true;
    const began = performance.now();
    const answer = post('search', query, signal);
    answer.catch(() => {}); // handled below
    if (!next) {
      const counted = where.countFacts();
      if (!grid.querySelector('.card')) { // else the old results stay, dimmed
        await Promise.race([counted, new Promise((done) => setTimeout(done, MOST_MS_FOR_CHIPS))]); // so that no card moves
        if (signal.aborted) return;
        grid.replaceChildren(...placeholderCards(8));
      }
    }
    try {
      const found = await answer;
      const took = Math.round(performance.now() - began);
      await learnShapes(found.results);
      if (signal.aborted) return;
      show(found, next, took);
    } catch (error) {
      if (signal.aborted) return;
      status.textContent = '';
      if (next) {
        toast(error.message, { wrong: true });
      } else {
        const again = error.temporary && h('p', {}, h('button', { type: 'button', onclick: () => load() }, 'Try again'));
        grid.replaceChildren(empty('The search failed', error.message, again));
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
    if (!next) {
      grid.replaceChildren();
      results.clear();
    }
    for (const result of found.results) results.set(result.item_id, result);
    const first = grid.childElementCount;
    grid.append(...found.results.map(resultCard));
    if (next) (grid.children[first] ?? grid.lastElementChild)?.querySelector('button')?.focus();
    const count = grid.childElementCount;
    status.textContent = count ? `${found.next_offset ? 'first ' : ''}${count} result${count === 1 ? '' : 's'} · ${took} ms` : 'No results';
    if (found.understood && count) status.textContent += ` · understood: ${describeUnderstood(found.understood)}`;
    if (!count) {
      const clear = where.used() && h('p', {}, h('button', { type: 'button', onclick: () => { where.clear(); go(); } }, 'Clear the filters'));
      grid.replaceChildren(empty('No results', where.used() ? 'No item passes the filters.' : 'Try other words, or exclude less.', clear));
    }
    more.hidden = !found.next_offset;
  }

  function resultCard(result) {
    const name = result.title || result.item_id;
    const lines = [h('p', { class: 'why' }, relevance(result.relevance), h('span', { title: 'The view that matched, and its cosine similarity to the query' }, describeMatch(result)))];
    if (result.line) lines.push(h('p', { class: 'said', dir: 'auto' }, `${clock(result.line.time_s)} “${result.line.text.replaceAll('\n', ' ')}”`));
    if (result.picture_text) lines.push(h('p', { class: 'said', dir: 'auto', title: 'Text in a picture' }, `in a picture: “${result.picture_text.text}”`));
    if (result.variants) lines.push(variants(result, canShowVariants(result) && (() => everyVariant(result))));
    else if (result.others) lines.push(h('p', { class: 'why' }, `and ${result.others} more of this group`));
    return card(result, {
      lines,
      actions: [
        ['like', `More like ${name}`, () => only(result.item_id)],
        ['plus', `Combine with ${name}`, () => combine(result.item_id)],
        ['minus', `Less like ${name}`, () => less(result)],
      ],
    });
  }

  /** A merged item has no other variants to show. */
  function canShowVariants(result) {
    return result.others > 0 && typeof result.columns.group_id === 'string';
  }

  function everyVariant(result) {
    where.showProduct(result.columns.group_id);
    scrollTo({ top: 0 });
    go();
  }

  function only(itemId) {
    state = { ...emptyState(), items: [itemId] };
    words.value = '';
    scrollTo({ top: 0 });
    go();
  }

  function combine(itemId) {
    if (!state.items.includes(itemId)) state.items.push(itemId);
    go();
    words.focus();
  }

  async function less(result) {
    const viewId = result.picture?.view_id;
    const name = result.title || result.item_id;
    try {
      if (viewId) state.minusImages.push({ name, data: await viewAsDataUri(viewId) });
      else exclude(name);
      go();
    } catch (error) {
      toast(error.message, { wrong: true });
    }
  }

  function addPictures(pictures) {
    state.images.push(...pictures);
    if (pictures.length) go();
  }

  function changed() {
    const same = location.hash === shownHash; // two picture searches can have the same address
    shownHash = null;
    if (same) view.show(new URLSearchParams(location.hash.split('?')[1] ?? ''));
  }
  addEventListener('popstate', changed);

  function corrected({ detail: { itemId, tag, values } }) {
    const shown = [...grid.querySelectorAll('.card')].find((node) => node.dataset.item === itemId);
    if (shown && results.has(itemId)) showCorrection(shown, results.get(itemId), tag, values);
    where.countFacts(true);
  }
  document.addEventListener('tagcorrected', corrected);

  const view = {
    addPictures,
    key(event) {
      const item = event.target.closest?.('.card')?.dataset.item;
      if (event.key.toLowerCase() !== 't' || !item) return;
      event.preventDefault();
      openDetails(item, null, { correct: true });
    },
    show(settings) {
      if (location.hash === shownHash) return;
      shownHash = location.hash;
      state = stateFromSettings(settings);
      words.value = state.text;
      where.read(settings);
      draw();
      load();
      if (matchMedia('(pointer: fine)').matches && ![...settings].length) words.focus();
    },
    leave() {
      request.stop();
      where.stop();
      removeEventListener('popstate', changed);
      document.removeEventListener('tagcorrected', corrected);
    },
  };
  return view;
}

function welcome(use) {
  const tries = ['red running shoes', 'pouring tea', 'something to play music on', 'a cat'];
  return h('div', { class: 'empty welcome' },
    h('h2', {}, 'Search by what things look like'),
    h('p', {}, 'Type, or drop or paste a picture anywhere on this page. Words and pictures combine.'),
    h('p', {}, 'A minus excludes: ', h('code', {}, 'boots -leather'), ', or the − of a result.'),
    h('p', { class: 'row center' }, ...tries.map((text) => h('button', { type: 'button', class: 'chip', onclick: () => use(text) }, text))));
}

/** What the rules found in the words: "running shoes, colour red, without nike, price at most 50". */
function describeUnderstood({ text, colours, minus, min_price: low, max_price: high, unmet }) {
  const parts = text ? [text] : [];
  if (colours.length) parts.push(`colour ${colours.join(' or ')}`);
  if (minus.length) parts.push(`without ${minus.join(', ')}`);
  if (low !== null && high !== null) parts.push(`price ${low} to ${high}`);
  else if (low !== null || high !== null) parts.push(high === null ? `price at least ${low}` : `price at most ${high}`);
  return parts.join(', ') + (unmet.length ? ' (no item has such a price; shown without the limit)' : '');
}
