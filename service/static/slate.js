// A user's slate: which interest brought each item, and which slots explore.

import { post, veiledOf } from './api.js';
import { card, waiting } from './cards.js';
import { empty, h, icon, latest } from './dom.js';
import { openDetails } from './details.js';
import { picture } from './media.js';

const SOURCES = {
  recent: ['recent interest', 'what the user looks at these days'],
  lasting: ['lasting interest', 'what the user has come back to'],
  long_tail: ['long tail', 'an interest, by items that few have seen'],
  neighbours: ['users alike', 'liked by users with a like history'],
  popular: ['popular', 'what everybody looks at'],
  newest: ['newest', 'by its date, since there are no events'],
  new: ['exploring: new', 'hardly shown yet; the slot finds out who wants it'],
  nearby: ['exploring: nearby', 'beside what the user knows'],
};

export function build(main) {
  const user = h('input', { id: 'user', name: 'user', autocomplete: 'off', placeholder: 'user id' });
  const history = h('input', { id: 'history', name: 'history', autocomplete: 'off', placeholder: 'item ids, oldest first' });
  const k = h('input', { id: 'slots', type: 'number', min: 1, max: 200, value: 12 });
  const explore = h('input', { id: 'explore', type: 'range', min: 0, max: 1, step: 0.05, value: 0.1 });
  const share = h('span', {}, '10%');
  const interests = h('div', { class: 'interests' });
  const request = latest();
  const grid = h('div', { class: 'grid' });
  const form = h('form', { class: 'asks' },
    h('label', {}, 'User', user), h('label', { class: 'wide' }, 'and a history', history),
    h('label', { class: 'narrow' }, 'Slots', k),
    h('label', {}, h('span', {}, 'Explore ', share), explore),
    h('button', { class: 'main', type: 'submit' }, 'Make a slate'));
  main.append(h('section', { class: 'page' }, h('h1', {}, 'A user’s slate'), form, interests, grid));

  explore.addEventListener('input', () => { share.textContent = `${Math.round(explore.value * 100)}%`; });
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const asked = new URLSearchParams();
    if (user.value.trim()) asked.set('user', user.value.trim());
    if (history.value.trim()) asked.set('history', history.value.trim());
    asked.set('k', k.value);
    asked.set('explore', explore.value);
    const hash = `#/slate?${asked}`;
    if (location.hash === hash) make(asked);
    else location.hash = hash;
  });

  async function make(asked) {
    const items = (asked.get('history') ?? '').split(/[\s,]+/).filter(Boolean);
    const body = { k: Number(asked.get('k') ?? 12), explore: Number(asked.get('explore') ?? 0.1) };
    if (asked.get('user')) body.user = asked.get('user');
    if (items.length) body.history = items;
    grid.setAttribute('aria-busy', 'true');
    if (!grid.querySelector('.card')) grid.replaceChildren(...waiting(8));
    const signal = request();
    try {
      const slate = await post('recommend', body, signal);
      const veiled = await veiledOf([...slate.items, ...slate.interests].map((one) => one.item_id), signal);
      if (signal.aborted) return;
      tellInterests(slate, veiled);
      grid.replaceChildren(...slate.items.map((item, place) => slot(item, place, { veiled: veiled.has(item.item_id), titles: slate.titles })));
      if (!slate.items.length) grid.replaceChildren(empty('No item fits', 'Everything has ended, has not begun, or is kept out.'));
    } catch (error) {
      if (signal.aborted) return;
      interests.replaceChildren();
      grid.replaceChildren(empty('No slate could be made', error.message));
    } finally {
      if (!signal.aborted) grid.removeAttribute('aria-busy');
    }
  }

  function tellInterests(slate, veiled) {
    const explored = slate.items.filter((one) => one.explore).length;
    const told = slate.events
      ? `${slate.events} event${slate.events === 1 ? '' : 's'} in the history · ${explored} of ${slate.items.length} slots explore`
      : `Nothing is known of this user yet: what is popular or new, and ${explored} of ${slate.items.length} slots explore`;
    interests.replaceChildren(
      h('p', { class: 'dim', role: 'status' }, told),
      h('p', { class: 'dim explained', hidden: !explored }, icon('spark'), 'These slots explore: they show what is little known, to learn who wants it.'),
      h('ul', {}, ...slate.interests.map((one) => h('li', {}, h('button', { type: 'button', onclick: () => openDetails(one.item_id) },
        h('span', { class: veiled.has(one.item_id) ? 'thumb veiled' : 'thumb' }, picture({ itemId: one.item_id, size: 96 })),
        h('span', {}, h('b', { dir: 'auto' }, slate.titles[one.item_id] ?? one.item_id), h('span', { class: 'dim' }, interestIn(one))))))));
  }

  return {
    show(settings) {
      user.value = settings.get('user') ?? '';
      history.value = settings.get('history') ?? '';
      if (settings.has('k')) k.value = settings.get('k');
      if (settings.has('explore')) explore.value = settings.get('explore');
      share.textContent = `${Math.round(explore.value * 100)}%`;
      make(settings);
    },
    leave: request.stop,
  };
}

function interestIn({ kind, share, items }) {
  return `${SOURCES[kind]?.[0] ?? kind} · ${Math.round(share * 100)}% · ${items} item${items === 1 ? '' : 's'}`;
}

function slot(item, place, { veiled, titles }) {
  const [name, means] = SOURCES[item.source] ?? [item.source, ''];
  const badge = h('span', { class: `source ${item.source}${item.explore ? ' explores' : ''}`, title: means },
    item.explore && icon('spark'), name);
  const why = item.because
    ? h('p', { class: 'why' }, 'because of ', h('button', { type: 'button', class: 'link', onclick: () => openDetails(item.because) }, h('bdi', {}, titles[item.because] ?? item.because)))
    : h('p', { class: 'why' }, means);
  const score = h('p', { class: 'why' }, h('span', { title: 'Standard deviations above the mean of its kind, for this user' }, `slot ${place + 1} · ${item.score.toFixed(2)} σ`));
  if (item.explore) score.append(h('span', { title: 'That this slot holds this item; kept to evaluate slates by' }, `probability ${(item.propensity * 100).toFixed(1)}%`));
  const made = card(item, { badge, veiled, lines: [why, score] });
  if (item.explore) made.classList.add('explores');
  return made;
}
