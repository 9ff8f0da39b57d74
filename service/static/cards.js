// An item as a card: its picture, the reason why it is shown, and its actions.

import { clock, h, icon, iconButton } from './dom.js';
import { openDetails } from './details.js';
import { SWATCHES, swatch } from './fact_chips.js';
import { picture, shapeOf } from './media.js';
import { player, previewOn, timeline } from './player.js';

const BLURRED = new Set(['review', 'block']);
const money = (value) => value.toLocaleString('en', { minimumFractionDigits: Number.isInteger(value) ? 0 : 2, maximumFractionDigits: 2 });

const PARTS = { title: 'title', image: 'picture', frame: 'frame', transcript: 'words' };

/** The view that matched, as a short text. */
export function describeMatch(result) {
  if (!result.view) return 'matched by words';
  const { part: name, time_s: second } = result.view;
  const part = second == null ? PARTS[name] : `${PARTS[name]} at ${clock(second)}`;
  return `${part} · ${result.view.score.toFixed(2)}`;
}

/** The frame that a result's video starts from, with its moments and products; null if there is no video. */
export function videoStart(result) {
  const { line, moments, products } = result;
  if (line?.view_id && line.time_s != null) return { viewId: line.view_id, seconds: line.time_s, moments, products };
  const best = moments?.[0] ?? result.moment;
  if (best?.view_id) return { viewId: best.view_id, seconds: best.start_s, end: best.end_s, moments: moments ?? [best], products };
  const view = [result.view, result.picture].find((candidate) => candidate?.part === 'frame' && candidate.view_id);
  return view ? { viewId: view.view_id, seconds: view.time_s, moments, products } : null;
}

/**
 * A card.
 *
 * @param item {item_id, title, kind, columns?, view_id?, view?, picture?, relevance?, moments?, products?}
 * @param lines nodes below the title
 * @param actions list of [icon, label, function]
 * @param veiled whether the item is in review, for items without columns
 */
export function card(item, { lines = [], actions = [], badge = null, veiled = false } = {}) {
  const name = item.title || item.item_id;
  const from = videoStart(item);
  const shot = h('button', {
    type: 'button', class: 'shot', 'aria-label': `Open ${name}`, onclick: () => openDetails(item.item_id, from),
  });
  shot.append(picture({ viewId: item.picture?.view_id ?? item.view_id, itemId: item.item_id, alt: '' }));
  const stage = h('div', { class: 'stage' }, shot);
  if (item.kind !== 'product') keepShape(stage, item);
  if (badge) stage.append(badge);
  if (item.kind !== 'product') stage.append(h('span', { class: 'kind' }, item.kind));
  if (from) {
    stage.append(playButton(stage, shot, from, name));
    previewOn(stage, shot, from);
  }
  const node = h('article', { class: 'card', 'data-item': item.item_id, 'aria-label': name }, stage);
  if (veiled || BLURRED.has(item.columns?.safety_decision)) veil(stage, shot);
  const facts = h('p', { class: 'facts' }, ...factNodes(item));
  node.append(h('div', { class: 'about' }, h('h2', { dir: 'auto', title: name }, name), ...lines, facts.childNodes.length ? facts : null));
  if (actions.length) {
    node.append(h('div', { class: 'acts' }, ...actions.map(([icon, label, run]) => iconButton(icon, label, run))));
  }
  return node;
}

/** Give the card of a vertical video its shape; once the card is in sight, nothing may move any more. */
function keepShape(stage, item) {
  const apply = (shape) => { if (shape < 1) stage.style.aspectRatio = String(Math.max(shape, 0.5)); };
  apply(shapeOf(item));
  const image = stage.querySelector('img');
  image.addEventListener('load', () => {
    if (stage.getBoundingClientRect().top > innerHeight) apply(image.naturalWidth / image.naturalHeight);
  }, { once: true });
}

function playButton(stage, shot, from, name) {
  const button = h('button', {
    type: 'button', class: 'play', 'aria-label': `Play ${name} from ${clock(from.seconds)}`,
    onclick: () => {
      const video = player({ ...from, label: name });
      video.addEventListener('loadedmetadata', () => { // no bars beside or above the picture
        if (video.videoHeight) stage.style.aspectRatio = String(Math.max(video.videoWidth / video.videoHeight, 0.5));
      }, { once: true });
      shot.replaceWith(video);
      button.remove();
      const below = timeline(() => video, { ...from, open: openDetails });
      below?.follow(video);
      if (below) stage.after(below);
      video.focus();
    },
  }, icon('play'), clock(from.seconds));
  return button;
}

/** Blur an item in review until the user asks to see it. */
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

function factNodes(item) {
  const columns = item.columns ?? {};
  const facts = [];
  if (typeof columns.price === 'number') facts.push(h('b', {}, money(columns.price)));
  for (const name of ['category', 'brand', 'color']) if (columns[name]) facts.push(h('span', {}, String(columns[name])));
  const { colour, tags = {} } = columns.facts ?? {};
  if (tags.category && tags.category !== columns.category) facts.push(h('span', { title: 'Category by its tag' }, tags.category));
  if (colour && SWATCHES[colour] && !columns.color) facts.push(h('span', { class: 'main-colour', title: 'Main colour of the pictures' }, swatch(SWATCHES[colour]), colour));
  return facts;
}

/** Show the new values of a tag on the card of an item. */
export function showCorrection(card, item, tag, values) {
  const facts = (item.columns.facts ??= {});
  (facts.tags ??= {})[tag] = values.join(', ');
  const line = h('p', { class: 'facts' }, ...factNodes(item));
  const old = card.querySelector('.about .facts');
  if (old) old.replaceWith(line);
  else card.querySelector('.about').append(line);
}

/** The relevance of a result, 0 to 1, as a bar with its number. */
export function relevance(value) {
  const bar = h('span', { class: 'bar', 'aria-hidden': 'true' }, h('i'));
  bar.firstChild.style.width = `${Math.round(value * 100)}%`;
  return h('span', { class: 'relevance', title: 'Relevance: the share of matches like this that are right' }, bar,
    h('span', {}, `${Math.round(value * 100)}%`), h('span', { class: 'unseen' }, ' relevance'));
}

/** The number of variants of a product, with a button that shows them all; null for an item without other variants. */
export function variants(item, show) {
  if (!(item.variants > 1)) return null;
  const text = `${item.variants.toLocaleString('en')} variants`;
  return h('p', { class: 'why' }, show
    ? h('button', { type: 'button', class: 'link', title: 'Show all variants of this product', 'aria-label': `Show the ${text} of ${item.title || item.item_id}`, onclick: show }, text)
    : h('span', { title: 'Variants of this product' }, text));
}

/** Empty cards, shown until results arrive. */
export function placeholderCards(count) {
  return Array.from({ length: count }, () => h('div', { class: 'card waiting', 'aria-hidden': 'true' },
    h('div', { class: 'stage' }), h('div', { class: 'about' })));
}
