// The frame: what is shown, in which language, and how fresh it is.
import { get, isUnlocked, listen, post, setToken } from "./api.js";
import { el } from "./draw.js";
import { clock, currentLanguage, setLanguage, t } from "./words.js";
import * as views from "./views.js";

const REFRESH_MS = 5000;
const PAGES = ["overview", "runs", "queue", "accounts", "logs"];
const byId = (id) => document.getElementById(id);

/** What is known of the daemon. `zone`: the zone of its tasks; `now()`: its time, which runs faster in practice. */
const app = {
  status: null, ready: null, alive: null, silentSince: null, zone: undefined,
  now() {
    if (!this.status) return Date.now();
    return Date.parse(this.status.now) + (performance.now() - this.readAt) * (this.status.practice_speed ?? 1);
  },
  clock(at, form) { return clock(at, this.zone, form); },
  toast(text) {
    byId("toast").textContent = text;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => { byId("toast").textContent = ""; }, 4000);
  },
  async order(path, body) {
    if (!isUnlocked()) return this.toast(t("locked"));
    try {
      await post(path, body);
      this.toast(t("done"));
      await refresh();
    } catch (error) {
      if (error.status === 401) { setToken(""); frame(); }
      this.toast(error.status === 401 ? t("wrong_token") : error.message);
    }
  },
  unlocked: isUnlocked,
  ask, redraw: () => draw(),
};

function route() {
  const [page, ...rest] = decodeURI(location.hash.replace(/^#\/?/, "")).split("/");
  return { page: page || "overview", name: rest.length ? decodeURIComponent(rest.join("/")) : "" };
}

function frame() {
  document.title = app.status ? `taskrun${app.ready?.ready === false ? " (!)" : ""}` : "taskrun";
  byId("skip").textContent = t("skip");
  const { page } = route();
  const current = { run: "runs", task: "overview" }[page] ?? page;
  byId("nav").replaceChildren(...PAGES.map((name) => el("a", { href: name === "overview" ? "#/" : `#/${name}`, "aria-current": name === current ? "page" : undefined }, t(name))));
  byId("language").textContent = t("language");
  byId("theme").textContent = t("theme", { theme: t(theme()) });
  byId("unlock").textContent = t(isUnlocked() ? "lock" : "unlock");
  byId("live").className = `pill ${app.alive === false ? "bad" : app.status?.stopping ? "odd" : app.alive ? "good" : ""}`;
  byId("live").textContent = app.alive === false ? t("stale", { at: clock(app.silentSince, app.zone, { seconds: true }) })
    : app.status?.stopping ? t("stopping") : app.alive ? t("live") : t("connecting");
  document.body.classList.toggle("is-stale", app.alive === false);
  const speed = app.status?.practice_speed;
  byId("practice").hidden = !speed;
  byId("practice").textContent = speed ? t("practice", { speed }) : "";
  const reasons = app.ready?.reasons ?? [];
  const faults = app.status?.config.last_reload_faults ?? [];
  const said = [...reasons.map((reason) => reason.text), ...faults];
  if (byId("alarms").dataset.said !== said.join("\n")) {
    byId("alarms").dataset.said = said.join("\n");
    byId("alarms").replaceChildren(...said.slice(0, 6).map((text) => el("p", {}, text)));
  }
  tick();
}

function tick() {
  if (!app.status) return;
  byId("clock").textContent = app.clock(app.now(), { seconds: true, day: true });
  byId("clock").dateTime = new Date(app.now()).toISOString();
}

const theme = () => localStorage.getItem("taskrun.theme") ?? "auto";

function applyTheme() {
  if (theme() === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme();
}

let drawing = 0;

/** Draws the page of the address. A slower one that was asked for earlier never overwrites a newer. */
async function draw() {
  const mine = ++drawing;
  const { page, name } = route();
  const view = views[page] ?? views.overview;
  let nodes;
  try {
    nodes = await view(app, name);
  } catch (error) {
    nodes = [el("p", { class: "bad" }, t("error_load", { error: error.message }))];
  }
  if (mine !== drawing || nodes === null) return;
  const main = byId("main");
  const focus = main.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  main.replaceChildren(...nodes);
  if (focus) main.querySelector(`[data-key="${CSS.escape(focus)}"]`)?.focus({ preventScroll: true });
}

async function refresh() {
  try {
    const [status, ready] = await Promise.all([get("status"), get("/ready")]);
    Object.assign(app, { status, ready, readAt: performance.now(), zone: status.instances[0]?.zone });
    if (app.alive === null) app.alive = true;
  } catch {
    life(false);
  }
  frame();
  // Whoever reads or types is not disturbed.
  const busy = byId("main").querySelector("input:focus, select:focus") || getSelection()?.isCollapsed === false;
  if (!busy) await draw();
}

function life(alive) {
  if (app.alive === alive) return;
  app.alive = alive;
  app.silentSince = alive ? null : Date.now();
  frame();
  if (alive) refresh();
}

/** A question in a dialog; what `fields` gives are the values, or null. */
function ask(title, text, ...fields) {
  const dialog = byId("dialog");
  return new Promise((resolve) => {
    const form = el("form", { method: "dialog" }, el("h2", {}, title), text ? el("p", { class: "dim" }, text) : null, ...fields,
      el("div", { class: "row" }, el("button", { type: "submit", value: "ok" }, t("ok")), el("button", { type: "submit", value: "", formnovalidate: true }, t("close"))));
    dialog.replaceChildren(form);
    dialog.onclose = () => resolve(dialog.returnValue === "ok" ? Object.fromEntries(new FormData(form)) : null);
    dialog.returnValue = "";
    dialog.showModal();
  });
}

byId("language").addEventListener("click", () => { setLanguage(currentLanguage() === "ja" ? "en" : "ja"); frame(); draw(); });
byId("theme").addEventListener("click", () => {
  localStorage.setItem("taskrun.theme", { auto: "light", light: "dark", dark: "auto" }[theme()]);
  applyTheme();
  frame();
});
byId("unlock").addEventListener("click", async () => {
  if (isUnlocked()) setToken("");
  else {
    const answer = await ask(t("unlock_title"), t("unlock_text"), el("label", { class: "row" }, t("token"), el("input", { name: "token", type: "password", autocomplete: "off", required: true })));
    if (answer?.token) setToken(answer.token);
  }
  frame();
  draw();
});
addEventListener("hashchange", () => { frame(); draw(); byId("main").focus({ preventScroll: true }); scrollTo(0, 0); });
applyTheme();
frame();
await refresh();
listen((runs) => {
  if (!app.status) return;
  const before = app.status.runs.map((run) => `${run.run} ${run.phase}`).join();
  app.status.runs = runs;
  // One that began or ended changes everything; progress only what is at work.
  if (before !== runs.map((run) => `${run.run} ${run.phase}`).join()) refresh();
  else views.progress(app);
}, refresh, life);
setInterval(refresh, REFRESH_MS);
setInterval(tick, 1000);
