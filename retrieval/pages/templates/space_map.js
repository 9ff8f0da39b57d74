"use strict";
// Texts of the catalogue reach the page as textContent only.
const data = JSON.parse(document.getElementById("data").textContent);
const points = data.points.map(([x, y, tile, id, title, columns]) => ({
  x, y: 1 - y, tile, id, title, columns,
  text: [title, id, ...columns.map((pair) => pair[1])].join("\n").toLowerCase(),
}));
const at = (id) => document.getElementById(id);
const canvas = at("map"), pen = canvas.getContext("2d"), card = at("card"), legend = at("legend");
const dark = matchMedia("(prefers-color-scheme: dark)");

// Okabe and Ito's colours, told apart with colour blindness, and more for the tail; viridis for what has an order
const CLASSES = ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#b3a100", "#7b4fb5", "#8c564b", "#5f9e2f"];
const ORDERED = ["#443a83", "#31688e", "#21908c", "#35b779", "#8fd744", "#e0c81c"];
const OTHER = "#8a8a8a";
const DRAWN = 300; // items of the list drawn at once

let colouring = data.colourings[0], hidden = new Set(), matches = null, over = -1;
let scale = 1, left = 0, top_ = 0, width = 1, height = 1, waiting = false;

function colour(code) {
  const colours = colouring.ordered ? ORDERED : CLASSES;
  return colours[code] && colouring.labels[code] !== "none" ? colours[code] : OTHER;
}
const tall = points.reduce((most, p) => Math.max(most, 2 * Math.abs(p.y - 0.5)), 0.05);
const side = () => 0.94 * Math.min(width, height / tall) * scale;
const px = (p) => width / 2 + (p.x - 0.5) * side() + left;
const py = (p) => height / 2 + (p.y - 0.5) * side() + top_;
const visible = (n) => !hidden.has(colouring.codes[n]);

function draw() {
  waiting = false;
  const density = devicePixelRatio || 1;
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.clearRect(0, 0, width, height);
  const radius = Math.min(9, Math.max(2, (60 / Math.sqrt(points.length)) * Math.sqrt(scale)));
  const paint = (wanted, alpha) => {
    pen.globalAlpha = alpha;
    for (let code = 0; code < colouring.labels.length; code++) {
      if (hidden.has(code)) continue;
      pen.fillStyle = colour(code);
      pen.beginPath();
      for (let n = 0; n < points.length; n++) {
        if (colouring.codes[n] !== code || (matches && matches.has(n)) !== wanted) continue;
        const x = px(points[n]), y = py(points[n]);
        if (x < -radius || y < -radius || x > width + radius || y > height + radius) continue;
        pen.moveTo(x + radius, y);
        pen.arc(x, y, radius, 0, 2 * Math.PI);
      }
      pen.fill();
    }
  };
  if (matches) { paint(false, 0.1); paint(true, 1); } else paint(null, 0.8);
  pen.globalAlpha = 1;
  if (over >= 0) {
    pen.strokeStyle = dark.matches ? "#fff" : "#000";
    pen.lineWidth = 2;
    pen.beginPath();
    pen.arc(px(points[over]), py(points[over]), radius + 3, 0, 2 * Math.PI);
    pen.stroke();
  }
}
function redraw() { if (!waiting) { waiting = true; requestAnimationFrame(draw); } }

function show(n) {
  if (n === over) return;
  over = n;
  card.hidden = n < 0;
  if (n >= 0) {
    const p = points[n], picture = at("picture"), each = data.perRow * data.perRow;
    picture.hidden = p.tile < 0;
    if (p.tile >= 0) {
      const place = p.tile % each, double = 2 * data.tile;
      picture.style.backgroundImage = `url(${data.sheets[Math.floor(p.tile / each)]})`;
      picture.style.backgroundSize = `${data.perRow * double}px auto`;
      picture.style.backgroundPosition = `${-(place % data.perRow) * double}px ${-Math.floor(place / data.perRow) * double}px`;
    }
    card.querySelector("h2").textContent = p.title;
    const list = card.querySelector("dl");
    list.replaceChildren();
    for (const [name, value] of [["item", p.id], ...p.columns.map(([column, v]) => [data.columns[column], v])]) {
      list.append(Object.assign(document.createElement("dt"), { textContent: name }),
                  Object.assign(document.createElement("dd"), { textContent: value }));
    }
    const x = px(p), y = py(p);
    card.style.left = `${Math.max(4, x + card.offsetWidth + 24 > width ? x - card.offsetWidth - 16 : x + 16)}px`;
    card.style.top = `${Math.max(4, Math.min(y - 20, height - card.offsetHeight - 4))}px`;
  }
  redraw();
}

