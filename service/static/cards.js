// An item as a card: its picture, why it is there, and what can be done with it.

import { clock, h, icon, iconButton } from './dom.js';
import { openDetails } from './details.js';
import { picture, player } from './media.js';

const BLURRED = new Set(['review', 'block']);
const money = (value) => value.toLocaleString('en', { minimumFractionDigits: Number.isInteger(value) ? 0 : 2, maximumFractionDigits: 2 });

const PARTS = { title: 'title', image: 'picture', frame: 'frame' };

/** Which view of an item matched, in a few words. */
export function whyMatched(result) {
  if (!result.view) return 'by its words';
  const what = result.view.part === 'frame' ? `frame at ${clock(result.view.time_s)}` : PARTS[result.view.part];
  return `${what} · ${result.view.score.toFixed(2)}`;
}

/** The second of a video from which a result plays, with the view that has it; null for what has no video. */
export function playsFrom(result) {
  const view = [result.view, result.picture].find((one) => one?.part === 'frame' && one.view_id);
  return view ? { viewId: view.view_id, seconds: view.time_s } : null;
}

/**
 * A card.
 *
 * @param item {item_id, title, kind, columns?, view_id?, view?, picture?, relevance?}
 * @param lines what stands below the title: nodes
 * @param actions [icon, label, function] each
 * @param veiled it is in review, where its columns do not tell
 */
export function card(item, { lines = [], actions = [], badge = null, veiled = false } = {}) {
  const name = item.title || item.item_id;
  const from = playsFrom(item);
  const shot = h('button', {
    type: 'button', class: 'shot', 'aria-label': `Open ${name}`, onclick: () => openDetails(item.item_id, from),
  });
  shot.append(picture({ viewId: item.picture?.view_id ?? item.view_id, itemId: item.item_id, alt: '' }));
  const stage = h('div', { class: 'stage' }, shot);
  if (badge) stage.append(badge);
  if (item.kind !== 'product') stage.append(h('span', { class: 'kind' }, item.kind));
  if (from) stage.append(playButton(stage, shot, from, name));
  const node = h('article', { class: 'card', 'data-item': item.item_id, 'aria-label': name }, stage);
  if (veiled || BLURRED.has(item.columns?.safety_decision)) veil(stage, shot);
  const facts = h('p', { class: 'facts' }, ...factsOf(item));
  node.append(h('div', { class: 'about' }, h('h2', { dir: 'auto', title: name }, name), ...lines, facts.childNodes.length ? facts : null));
  if (actions.length) {
    node.append(h('div', { class: 'acts' }, ...actions.map(([icon, label, run]) => iconButton(icon, label, run))));
  }
  return node;
}

function playButton(stage, shot, from, name) {
  const button = h('button', {
    type: 'button', class: 'play', 'aria-label': `Play ${name} from ${clock(from.seconds)}`,
    onclick: () => {
      const video = player({ ...from, label: name });
      shot.replaceWith(video);
      button.remove();
      video.focus();
    },
  }, icon('play'), clock(from.seconds));
  return button;
}

/** Blur what is in review until it is asked for. */
function veil(stage, shot) {
  stage.classList.add('veiled');
  shot.disabled = true;
  const cover = h('button', {
    type: 'button', class: 'veil',
    onclick: () => {
      stage.classList.remove('veiled');
      shot.disabled = false;
      cover.remove();
      shot.focus();
    },
  }, h('span', {}, icon('eye'), 'In review: show'));
  stage.append(cover);
}

function factsOf(item) {
  const columns = item.columns ?? {};
  const facts = [];
  if (typeof columns.price === 'number') facts.push(h('b', {}, money(columns.price)));
  for (const name of ['category', 'brand', 'color']) if (columns[name]) facts.push(h('span', {}, String(columns[name])));
  return facts;
}

/** How likely a result is what was meant, 0 to 1, as a bar with its number. */
export function relevance(value) {
  const bar = h('span', { class: 'bar', 'aria-hidden': 'true' }, h('i'));
  bar.firstChild.style.width = `${Math.round(value * 100)}%`;
  return h('span', { class: 'relevance', title: 'Relevance: the share of such matches that fit' }, bar,
    h('span', {}, `${Math.round(value * 100)}%`), h('span', { class: 'unseen' }, ' relevance'));
}

/** Cards that stand for what is on its way. */
export function waiting(count) {
  return Array.from({ length: count }, () => h('div', { class: 'card waiting', 'aria-hidden': 'true' },
    h('div', { class: 'stage' }), h('div', { class: 'about' })));
}
