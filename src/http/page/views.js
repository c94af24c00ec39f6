// The pages. Each gives the nodes it is made of.
import { get } from "./api.js";
import { curve, el, meter, stateMark, strip, timeline, tone } from "./draw.js";
import { relative, span, t } from "./words.js";

const STRIP = 20;

/** A table: titles, rows of cells. Numbers stand right. */
function table(caption, titles, rows) {
  const head = el("tr", {}, titles.map((title) => el("th", { scope: "col" }, title)));
  // On a phone each row is a card, and its cells carry their titles themselves.
  for (const row of rows) [...row.children].forEach((child, index) => { child.dataset.title = titles[index] ?? ""; });
  return el("div", { class: "scroll" }, el("table", {}, caption ? el("caption", {}, caption) : null, el("thead", {}, head), el("tbody", {}, rows)));
}

const cell = (...children) => el("td", {}, ...children);
const wide = (...children) => el("td", { class: "wide" }, ...children);
const num = (...children) => el("td", { class: "num" }, ...children);
const dash = () => el("span", { class: "dim" }, "–");
/** What is not there yet, as another version of the daemon would answer, is left out. */
const orNull = (promise) => promise.catch(() => null);

function section(title, ...children) {
  return el("section", {}, el("h2", {}, title), ...children);
}

// ---------------------------------------------------------------- overview

export async function overview(app) {
  const [day, ends, errors, trends, queue] = await Promise.all(
    [orNull(get("timeline")), orNull(get("ends", { count: STRIP })), orNull(get("runs", { failed: true, since: midnight(app), limit: 200 })), orNull(get("trends")), orNull(get("queue"))]);
  return [
    el("h1", {}, t("overview")),
    el("div", { class: "grid" }, atWork(app), trouble(app, errors?.runs ?? []), freshness(app)),
    day ? section(t("today"), today(day)) : null,
    section(t("tasks"), tasks(app, ends ?? {})),
    el("div", { class: "grid" }, limits(app, trends), queueCard(queue, trends)),
    about(app),
  ].filter(Boolean);
}

/** Midnight in the daemon's zone, as an instant. */
function midnight(app) {
  const now = app.now();
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: app.zone, hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" }).format(new Date(now)).split(":").map(Number);
  return new Date(now - ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000 - (now % 1000)).toISOString();
}

function atWork(app) {
  const runs = app.status?.runs ?? [];
  return el("section", { id: "at-work" }, el("h2", {}, t("now")), runs.length ? runs.map((run) => work(app, run)) : el("p", { class: "dim" }, t("nothing_runs")));
}

function work(app, run) {
  const share = run.total > 0 ? Math.min(1, run.done / run.total) : null;
  const left = run.left_s == null ? "" : t("left", { left: span(run.left_s) });
  const until = run.until ? t("goes_on", { at: app.clock(run.until) }) : "";
  const howFar = run.total > 0 ? `${run.done} / ${run.total} (${Math.floor(share * 100)} %)` : run.done > 0 ? `${run.done}` : "";
  return el("div", { class: "work" },
    el("div", { class: "line" }, el("a", { class: "name", href: `#/run/${run.run}` }, run.instance), stateMark(run.phase), el("span", { class: "dim" }, run.started_at ? relative(run.started_at, app.now()) : ""),
      app.unlocked() ? el("button", { class: "danger", type: "button", "data-key": `cancel-${run.run}`, click: () => app.order("cancel", { run: run.run }) }, t("cancel")) : el("span", {})),
    share === null ? null : el("progress", { max: 1, value: share, "aria-label": `${run.instance}: ${howFar}` }),
    el("div", { class: "line dim" }, el("span", {}, [howFar, left, until].filter(Boolean).join(" · ")), el("span", {}, run.note)));
}

/** Only what is at work is drawn anew. */
export function progress(app) {
  const old = document.getElementById("at-work");
  if (old && !old.contains(document.activeElement)) old.replaceWith(atWork(app));
}

