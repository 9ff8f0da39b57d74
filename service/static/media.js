// Pictures of stored views.

import { encodeId, fetchBlob } from './api.js';
import { h } from './dom.js';

const nearWindow = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    nearWindow.unobserve(entry.target);
    entry.target.src = entry.target.dataset.from;
  }
}, { rootMargin: '300px' });

/** Parts whose views show a picture. */
export const PICTURE_PARTS = ['image', 'frame'];

/** The path of a view's picture, or of the picture that represents an item. */
export function picturePath({ viewId, itemId, size }) {
  return viewId ? `media/${encodeId(viewId)}?size=${size}` : `media?item_id=${encodeId(itemId)}&size=${size}`;
}

/** A thumbnail, fetched when it comes near the window. If it cannot be loaded, a note replaces it (text in style.css). */
export function picture({ viewId, itemId, size = 384, alt = '' }) {
  const image = h('img', { alt, decoding: 'async', class: 'waits' });
  image.addEventListener('load', () => image.classList.remove('waits'));
  image.addEventListener('error', () => {
    image.classList.remove('waits');
    const gone = h('span', { class: 'no-picture', 'aria-hidden': 'true' });
    image.replaceWith(gone);
  });
  image.dataset.from = picturePath({ viewId, itemId, size });
  nearWindow.observe(image);
  return image;
}

const shapes = new Map(); // width / height of pictures, by path
const SHAPES_WAIT_MS = 1500; // a video that the service has not decoded yet takes about half a second

const shapeKey = (item) => item.picture?.view_id ?? item.view_id ?? item.item_id;

/** Width / height of an item's picture; undefined if it is not known. */
export const shapeOf = (item) => shapes.get(shapeKey(item));

/** Load the pictures of videos before their cards are shown, so that no card changes its shape later. */
export async function learnShapes(items) {
  const loads = items.filter((item) => item.kind !== 'product' && !shapes.has(shapeKey(item))).map((item) => {
    const image = new Image();
    image.src = picturePath({ viewId: item.picture?.view_id ?? item.view_id, itemId: item.item_id, size: 384 });
    return image.decode().then(() => shapes.set(shapeKey(item), image.naturalWidth / image.naturalHeight), () => {});
  });
  if (loads.length) await Promise.race([Promise.all(loads), new Promise((done) => { setTimeout(done, SHAPES_WAIT_MS); })]);
}

/** A picture file as a data URI, scaled down to at most `maxSide` pixels: encoders use no more. */
export async function asDataUri(file, maxSide = 1600) {
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, maxSide / Math.max(bitmap.width, bitmap.height));
  if (scale === 1 && file.size < 2_000_000) {
    return new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result);
      reader.onerror = () => failed(reader.error);
      reader.readAsDataURL(file);
    });
  }
  const canvas = h('canvas', { width: Math.round(bitmap.width * scale), height: Math.round(bitmap.height * scale) });
  const draw = canvas.getContext('2d');
  draw.fillStyle = '#fff';
  draw.fillRect(0, 0, canvas.width, canvas.height);
  draw.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/jpeg', 0.92);
}

/** The picture of a view as a data URI, for an exclusion. */
export async function viewAsDataUri(viewId) {
  return asDataUri(await fetchBlob(picturePath({ viewId, size: 768 })));
}
