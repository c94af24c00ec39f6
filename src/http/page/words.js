// Everything the dashboard says, in English and Japanese.
const WORDS = {
  en: {
    overview: "Overview", runs: "Runs", queue: "Queue", accounts: "Accounts", logs: "Logs",
    live: "live", connecting: "connecting…", stale: "stale: the daemon does not answer (since {at})", stopping: "stopping",
    practice: "practice × {speed}", skip: "Skip to the content", unlock: "Unlock", lock: "Lock", language: "日本語", theme: "Theme: {theme}",
    auto: "auto", light: "light", dark: "dark",
    now: "Running now", nothing_runs: "Nothing runs.", left: "{left} left", today: "Today", tasks: "Tasks", task: "Task", schedule: "Schedule", last: "Last ends",
    next: "Next", result: "Last result", never: "not yet", by_hand: "by hand", disabled: "disabled", paused: "paused", paused_until: "paused until {at}",
    errors: "Trouble today", no_errors: "No run has failed today.", times: "{n} times", data: "Age of the data", data_listed: "{n} products are listed",
    data_old: "{n} too old to be written by", data_never: "{n} never read", oldest: "oldest read {ago}", quotas: "Marketplace limits", operation: "Limit", used: "Used", refused: "refused today: {n}",
    per: "per {span}", no_quotas: "No call has gone out yet.", queue_counts: "Upload queue", no_queue: "The queue is empty.", due: "due now: {n}", due_now: "Due now", limited: "limit used up", restricted: "restricted", login: "login needed", account: "Account",
    trigger: "Start now", pause: "Pause", resume: "Resume", cancel: "Cancel the run", why: "Why did it not run?",
    run: "Run", state: "State", due_at: "Due", started: "Started", took: "Took", text: "Result", attempts: "Attempts", attempt: "Attempt", outcome: "Outcome", log: "Log",
    all_tasks: "all tasks", failed_only: "only failures", more: "Older", no_runs: "No such run in the history.", no_log: "No line of this run in the logs.",
    succeeded: "succeeded", failed: "failed", timed_out: "timed out", superseded: "superseded", cancelled: "cancelled", lost: "lost", skipped: "skipped", running: "running",
    waiting: "waiting", queued: "queued", starting: "starting", backoff: "waits for a retry", not_yet: "waits for a limit", lock_wait: "waits for a lock", stopping_run: "stopping", closing: "closing",
    outside_hours: "outside hours", calendar: "not on this day", overlap: "an older run goes on", lock_busy: "lock is taken", misfire: "missed", paused_reason: "paused", needs_unmet: "need is unmet", parked: "account is parked",
    superseded_by: "superseded by run {run}", goes_on: "goes on {at}", trigger_word: "Started by", schedule_word: "schedule", catch_up: "catch-up", manual: "hand (once)", api: "hand (daemon)",
    ago: "{span} ago", in: "in {span}", just_now: "just now", token_age: "Login renewed", token_ends: "Login ends", cap: "Listed today", calls: "Calls", restarts: "Restarts today", last_error: "Last error", park: "Not called", until: "until {at}", until_person: "until a person says so",
    enabled: "enabled", fine: "fine", level: "Level", any_level: "all levels", follow: "follow", unlock_title: "Unlock changes",
    unlock_text: "Changes need the token: `token:` under `http:` in tasks.yaml, or the file http.token in the state directory. It is kept until this tab is closed.", token: "Token", ok: "OK", close: "Close",
    wrong_token: "The token was not accepted.", locked: "Unlock first: changes need the token.", done: "Done.", reason: "Reason (for your colleagues)", pause_title: "Pause {name}", for_how_long: "For how long", hour: "1 hour", until_morning: "12 hours", for_ever: "until I resume it",
    hours: "hours", timeline_label: "Runs of today by task; the same stands in the list of runs.", legend_open: "business hours", legend_next: "to come", quiet: "no runs today", zone: "Zone", hours_label: "Hours", overlap_label: "Overlap", handler: "Handler",
    trend: "last {span}", pending: "pending", uploading: "uploading", success: "done", uncertain: "uncertain", review: "review", on_hold: "on hold", dead: "failed", check: "check", replace: "replace", upload: "upload", work: "Work",
    next_fires: "Next fires", error_load: "This could not be read: {error}", reload: "Reload tasks.yaml", config: "tasks.yaml", read_at: "read {ago}", version: "taskrun {version}, pid {pid}", up_since: "up for {span}", listed_at: "{n} of {limit}",
    notes: "Note", every_status: "all states", item: "Item", product: "Product", priority: "Priority", problem: "Problem", oldest_due: "oldest due {ago}",
  },
  ja: {
    overview: "概要", runs: "実行履歴", queue: "キュー", accounts: "アカウント", logs: "ログ",
    live: "稼働中", connecting: "接続中…", stale: "更新停止：デーモンが応答しません（{at} から）", stopping: "停止処理中",
    practice: "練習 × {speed}", skip: "本文へ", unlock: "ロック解除", lock: "ロック", language: "English", theme: "配色：{theme}",
    auto: "自動", light: "ライト", dark: "ダーク",
    now: "実行中", nothing_runs: "実行中のタスクはありません。", left: "残り {left}", today: "今日", tasks: "タスク", task: "タスク", schedule: "スケジュール", last: "最近の結果",
    next: "次回", result: "前回の結果", never: "まだなし", by_hand: "手動のみ", disabled: "無効", paused: "一時停止中", paused_until: "{at} まで一時停止",
    errors: "今日の問題", no_errors: "今日、失敗した実行はありません。", times: "{n} 回", data: "データの鮮度", data_listed: "出品中 {n} 商品",
    data_old: "{n} 件は古すぎて書き込みに使えません", data_never: "{n} 件は未取得", oldest: "最古の取得 {ago}", quotas: "API の制限", operation: "制限", used: "使用", refused: "本日の拒否：{n}",
    per: "{span} あたり", no_quotas: "まだ API を呼び出していません。", queue_counts: "出品キュー", no_queue: "キューは空です。", due: "期限到来 {n} 件", due_now: "期限到来", limited: "制限に到達", restricted: "利用制限中", login: "再ログインが必要", account: "アカウント",
    trigger: "今すぐ実行", pause: "一時停止", resume: "再開", cancel: "実行を中止", why: "なぜ実行されなかったか",
    run: "実行", state: "状態", due_at: "予定時刻", started: "開始", took: "所要時間", text: "結果", attempts: "試行", attempt: "試行", outcome: "結果", log: "ログ",
    all_tasks: "すべてのタスク", failed_only: "失敗のみ", more: "さらに古いもの", no_runs: "該当する実行はありません。", no_log: "この実行のログ行はありません。",
    succeeded: "成功", failed: "失敗", timed_out: "時間切れ", superseded: "新しい実行に交代", cancelled: "中止", lost: "行方不明", skipped: "スキップ", running: "実行中",
    waiting: "待機", queued: "順番待ち", starting: "開始中", backoff: "再試行待ち", not_yet: "制限の解除待ち", lock_wait: "ロック待ち", stopping_run: "停止処理中", closing: "終了処理中",
    outside_hours: "営業時間外", calendar: "対象外の日", overlap: "前の実行が継続中", lock_busy: "ロック使用中", misfire: "実行できず", paused_reason: "一時停止中", needs_unmet: "前提が未達", parked: "アカウント休止中",
    superseded_by: "実行 {run} に交代", goes_on: "{at} に再開", trigger_word: "起動", schedule_word: "スケジュール", catch_up: "遅れて実行", manual: "手動（once）", api: "手動（デーモン）",
    ago: "{span}前", in: "{span}後", just_now: "たった今", token_age: "認証の更新", token_ends: "認証の期限", cap: "本日の出品", calls: "呼び出し", restarts: "本日の再起動", last_error: "最後のエラー", park: "休止", until: "{at} まで", until_person: "人が解除するまで",
    enabled: "有効", fine: "正常", level: "レベル", any_level: "全レベル", follow: "追従", unlock_title: "変更のロック解除",
    unlock_text: "変更にはトークンが必要です。tasks.yaml の `http:` の `token:`、または状態ディレクトリの http.token にあります。このタブを閉じるまで保持します。", token: "トークン", ok: "OK", close: "閉じる",
    wrong_token: "トークンが正しくありません。", locked: "先にロックを解除してください。変更にはトークンが必要です。", done: "完了しました。", reason: "理由（同僚のために）", pause_title: "{name} を一時停止", for_how_long: "期間", hour: "1 時間", until_morning: "12 時間", for_ever: "再開するまで",
    hours: "時間", timeline_label: "今日の実行（タスク別）。同じ内容は実行履歴にあります。", legend_open: "営業時間", legend_next: "予定", quiet: "今日の実行なし", zone: "タイムゾーン", hours_label: "営業時間", overlap_label: "重複時", handler: "ハンドラ",
    trend: "直近 {span}", pending: "待機", uploading: "出品中", success: "完了", uncertain: "不明", review: "要確認", on_hold: "保留", dead: "失敗", check: "在庫確認", replace: "代替探し", upload: "出品", work: "作業",
    next_fires: "今後の予定", error_load: "読み込めませんでした：{error}", reload: "tasks.yaml を再読込", config: "tasks.yaml", read_at: "{ago}に読込", version: "taskrun {version}、pid {pid}", up_since: "稼働 {span}", listed_at: "{n} / {limit}",
    notes: "メモ", every_status: "すべての状態", item: "項目", product: "商品", priority: "優先度", problem: "問題", oldest_due: "最古の期限 {ago}",
  },
};

