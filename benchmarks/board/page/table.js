"use strict";
// The table of results: which rows are shown, in which order, and the part of the address that says so.
// All text from the data becomes text nodes: nothing here writes HTML.

const DATA = JSON.parse(document.getElementById("data").textContent);
const PART = 200; // rows put on the page at once
const SVG = "http://www.w3.org/2000/svg";
const board = (row) => DATA.boards[row.board];
const byId = new Map(DATA.rows.map((row) => [row.id, row]));
const $ = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text, null is left out. */
function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

// The choices. `of` gives the values of a row that a choice is made from. The two that are `one` are never mixed in a table.
const SUITES = { paper: "paper protocols", embedded: "embedded suite" };
const CHOICES = [
  { key: "suite", one: true, of: (r) => [board(r).embedded ? "embedded" : "paper"], order: Object.keys(SUITES), words: SUITES },
  { key: "tier", one: true, of: (r) => [board(r).tier], order: DATA.tiers },
  { key: "task", of: (r) => [board(r).task] },
  { key: "dataset", of: (r) => [board(r).dataset] },
  { key: "protocol", of: (r) => [`${board(r).protocol} ${board(r).version}`] },
  { key: "backbone", of: (r) => [board(r).backbone] },
  { key: "precision", of: (r) => [board(r).precision] },
  { key: "method", of: (r) => [r.method] },
  { key: "swap", of: (r) => [r.swap ? "with" : "without"], words: { with: "with swap", without: "without swap" } },
  { key: "device", of: (r) => r.devices },
];

// The columns. `sort` gives a number or a text, null where a cell is empty. `same`: where all rows agree the column
// becomes a line above the table. `unit`: numbers of the metric, which are sorted within each metric.
const number = (text) => (text === "" || Number.isNaN(Number.parseFloat(text)) ? null : Number.parseFloat(text.replaceAll(",", "")));
const COLUMNS = [
  { key: "name", label: "method", text: (r) => r.name, cell: nameCell },
  { key: "dataset", same: true, text: (r) => board(r).dataset },
  { key: "metric", same: true, text: (r) => board(r).metric },
  { key: "score", label: "mean", unit: true, number: true, text: (r) => r.score, sort: (r) => number(r.score) },
  { key: "gap", label: "difference (95 % interval)", unit: true, text: (r) => r.gap, sort: (r) => (r.ends ? r.ends[0] : null), cell: gapCell },
  { key: "versus", label: "against", text: (r) => r.versus },
  { key: "interval", label: "95 % interval", unit: true, number: true, text: (r) => r.interval, sort: (r) => number(r.interval) },
  { key: "seeds", same: true, number: true, text: (r) => r.seeds, sort: (r) => number(r.seeds) },
  { key: "trained", label: "trained parameters", text: (r) => r.trained, sort: (r) => r.count },
  { key: "search", label: "search gain", unit: true, number: true, text: (r) => r.search, sort: (r) => number(r.search) },
  { key: "test", label: "test gain", unit: true, number: true, text: (r) => r.test, sort: (r) => number(r.test) },
  { key: "strategy", same: true, text: (r) => r.strategy },
  { key: "seconds", label: "seconds to adapt", number: true, text: seconds, sort: (r) => number(seconds(r)) },
  { key: "task", same: true, text: (r) => board(r).task },
  { key: "backbone", same: true, text: (r) => board(r).backbone },
  { key: "precision", same: true, text: (r) => board(r).precision },
  { key: "protocol", same: true, text: (r) => `${board(r).protocol} ${board(r).version}` + (board(r).embedded ? " (embedded)" : "") },
  { key: "tier", same: true, text: (r) => board(r).tier },
  { key: "device", same: true, text: (r) => r.devices.join("; ") },
];

let state = {}; // strings, as the address has them: choices by key, q, controls, sort ("score" or "-score"), open
let clock = null; // the one device of all rows shown, whose times may stand in a column
let limit = PART;
let drawn = null; // the state that the rows on the page are of
let span = new Map(); // by metric, the ends of the axis that differences are drawn on

function seconds(row) {
  return clock === null ? "" : (row.times[clock] ?? "");
}

