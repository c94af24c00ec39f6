// Making elements and pictures. Texts only ever become text nodes: whatever a task prints, it is shown and never run.
import { clock, span, t } from "./words.js";

const SVG = "http://www.w3.org/2000/svg";

/** An element: `el("td", { class: "num" }, "12")`. Functions become listeners, other values attributes. */
export function el(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

function svg(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(node, attributes, children) {
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (typeof value === "function") node.addEventListener(key, value);
    else node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.flat(3).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const TONES = {
  succeeded: "good", success: "good", failed: "bad", timed_out: "bad", lost: "bad", uncertain: "bad", superseded: "odd", cancelled: "odd", review: "odd",
  running: "run", starting: "run", uploading: "run", waiting: "run", queued: "run", backoff: "odd", not_yet: "odd", lock_wait: "odd", stopping: "odd", skipped: "dim",
};

export const tone = (state) => TONES[state] ?? "dim";

/** A state as a coloured dot and its word. */
export function stateMark(state, reason) {
  const word = t(state === "stopping" ? "stopping_run" : state);
  const why = reason ? ` (${t(reason === "paused" ? "paused_reason" : reason)})` : "";
  return el("span", { class: tone(state) }, el("span", { class: `state${state === "running" ? " is-running" : ""}`, "aria-hidden": "true" }), word + why);
}

/** The last ends of an instance, oldest first, as bars as high as they took long. */
export function strip(rows) {
  const longest = Math.max(1, ...rows.map((row) => row.took_s ?? 0));
  const bars = rows.map((row) => {
    const share = row.took_s == null ? 0.18 : Math.max(0.18, Math.sqrt(row.took_s / longest));
    const said = `${t(row.state)}${row.reason ? ` (${t(row.reason)})` : ""}${row.took_s == null ? "" : `, ${span(row.took_s)}`}`;
    const bar = el("a", { class: tone(row.state), href: `#/run/${row.run}`, title: said, "aria-label": `${t("run")} ${row.run}: ${said}` });
    bar.style.height = `${Math.round(26 * share)}px`;
    return bar;
  });
  return el("div", { class: "strip" }, bars, bars.length ? null : el("span", { class: "dim" }, t("never")));
}

/** Used of a limit, as a bar. */
export function meter(used, limit) {
  const share = limit > 0 ? Math.min(1, used / limit) : 0;
  const fillBar = el("i", { class: share >= 1 ? "bad" : share > 0.8 ? "odd" : undefined });
  fillBar.style.width = `${share * 100}%`;
  return el("div", { class: "bar", role: "meter", "aria-valuemin": 0, "aria-valuemax": limit, "aria-valuenow": used, "aria-label": `${used} / ${limit}` }, fillBar);
}

/** A course of numbers over time; `points` are [instant, number]. */
export function curve(points, { width = 220, height = 40, top, label } = {}) {
  if (points.length < 2) return null;
  const times = points.map(([at]) => Date.parse(at));
  const [first, last] = [times[0], times.at(-1)];
  const most = Math.max(top ?? 0, 1, ...points.map(([, value]) => value));
  const x = (at) => ((at - first) / Math.max(1, last - first)) * width;
  const y = (value) => height - 2 - (value / most) * (height - 6);
  const line = points.map(([, value], index) => `${x(times[index]).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    svg("polygon", { class: "area", points: `0,${height} ${line} ${width},${height}` }), svg("polyline", { class: "curve", points: line }));
}

/** Today: a row for each instance with its hours, what ran, what was skipped, what is to come, and now. */
export function timeline(day, width) {
  const [from, to, now] = [day.from, day.to, day.now].map((at) => Date.parse(at));
  const left = width < 620 ? 96 : 190;
  const [rowHeight, head] = [22, 20];
  const height = head + day.instances.length * rowHeight + 4;
  const x = (at) => left + ((Math.min(Math.max(at, from), to) - from) / (to - from)) * (width - left - 8);
  const hours = Array.from({ length: Math.round((to - from) / 3_600_000 / 3) + 1 }, (_, index) => from + index * 3 * 3_600_000);
  const grid = hours.map((at) => [
    svg("line", { class: "grid-line", x1: x(at), x2: x(at), y1: head - 4, y2: height }),
    at < to ? svg("text", { class: "axis", x: x(at) + 2, y: 12 }, clock(at, day.zone)) : null,
  ]);
  const rows = day.instances.map((instance, index) => {
    const y = head + index * rowHeight;
    const open = instance.open.map(([begins, ends]) => svg("rect", { class: "open", x: x(Date.parse(begins)), y: y + 2, width: Math.max(0, x(Date.parse(ends)) - x(Date.parse(begins))), height: rowHeight - 4 }));
    const bars = instance.bars.map((bar) => {
      const [begins, ends] = [x(Date.parse(bar.from)), x(Date.parse(bar.to))];
      const isSkip = bar.state === "skipped";
      const mark = svg("rect", { class: bar.state, x: begins, y: y + (isSkip ? 8 : 5), width: Math.max(isSkip ? 2 : 2.5, ends - begins), height: isSkip ? 6 : 12, rx: 1.5 },
        svg("title", {}, `${instance.instance} ${clock(bar.from, day.zone, { seconds: true })}: ${t(bar.state)}${bar.reason ? ` (${t(bar.reason)})` : ""}${bar.count > 1 ? ` × ${bar.count}` : ""}`));
      return bar.run ? svg("a", { href: `#/run/${bar.run}`, tabindex: "-1" }, mark) : mark;
    });
    const fires = instance.fires.map((at) => svg("circle", { class: "next", cx: x(Date.parse(at)), cy: y + 11, r: 2.2 }, svg("title", {}, clock(at, day.zone))));
    const most = Math.floor(left / 7);
    const name = instance.instance.length > most ? `${instance.instance.slice(0, most - 1)}…` : instance.instance;
    return [open, svg("a", { href: `#/task/${encodeURIComponent(instance.instance)}` }, svg("text", { x: 0, y: y + 15 }, svg("title", {}, instance.instance), name)), fires, bars];
  });
  const line = now >= from && now <= to ? svg("line", { class: "now", x1: x(now), x2: x(now), y1: head - 6, y2: height }) : null;
  return svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": t("timeline_label") }, grid.flat(), rows.flat(3), line);
}
