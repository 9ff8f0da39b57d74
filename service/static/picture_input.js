// Pictures that are dropped on the page, pasted, or chosen as files.

import { toast } from './dom.js';
import { asDataUri } from './media.js';

const drop = document.getElementById('drop');
let inside = 0;

const hasPictures = (data) => [...(data?.types ?? [])].some((type) => type === 'Files' || type === 'text/uri-list');

/** Read picture files. A message names each file that cannot be read; the others are returned. */
export async function readPictures(files) {
  const read = [];
  for (const file of files) {
    try {
      read.push({ name: file.name || 'pasted picture', data: await asDataUri(file) });
    } catch {
      toast(`This browser cannot read ${file.name || 'the pasted file'} as a picture.`, { wrong: true });
    }
  }
  return read;
}

async function readTransfer(data) {
  const files = [...data.files];
  if (files.length) return readPictures(files);
  const address = data.getData('text/uri-list').split(/\r?\n/).find((line) => /^https?:/i.test(line));
  return address ? [{ name: address.split('/').pop().slice(0, 40) || address, data: address }] : [];
}

/** Call `use` with the pictures that the user drops or pastes anywhere on the page. */
export function acceptPictures(use) {
  const receive = async (data) => {
    const pictures = await readTransfer(data);
    if (pictures.length) use(pictures);
  };
  addEventListener('dragenter', (event) => {
    if (!hasPictures(event.dataTransfer)) return;
    inside += 1;
    drop.hidden = false;
  });
  addEventListener('dragleave', () => {
    inside = Math.max(0, inside - 1);
    drop.hidden = inside === 0;
  });
  addEventListener('dragover', (event) => { if (hasPictures(event.dataTransfer)) event.preventDefault(); });
  addEventListener('drop', (event) => {
    inside = 0;
    drop.hidden = true;
    if (!hasPictures(event.dataTransfer)) return;
    event.preventDefault();
    receive(event.dataTransfer);
  });
  addEventListener('paste', (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    receive(event.clipboardData);
  });
}