/** The suite and tier that an address without them stands for: verified before community, then the paper's before ours. */
function defaults(given = {}) {
  const pairs = DATA.tiers.flatMap((tier) => Object.keys(SUITES).map((suite) => ({ suite, tier })));
  const fits = (pair) => (!given.suite || pair.suite === given.suite) && (!given.tier || pair.tier === given.tier);
  const has = ({ suite, tier }) => DATA.boards.some((b) => b.tier === tier && b.embedded === (suite === "embedded"));
  return pairs.find((pair) => fits(pair) && has(pair)) ?? pairs.find(fits);
}

function parse(hash) {
  const words = new URLSearchParams(hash);
  const found = {};
  for (const key of [...CHOICES.map((c) => c.key), "q", "controls", "sort", "open"]) {
    if (words.get(key)) found[key] = words.get(key);
  }
  if (found.suite && !Object.hasOwn(SUITES, found.suite)) delete found.suite;
  if (found.tier && !DATA.tiers.includes(found.tier)) delete found.tier;
  if (found.sort && !COLUMNS.some((c) => c.key === found.sort.replace(/^-/, ""))) delete found.sort;
  if (found.open && !byId.has(found.open)) delete found.open;
  return { ...found, ...defaults(found) };
}

function serialise(from = state) {
  const words = new URLSearchParams();
  const { suite, tier, ...rest } = from;
  const implied = defaults();
  if (suite !== implied.suite || tier !== implied.tier) {
    words.set("suite", suite);
    if (tier !== defaults({ suite }).tier) words.set("tier", tier);
  }
  for (const [key, value] of Object.entries(rest)) if (value) words.set(key, value);
  return words.toString() || "table";
}

