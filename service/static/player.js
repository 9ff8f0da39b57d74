// Videos of stored views: players with a timeline of moments and products, and previews. One video plays at a time.

import { encodeId } from './api.js';
import { clock, h, reducedMotion } from './dom.js';

const STEPS = { ArrowLeft: -5, ArrowRight: 5, j: -10, l: 10 };
const MIN_PREVIEW_S = 2;
const PREVIEW_DELAY_MS = 180;

// play events do not bubble, so they are caught on their way down
document.addEventListener('play', (event) => {
  for (const video of document.querySelectorAll('video')) if (video !== event.target) video.pause();
}, true);

const filePath = (viewId) => `media/${encodeId(viewId)}/file`;

function startAt(video, seconds) {
  video.addEventListener('loadedmetadata', () => {
    video.currentTime = Math.min(seconds, Math.max(0, (video.duration || seconds) - 0.05));
  }, { once: true });
}

/** A player that starts at a second of a view's video. With `play` it starts at once, also with reduced motion. */
export function player({ viewId, seconds, label, play = true }) {
  const video = h('video', {
    controls: true, muted: true, loop: false, playsInline: true, preload: 'auto', autoplay: play, tabIndex: 0,
    'aria-label': `Video of ${label}`, 'aria-keyshortcuts': 'ArrowLeft ArrowRight J L K', onkeydown: seekByKey,
  });
  video.dataset.from = String(seconds);
  startAt(video, seconds);
  video.addEventListener('loadedmetadata', () => video.classList.toggle('tall', video.videoWidth < video.videoHeight), { once: true });
  video.addEventListener('error', () => {
    video.replaceWith(h('p', { class: 'no-picture' }, 'This video cannot be played here.'));
  });
  video.src = filePath(viewId);
  return video;
}

/** Seek with the arrow keys, J and L; pause with K. The review view has keys of its own, which must not act too. */
function seekByKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const video = event.currentTarget;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === 'k') {
    if (video.paused) video.play();
    else video.pause();
  } else if (key in STEPS) {
    seek(video, video.currentTime + STEPS[key]);
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

function seek(video, seconds) {
  video.currentTime = Math.max(0, Math.min(seconds, video.duration || seconds));
}

/**
 * The moments and products of a video below its player: marks on a bar, and a button for each that seeks.
 *
 * @param video returns the player, or starts one
 * @param moments [{start_s, end_s, score, text?}]
 * @param products [{product_id, product_title, start_s, end_s}]
 * @param open called with the id of a product
 */
export function timeline(video, { moments = [], products = [], open = null }) {
  const entries = [
    ...(moments ?? []).map((moment) => ({ ...moment, kind: 'moment', label: moment.text || `match ${moment.score.toFixed(2)}` })),
    ...(products ?? []).map((product) => ({ ...product, kind: 'product', label: product.product_title || product.product_id })),
  ].sort((left, right) => left.start_s - right.start_s);
  if (!entries.length) return null;
  const bar = h('div', { class: 'track', 'aria-hidden': 'true' }, ...entries.map((entry) => h('i', { class: entry.kind })), h('b'));
  const node = h('div', { class: 'timeline', role: 'group', 'aria-label': 'Moments and products' }, bar,
    h('ul', {}, ...entries.map((entry) => h('li', { class: entry.kind },
      h('button', {
        type: 'button', class: 'chip',
        onclick: () => {
          const playing = video(entry.start_s);
          seek(playing, entry.start_s);
          playing.play();
        },
      }, h('span', { class: 'unseen' }, 'Play from '), h('b', {}, clock(entry.start_s)), ' ', h('span', { dir: 'auto' }, entry.label)),
      entry.kind === 'product' && open && h('button', {
        type: 'button', class: 'link', 'aria-label': `Open ${entry.label}`, onclick: () => open(entry.product_id),
      }, 'open')))));
  const last = Math.max(...entries.map((entry) => entry.end_s ?? entry.start_s));
  const place = (duration) => entries.forEach((entry, n) => {
    bar.children[n].style.left = `${(100 * entry.start_s) / duration}%`;
    bar.children[n].style.width = `${(100 * Math.max((entry.end_s ?? entry.start_s) - entry.start_s, duration / 100)) / duration}%`;
  });
  place(Math.max(last, 1));
  /** Follow a player: its length scales the marks, and its time moves the needle. */
  node.follow = (playing) => {
    const draw = () => { bar.lastChild.style.left = `${(100 * playing.currentTime) / (playing.duration || 1)}%`; };
    playing.addEventListener('loadedmetadata', () => place(Math.max(playing.duration || 0, last, 0.1)));
    playing.addEventListener('timeupdate', draw);
    playing.addEventListener('seeking', draw);
  };
  return node;
}

let preview = null; // {stage, video, timer}

function stopPreview() {
  if (!preview) return;
  clearTimeout(preview.timer);
  preview.video?.remove();
  preview = null;
}

/** Play a video in `stage`, without sound and controls, while the pointer or the keyboard focus is on it. */
export function previewOn(stage, trigger, { viewId, seconds, end }) {
  const start = () => {
    if (preview?.stage === stage || reducedMotion() || stage.classList.contains('veiled') || stage.querySelector('video')) return;
    stopPreview();
    preview = { stage, video: null, timer: setTimeout(() => show(stage, viewId, seconds, end), PREVIEW_DELAY_MS) };
  };
  const stop = () => { if (preview?.stage === stage) stopPreview(); };
  stage.addEventListener('pointerenter', (event) => { if (event.pointerType === 'mouse') start(); });
  stage.addEventListener('pointerleave', stop);
  trigger.addEventListener('focus', () => { if (trigger.matches(':focus-visible')) start(); });
  trigger.addEventListener('blur', stop);
  stage.addEventListener('click', stop, true);
}

function show(stage, viewId, seconds, end) {
  if (!stage.isConnected) return;
  const last = Math.max(end ?? 0, seconds + MIN_PREVIEW_S);
  const video = h('video', {
    class: 'preview', muted: true, playsInline: true, autoplay: true, preload: 'auto', tabIndex: -1, 'aria-hidden': 'true',
  });
  startAt(video, seconds);
  video.addEventListener('timeupdate', () => { if (video.currentTime >= last || video.ended) video.currentTime = seconds; });
  video.addEventListener('ended', () => { video.currentTime = seconds; video.play().catch(() => {}); });
  video.addEventListener('playing', () => video.classList.add('ready'), { once: true });
  video.addEventListener('error', stopPreview);
  video.src = filePath(viewId);
  stage.append(video);
  preview.video = video;
}
