// The page around the views: navigation between them, the colour theme, and keys that work in every view.

import { get } from './api.js';
import { h, icon } from './dom.js';
import * as failures from './failures.js';
import * as map from './map.js';
import * as review from './review.js';
import * as search from './search.js';
import * as slate from './slate.js';
import { acceptPictures } from './picture_input.js';

const VIEWS = { search, slate, map, review, failures };
const tabs = new Map([...document.querySelectorAll('.tabs a')].map((link) => [link.hash.slice(2), link]));
const main = document.getElementById('main');
let shown = null;

/** Show the view in the address, #/view?settings. A view is built when it opens; `show` gets each later address. */
function route() {
  const [path, settings = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const name = path in VIEWS ? path : 'search';
  closeDialogs(); // dialogs of the view that the user left by going back
  if (shown?.name !== name) {
    shown?.view.leave?.();
    if (shown) tabs.get(shown.name).hash = shown.hash; // its tab leads back to the last address of the view
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

/** Store the current address of the view. A search changes the address without a hashchange event. */
function remember() {
  if (shown && location.hash.startsWith(`#/${shown.name}`)) shown.hash = location.hash;
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  document.dispatchEvent(new Event('themechange'));
}

for (const place of document.querySelectorAll('[data-icon]')) place.replaceWith(icon(place.dataset.icon));

// both calls throw if the browser blocks storage for this page
const storedTheme = {
  get: () => { try { return localStorage.getItem('firstsight-theme'); } catch { return null; } },
  set: (theme) => { try { localStorage.setItem('firstsight-theme', theme); } catch { /* the theme then holds until the page is closed */ } },
};

setTheme(storedTheme.get());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => setTheme(null));
document.getElementById('theme').addEventListener('click', () => {
  const now = document.documentElement.dataset.theme
    ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
  const next = now === 'dark' ? 'light' : 'dark';
  storedTheme.set(next);
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
  // a click outside the dialog closes it
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

get('catalogue').then((catalogue) => {
  const count = new Intl.NumberFormat('en');
  document.getElementById('holds').replaceChildren(
    h('b', {}, count.format(catalogue.items)), ' items', h('span', { class: 'dim' }, ` · ${catalogue.encoder}`),
  );
}, () => {});