/** The rows that pass every choice but `but`. */
function passing(but = null) {
  const terms = (state.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  return DATA.rows.filter(
    (row) =>
      (state.controls || !row.control) &&
      CHOICES.every((c) => c.key === but || !state[c.key] || c.of(row).includes(state[c.key])) &&
      terms.every((term) => searched(row).includes(term)),
  );
}

function searched(row) {
  row.words ??= [...CHOICES.flatMap((c) => c.of(row)), row.name, row.strategy, board(row).metric].join("\n").toLowerCase();
  return row.words;
}

function sorted(rows) {
  const key = (state.sort ?? "").replace(/^-/, "");
  const column = COLUMNS.find((c) => c.key === key);
  if (!column) return rows;
  const down = state.sort.startsWith("-") ? -1 : 1;
  const value = column.sort ?? ((row) => column.text(row) || null);
  const words = new Intl.Collator("en", { numeric: true });
  return rows
    .map((row) => [value(row), row])
    .sort(([a, first], [b, second]) => {
      const [one, two] = [board(first).metric, board(second).metric];
      if (column.unit && one !== two) return words.compare(one, two);
      if (a === null || b === null) return (a === null) - (b === null); // empty ones last, whichever way
      return down * (typeof a === "number" ? a - b : words.compare(a, b));
    })
    .map(([, row]) => row);
}

function nameCell(row) {
  const open = el("button", { type: "button", "aria-haspopup": "dialog" }, row.name);
  return row.control ? [open, el("span", { class: "badge" }, "control")] : [open];
}

function gapCell(row) {
  if (!row.ends) return [row.gap];
  const badge = row.verdict ? el("span", { class: `badge ${row.verdict}` }, row.verdict) : null;
  const words = el("span", { class: "words" }, row.gap.replace(/ tie(?=,|$)/, ""), badge ?? "");
  return [el("div", { class: "gap" }, forest(row), words)];
}

/** A difference and its interval on the axis of its metric, with a line at zero. The words beside it say the same. */
function forest(row) {
  const [low, high] = span.get(board(row).metric);
  const [width, height] = [120, 14];
  const x = (value) => (4 + ((width - 8) * (value - low)) / (high - low || 1)).toFixed(1);
  const svg = document.createElementNS(SVG, "svg");
  const add = (tag, attributes) => {
    const part = svg.appendChild(document.createElementNS(SVG, tag));
    for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
  };
  for (const [name, value] of Object.entries({ width, height, class: row.verdict, "aria-hidden": "true" })) svg.setAttribute(name, value);
  add("line", { class: "zero", x1: x(0), x2: x(0), y1: 0, y2: height });
  add("line", { class: "reach", x1: x(row.ends[1]), x2: x(row.ends[2]), y1: height / 2, y2: height / 2 });
  add("circle", { class: "point", cx: x(row.ends[0]), cy: height / 2, r: 3.5 });
  return svg;
}

/** The ends of the axis of each metric: of the rows shown, and always with zero. */
function spans(rows) {
  const found = new Map();
  for (const row of rows) {
    const [low, high] = found.get(board(row).metric) ?? [0, 0];
    found.set(board(row).metric, row.ends ? [Math.min(low, row.ends[1]), Math.max(high, row.ends[2])] : [low, high]);
  }
  return found;
}

/** Columns with something to tell apart, and what is the same in all rows. */
function columns(rows) {
  const shown = [];
  const same = [];
  for (const column of COLUMNS) {
    const texts = new Set(rows.map(column.text));
    if (column.same && texts.size === 1) same.push([column.label ?? column.key, [...texts][0]]);
    else if ([...texts].some(Boolean)) shown.push(column);
  }
  return [shown, same.filter(([, text]) => text)];
}

function draw() {
  const rows = passing();
  const devices = new Set(rows.flatMap((r) => r.devices));
  clock = state.device ?? (devices.size === 1 ? [...devices][0] : null);
  span = spans(rows);
  const [shown, same] = columns(rows);
  const all = sorted(rows);
  $("rows").tHead.replaceChildren(heads(shown, new Set(rows.map((r) => board(r).metric))));
  $("rows").tBodies[0].replaceChildren(...all.slice(0, limit).map((row, k) => line(row, all[k - 1], shown)));
  $("more").hidden = all.length <= limit;
  $("more").textContent = `Show ${Math.min(PART, all.length - limit)} more of ${all.length} rows`;
  $("embedded").hidden = state.suite !== "embedded";
  const hidden = DATA.rows.filter((r) => r.control && CHOICES.every((c) => !c.one || c.of(r).includes(state[c.key]))).length;
  const controls = hidden && !state.controls ? "; controls are hidden" : "";
  $("status").textContent = rows.length ? `${rows.length} row${rows.length === 1 ? "" : "s"}${controls}` : "No row passes these filters.";
  const notes = same.map(([label, text]) => `${label} ${text}`).join("; ");
  $("same").textContent =
    (notes && `In every row: ${notes}. `) +
    (devices.size > 1 && clock === null ? "Choose a device to see seconds: times of two devices never share a column. " : "") +
    (new Set(rows.map((r) => board(r).hash)).size > new Set(rows.map((r) => board(r).protocol)).size
      ? "Several versions of a protocol are shown: their numbers must not be compared. "
      : "") +
    (span.size > 1 ? "Several metrics are shown: their numbers are sorted within each." : "");
  fill(rows.length === 0);
  drawn = serialise({ ...state, open: "" });
  $("to-table").setAttribute("href", "#" + drawn);
}

function heads(shown, metrics) {
  const metric = metrics.size === 1 ? [...metrics][0] : "mean";
  const cells = shown.map((column) => {
    const down = state.sort === "-" + column.key;
    const label = column.key === "score" ? metric : (column.label ?? column.key);
    const head = el("th", { scope: "col", "data-key": column.key, class: column.number ? "number" : null });
    if (down || state.sort === column.key) head.setAttribute("aria-sort", down ? "descending" : "ascending");
    head.append(el("button", { type: "button" }, label));
    return head;
  });
  return el("tr", {}, ...cells);
}

function line(row, before, shown) {
  const apart = !state.sort && before && before.board !== row.board;
  const cells = shown.map((column, k) => {
    const content = column.cell ? column.cell(row) : [column.text(row)];
    const kind = column.number ? "number" : null;
    return k === 0 ? el("th", { scope: "row" }, ...content) : el("td", { class: kind }, ...content);
  });
  return el("tr", { "data-id": row.id, class: apart ? "apart" : null }, ...cells);
}

/** The choices as they are now: a choice with one value left is not worth a control. */
function fill(nothing) {
  for (const choice of CHOICES) {
    const select = $("choice-" + choice.key);
    const pool = choice.one ? DATA.rows.filter((r) => choice.key === "suite" || CHOICES[0].of(r)[0] === state.suite) : within();
    const values = [...new Set(pool.flatMap(choice.of))];
    const order = choice.order ?? values;
    values.sort((a, b) => order.indexOf(a) - order.indexOf(b));
    if (state[choice.key] && !values.includes(state[choice.key])) values.push(state[choice.key]); // from an address
    const first = choice.one ? [] : [el("option", { value: "" }, "all")];
    select.replaceChildren(...first, ...values.map((v) => el("option", { value: v }, choice.words?.[v] ?? v)));
    select.value = state[choice.key] ?? "";
    select.closest("label").hidden = values.length < 2 && !(state[choice.key] && nothing);
  }
  if (document.activeElement !== $("q")) $("q").value = state.q ?? "";
  $("controls").checked = Boolean(state.controls);
}

function within() {
  return DATA.rows.filter((r) => CHOICES.every((c) => !c.one || c.of(r).includes(state[c.key])));
}

let waiting = 0;

/** Take a change of the state: the table follows at once, the address in a moment, for some browsers count its changes. */
function change(part) {
  state = { ...state, ...part };
  for (const key of Object.keys(state)) if (!state[key]) delete state[key];
  state = { ...state, ...defaults(state) };
  limit = PART;
  draw();
  clearTimeout(waiting);
  const from = location.hash;
  waiting = setTimeout(() => location.hash === from && rewrite(serialise()), 150); // unless the reader has gone elsewhere
}

function rewrite(hash) {
  if (location.hash.slice(1) !== hash) history.replaceState(null, "", "#" + hash);
}

function setUp() {
  const selects = CHOICES.map((c) =>
    el("label", {}, c.key, el("select", { id: "choice-" + c.key, change: (event) => chosen(c, event.target.value) })),
  );
  const text = el("input", { type: "search", id: "q", placeholder: "any words", input: (e) => change({ q: e.target.value }) });
  const tick = el("input", { type: "checkbox", id: "controls", change: (e) => change({ controls: e.target.checked ? "1" : "" }) });
  const reset = el("button", { type: "button", id: "reset", click: () => restart() }, "Reset");
  $("choices").append(el("label", {}, "text", text), ...selects, el("label", { class: "tick" }, tick, "show controls"), reset);
  $("filters").hidden = false;
  $("filters").addEventListener("submit", (event) => event.preventDefault());
  $("embedded").textContent = DATA.words.embedded;
  $("more").addEventListener("click", () => {
    limit += PART;
    draw();
  });
  $("rows").tHead.addEventListener("click", (event) => {
    const key = event.target.closest("th")?.dataset.key;
    if (!key) return;
    // Numbers begin with the largest; the third press gives the order of the pages back.
    const turns = COLUMNS.find((c) => c.key === key).sort ? ["-" + key, key, ""] : [key, "-" + key, ""];
    change({ sort: turns[(turns.indexOf(state.sort ?? "") + 1) % 3] });
    $("rows").tHead.querySelector(`[data-key="${key}"] button`)?.focus();
  });
  $("rows").tBodies[0].addEventListener("click", (event) => {
    const row = event.target.closest("tr");
    if (row && !String(getSelection())) location.hash = serialise({ ...state, open: row.dataset.id });
  });
  addEventListener("beforeprint", () => {
    limit = Infinity;
    draw();
  });
}

/** Another suite or tier has other values: what was chosen among the old ones would leave nothing. */
function chosen(choice, value) {
  if (!choice.one) return change({ [choice.key]: value });
  const kept = { q: state.q, controls: state.controls, sort: state.sort };
  state = choice.key === "suite" ? kept : { suite: state.suite, ...kept };
  return change({ [choice.key]: value });
}

function restart() {
  $("q").value = "";
  state = {};
  change({});
}
