// Filters of a search: kinds, conditions on the catalogue's columns, grouping, diversity and minimum relevance.

import { get } from './api.js';
import { h, icon } from './dom.js';
import { factChips } from './fact_chips.js';

const quotedText = (text) => `'${text.replaceAll("'", "''")}'`;
const quotedColumn = (column) => (/^[a-z_][a-z0-9_]*$/.test(column) ? column : `\`${column}\``);

const NO_LIMIT = { diversity: 'off', least: 'any' };

/** The controls; `changed` is called after each change. */
export function filters(changed) {
  const kinds = h('div', { class: 'kinds', role: 'group', 'aria-label': 'Kinds' },
    ...['product', 'video', 'live'].map((kind) => h('label', { class: 'toggle' }, h('input', { type: 'checkbox', value: kind, onchange: changed }), h('span', {}, kind))));
  const facets = h('div', { class: 'facets' });
  const where = h('input', {
    id: 'where', autocomplete: 'off', spellcheck: false, placeholder: "price < 60 AND color = 'red'", onchange: changed,
  });
  const ungrouped = h('option', { value: '' }, 'all items');
  const collapse = h('select', { id: 'collapse', onchange: changed }, ungrouped, h('option', { value: 'duplicates' }, 'one per group of near-duplicates'));
  const compared = h('select', { id: 'part', onchange: changed }, ...[['', 'the best match for the query'], ['item', 'whole items'], ['best', 'whole items or pictures'], ['any', 'the best view'], ['title', 'titles'], ['image', 'pictures'], ['frame', 'frames of videos'], ['transcript', 'timed texts of videos']]
    .map(([value, text]) => h('option', { value }, text)));
  const percent = () => h('span', { class: 'dim' });
  const shares = { diversity: percent(), least: percent() };
  const diversity = h('input', { id: 'diversity', type: 'range', min: 0, max: 0.9, step: 0.1, value: 0, onchange: changed });
  const least = h('input', { id: 'least', type: 'range', min: 0, max: 0.95, step: 0.05, value: 0, onchange: changed });
  const clearing = h('p', { class: 'wide', hidden: true }, h('button', { type: 'button', onclick: () => { read(new URLSearchParams()); changed(); } }, 'Clear the filters'));
  const panel = h('div', { class: 'filters', hidden: true, id: 'filters' }, facets,
    h('label', { class: 'wide' }, 'Condition (SQL over the columns)', where),
    h('label', {}, 'Compare with', compared), h('label', {}, 'Group results', collapse),
    h('label', {}, h('span', {}, 'Diversity: ', shares.diversity), diversity),
    h('label', {}, h('span', {}, 'Minimum relevance: ', shares.least), least),
    clearing);
  for (const [name, input] of Object.entries({ diversity, least })) input.addEventListener('input', () => showShare(name, input));
  const open = h('button', {
    type: 'button', class: 'quiet', 'aria-expanded': 'false', 'aria-controls': 'filters',
    onclick: () => {
      panel.hidden = !panel.hidden;
      open.setAttribute('aria-expanded', String(!panel.hidden));
    },
  }, icon('filter'), 'Filters', h('span', { class: 'count', hidden: true }));
  const picked = new Map();
  const chips = factChips(changed);

  get('catalogue').then((catalogue) => {
    if (catalogue.products) {
      ungrouped.textContent = 'one per product';
      groupOption('none', 'every variant');
    }
    for (const column of catalogue.columns) {
      groupOption(column.name);
      if (column.values.length < 2) continue;
      facets.append(h('label', {}, column.name, facet(column)));
    }
  }, () => {});

  /** Offer a way to group results, once. */
  function groupOption(value, text = value === 'none' ? 'every variant' : `one per ${value}`) {
    if (![...collapse.options].some((option) => option.value === value)) collapse.append(h('option', { value }, text));
  }

  function facet(column) {
    const select = h('select', {
      id: `facet-${column.name}`, 'data-column': column.name,
      onchange: () => {
        picked.set(column.name, select.value);
        changed();
      },
    }, h('option', { value: '' }, 'any'), ...column.values.map((value) => h('option', { value }, value)));
    select.value = picked.get(column.name) ?? '';
    return select;
  }

  /** The conditions without those of the chips. */
  function otherConditions() {
    const made = [...picked].filter(([, value]) => value).map(([column, value]) => `${quotedColumn(column)} = ${quotedText(value)}`);
    const typed = where.value.trim();
    if (typed) made.push(made.length ? `(${typed})` : typed);
    return made.join(' AND ');
  }

  function conditions() {
    return [otherConditions(), ...chips.conditions()].filter(Boolean).join(' AND ');
  }

  function showShare(name, input) {
    shares[name].textContent = Number(input.value) ? `${Math.round(input.value * 100)}%` : NO_LIMIT[name];
  }

  function inUse() {
    return [...picked.values(), where.value.trim(), collapse.value].filter(Boolean).length
      + chips.used() + (compared.value !== '') + (Number(diversity.value) > 0) + (Number(least.value) > 0);
  }

  function count() {
    const badge = open.querySelector('.count');
    badge.hidden = inUse() === 0;
    badge.textContent = String(inUse());
    clearing.hidden = inUse() === 0;
    showShare('diversity', diversity);
    showShare('least', least);
  }

  function read(settings) {
    for (const box of kinds.querySelectorAll('input')) box.checked = settings.getAll('kind').includes(box.value);
    picked.clear();
    for (const pair of settings.getAll('is')) picked.set(pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1));
    for (const select of facets.querySelectorAll('select')) select.value = picked.get(select.dataset.column) ?? '';
    chips.read(settings);
    where.value = settings.get('where') ?? '';
    const group = settings.get('collapse') ?? '';
    // the address is read before the columns are loaded
    groupOption(group);
    collapse.value = group;
    compared.value = settings.get('part') ?? '';
    diversity.value = settings.get('diversity') ?? 0;
    least.value = settings.get('least') ?? 0;
    count();
  }

  const chosenKinds = () => [...kinds.querySelectorAll('input:checked')].map((box) => box.value);

  return {
    node: h('div', { class: 'narrowing' }, kinds, open),
    panel,
    chips: chips.node,
    /** Count the chips under the present filters; `anew`: even if the filters are the same. */
    countFacts: (anew) => chips.count({ where: otherConditions(), kinds: chosenKinds() }, anew),
    hideFacts: chips.hide,
    stop: chips.stop,
    used: () => inUse() + chosenKinds().length > 0,
    clear: () => read(new URLSearchParams()),
    /** Show only the variants of one product, every one of them. */
    showProduct(id) {
      where.value = [where.value.trim() && `(${where.value.trim()})`, `group_id = ${quotedText(id)}`].filter(Boolean).join(' AND ');
      collapse.value = '';
      count();
    },
    query() {
      count();
      const query = { kinds: chosenKinds(), diversity: Number(diversity.value) };
      if (compared.value) query.part = compared.value;
      if (conditions()) query.where = conditions();
      if (collapse.value) query.collapse = collapse.value;
      if (Number(least.value) > 0) query.min_relevance = Number(least.value);
      return query;
    },
    write(settings) {
      for (const kind of chosenKinds()) settings.append('kind', kind);
      for (const [column, value] of picked) if (value) settings.append('is', `${column}=${value}`);
      chips.write(settings);
      const rest = { where: where.value.trim(), collapse: collapse.value, part: compared.value, diversity: diversity.value === '0' ? '' : diversity.value, least: least.value === '0' ? '' : least.value };
      for (const [name, value] of Object.entries(rest)) if (value) settings.set(name, value);
    },
    read,
  };
}
