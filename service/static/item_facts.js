// The facts of an item in its details: colours, language, problems of pictures, text, labels of detectors and tags, each
// with its evidence; and the correction of tags by key.

import { call, encodeId, get } from './api.js';
import { clock, h } from './dom.js';
import { factTitle, languageName, SWATCHES, swatch } from './fact_chips.js';

const percent = (share) => `${Math.round(share * 100)}%`;
const SOURCES = { person: 'corrected by a person', catalogue: 'from the catalogue', predicted: 'predicted' };
const NUMBERED = 9;

/** The section with the facts of an item; `edit` also opens the correction of its first tag. */
export async function itemFacts(item, signal, { edit = false, show = null } = {}) {
  const section = h('section', { class: 'item-facts' });
  const found = await get(`items/${encodeId(item.item_id)}/facts`, signal).catch(() => null);
  if (!found || signal.aborted) return null;
  const views = new Map(item.views.map((view) => [view.view_id, view]));
  const list = h('dl', { class: 'columns' });
  const add = (title, ...content) => list.append(h('dt', {}, title), h('dd', {}, ...content.filter(Boolean)));
  const dontKnow = () => h('span', { class: 'dim' }, "don't know");
  const place = (viewId) => viewLink(views.get(viewId), show);
  const unknown = new Set(found.unknown);

  if (found.facts.colours || unknown.has('colour')) add('Colours', ...colours(found, dontKnow));
  if (found.facts.language || unknown.has('language')) {
    add('Language', found.facts.language ? languageName(found.facts.language) : dontKnow());
  }
  if (found.facts.quality || unknown.has('quality')) add('Picture quality', quality(found, place) ?? dontKnow());
  if (found.facts.ocr_text !== undefined || unknown.has('ocr_text')) add('Text in pictures', texts(found, place, unknown) ?? dontKnow());
  if (found.detections.length) add('Detectors', evidence(found.detections.map((entry) => [`${entry.label} ${percent(entry.score)}`, ` (${entry.detector}) `, place(entry.view_id)])));
  for (const tag of found.tags) {
    const value = h('dd', { class: 'tag-value', 'data-tag': tag.tag });
    list.append(h('dt', {}, factTitle(tag.tag)), value);
    drawTag(item, tag, value);
  }
  if (!list.childElementCount) return null;
  section.append(h('h3', {}, 'Facts'), list);
  if (edit) openCorrection(section);
  return section;
}

/** Open the correction of the first tag in a section, or of the next one if one is open; false without tags. */
export function openCorrection(section) {
  const tags = [...section.querySelectorAll('.tag-value')];
  if (!tags.length) return false;
  const open = tags.findIndex((tag) => tag.querySelector('form'));
  if (open >= 0) tags[open].querySelector('form').dispatchEvent(new Event('reset'));
  tags[(open + 1) % tags.length].querySelector('.correct')?.click();
  return true;
}

function colours({ facts, colours: groups }, dontKnow) {
  const shares = Object.entries(facts.colours ?? {}).filter(([, share]) => typeof share === 'number' && share >= 0.05)
    .sort(([, left], [, right]) => right - left).slice(0, 4);
  const first = groups.filter((group) => group.view_id === groups[0].view_id);
  return [
    h('p', {}, facts.colour ? h('span', { class: 'main-colour' }, swatch(SWATCHES[facts.colour] ?? facts.colour), facts.colour) : dontKnow(),
      h('span', { class: 'dim' }, ` ${shares.map(([name, share]) => (name === facts.colour ? percent(share) : `${name} ${percent(share)}`)).join(', ')}${facts.colours?.multicolour ? ' · multicolour' : ''}${facts.colours?.pattern ? ' · pattern' : ''}`)),
    first.length > 0 && h('ul', { class: 'hexes', 'aria-label': 'Colours of the first picture' },
      ...first.map((group) => h('li', {}, swatch(group.hex), h('code', {}, group.hex), ` ${percent(group.share)}`))),
  ];
}

function quality({ facts, problems }, place) {
  if (!facts.quality) return null;
  if (!problems.length) return 'no problem found';
  return evidence(problems.map((problem) => [
    h('b', {}, problem.problem.replaceAll('_', ' ')),
    ` ${problem.measure.replaceAll('_', ' ')} ${problem.shown}, ${problem.is_high ? 'above' : 'below'} ${problem.shown_threshold} `,
    place(problem.view_id), h('span', { class: 'dim' }, ` ${problem.advice}`)]));
}

function texts({ texts: lines }, place, unknown) {
  if (unknown.has('ocr_text')) return null;
  if (!lines.length) return 'none';
  return evidence(lines.slice(0, 12).map((line) => [h('q', { dir: 'auto' }, line.text), ` ${percent(line.score)} `, place(line.view_id)]));
}

