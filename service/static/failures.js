// Media that failed to index, with the reasons.

import { encodeId, get } from './api.js';
import { empty, h, latestRequest } from './dom.js';
import { openDetails } from './details.js';

const PAGE = 100;

const REASONS = {
  missing: 'no such file or address',
  forbidden: 'the media policy or the file system refused access',
  unreachable: 'the server did not send the file',
  timeout: 'it took too long',
  too_large: 'too many bytes or pixels',
  unsupported: 'an unsupported format',
  corrupt: 'truncated or damaged',
  crashed: 'the decoder crashed',
  empty: 'an item with nothing to encode',
};

export function build(main) {
  const reasons = h('div', { class: 'chips', role: 'group', 'aria-label': 'Reasons' });
  const rows = h('tbody');
  const table = h('div', { class: 'table', tabIndex: 0, role: 'region', 'aria-label': 'Failures' }, h('table', {},
    h('thead', {}, h('tr', {}, ...['Item', 'Medium', 'Reason', 'Message', 'Attempts', 'Last seen'].map((name) => h('th', { scope: 'col' }, name)))),
    rows));
  const more = h('button', { type: 'button', class: 'more', hidden: true }, 'More');
  const content = h('div', {}, reasons, table, h('p', { class: 'center' }, more));
  const nothing = h('div');
  main.append(h('section', { class: 'page' }, h('h1', {}, 'Failures'), nothing, content));
  let offset = 0;
  let reason = '';
  const request = latestRequest();

  async function load() {
    let page;
    const signal = request();
    try {
      page = await get(`failures?k=${PAGE}&offset=${offset}${reason ? `&reason=${encodeId(reason)}` : ''}`, signal);
    } catch (error) {
      if (signal.aborted) return;
      nothing.replaceChildren(empty('The list could not be loaded', error.message));
      content.hidden = true;
      return;
    }
    const all = Object.values(page.reasons).reduce((sum, count) => sum + count, 0);
    content.hidden = all === 0;
    nothing.replaceChildren(...(all === 0 ? [empty('Nothing failed', 'Every medium of every item was read and encoded.')] : []));
    reasons.replaceChildren(chip('', `all ${all}`), ...Object.entries(page.reasons).map(([name, count]) => chip(name, `${name} ${count}`, REASONS[name])));
    if (offset === 0) rows.replaceChildren();
    rows.append(...page.failures.map(row));
    offset += page.failures.length;
    more.hidden = offset >= page.total;
  }

  function chip(name, label, title) {
    return h('a', {
      class: 'chip', title, href: name ? `#/failures?reason=${name}` : '#/failures',
      'aria-current': name === reason ? 'true' : undefined,
    }, label);
  }

  more.addEventListener('click', load);
  return {
    show(settings) {
      reason = settings.get('reason') ?? '';
      offset = 0;
      load();
    },
    leave: request.stop,
  };
}

function row(failure) {
  return h('tr', {},
    h('td', {}, h('button', { type: 'button', class: 'link', onclick: () => openDetails(failure.item_id) }, failure.item_id)),
    h('td', { class: 'path' }, failure.uri || '—'),
    h('td', {}, h('span', { class: `reason ${failure.reason}`, title: REASONS[failure.reason] }, failure.reason), h('span', { class: 'dim' }, ` ${failure.stage}`)),
    h('td', {}, failure.message),
    h('td', { class: 'number' }, String(failure.attempts)),
    h('td', { class: 'dim nowrap' }, failure.last_seen.slice(0, 16).replace('T', ' ')));
}
