// What stands behind a row: its records, swap, command, rules and environment, in a dialog.

function openPanel(row) {
  const panel = $("panel");
  panel.replaceChildren(bar(row), el("div", { class: "inside" }, ...inside(row)));
  if (!panel.open) panel.showModal();
  panel.scrollTop = 0;
}

function closePanel() {
  if ($("panel").open) $("panel").close();
}

function bar(row) {
  const title = el("h2", { id: "panel-title" }, row.name, row.control ? el("span", { class: "badge" }, "control") : null);
  const link = copyButton("Copy link", () => location.href);
  return el("div", { class: "bar" }, title, link, el("button", { type: "button", id: "close", autofocus: true, click: closePanel }, "Close"));
}

function inside(row) {
  const b = board(row);
  const parts = [el("p", {}, b.caption)];
  if (b.embedded) parts.push(el("p", { class: "banner" }, DATA.words.embedded));
  const known = [
    ["tier", b.tier],
    [b.metric, `${row.score} (95 % interval: ${row.interval})`],
    [`difference to ${row.versus}` + (b.lower ? ", below 0 is better" : ""), row.versus && row.gap],
    ["seeds", row.seeds],
    ["trained parameters", row.trained],
    ["search gain, mean", row.search],
    ["test gain, mean", row.test],
    ...Object.entries(row.times).map(([device, time]) => [`seconds to adapt, ${device}`, time]),
  ];
  parts.push(list(known.filter(([, value]) => value)));
  parts.push(el("h3", {}, "Seeds and records"), seedTable(row));
  if (row.others) parts.push(el("p", { class: "quiet" }, `${row.others} more record${row.others === 1 ? "" : "s"} of this board hold the same evaluation; one a seed counts.`));
  parts.push(...swaps(row));
  parts.push(el("h3", {}, "Command"), copied(row.commands.join("\n")));
  parts.push(el("h3", {}, `Rules: protocol ${b.protocol}, version ${b.version}`), list([...b.rules, ["hash", b.hash]]));
  parts.push(el("h3", {}, "Weights and images"), list([...Object.entries(b.weights), ["images", b.data || "not recorded"]]));
  for (const k of new Set(row.runs.map((run) => run.environment))) {
    const seeds = row.runs.filter((run) => run.environment === k).map((run) => run.seed);
    parts.push(el("h3", {}, `Environment of seed ${seeds.join(", ")}`), list(DATA.environments[k]));
  }
  const origins = [...new Set(row.runs.map((run) => run.origin).filter(Boolean))];
  const notes = [...origins.map((origin) => `Method from outside the suite: ${origin}`), ...b.notes];
  if (notes.length) parts.push(el("h3", {}, "Notes on this board"), el("ul", {}, ...notes.map((note) => el("li", {}, note))));
  return parts;
}

function list(pairs) {
  return el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function seedTable(row) {
  const searched = row.runs.some((run) => run.pairs);
  const heads = ["seed", board(row).metric, ...(searched ? ["search gain", "test gain", "search"] : []), "images", "started", "record"];
  const lines = row.runs.map((run) => {
    const found = searched ? [run.search ?? "", run.test ?? "", run.effort ?? ""] : [];
    const by = run.by ? ` (of a run of ${run.by})` : "";
    const cells = [run.value, ...found, String(run.images), run.started].map((text) => el("td", {}, text));
    return el("tr", {}, el("th", { scope: "row" }, String(run.seed)), ...cells, el("td", { class: "path" }, el("a", { href: run.link }, run.path), by));
  });
  const table = el("table", {}, el("thead", {}, el("tr", {}, ...heads.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, ...lines));
  return el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "seeds and records" }, table);
}

function swaps(row) {
  const runs = row.runs.filter((run) => run.pairs);
  if (!runs.length) return [];
  const about = "Each pair is redundant<-effective: the first channel shows what the second sees. Channels count from 0.";
  const parts = [el("h3", {}, "Swap"), el("p", { class: "quiet" }, about)];
  for (const run of runs) {
    const pairs = run.pairs.map(([i, j]) => `${i}<-${j}`).join(", ");
    const python = `Swap([${run.pairs.map(([i, j]) => `(${i}, ${j})`).join(", ")}], channels=${run.channels})`;
    const head = el("p", {}, `Seed ${run.seed}`);
    parts.push(head, pairs ? copied(pairs, copyButton("Copy as Python", () => python)) : el("p", {}, "none: no pair helped"));
  }
  return parts;
}

/** A text in a box with a button that copies it, and further buttons. */
function copied(text, ...further) {
  return el("div", { class: "copied" }, el("pre", {}, el("code", {}, text)), copyButton("Copy", () => text), ...further);
}

function copyButton(label, text) {
  const button = el("button", { type: "button", "aria-live": "polite" }, label);
  button.addEventListener("click", async () => {
    button.textContent = (await copy(text())) ? "Copied" : "Not copied: select it by hand";
    setTimeout(() => (button.textContent = label), 2000);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without permission, or not over https: the old way. A field in the dialog, for all else is inert while one is open.
    const field = el("textarea", { readonly: true, class: "skip" });
    ($("panel").open ? $("panel") : document.body).append(field);
    field.value = text;
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