const UNITS = { en: [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]], ja: [["日", 86400], ["時間", 3600], ["分", 60], ["秒", 1]] };

let language = localStorage.getItem("taskrun.language") ?? (navigator.language.startsWith("ja") ? "ja" : "en");

export const currentLanguage = () => language;

export function setLanguage(next) {
  language = next;
  localStorage.setItem("taskrun.language", next);
  document.documentElement.lang = next;
}

/** The word or sentence for a key, with {parts} filled in. A state that has no word yet is shown as it is. */
export function t(key, parts = {}) {
  const text = WORDS[language][key] ?? WORDS.en[key] ?? String(key).replaceAll("_", " ");
  return text.replace(/\{(\w+)\}/g, (whole, name) => parts[name] ?? whole);
}

/** A duration in at most two units. */
export function span(seconds) {
  if (seconds == null || Number.isNaN(seconds)) return "";
  if (seconds < 1) return language === "ja" ? "1秒未満" : "under 1s";
  if (seconds < 10) return `${Math.round(seconds * 10) / 10}${UNITS[language][3][0]}`;
  let rest = Math.round(seconds);
  const parts = [];
  for (const [unit, size] of UNITS[language]) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length) break;
    if (parts.length === 2) break;
  }
  return parts.join(language === "ja" ? "" : " ");
}

/** `3h ago` or `in 5m`, from the daemon's own time. */
export function relative(at, now) {
  if (!at) return "";
  const seconds = (new Date(at) - now) / 1000;
  if (Math.abs(seconds) < 1) return t("just_now");
  const rough = (s) => span(s >= 10 && s < 60 ? Math.round(s) : s >= 86400 ? Math.round(s / 3600) * 3600 : s >= 3600 ? Math.round(s / 60) * 60 : Math.round(s));
  return seconds < 0 ? t("ago", { span: rough(-seconds) }) : t("in", { span: rough(seconds) });
}

/** What the clock shows at an instant in a zone. */
export function clock(at, zone, { seconds = false, day = false } = {}) {
  if (!at) return "";
  const form = { timeZone: zone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (seconds) form.second = "2-digit";
  if (day) Object.assign(form, { month: "2-digit", day: "2-digit", weekday: "short" });
  return new Intl.DateTimeFormat(language, form).format(new Date(at));
}

document.documentElement.lang = language;