function nearest(x, y) {
  let best = -1, least = 14 * 14;
  for (let n = 0; n < points.length; n++) {
    if (!visible(n) || (matches && !matches.has(n))) continue;
    const dx = px(points[n]) - x, dy = py(points[n]) - y, far = dx * dx + dy * dy;
    if (far < least) { least = far; best = n; }
  }
  return best;
}

function zoom(factor, x = width / 2, y = height / 2) {
  const next = Math.min(200, Math.max(0.5, scale * factor)), by = next / scale;
  left = x - width / 2 - (x - width / 2 - left) * by;
  top_ = y - height / 2 - (y - height / 2 - top_) * by;
  scale = next;
  show(-1);
  redraw();
}
function move(dx, dy) { left += dx; top_ += dy; show(-1); redraw(); }
function reset() { scale = 1; left = top_ = 0; show(-1); redraw(); }

function recolour() {
  hidden = new Set();
  legend.replaceChildren(...colouring.labels.map((label, code) => {
    const entry = document.createElement("li"), button = document.createElement("button"), dot = document.createElement("i");
    dot.style.background = colour(code);
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(dot, document.createTextNode(`${label} (${colouring.codes.filter((c) => c === code).length.toLocaleString("en")})`));
    button.addEventListener("click", () => {
      hidden.has(code) ? hidden.delete(code) : hidden.add(code);
      button.setAttribute("aria-pressed", String(!hidden.has(code)));
      show(-1);
      redraw();
    });
    entry.append(button);
    return entry;
  }));
  show(-1);
  redraw();
}

function fill() {
  if (!at("items").open) return;
  const chosen = matches ? [...matches] : [...points.keys()];
  at("shown").textContent = chosen.length > DRAWN
    ? `The first ${DRAWN} of ${chosen.length.toLocaleString("en")}; words in "find" narrow them down.` : `${chosen.length} items`;
  at("list").replaceChildren(...chosen.slice(0, DRAWN).map((n) => {
    const entry = document.createElement("li"), button = document.createElement("button");
    button.type = "button";
    button.textContent = points[n].title;
    button.title = points[n].columns.map(([column, value]) => `${data.columns[column]}: ${value}`).join("\n");
    button.addEventListener("focus", () => {
      const x = px(points[n]), y = py(points[n]);
      if (x < 0 || y < 0 || x > width || y > height) { left += width / 2 - x; top_ += height / 2 - y; }
      show(n);
    });
    button.addEventListener("mouseenter", () => show(n));
    entry.append(button);
    return entry;
  }));
}

function find() {
  const words = at("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  matches = null;
  if (words.length) {
    matches = new Set();
    points.forEach((p, n) => { if (words.every((word) => p.text.includes(word))) matches.add(n); });
  }
  at("said").textContent = matches ? `${matches.size.toLocaleString("en")} found` : "";
  show(-1);
  fill();
  redraw();
}

const fingers = new Map();
let moved = false;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, [event.offsetX, event.offsetY]);
  moved = false;
});
canvas.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId), here = [event.offsetX, event.offsetY];
  if (!before) { show(nearest(...here)); return; }
  if (Math.hypot(here[0] - before[0], here[1] - before[1]) < 2) return;
  moved = true;
  if (fingers.size === 1) move(here[0] - before[0], here[1] - before[1]);
  else {
    const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
    const far = (a) => Math.max(10, Math.hypot(a[0] - other[0], a[1] - other[1]));
    zoom(far(here) / far(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
  }
  fingers.set(event.pointerId, here);
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => {
  fingers.delete(event.pointerId);
  if (!moved && name === "pointerup") show(nearest(event.offsetX, event.offsetY)); // a tap, where there is no hover
});
canvas.addEventListener("pointerleave", () => show(-1));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const act = {
    ArrowLeft: () => move(40, 0), ArrowRight: () => move(-40, 0), ArrowUp: () => move(0, 40), ArrowDown: () => move(0, -40),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: reset, Escape: () => show(-1),
  }[event.key];
  if (act) { event.preventDefault(); act(); }
});
at("reset").addEventListener("click", reset);
at("find").addEventListener("input", find);
at("controls").addEventListener("submit", (event) => event.preventDefault());
at("items").addEventListener("toggle", fill);
at("column").append(...data.colourings.map((c, n) => new Option(c.column, String(n))));
at("column").addEventListener("change", (event) => { colouring = data.colourings[Number(event.target.value)]; recolour(); });
dark.addEventListener("change", redraw);
new ResizeObserver(() => {
  const density = devicePixelRatio || 1;
  width = canvas.clientWidth; height = canvas.clientHeight;
  canvas.width = width * density; canvas.height = height * density;
  redraw();
}).observe(canvas);
recolour();
