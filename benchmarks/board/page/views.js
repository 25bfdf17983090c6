// Which part of the page is shown, as the address says: the table with its state, or one of the pages. And the theme.

const VIEWS = [$("table"), ...document.querySelectorAll("section.page")];

function show(view, link) {
  for (const other of VIEWS) other.hidden = other !== view;
  for (const a of document.querySelectorAll("#pages a")) {
    if (a === link) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
  document.title = (view === $("table") ? "" : (link?.textContent ?? "") + " - ") + "chanswap leaderboard";
}

function route() {
  const hash = location.hash.slice(1);
  const target = hash.includes("=") ? null : document.getElementById(hash);
  const view = target?.closest("section.page");
  if (view) {
    closePanel();
    show(view, document.querySelector(`#pages a[href="#${view.id}"]`));
    target.scrollIntoView();
    if (target === view) scrollTo(0, 0);
    return;
  }
  show($("table"), $("to-table"));
  state = parse(hash === "table" ? "" : hash);
  // Where only a panel opens or closes the rows stay, and with them the button that gets the focus back.
  if (drawn !== serialise({ ...state, open: "" })) draw();
  if (state.open) openPanel(byId.get(state.open));
  else closePanel();
}

// What the reader chose is kept where the browser allows it.
const THEMES = ["auto", "dark", "light"];

function theme(name) {
  if (name === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = name;
  $("theme").textContent = `Theme: ${name}`;
}

function stored(name) {
  try {
    if (name) localStorage.setItem("chanswap-theme", name);
    return localStorage.getItem("chanswap-theme");
  } catch {
    return name ?? null;
  }
}

function start() {
  let chosen = THEMES.includes(stored()) ? stored() : "auto";
  theme(chosen);
  $("theme").hidden = false;
  $("theme").addEventListener("click", () => {
    chosen = THEMES[(THEMES.indexOf(chosen) + 1) % THEMES.length];
    theme(chosen);
    stored(chosen);
  });
  for (const block of document.querySelectorAll(".page pre")) {
    const text = block.textContent.trimEnd();
    const box = el("div", { class: "copied" });
    block.replaceWith(box);
    box.append(block, copyButton("Copy", () => text));
  }
  const wide = matchMedia("(min-width: 40rem)"); // as in the style, which hides the handles there
  const unfold = () => document.querySelectorAll(".fold").forEach((fold) => (fold.open = wide.matches));
  wide.addEventListener("change", unfold);
  unfold();
  $("panel").addEventListener("close", () => {
    delete state.open;
    if (parse(location.hash.slice(1)).open) rewrite(serialise()); // else it was closed by going elsewhere
  });
  $("panel").addEventListener("click", (event) => {
    if (event.target === $("panel")) closePanel(); // the backdrop
  });
  setUp();
  addEventListener("hashchange", route);
  route();
}

start();
