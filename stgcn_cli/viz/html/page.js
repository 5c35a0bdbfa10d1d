// What the parts share, tables that sort, and the beginning. Everything the page shows stands in #data.
const data = JSON.parse(document.getElementById("data").textContent);
const redraws = [];
const dark = matchMedia("(prefers-color-scheme: dark)");
const calm = matchMedia("(prefers-reduced-motion: reduce)");

function make(tag, className, parent, words) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (words) element.textContent = words;
  parent.append(element);
  return element;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function fitted(canvas, height) {
  const width = canvas.clientWidth;
  if (height) canvas.style.height = height + "px";
  const ratio = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, canvas.clientHeight);
  return [pen, width, canvas.clientHeight];
}

function whenResized(element, draw) {
  redraws.push(draw);
  new ResizeObserver(() => requestAnimationFrame(draw)).observe(element);
}

function setUpTable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.firstChild.addEventListener("click", () => sort(table, heads, column)));
}

function sort(table, heads, column) {
  const isNumber = heads[column].classList.contains("number");
  const now = heads[column].getAttribute("aria-sort");
  const order = now ? (now === "ascending" ? "descending" : "ascending") : isNumber ? "descending" : "ascending";
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => sign * compare(a.cells[column], b.cells[column]));
  table.tBodies[0].append(...rows);
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", order);
}

function compare(a, b) {
  if ("value" in a.dataset && "value" in b.dataset) return a.dataset.value - b.dataset.value;
  if ("value" in a.dataset !== "value" in b.dataset) return "value" in a.dataset ? 1 : -1;
  return a.textContent.localeCompare(b.textContent);
}

function begin() {
  document.querySelectorAll("table.sortable").forEach(setUpTable);
  document.querySelectorAll(".matrix").forEach(setUpMatrix);
  document.querySelectorAll(".player").forEach((root) => new Player(root, data.clips[root.dataset.clip]));
  dark.addEventListener("change", () => redraws.forEach((draw) => draw()));
}
