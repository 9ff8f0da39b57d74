// The map page. The text before this line is map_painter.js, which defines `colourOf` and `paint`.
// Texts of the catalogue enter the page only as textContent.
const data = JSON.parse(document.getElementById("data").textContent);
const points = data.points.map(([x, y, tile, id, title, columns]) => ({
  x, y: 1 - y, tile, id, title, columns,
  text: [title, id, ...columns.map((pair) => pair[1])].join("\n").toLowerCase(),
}));
const byId = (id) => document.getElementById(id);
const canvas = byId("map"), card = byId("card"), legend = byId("legend");
const MAX_LISTED = 300; // maximum number of items in the list

let colouring = data.colourings[0], hidden = new Set(), matches = null, selected = -1;
let scale = 1, left = 0, top_ = 0, width = 1, height = 1, drawing = false;

const tall = points.reduce((most, p) => Math.max(most, 2 * Math.abs(p.y - 0.5)), 0.05);
const side = () => 0.94 * Math.min(width, height / tall) * scale;
const px = (p) => width / 2 + (p.x - 0.5) * side() + left;
const py = (p) => height / 2 + (p.y - 0.5) * side() + top_;
const visible = (n) => !hidden.has(colouring.codes[n]);

function draw() {
  drawing = false;
  const density = devicePixelRatio || 1;
  paint(canvas, { zoom: scale }, {
    count: points.length,
    pixelsOf: (n) => (visible(n) ? [px(points[n]) * density, py(points[n]) * density] : null),
    colour: (n) => colourOf(colouring, colouring.codes[n]),
    selected: selected < 0 ? null : selected,
    faded: (n) => matches !== null && !matches.has(n),
  });
}
function redraw() { if (!drawing) { drawing = true; requestAnimationFrame(draw); } }

function show(n) {
  if (n === selected) return;
  selected = n;
  card.hidden = n < 0;
  if (n >= 0) {
    const p = points[n], picture = byId("picture"), perSheet = data.perRow * data.perRow;
    picture.hidden = p.tile < 0;
    if (p.tile >= 0) {
      const place = p.tile % perSheet, double = 2 * data.tile;
      picture.style.backgroundImage = `url(${data.sheets[Math.floor(p.tile / perSheet)]})`;
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
  let best = -1, smallest = 14 * 14;
  for (let n = 0; n < points.length; n++) {
    if (!visible(n) || (matches && !matches.has(n))) continue;
    const dx = px(points[n]) - x, dy = py(points[n]) - y, distance = dx * dx + dy * dy;
    if (distance < smallest) { smallest = distance; best = n; }
  }
  return best;
}

function zoom(factor, x = width / 2, y = height / 2) {
  const next = Math.min(200, Math.max(0.5, scale * factor)), ratio = next / scale;
  left = x - width / 2 - (x - width / 2 - left) * ratio;
  top_ = y - height / 2 - (y - height / 2 - top_) * ratio;
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
    dot.style.background = colourOf(colouring, code);
    button.type = "button";
    button.setAttribute("aria-pressed", "true");
    button.append(dot, document.createTextNode(`${label} (${colouring.codes.filter((c) => c === code).length.toLocaleString("en")})`));
    button.addEventListener("click", () => {
      if (!hidden.delete(code)) hidden.add(code);
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

function fillList() {
  if (!byId("items").open) return;
  const chosen = matches ? [...matches] : [...points.keys()];
  byId("shown").textContent = chosen.length > MAX_LISTED
    ? `The first ${MAX_LISTED} of ${chosen.length.toLocaleString("en")}; words in "find" narrow them down.` : `${chosen.length} items`;
  byId("list").replaceChildren(...chosen.slice(0, MAX_LISTED).map((n) => {
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
  const words = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  matches = null;
  if (words.length) {
    matches = new Set();
    points.forEach((p, n) => { if (words.every((word) => p.text.includes(word))) matches.add(n); });
  }
  byId("said").textContent = matches ? `${matches.size.toLocaleString("en")} found` : "";
  show(-1);
  fillList();
  redraw();
}

const pointers = new Map();
let moved = false;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.offsetX, event.offsetY]);
  moved = false;
});
canvas.addEventListener("pointermove", (event) => {
  const before = pointers.get(event.pointerId), here = [event.offsetX, event.offsetY];
  if (!before) { show(nearest(...here)); return; }
  if (Math.hypot(here[0] - before[0], here[1] - before[1]) < 2) return;
  moved = true;
  if (pointers.size === 1) move(here[0] - before[0], here[1] - before[1]);
  else {
    const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
    const distance = (a) => Math.max(10, Math.hypot(a[0] - other[0], a[1] - other[1]));
    zoom(distance(here) / distance(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
  }
  pointers.set(event.pointerId, here);
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, (event) => {
  pointers.delete(event.pointerId);
  if (!moved && name === "pointerup") show(nearest(event.offsetX, event.offsetY)); // a tap on a touch screen, which has no hover
});
canvas.addEventListener("pointerleave", () => show(-1));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const action = {
    ArrowLeft: () => move(40, 0), ArrowRight: () => move(-40, 0), ArrowUp: () => move(0, 40), ArrowDown: () => move(0, -40),
    "+": () => zoom(1.25), "=": () => zoom(1.25), "-": () => zoom(0.8), 0: reset, Escape: () => show(-1),
  }[event.key];
  if (action) { event.preventDefault(); action(); }
});
byId("reset").addEventListener("click", reset);
byId("find").addEventListener("input", find);
byId("controls").addEventListener("submit", (event) => event.preventDefault());
byId("items").addEventListener("toggle", fillList);
byId("column").append(...data.colourings.map((c, n) => new Option(c.column, String(n))));
byId("column").addEventListener("change", (event) => { colouring = data.colourings[Number(event.target.value)]; recolour(); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
new ResizeObserver(() => {
  width = canvas.clientWidth; height = canvas.clientHeight;
  redraw();
}).observe(canvas);
recolour();