/** Failures with the same words of the same task are one. */
function trouble(app, rows) {
  const groups = new Map();
  for (const row of rows) {
    const key = `${row.instance}\n${(row.text ?? row.state).replace(/\d+/g, "#")}`;
    const group = groups.get(key) ?? { row, count: 0 };
    group.count += 1;
    groups.set(key, group);
  }
  const lines = [...groups.values()].slice(0, 8).map(({ row, count }) => el("div", { class: "work" },
    el("div", { class: "line" }, el("a", { class: "name", href: `#/run/${row.run}` }, row.instance), stateMark(row.state), el("span", { class: "dim" }, count > 1 ? t("times", { n: count }) : "", " ", relative(row.ended_at, app.now()))),
    el("div", { class: "dim" }, row.text ?? "")));
  return section(t("errors"), lines.length ? lines : el("p", { class: "good" }, t("no_errors")));
}

function freshness(app) {
  const data = app.status?.data;
  if (!data) return null;
  const oldest = data.oldest_fetched_at;
  // What was never read is new, as a rule; what was read and is too old is trouble.
  const stale = data.too_old - data.never_fetched;
  return section(t("data"),
    el("p", { class: `big ${stale > 0 ? "bad" : "good"}` }, oldest ? t("oldest", { ago: relative(oldest, app.now()) }) : dash()),
    el("p", { class: "dim" }, t("data_listed", { n: data.listed })),
    stale > 0 ? el("p", { class: "bad" }, t("data_old", { n: stale })) : null,
    data.never_fetched > 0 ? el("p", { class: "odd" }, t("data_never", { n: data.never_fetched })) : null);
}

function today(day) {
  const room = Math.min(1440, document.getElementById("main").clientWidth || innerWidth) - 36;
  const key = (state, text) => el("span", { class: tone(state) }, el("span", { class: "state", "aria-hidden": "true" }), text);
  return [el("div", { class: "scroll" }, timeline(day, Math.max(460, room))),
    el("div", { class: "legend" }, ["succeeded", "failed", "superseded", "running", "skipped"].map((state) => key(state, t(state))), el("span", {}, `○ ${t("legend_next")}`))];
}

function tasks(app, ends) {
  const rows = (app.status?.instances ?? []).map((instance) => el("tr", {},
    cell(el("a", { class: "name", href: `#/task/${encodeURIComponent(instance.instance)}`, "data-key": `task-${instance.instance}` }, instance.instance), el("small", {}, `${instance.schedule}${instance.hours === "always" ? "" : ` · ${instance.hours}`}`)),
    cell(strip(ends[instance.instance] ?? [])),
    cell(nextFire(app, instance)),
    wide(lastEnd(app, instance)),
    cell(orders(app, instance))));
  return table(null, [t("task"), t("last"), t("next"), t("result"), ""], rows);
}

function nextFire(app, instance) {
  if (instance.paused) return el("span", { class: "odd" }, instance.paused.until ? t("paused_until", { at: app.clock(instance.paused.until, { day: true }) }) : t("paused"), el("small", {}, instance.paused.reason ?? ""));
  if (!instance.enabled) return el("span", { class: "dim" }, t("disabled"));
  if (!instance.next_at) return el("span", { class: "dim" }, t("by_hand"));
  return [app.clock(instance.next_at), el("small", {}, relative(new Date(Math.max(Date.parse(instance.next_at), app.now())), app.now()))];
}

function lastEnd(app, instance) {
  const last = instance.last;
  if (!last) return dash();
  return [el("a", { class: "name", href: `#/run/${last.run}` }, stateMark(last.state, last.reason)), " ", el("span", { class: "dim" }, relative(last.ended_at, app.now()), last.took_s == null ? "" : ` · ${span(last.took_s)}`), el("small", {}, last.text ?? "")];
}

