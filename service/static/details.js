// The details dialog of one item: its views and video, its columns, its safety decision, and similar items.

import { call, encodeId, findVeiled, get } from './api.js';
import { clock, h, icon, iconButton, reducedMotion } from './dom.js';
import { itemFacts, openCorrection } from './item_facts.js';
import { PICTURE_PARTS, picture } from './media.js';
import { player, timeline } from './player.js';

const dialog = document.getElementById('details');
let request = null;

const NOT_SHOWN = new Set(['safety_scores', 'safety_policy_version']);

/**
 * Open an item.
 *
 * @param from {viewId?, seconds, moments?}: the frame or second that its video starts from
 * @param correct whether to open the correction of its first tag
 */
export async function openDetails(itemId, from = null, { correct = false } = {}) {
  request?.abort();
  request = new AbortController();
  const { signal } = request;
  dialog.replaceChildren(sheet(h('p', { class: 'dim' }, 'Loading…')));
  if (!dialog.open) dialog.showModal();
  try {
    const [item, timed] = await Promise.all([
      get(`items/${encodeId(itemId)}`, signal),
      get(`items/${encodeId(itemId)}/timed-products`, signal).catch(() => ({ products: [], videos: [] })),
    ]);
    if (signal.aborted) return;
    const show = fill(item, from, timed);
    loadFacts(item, signal, { edit: correct, show });
    loadSimilar(item, signal);
    if (item.columns.safety_decision) loadDecision(item, signal);
  } catch (error) {
    if (error.name !== 'AbortError') dialog.replaceChildren(sheet(h('p', { class: 'wrong', role: 'alert' }, error.message)));
  }
}

dialog.addEventListener('close', () => {
  request?.abort();
  dialog.replaceChildren(); // stops a video that plays
});

function sheet(...content) {
  return h('div', { class: 'sheet' },
    iconButton('close', 'Close', () => dialog.close(), { class: 'quiet close', autofocus: true }), ...content);
}

function fill(item, from, timed) {
  const name = item.title || item.item_id;
  const media = item.views.filter((view) => PICTURE_PARTS.includes(view.part));
  const hidden = Boolean(item.columns.safety_decision);
  const big = h('div', { class: hidden ? 'big veiled' : 'big' });
  const frames = media.filter((view) => view.part === 'frame');
  const frameAt = (seconds) => frames.reduce((best, view) => (
    !best || Math.abs(view.time_s - seconds) < Math.abs(best.time_s - seconds) ? view : best), null);
  const show = (view, play) => {
    const shown = play ? player({ viewId: view.view_id, seconds: view.time_s, label: name, ...play })
      : view ? picture({ viewId: view.view_id, size: 1280, alt: name }) : h('p', { class: 'no-picture' });
    big.replaceChildren(shown);
    if (play) below?.follow(shown);
    return shown;
  };
  const below = frames.length ? timeline(
    (seconds) => big.querySelector('video') ?? show(frameAt(seconds), { seconds, play: true }),
    { moments: from?.moments, products: timed.products, open: openDetails },
  ) : null;
  const named = from && item.views.find((view) => view.view_id === from.viewId);
  // a passage of timed text has no picture: its video starts from the nearest frame's view
  const start = named && PICTURE_PARTS.includes(named.part) ? named : from && (named || !from.viewId) ? frameAt(from.seconds ?? named.time_s) : null;
  const plays = start?.part === 'frame' && from;
  show(start ?? media[0], plays && { seconds: from.seconds ?? start.time_s, play: !hidden && !reducedMotion() });
  const strip = h('div', { class: hidden ? 'strip veiled' : 'strip', role: 'group', 'aria-label': 'Views' });
  for (const view of media.length > 1 ? media : []) {
    const at = view.part === 'frame' ? clock(view.time_s) : null;
    strip.append(h('button', {
      type: 'button', 'aria-label': at ? `Play from ${at}` : 'Show this picture',
      onclick: () => show(view, view.part === 'frame' && { play: true }),
    }, picture({ viewId: view.view_id, size: 192, alt: '' }), at && h('span', {}, at)));
  }
  const reveal = hidden && h('button', {
    type: 'button', onclick: () => {
      big.classList.remove('veiled');
      strip.classList.remove('veiled');
      reveal.remove();
    },
  }, icon('eye'), 'Show the pictures');
  dialog.replaceChildren(sheet(
    h('div', { class: 'show' }, big, below, reveal, strip),
    h('div', { class: 'tells' },
      h('p', { class: 'dim' }, item.kind, ' · ', h('code', {}, item.item_id)),
      h('h2', { id: 'details-title', dir: 'auto' }, name),
      item.text && h('p', { dir: 'auto' }, item.text),
      h('p', { class: 'row' },
        h('a', { class: 'button main', href: `#/search?item=${encodeId(item.item_id)}`, onclick: () => dialog.close() },
          icon('like'), 'More like this')),
      seenIn(timed.videos),
      h('div', { class: 'facts-place' }),
      columnList(item),
      timedText(item, frames.length && ((seconds) => show(frameAt(seconds), { seconds, play: true }))),
      h('section', { class: 'decision', hidden: true }),
      h('section', { class: 'similar', hidden: true })),
  ));
  return (view) => {
    show(view, view.part === 'frame' && { play: true });
    big.scrollIntoView({ block: 'nearest' });
  };
}

