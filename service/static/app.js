// The frame of the page: which view is shown, light or dark, keys that work everywhere.

import { get } from './api.js';
import { h, icon } from './dom.js';
import * as failures from './failures.js';
import * as map from './map.js';
import * as review from './review.js';
import * as search from './search.js';
import * as slate from './slate.js';
import { acceptPictures } from './pictures.js';

const VIEWS = { search, slate, map, review, failures };
const tabs = new Map([...document.querySelectorAll('.tabs a')].map((link) => [link.hash.slice(2), link]));
const main = document.getElementById('main');
let shown = null;

/** Show what the address names: #/view?settings. A view is built once and told of each change. */
function route() {
  const [path, settings = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const name = path in VIEWS ? path : 'search';
  closeDialogs(); // of what was left by going back
  if (shown?.name !== name) {
    shown?.view.leave?.();
    if (shown) tabs.get(shown.name).hash = shown.hash; // its tab leads back to what was there
    main.replaceChildren();
    shown = { name, hash: `#/${name}`, view: VIEWS[name].build(main) };
    for (const [tab, link] of tabs) {
      if (tab === name) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    tabs.get(name).hash = `/${name}`;
    document.title = name === 'search' ? 'firstsight' : `${name} · firstsight`;
  }
  shown.view.show?.(new URLSearchParams(settings));
  remember();
}

function closeDialogs() {
  for (const dialog of document.querySelectorAll('dialog[open]:not(#sign-in)')) dialog.close();
}

/** What the address of the view that is shown is by now: a search changes it without a hashchange. */
function remember() {
  if (shown && location.hash.startsWith(`#/${shown.name}`)) shown.hash = location.hash;
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event('themechange'));
}

for (const place of document.querySelectorAll('[data-icon]')) place.replaceWith(icon(place.dataset.icon));

// a browser that keeps nothing for this page refuses both
const kept = {
  get: () => { try { return localStorage.getItem('firstsight-theme'); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem('firstsight-theme', theme); } catch { /* until the page is left */ } },
};

setTheme(kept.get());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => setTheme(null));
document.getElementById('theme').addEventListener('click', () => {
  const now = document.documentElement.dataset.theme
    ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  const next = now === 'dark' ? 'light' : 'dark';
  kept.set(next);
  setTheme(next);
});

const help = document.getElementById('help');
document.getElementById('keys').addEventListener('click', () => help.showModal());

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  if (event.target.closest('input:not([type=radio], [type=checkbox]), textarea, select')) return;
  if (event.key === '/') {
    event.preventDefault();
    if (shown?.name !== 'search') location.hash = '#/search';
    requestAnimationFrame(() => document.getElementById('words')?.focus());
  } else if (event.key === '?') {
    help.showModal();
  } else {
    shown?.view.key?.(event);
  }
});

for (const dialog of document.querySelectorAll('dialog:not(#sign-in)')) {
  // a click beside the dialog closes it
  dialog.addEventListener('click', (event) => { if (event.target === dialog) dialog.close(); });
}

acceptPictures((pictures) => {
  closeDialogs();
  if (shown?.name !== 'search') {
    location.hash = '#/search';
    route();
  }
  shown.view.addPictures(pictures);
});

addEventListener('hashchange', route);
document.addEventListener('click', remember, true);
route();

get('catalogue').then((held) => {
  const many = new Intl.NumberFormat('en');
  document.getElementById('holds').replaceChildren(
    h('b', {}, many.format(held.items)), ' items', h('span', { class: 'dim' }, ` · ${held.encoder}`),
  );
}, () => {});