function orders(app, instance) {
  if (!app.unlocked()) return null;
  const name = instance.instance;
  const rest = instance.paused
    ? el("button", { type: "button", "data-key": `resume-${name}`, click: () => app.order("resume", { name: instance.paused.name ?? name }) }, t("resume"))
    : el("button", { type: "button", "data-key": `pause-${name}`, click: () => pause(app, name) }, t("pause"));
  return el("div", { class: "row" }, el("button", { type: "button", "data-key": `trigger-${name}`, click: () => app.order("trigger", { name }) }, t("trigger")), rest);
}

async function pause(app, name) {
  const options = [["1", "hour"], ["12", "until_morning"], ["", "for_ever"]].map(([value, key]) => el("option", { value }, t(key)));
  const answer = await app.ask(t("pause_title", { name }), "", el("label", { class: "row" }, t("for_how_long"), el("select", { name: "hours" }, options)), el("label", { class: "row" }, t("reason"), el("input", { name: "reason", maxlength: 500 })));
  if (!answer) return;
  const until = answer.hours ? new Date(app.now() + Number(answer.hours) * 3_600_000).toISOString() : undefined;
  await app.order("pause", { name, until, reason: answer.reason || undefined });
}

function limits(app, trends) {
  const quotas = app.status?.quotas ?? [];
  const rows = quotas.map((quota) => {
    const course = (trends?.quotas ?? []).find((other) => other.account === quota.account && other.operation === quota.operation);
    const share = quota.burst ? el("span", { class: "dim" }, `1 ${t("per", { span: span(quota.per_s) })}`) : [meter(quota.used, quota.limit), el("small", {}, `${quota.used} / ${quota.limit} ${t("per", { span: span(quota.per_s) })}`)];
    return el("tr", {}, cell(el("strong", {}, quota.account), el("small", {}, quota.operation)), cell(share), num(quota.burst ? quota.used : ""),
      cell(course ? curve(course.points, { top: quota.burst ? undefined : quota.limit, label: `${quota.account} ${quota.operation}` }) : null), cell(quota.refused_today > 0 ? el("span", { class: "odd" }, t("refused", { n: quota.refused_today })) : null));
  });
  return section(t("quotas"), rows.length ? table(null, [t("operation"), t("used"), "", "", ""], rows) : el("p", { class: "dim" }, t("no_quotas")));
}

function queueCard(standings, trends) {
  const sums = new Map();
  for (const standing of standings ?? []) for (const [state, items] of Object.entries(standing.items)) sums.set(state, (sums.get(state) ?? 0) + items);
  const rows = [...sums].filter(([, items]) => items > 0).map(([state, items]) => {
    const course = (trends?.queue ?? []).find((other) => other.state === state);
    return el("tr", {}, cell(stateMark(state)), num(String(items)), cell(course ? curve(course.points, { label: t(state) }) : null));
  });
  const due = (standings ?? []).reduce((sum, standing) => sum + standing.due, 0);
  return section(t("queue_counts"), rows.length ? [table(null, [t("state"), "", ""], rows), el("p", { class: due ? "odd" : "dim" }, t("due", { n: due }))] : el("p", { class: "dim" }, t("no_queue")));
}

function about(app) {
  const status = app.status;
  if (!status) return null;
  return el("p", { class: "dim" }, [t("version", status), t("up_since", { span: span((app.now() - Date.parse(status.started_at)) / 1000) }), `${status.config.path}, ${t("read_at", { ago: relative(status.config.loaded_at, app.now()) })}`].join(" · "),
    app.unlocked() ? el("button", { type: "button", click: () => app.order("reload", {}) }, t("reload")) : null);
}

// ---------------------------------------------------------------- runs

const filter = { task: "", failed: false, shown: [], next: null, asked: null };