/** The passages of an item's timed text; each plays the item's video from its second, if it has one. */
function timedText(item, play) {
  const passages = item.views.filter((view) => view.part === 'transcript');
  return passages.length > 0 && h('details', { class: 'timed-text' }, h('summary', {}, 'Timed text'),
    h('ol', {}, ...passages.map((view) => h('li', { dir: 'auto', lang: view.language ?? '' },
      play ? h('button', { type: 'button', class: 'quiet', 'aria-label': `Play from ${clock(view.time_s)}`, onclick: () => play(view.time_s) }, clock(view.time_s)) : clock(view.time_s),
      ' ', view.text.replaceAll('\n', ' ')))));
}

/** The videos that show a product, with their seconds; null without any. */
function seenIn(videos) {
  if (!videos.length) return null;
  return h('section', { class: 'seen' }, h('h3', {}, 'Shown in'), h('ul', {}, ...videos.map((entry) => h('li', {}, h('button', {
    type: 'button', class: 'chip', onclick: () => openDetails(entry.video_id, { seconds: entry.start_s }),
  }, h('b', {}, clock(entry.start_s)), h('span', { dir: 'auto' }, entry.video_title || entry.video_id))))));
}

function columnList(item) {
  const rows = { ...item.columns };
  for (const name of ['created_at', 'starts_at', 'expires_at']) rows[name] = item[name]?.slice(0, 10);
  const list = h('dl', { class: 'columns' });
  for (const [name, value] of Object.entries(rows)) {
    if (value === null || value === undefined || NOT_SHOWN.has(name)) continue;
    list.append(h('dt', {}, name), h('dd', {}, Array.isArray(value) ? value.join(', ') : String(value)));
  }
  return list;
}

async function loadFacts(item, signal, settings) {
  const section = await itemFacts(item, signal, settings);
  if (!signal.aborted && section) dialog.querySelector('.facts-place')?.replaceChildren(section);
  if (settings.edit) section?.querySelector('.correction input')?.focus();
}

dialog.addEventListener('keydown', (event) => {
  if (event.key.toLowerCase() !== 't' || event.ctrlKey || event.metaKey || event.altKey || event.target.closest('input, textarea, select')) return;
  const section = dialog.querySelector('.item-facts');
  if (section && openCorrection(section)) event.preventDefault();
});

async function loadSimilar(item, signal) {
  const found = await get(`items/${encodeId(item.item_id)}/similar?k=6`, signal).catch(() => null);
  const veiled = await findVeiled(found?.results.map((similar) => similar.item_id) ?? [], signal);
  if (signal.aborted) return;
  const place = dialog.querySelector('.similar');
  if (!place || !found?.results.length) return;
  place.hidden = false;
  place.append(h('h3', {}, 'Similar items'), h('div', { class: 'strip' }, ...found.results.map((similar) => h('button', {
    type: 'button', class: veiled.has(similar.item_id) ? 'veiled' : undefined, title: similar.title, 'aria-label': `Open ${similar.title || similar.item_id}`, onclick: () => openDetails(similar.item_id),
  }, picture({ viewId: similar.view_id, itemId: similar.item_id, size: 192, alt: '' })))));
}

async function loadDecision(item, signal) {
  const safety = await call(`safety/items/${encodeId(item.item_id)}`, { signal }).catch(() => null);
  const place = dialog.querySelector('.decision');
  if (!place || !safety || signal.aborted) return;
  place.hidden = false;
  place.append(h('h3', {}, `Decision: ${safety.decision}`), scoreBars(safety.scores));
}

/** The policies' scores as bars, highest first, with a mark at the threshold of review (or block). */
export function scoreBars(scores) {
  return h('ul', { class: 'scores' }, ...scores.filter((policy) => typeof policy.score === 'number').slice(0, 9).map((policy) => {
    const bar = h('span', { class: 'bar', 'aria-hidden': 'true' }, h('i'));
    bar.firstChild.style.width = `${Math.round(policy.score * 100)}%`;
    const threshold = policy.review ?? policy.block;
    if (typeof threshold === 'number') {
      bar.append(h('s'));
      bar.lastChild.style.left = `${Math.round(threshold * 100)}%`;
    }
    const meaning = typeof threshold === 'number' ? `${policy.review === null ? 'blocked' : 'in review'} from ${threshold.toFixed(2)}` : 'this policy has no threshold';
    return h('li', { class: threshold !== null && policy.score >= threshold ? 'over' : undefined, title: meaning }, h('span', {}, policy.name), bar,
      h('b', {}, policy.score.toFixed(2)), h('span', { class: 'unseen' }, meaning));
  }));
}
