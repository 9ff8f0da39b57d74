// The review queue: one item at a time, decided by key. Its pictures are blurred until the user asks to see them.

import { encodeId, get, post } from './api.js';
import { clock, empty, h, icon, latestRequest, toast } from './dom.js';
import { scoreBars } from './details.js';
import { PICTURE_PARTS, picture } from './media.js';
import { player } from './player.js';

const WHY = { appeal: 'appealed', changed: 'changed since it was blocked', score: 'its scores are uncertain' };
const QUEUE = 100;

export function build(main) {
  let queue = [];
  let place = 0;
  let policies = [];
  let under = null;
  let undone = null;
  let busy = false;

  const list = h('ol', { class: 'queue', 'aria-label': 'Queue' });
  const stage = h('div', { class: 'review' });
  const left = h('p', { class: 'dim', role: 'status' });
  const request = latestRequest();
  const reach = h('select', { id: 'reach', onchange: () => load() }, h('option', { value: '' }, 'scores only'));
  const heading = h('header', { class: 'row' }, h('h1', {}, 'Review'), left,
    h('label', { class: 'aside', title: 'A column with the number of people who see an item' }, 'Ordered by ', reach));
  main.append(h('section', { class: 'page' }, heading, h('div', { class: 'two' }, list, stage)));

  get('catalogue').then((catalogue) => {
    for (const column of catalogue.columns) if (column.kind === 'number') reach.append(h('option', { value: column.name }, `reach: ${column.name}`));
  }, () => {});

  async function load() {
    const signal = request();
    if (!queue.length) stage.replaceChildren(h('p', { class: 'empty' }, 'Loading…'));
    try {
      const [found, known] = await Promise.all([
        get(`safety/queue?k=${QUEUE}${reach.value ? `&reach=${encodeId(reach.value)}` : ''}`, signal), get('safety/policies', signal)]);
      queue = found.queue;
      policies = known.policies;
      place = 0;
      draw();
    } catch (error) {
      if (signal.aborted) return;
      list.hidden = true;
      stage.replaceChildren(empty('The queue could not be loaded', error.message));
    }
  }

  function draw() {
    left.textContent = queue.length ? `${queue.length}${queue.length === QUEUE ? ' or more' : ''} to look at` : '';
    list.replaceChildren(...queue.map((entry, n) => h('li', {}, h('button', {
      type: 'button', 'aria-current': n === place ? 'true' : undefined, onclick: () => open(n),
    }, h('b', { dir: 'auto' }, entry.title || entry.item_id), h('span', { class: 'dim' }, `${entry.policy ?? 'no policy'}${entry.score === null ? '' : ` · ${entry.score.toFixed(2)}`}`),
    entry.why !== 'score' && h('span', { class: `tag ${entry.why}` }, entry.why)))));
    list.hidden = !queue.length;
    if (queue.length) showEntry(queue[place]);
    else stage.replaceChildren(empty('The queue is empty', 'Every appeal is answered, and no score is uncertain.'));
  }

  function open(n) {
    const inList = list.contains(document.activeElement);
    place = Math.max(0, Math.min(queue.length - 1, n));
    draw();
    const button = list.children[place]?.querySelector('button');
    button?.scrollIntoView({ block: 'nearest' });
    if (inList) button?.focus();
    else follow();
  }

  /** Focus the title of the next item: the focused button was removed, and a screen reader then reads the title. */
  function follow() {
    if (document.activeElement === document.body) stage.querySelector('h2')?.focus({ preventScroll: true });
  }

  function showEntry(entry) {
    under = entry.policy ?? policies[0]?.id ?? null;
    const views = h('div', { class: 'views veiled' });
    const cover = h('button', { type: 'button', class: 'reveal', 'aria-keyshortcuts': 'Space', onclick: () => reveal() }, icon('eye'), 'Show the pictures', h('kbd', {}, 'Space'));
    const judged = h('fieldset', { class: 'policies' }, h('legend', {}, 'Policy of the decision'), ...policies.map((policy, n) => h('label', { class: 'toggle' },
      h('input', { type: 'radio', name: 'policy', value: policy.id, checked: policy.id === under, onchange: () => { under = policy.id; } }),
      h('span', {}, n < 10 && h('kbd', {}, String((n + 1) % 10)), policy.name))));
    const reason = h('input', { id: 'reason', autocomplete: 'off', placeholder: 'why (for the audit log)', 'aria-label': 'Reason, for the audit log' });
    const scores = h('div', { class: 'why-scored' });
    stage.replaceChildren(
      h('div', { class: 'shown' }, views, cover),
      h('div', { class: 'judge' },
        h('p', { class: 'dim' }, WHY[entry.why], ' · ', h('code', {}, entry.item_id)),
        h('h2', { tabIndex: -1, dir: 'auto' }, entry.title || entry.item_id),
        entry.note && h('blockquote', { dir: 'auto' }, entry.note),
        scores, judged, reason,
        h('div', { class: 'row decide' },
          h('button', { type: 'button', class: 'allow', 'aria-keyshortcuts': 'A', onclick: () => decide('allow') }, icon('check'), 'Allow', h('kbd', {}, 'A')),
          h('button', { type: 'button', class: 'block', 'aria-keyshortcuts': 'B', onclick: () => decide('block') }, icon('block'), 'Block', h('kbd', {}, 'B'))),
        h('p', { class: 'dim keyed' }, ...[['J', 'next'], ['K', 'previous'], ['U', 'undo the last decision'], ['?', 'all keys']]
          .map(([key, effect]) => h('span', {}, h('kbd', {}, key), ` ${effect}`)))));
    fill(entry, views, scores);
  }

  async function fill(entry, views, scores) {
    const [item, safety] = await Promise.all([
      get(`items/${encodeId(entry.item_id)}`).catch(() => null), get(`safety/items/${encodeId(entry.item_id)}`).catch(() => null)]);
    const media = item?.views.filter((view) => PICTURE_PARTS.includes(view.part)).slice(0, 12) ?? [];
    views.replaceChildren(...(media.length ? media.map((view) => h('figure', {},
      picture({ viewId: view.view_id, size: media.length > 1 ? 384 : 768, alt: '' }),
      view.part === 'frame' && h('button', { type: 'button', class: 'play', 'aria-label': `Play from ${clock(view.time_s)}`,
        onclick: (event) => event.currentTarget.parentElement.replaceChildren(player({ viewId: view.view_id, seconds: view.time_s, label: entry.title || entry.item_id })) },
      icon('play'), clock(view.time_s)))) : [h('p', { class: 'no-picture' })]));
    for (const button of views.querySelectorAll('button')) button.disabled = views.classList.contains('veiled');
    if (safety?.scores?.length) scores.append(scoreBars(safety.scores));
  }

  function reveal() {
    const views = stage.querySelector('.views');
    if (!views) return;
    const hidden = views.classList.toggle('veiled');
    for (const button of views.querySelectorAll('button')) button.disabled = hidden;
    const cover = stage.querySelector('.reveal');
    cover.replaceChildren(icon('eye'), hidden ? 'Show the pictures' : 'Blur the pictures', h('kbd', {}, 'Space'));
  }

  async function decide(action) {
    const entry = queue[place];
    if (!entry || busy) return;
    if (!under) {
      toast('Choose the policy for this decision.', { wrong: true });
      return;
    }
    busy = true;
    const reason = stage.querySelector('#reason').value.trim();
    const kind = entry.why === 'appeal' ? 'appeal answered' : 'decided';
    const body = { action, policies: [under], reason: reason || `${kind} in the review queue` };
    try {
      await post(`safety/items/${encodeId(entry.item_id)}/decision`, body);
      queue.splice(place, 1);
      undone = { entry, place, action, policies: [under] };
      const done = action === 'block' ? 'Blocked' : 'Allowed';
      toast(`${done}: ${entry.title || entry.item_id}`, { action: ['Undo (U)', undo] });
      place = Math.min(place, queue.length - 1);
      draw();
      follow();
    } catch (error) {
      toast(error.message, { wrong: true });
    } finally {
      busy = false;
    }
  }

  /** Send the item of the last decision back to review; the audit log keeps both entries. */
  async function undo() {
    if (!undone || busy) return;
    busy = true;
    const { entry, place: before, policies: judged } = undone;
    try {
      await post(`safety/items/${encodeId(entry.item_id)}/overturn`, { action: 'review', policies: judged, reason: 'taken back in the review queue' });
      undone = null;
      queue.splice(before, 0, entry);
      place = before;
      draw();
      follow();
      toast(`In review again: ${entry.title || entry.item_id}`);
    } catch (error) {
      toast(error.message, { wrong: true });
    } finally {
      busy = false;
    }
  }

  return {
    show: load,
    leave: request.stop,
    key(event) {
      const key = event.key.toLowerCase();
      if (event.key === ' ' && event.target.closest('button, a, label')) return;
      if (key === 'j' || event.key === 'ArrowDown') open(place + 1);
      else if (key === 'k' || event.key === 'ArrowUp') open(place - 1);
      else if (event.key === ' ') reveal();
      else if (key === 'a') decide('allow');
      else if (key === 'b') decide('block');
      else if (key === 'u') undo();
      else if (/^\d$/.test(key)) stage.querySelectorAll('.policies input')[(Number(key) + 9) % 10]?.click();
      else return;
      event.preventDefault();
    },
  };
}
