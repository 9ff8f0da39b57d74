// A user's slate: the interest behind each item, and the slots that explore.

import { findVeiled, get, post } from './api.js';
import { card, placeholderCards, variants } from './cards.js';
import { empty, h, icon, latestRequest } from './dom.js';
import { openDetails } from './details.js';
import { learnShapes, picture } from './media.js';

const SOURCES = {
  recent: ['recent interest', 'similar to the user’s latest events'],
  lasting: ['lasting interest', 'similar to items that the user returns to'],
  long_tail: ['long tail', 'fits an interest; few users have seen it'],
  short_term: ['short-term interest', 'what comes next after the latest events and searches'],
  long_term: ['long-term interest', 'what the order of events says about the whole history'],
  neighbours: ['similar users', 'liked by users with a similar history'],
  popular: ['popular', 'most seen by all users'],
  newest: ['newest', 'ordered by date, because there are no events'],
  new: ['exploring: new', 'rarely shown so far; this slot measures the interest in it'],
  nearby: ['exploring: nearby', 'close to the user’s interests, but new to them'],
};

export function build(main) {
  const user = h('input', { id: 'user', name: 'user', autocomplete: 'off', placeholder: 'user id' });
  const history = h('input', { id: 'history', name: 'history', autocomplete: 'off', placeholder: 'item ids, oldest first' });
  const k = h('input', { id: 'slots', type: 'number', min: 1, max: 200, value: 12 });
  const explore = h('input', { id: 'explore', type: 'range', min: 0, max: 1, step: 0.05, value: 0.1 });
  const share = h('span', {}, '10%');
  const collapse = h('select', { id: 'slate-collapse' }, h('option', { value: '' }, 'one per product'), h('option', { value: 'none' }, 'every variant'));
  const grouping = h('label', { hidden: true }, 'Group items', collapse);
  get('catalogue').then((catalogue) => { grouping.hidden = !catalogue.products; }, () => {});
  const interests = h('div', { class: 'interests' });
  const request = latestRequest();
  const grid = h('div', { class: 'grid' });
  const form = h('form', { class: 'asks' },
    h('label', {}, 'User', user), h('label', { class: 'wide' }, 'and a history', history),
    h('label', { class: 'narrow' }, 'Slots', k),
    h('label', {}, h('span', {}, 'Explore ', share), explore),
    grouping,
    h('button', { class: 'main', type: 'submit' }, 'Make a slate'));
  main.append(h('section', { class: 'page' }, h('h1', {}, 'A user’s slate'), form, interests, grid));

  explore.addEventListener('input', () => { share.textContent = `${Math.round(explore.value * 100)}%`; });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const settings = new URLSearchParams();
    if (user.value.trim()) settings.set('user', user.value.trim());
    if (history.value.trim()) settings.set('history', history.value.trim());
    settings.set('k', k.value);
    settings.set('explore', explore.value);
    if (collapse.value) settings.set('collapse', collapse.value);
    const hash = `#/slate?${settings}`;
    if (location.hash === hash) make(settings);
    else location.hash = hash;
  });

  async function make(settings) {
    const items = (settings.get('history') ?? '').split(/[\s,]+/).filter(Boolean);
    const body = { k: Number(settings.get('k') ?? 12), explore: Number(settings.get('explore') ?? 0.1), moments: true };
    if (settings.get('user')) body.user = settings.get('user');
    if (items.length) body.history = items;
    if (settings.get('collapse') === 'none') body.collapse = 'none';
    grid.setAttribute('aria-busy', 'true');
    if (!grid.querySelector('.card')) grid.replaceChildren(...placeholderCards(8));
    const signal = request();
    try {
      const slate = await post('recommend', body, signal);
      const veiled = await findVeiled([...slate.items, ...slate.interests].map((entry) => entry.item_id), signal);
      await learnShapes(slate.items);
      if (signal.aborted) return;
      showInterests(slate, veiled);
      grid.replaceChildren(...slate.items.map((item, place) => slot(item, place, { veiled: veiled.has(item.item_id), titles: slate.titles })));
      if (!slate.items.length) grid.replaceChildren(empty('No items', 'Every item has ended, has not started, or is blocked.'));
    } catch (error) {
      if (signal.aborted) return;
      interests.replaceChildren();
      grid.replaceChildren(empty('The slate could not be made', error.message));
    } finally {
      if (!signal.aborted) grid.removeAttribute('aria-busy');
    }
  }

  function showInterests(slate, veiled) {
    const explored = slate.items.filter((item) => item.explore).length;
    const summary = slate.events
      ? `${slate.events} event${slate.events === 1 ? '' : 's'} in the history · ${explored} of ${slate.items.length} slots explore`
      : `This user has no events yet: popular and new items, and ${explored} of ${slate.items.length} slots explore`;
    interests.replaceChildren(
      h('p', { class: 'dim', role: 'status' }, summary),
      h('p', { class: 'dim explained', hidden: !explored }, icon('spark'), 'These slots explore: they show little-known items to learn who likes them.'),
      h('ul', {}, ...slate.interests.map((interest) => h('li', {}, h('button', { type: 'button', onclick: () => openDetails(interest.item_id) },
        h('span', { class: veiled.has(interest.item_id) ? 'thumb veiled' : 'thumb' }, picture({ itemId: interest.item_id, size: 96 })),
        h('span', {}, h('b', { dir: 'auto' }, slate.titles[interest.item_id] ?? interest.item_id), h('span', { class: 'dim' }, describeInterest(interest))))))));
  }

  return {
    show(settings) {
      user.value = settings.get('user') ?? '';
      history.value = settings.get('history') ?? '';
      if (settings.has('k')) k.value = settings.get('k');
      if (settings.has('explore')) explore.value = settings.get('explore');
      share.textContent = `${Math.round(explore.value * 100)}%`;
      collapse.value = settings.get('collapse') === 'none' ? 'none' : '';
      make(settings);
    },
    leave: request.stop,
  };
}

function describeInterest({ kind, share, items }) {
  return `${SOURCES[kind]?.[0] ?? kind} · ${Math.round(share * 100)}% · ${items} item${items === 1 ? '' : 's'}`;
}

function slot(item, place, { veiled, titles }) {
  const [name, meaning] = SOURCES[item.source] ?? [item.source, ''];
  const badge = h('span', { class: `source ${item.source}${item.explore ? ' explores' : ''}`, title: meaning },
    item.explore && icon('spark'), name);
  const why = item.because
    ? h('p', { class: 'why' }, 'because of ', h('button', { type: 'button', class: 'link', onclick: () => openDetails(item.because) }, h('bdi', {}, titles[item.because] ?? item.because)))
    : h('p', { class: 'why' }, meaning);
  const score = h('p', { class: 'why' }, h('span', { title: 'Standard deviations above the mean of its kind, for this user' }, `slot ${place + 1} · ${item.score.toFixed(2)} σ`));
  if (item.explore) score.append(h('span', { title: 'Probability that this slot shows this item; used to evaluate slates' }, `probability ${(item.propensity * 100).toFixed(1)}%`));
  const node = card(item, { badge, veiled, lines: [why, score, variants(item)] });
  if (item.explore) node.classList.add('explores');
  return node;
}