export async function runs(app) {
  const asked = `${filter.task} ${filter.failed}`;
  if (filter.asked !== asked) Object.assign(filter, { shown: [], next: null, asked });
  const page = await get("runs", { task: filter.task, failed: filter.failed, limit: 50 });
  // Older pages that somebody asked for stay where they are.
  const oldest = page.runs.at(-1)?.run ?? 0;
  const older = filter.shown.filter((row) => row.run < oldest);
  if (!older.length) filter.next = page.next;
  filter.shown = [...page.runs, ...older];
  const names = [...new Set((app.status?.instances ?? []).flatMap((instance) => [instance.task, instance.instance]))].sort();
  const choice = el("select", { "aria-label": t("task"), "data-key": "runs-task", change: (event) => { filter.task = event.target.value; event.target.blur(); app.redraw(); } },
    el("option", { value: "" }, t("all_tasks")), names.map((name) => el("option", { value: name, selected: name === filter.task }, name)));
  const failed = el("input", { type: "checkbox", "data-key": "runs-failed", checked: filter.failed, change: (event) => { filter.failed = event.target.checked; event.target.blur(); app.redraw(); } });
  const more = filter.next === null ? null : el("button", { type: "button", "data-key": "more", click: async () => {
    const older = await get("runs", { task: filter.task, failed: filter.failed, limit: 50, before: filter.next });
    filter.shown.push(...older.runs);
    filter.next = older.next;
    app.redraw();
  } }, t("more"));
  return [el("h1", {}, t("runs")), el("div", { class: "row" }, choice, el("label", {}, failed, " ", t("failed_only"))),
    el("section", {}, filter.shown.length ? runTable(app, filter.shown) : el("p", { class: "dim" }, t("no_runs"))), more].filter(Boolean);
}

function runTable(app, rows) {
  return table(null, [t("run"), t("task"), t("state"), t("due_at"), t("took"), t("text")], rows.map((row) => el("tr", {},
    num(el("a", { href: `#/run/${row.run}`, "data-key": `run-${row.run}` }, String(row.run))),
    cell(el("a", { class: "name", href: `#/task/${encodeURIComponent(row.instance)}` }, row.instance)),
    cell(stateMark(row.state, row.reason), row.count > 1 ? el("small", {}, `× ${row.count}${row.at_least ? "+" : ""}`) : null),
    cell(app.clock(row.fire_at, { seconds: true, day: true })), num(span(row.took_s)), wide(row.text ?? ""))));
}

export async function run(app, name) {
  const [row, log] = await Promise.all([get(`runs/${encodeURIComponent(name)}`), orNull(get(`runs/${encodeURIComponent(name)}/log?limit=1000`))]);
  const facts = [[t("task"), el("a", { href: `#/task/${encodeURIComponent(row.instance)}` }, row.instance)], [t("state"), [stateMark(row.state, row.reason), row.superseded_by ? ` (${t("superseded_by", { run: row.superseded_by })})` : ""]],
    [t("trigger_word"), t(row.trigger === "schedule" ? "schedule_word" : row.trigger)], [t("due_at"), app.clock(row.fire_at, { seconds: true, day: true })],
    [t("started"), app.clock(row.started_at, { seconds: true, day: true }) || dash()], [t("took"), span(row.took_s) || dash()], [t("text"), row.text ?? dash()]];
  const attempts = row.attempt_rows.map((attempt) => el("tr", {}, num(String(attempt.attempt)), cell(app.clock(attempt.started_at, { seconds: true, day: true })),
    cell(attempt.outcome ? stateMark(attempt.outcome) : stateMark("running")), num(attempt.ended_at ? span((Date.parse(attempt.ended_at) - Date.parse(attempt.started_at)) / 1000) : ""), wide(attempt.text ?? "")));
  const open = app.status?.runs.find((other) => other.run === row.run);
  return [el("h1", {}, `${t("run")} ${row.run}: ${row.instance}`), open ? section(t("now"), work(app, open)) : null,
    el("section", {}, el("dl", {}, facts.map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]))),
    attempts.length ? section(t("attempts"), table(null, [t("attempt"), t("started"), t("outcome"), t("took"), t("text")], attempts)) : null,
    section(t("log"), logLines(app, log ?? [], t("no_log")))].filter(Boolean);
}

