// Pictures that are dropped on the page, pasted, or chosen as files.

import { toast } from './dom.js';
import { asDataUri } from './media.js';

const drop = document.getElementById('drop');
let inside = 0;

const brings = (data) => [...(data?.types ?? [])].some((type) => type === 'Files' || type === 'text/uri-list');

/** Read picture files; one that is no picture is named, and the others stay. */
export async function readPictures(files) {
  const read = [];
  for (const file of files) {
    try {
      read.push({ name: file.name || 'pasted picture', data: await asDataUri(file) });
    } catch {
      toast(`${file.name || 'What was given'} is no picture that this browser can read.`, { wrong: true });
    }
  }
  return read;
}

async function readData(data) {
  const files = [...data.files];
  if (files.length) return readPictures(files);
  const address = data.getData('text/uri-list').split(/\r?\n/).find((line) => /^https?:/i.test(line));
  return address ? [{ name: address.split('/').pop().slice(0, 40) || address, data: address }] : [];
}

/** Tell `use` of pictures that come in, from anywhere on the page. */
export function acceptPictures(use) {
  const found = async (data) => {
    const pictures = await readData(data);
    if (pictures.length) use(pictures);
  };
  addEventListener('dragenter', (event) => {
    if (!brings(event.dataTransfer)) return;
    inside += 1;
    drop.hidden = false;
  });
  addEventListener('dragleave', () => {
    inside = Math.max(0, inside - 1);
    drop.hidden = inside === 0;
  });
  addEventListener('dragover', (event) => { if (brings(event.dataTransfer)) event.preventDefault(); });
  addEventListener('drop', (event) => {
    inside = 0;
    drop.hidden = true;
    if (!brings(event.dataTransfer)) return;
    event.preventDefault();
    found(event.dataTransfer);
  });
  addEventListener('paste', (event) => {
    if (!event.clipboardData?.files.length) return;
    event.preventDefault();
    found(event.clipboardData);
  });
}
