"use strict";
// Fetches views as HTML that the server made and escaped; sorts, filters and moves in what is there. No state but the
// token, the theme and the place, all in this tab.

const main = document.getElementById("main");
const state = document.getElementById("state");
const signIn = document.getElementById("sign-in");
const help = document.getElementById("help");
const REFRESH_MS = 30000;
const VIEWS = ["workloads", "fleet", "decisions", "changes", "questions"];
let shown = { place: null, text: null };
let asked = 0;

function place() {
  const hash = location.hash.slice(1);
  return VIEWS.includes(hash.split(/[/?]/)[0]) ? hash : "workloads";
}

// `#token=…` is how a command that opened the page hands over its key; it leaves the address at once.
function takeToken() {
  const found = /^#token=([^&]+)/.exec(location.hash);
  if (!found) return;
  sessionStorage.setItem("token", decodeURIComponent(found[1]));
  history.replaceState(null, "", location.pathname + "#workloads");
}

async function fetched(where) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch(`view/${where}`, { headers });
  return { status: answer.status, text: await answer.text() };
}

async function show() {
  const where = place();
  const mine = ++asked;
  const moved = where !== shown.place;
  if (moved) main.setAttribute("aria-busy", "true");
  let answer;
  try {
    answer = await fetched(where);
  } catch {
    if (mine === asked) lost();
    return;
  }
  if (mine !== asked) return;
  main.removeAttribute("aria-busy");
  if (answer.status === 401) return askForToken(answer.text);
  signIn.hidden = true;
  main.hidden = false;
  state.textContent = answer.status === 200 ? `as of ${new Date().toLocaleTimeString()}` : "";
  if (moved || answer.text !== shown.text) put(where, answer.text, moved);
}

function lost() {
  main.removeAttribute("aria-busy");
  state.textContent = "no answer: what is shown may be old";
}

function askForToken(words) {
  main.hidden = true;
  signIn.hidden = false;
  document.getElementById("refused").textContent = sessionStorage.getItem("token") ? plain(words) : "";
  shown = { place: null, text: null };
  document.getElementById("token").focus();
}

function plain(markup) {
  return new DOMParser().parseFromString(markup, "text/html").body.textContent;
}

function put(where, text, moved) {
  const kept = moved ? null : keep();
  main.innerHTML = text;
  shown = { place: where, text };
  for (const link of document.querySelectorAll("nav a")) {
    if (where.split(/[/?]/)[0] === link.hash.slice(1)) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = main.querySelector("h1");
  document.title = title ? `${title.textContent} · mfu` : "mfu";
  if (moved) {
    scrollTo(0, 0);
    main.focus({ preventScroll: true });
  } else restore(kept);
}

// What somebody set stays when figures are refreshed under their hands.
function keep() {
  const field = document.getElementById("filter");
  const sorted = main.querySelector("th[aria-sort]");
  return {
    filter: field ? field.value : "",
    typing: document.activeElement === field,
    column: sorted ? sorted.cellIndex : -1,
    order: sorted ? sorted.getAttribute("aria-sort") : "",
    link: document.activeElement instanceof HTMLAnchorElement ? document.activeElement.hash : "",
  };
}

function restore(kept) {
  const field = document.getElementById("filter");
  if (kept.column >= 0) {
    const head = main.querySelectorAll("th")[kept.column];
    if (head) sort(head, kept.order);
  }
  if (field && kept.filter) {
    field.value = kept.filter;
    filter();
  }
  if (field && kept.typing) field.focus();
  else if (kept.link) main.querySelector(`a[href="${CSS.escape(kept.link)}"]`)?.focus();
}

function sort(head, order) {
  const body = head.closest("table").tBodies[0];
  const at = head.cellIndex;
  const numeric = head.classList.contains("number");
  const sign = order === "descending" ? -1 : 1;
  const value = (row) => {
    const cell = row.cells[at];
    if (!numeric) return cell.textContent;
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const rows = [...body.rows].map((row) => [value(row), row]);
  rows.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null);
    return sign * (numeric ? a - b : a.localeCompare(b));
  });
  body.append(...rows.map(([, row]) => row));
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
}

function filter() {
  const field = document.getElementById("filter");
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...main.querySelectorAll("tbody tr")];
  let left = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => text.includes(word));
    if (!row.hidden) left += 1;
  }
  const count = document.getElementById("count");
  if (count) count.textContent = words.length ? `${left} of ${rows.length}` : "";
}

function step(by) {
  const links = [...main.querySelectorAll("tbody tr:not([hidden])")]
    .map((row) => row.querySelectorAll("a"))
    .filter((found) => found.length)
    .map((found) => found[found.length - 1]);
  if (!links.length) return;
  const row = document.activeElement?.closest?.("tr");
  const now = links.findIndex((link) => link.closest("tr") === row);
  const next = now < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, now + by));
  links[next].focus();
}

function theme(dark) {
  document.documentElement.classList.toggle("dark", dark);
}

function otherTheme() {
  const dark = !document.documentElement.classList.contains("dark");
  theme(dark);
  localStorage.setItem("theme", dark ? "dark" : "light");
}

function back() {
  const [view, rest] = place().split(/[/?](.*)/s);
  if (rest) location.hash = view;
}

const KEYS = {
  "/": () => document.getElementById("filter")?.focus(),
  j: () => step(1),
  k: () => step(-1),
  t: otherTheme,
  "?": () => help.showModal(),
  Escape: back,
};

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const typing = event.target instanceof HTMLInputElement;
  if (typing) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  const view = VIEWS[Number(event.key) - 1];
  if (view) location.hash = view;
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
}

main.addEventListener("click", (event) => {
  const head = event.target.closest("th");
  if (!head || !event.target.closest("button")) return;
  const falling = head.classList.contains("number");
  const now = head.getAttribute("aria-sort");
  const first = falling ? "descending" : "ascending";
  const second = falling ? "ascending" : "descending";
  sort(head, now === first ? second : first);
});
main.addEventListener("input", (event) => event.target.id === "filter" && filter());
signIn.addEventListener("submit", (event) => {
  event.preventDefault();
  const field = document.getElementById("token");
  sessionStorage.setItem("token", field.value.trim());
  field.value = "";
  show();
});
document.getElementById("theme").addEventListener("click", otherTheme);
document.getElementById("keys").addEventListener("click", () => help.showModal());
document.addEventListener("keydown", pressed);
addEventListener("hashchange", () => {
  takeToken();
  show();
});

const wanted = localStorage.getItem("theme");
theme(wanted ? wanted === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
takeToken();
show();
setInterval(() => !document.hidden && show(), REFRESH_MS);