function logLines(app, lines, none) {
  if (!lines.length) return el("p", { class: "dim" }, none);
  return el("pre", { class: "log", tabindex: 0 }, lines.map((line) => el("span", { class: line.level }, el("time", {}, line.ts ? app.clock(line.ts, { seconds: true, day: true }) : ""), ` ${String(line.level ?? "").toUpperCase()} ${line.instance ?? "taskrun"}${line.run ? `#${line.run}` : ""}: ${line.message}\n`)));
}

// ---------------------------------------------------------------- one task

export async function task(app, name) {
  const instances = (app.status?.instances ?? []).filter((instance) => instance.instance === name || instance.task === name);
  const [page, next] = await Promise.all([get("runs", { task: name, limit: 40 }), orNull(get("next", { task: name, limit: 8 }))]);
  const facts = instances.map((instance) => el("section", {}, el("div", { class: "row" }, el("h2", {}, instance.instance), orders(app, instance)),
    el("dl", {}, [[t("handler"), instance.handler], [t("schedule"), instance.schedule], [t("zone"), instance.zone], [t("hours_label"), instance.hours], [t("overlap_label"), instance.overlap.replace("_", " ")], [t("next"), nextFire(app, instance)], [t("result"), lastEnd(app, instance)]]
      .map(([term, value]) => [el("dt", {}, term), el("dd", {}, value)]))));
  const fires = next ?? [];
  const skips = page.runs.filter((row) => row.state === "skipped");
  return [el("h1", {}, name), el("div", { class: "grid" }, facts,
    fires.length ? section(t("next_fires"), el("ul", {}, fires.map((fire) => el("li", {}, app.clock(fire.at, { seconds: true, day: true }), " ", fire.skipped ? el("span", { class: "dim" }, `${t(fire.skipped)}${fire.note ? `: ${fire.note}` : ""}`) : fire.note ? el("span", { class: "odd" }, fire.note) : "")))) : null,
    section(t("why"), skips.length ? skips.slice(0, 8).map((row) => el("div", { class: "work" }, el("div", { class: "line" }, el("a", { href: `#/run/${row.run}` }, app.clock(row.fire_at, { day: true })), stateMark("skipped", row.reason), el("span", { class: "dim" }, row.count > 1 ? `× ${row.count}` : "")), el("div", { class: "dim" }, row.text ?? ""))) : el("p", { class: "dim" }, dash()))),
    section(t("runs"), page.runs.length ? runTable(app, page.runs) : el("p", { class: "dim" }, t("no_runs")))];
}

// ---------------------------------------------------------------- queue and accounts

const desk = { state: "" };

export async function queue(app) {
  const [standings, items] = await Promise.all([get("queue"), get("queue/items", { status: desk.state, limit: 100 })]);
  const states = [...new Set(standings.flatMap((standing) => Object.keys(standing.items)))];
  const some = states.filter((state) => standings.some((standing) => standing.items[state] > 0));
  const rows = standings.map((standing) => el("tr", {}, cell(el("strong", {}, standing.account), el("small", {}, standing.platform)),
    cell(standing.daily_limit ? [meter(standing.today, standing.daily_limit), el("small", {}, t("listed_at", { n: standing.today, limit: standing.daily_limit }))] : String(standing.today)),
    cell(String(standing.due), standing.oldest_due_at ? el("small", {}, t("oldest_due", { ago: relative(standing.oldest_due_at, app.now()) })) : null),
    some.map((state) => num(standing.items[state] ? String(standing.items[state]) : dash()))));
  const choice = el("select", { "aria-label": t("state"), "data-key": "queue-state", change: (event) => { desk.state = event.target.value; event.target.blur(); app.redraw(); } },
    el("option", { value: "" }, t("every_status")), states.map((state) => el("option", { value: state, selected: state === desk.state }, t(state))));
  return [el("h1", {}, t("queue")),
    section(t("queue_counts"), rows.length ? table(null, [t("account"), t("cap"), t("due_now"), ...some.map((state) => t(state))], rows) : el("p", { class: "dim" }, t("no_queue"))),
    items.length || desk.state ? el("section", {}, el("div", { class: "row" }, choice), table(null, [t("item"), t("account"), t("product"), t("state"), t("due_at"), t("priority"), t("problem")], items.map((item) => el("tr", {},
      num(String(item.id)), cell(item.account), cell(item.asin), cell(stateMark(item.state)), cell(app.clock(item.retry_at ?? item.scheduled_at, { day: true })), num(String(item.priority)), wide(item.error ?? ""))))) : null].filter(Boolean);
}

export async function accounts(app) {
  const list = await get("accounts");
  const cards = list.map((account) => {
    const parks = account.parks ?? [];
    const calls = (account.calls ?? []).map((call) => [el("dt", {}, call.operation), el("dd", {}, call.limit ? [meter(call.used, call.limit), el("small", { class: "dim" }, t("listed_at", { n: call.used, limit: call.limit }))] : String(call.used))]);
    return el("section", {}, el("div", { class: "row" }, el("h2", {}, account.account), el("span", { class: "pill" }, account.platform), account.enabled === false ? el("span", { class: "pill odd" }, t("disabled")) : parks.length || account.refused ? null : el("span", { class: "good" }, t("fine"))),
      parks.map((park) => el("p", { class: "bad" }, `${t("park")}: ${t(park.cause)}: ${park.detail}, `, park.until ? t("until", { at: app.clock(park.until, { day: true }) }) : t("until_person"))),
      account.refused ? el("p", { class: "bad" }, account.refused) : null,
      el("dl", {}, account.daily_limit != null ? [el("dt", {}, t("cap")), el("dd", {}, meter(account.listed_today ?? 0, account.daily_limit), el("small", { class: "dim" }, t("listed_at", { n: account.listed_today ?? 0, limit: account.daily_limit })))] : null,
        calls, el("dt", {}, t("token_age")), el("dd", {}, account.refresh_age_s == null ? dash() : t("ago", { span: span(account.refresh_age_s) })),
        el("dt", {}, t("token_ends")), el("dd", { class: account.refresh_left_s != null && account.refresh_left_s < 5 * 86400 ? "bad" : undefined }, account.refresh_left_s == null ? dash() : t("in", { span: span(account.refresh_left_s) })),
        el("dt", {}, t("restarts")), el("dd", {}, String(account.restarts_today ?? 0)),
        account.last_error ? [el("dt", {}, t("last_error")), el("dd", { class: "odd" }, account.last_error.text ?? "")] : null));
  });
  return [el("h1", {}, t("accounts")), el("div", { class: "grid" }, cards)];
}

// ---------------------------------------------------------------- logs

const wanted = { task: "", level: "" };

export async function logs(app) {
  const log = await get("logs", { task: wanted.task, level: wanted.level, limit: 400 });
  const pick = (key, label, first, values) => el("select", { "aria-label": label, "data-key": `logs-${key}`, change: (event) => { wanted[key] = event.target.value; event.target.blur(); app.redraw(); } },
    el("option", { value: "" }, first), values.map((value) => el("option", { value, selected: value === wanted[key] }, value)));
  const names = ["taskrun", ...new Set((app.status?.instances ?? []).map((instance) => instance.task))];
  const lines = logLines(app, log, t("no_log"));
  const old = document.querySelector("main .log");
  // Who has scrolled up, reads.
  const follows = !old || old.scrollHeight - old.scrollTop - old.clientHeight < 40;
  if (!follows) return null;
  requestAnimationFrame(() => { const shown = document.querySelector("main .log"); if (shown) shown.scrollTop = shown.scrollHeight; });
  return [el("h1", {}, t("logs")), el("div", { class: "row" }, pick("task", t("task"), t("all_tasks"), names), pick("level", t("level"), t("any_level"), ["error", "warn", "info", "debug"])), el("section", {}, lines)];
}