const evidence = (entries) => h('ul', { class: 'evidence' }, ...entries.map((entry) => h('li', {}, ...entry)));

/** A button that shows the picture or frame that a fact comes from. */
function viewLink(view, show) {
  if (!view) return null;
  const text = view.part === 'frame' ? `frame at ${clock(view.time_s)}` : `picture ${Number(view.view_id.match(/(\d+)$/)?.[1] ?? 0) + 1}`;
  return show ? h('button', { type: 'button', class: 'link', onclick: () => show(view) }, text) : text;
}

/** A tag with its source; `notes` are shown after it, such as that it was saved. */
function drawTag(item, tag, node, ...notes) {
  const correct = h('button', {
    type: 'button', class: 'link correct', 'aria-keyshortcuts': 'T', 'aria-label': `Correct ${factTitle(tag.tag)}`, onclick: () => edit(item, tag, node),
  }, 'Correct', h('kbd', {}, 'T'));
  const value = tag.values.length ? h('b', { dir: 'auto' }, tag.values.join(', ')) : h('span', { class: 'dim' }, tag.by === 'person' ? 'no value' : "don't know");
  const about = [tag.by === 'predicted' && tag.p !== null && percent(tag.p), tag.values.length || tag.by === 'person' ? SOURCES[tag.by] : null].filter(Boolean).join(', ');
  node.replaceChildren(value, h('span', { class: 'dim' }, about ? ` ${about} ` : ' '), correct, ...notes.filter(Boolean));
}

function edit(item, tag, node) {
  const before = { values: tag.values, by: tag.by };
  const id = `values-of-${tag.tag}`;
  const input = h('input', {
    list: id, autocomplete: 'off', dir: 'auto', 'aria-label': `Right ${factTitle(tag.tag)}${tag.multi ? ', several values with a comma between them' : ''}`,
    placeholder: tag.multi ? 'values, with commas' : 'value',
  });
  const numbered = tag.known_values.slice(0, NUMBERED);
  const close = (...notes) => {
    drawTag(item, tag, node, ...notes);
    node.querySelector('.correct').focus();
  };
  // the dialog covers the messages of the page, so a correction says here what came of it
  const wrong = h('p', { class: 'wrong', role: 'alert' });
  const save = async (change, said, undo = null) => {
    try {
      const now = await change();
      Object.assign(tag, { values: now.values, p: now.p, by: now.by, known_values: now.known_values });
      close(h('span', { class: 'saved', role: 'status' }, said), undo && h('button', { type: 'button', class: 'link', onclick: () => save(undo, 'undone') }, 'Undo'));
      document.dispatchEvent(new CustomEvent('tagcorrected', { detail: { itemId: item.item_id, tag: now.tag, values: now.values } }));
    } catch (error) {
      wrong.textContent = error.message;
    }
  };
  const back = () => (before.by === 'person' ? put(item, tag, before.values) : withdraw(item, tag));
  const choose = (values) => save(() => put(item, tag, values), 'saved', back);
  const form = h('form', {
    class: 'correction',
    onsubmit: (event) => {
      event.preventDefault();
      const text = input.value.trim();
      if (text) choose(tag.multi ? text.split(',').map((value) => value.trim()).filter(Boolean) : [text]);
    },
    onreset: () => close(),
    onkeydown: (event) => {
      if (event.key === 'Escape') {
        event.preventDefault(); // closes the correction, not the details
        event.stopPropagation();
        close();
      } else if (event.target === input && !input.value && /^[1-9]$/.test(event.key) && numbered[Number(event.key) - 1] !== undefined) {
        event.preventDefault();
        choose([numbered[Number(event.key) - 1]]);
      }
    },
  }, h('div', { class: 'row' }, input, h('datalist', { id }, ...tag.known_values.map((value) => h('option', { value }))),
    h('button', { type: 'submit', class: 'main' }, 'Save'),
    h('button', { type: 'button', onclick: () => choose([]) }, 'No value'),
    tag.by === 'person' && h('button', { type: 'button', onclick: () => save(() => withdraw(item, tag), 'taken back') }, 'Take back'),
    h('button', { type: 'reset', class: 'quiet' }, 'Cancel', h('kbd', {}, 'Esc'))),
  wrong, numbered.length > 0 && h('div', { class: 'numbered', role: 'group', 'aria-label': 'Known values' },
    ...numbered.map((value, n) => h('button', { type: 'button', class: 'chip', onclick: () => choose([value]) }, h('kbd', {}, String(n + 1)), h('span', { dir: 'auto' }, value)))));
  node.replaceChildren(form);
  input.focus();
}

const path = (item, tag) => `items/${encodeId(item.item_id)}/tags/${encodeId(tag.tag)}`;
const put = (item, tag, values) => call(path(item, tag), { method: 'PUT', body: { values } });
const withdraw = (item, tag) => call(path(item, tag), { method: 'DELETE' });
