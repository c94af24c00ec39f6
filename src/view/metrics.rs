//! The metrics: what was counted, and what the state and the store say now.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{
    Desk, StatusPage,
    accounts::{AccountView, logins},
    desk::DeskError,
    queue::StandingView,
    quotas::QuotaView,
};
use crate::{
    core::event::RunEnd,
    shop::{
        product::Platform,
        upload::{State, Work},
    },
    store::{
        notices::Wants,
        shop::{JobCount, Parked},
    },
    tally::{self, Family, Kind, Page, of_instance},
};

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind: Kind::Gauge, labels }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind: Kind::Counter, labels }
}

const INSTANCE: &[&str] = &["task", "account"];
const ACCOUNT: &[&str] = &["platform", "account"];
const LANE: &[&str] = &["kind", "source"];

static BUILD: Family = gauge("taskrun_build_info", &["version"], "1, with the version of the program.");
static STARTED: Family = gauge("taskrun_start_timestamp_seconds", &[], "When this process started.");
static CLOCK: Family = gauge("taskrun_clock_timestamp_seconds", &[], "What time it is for the tasks; not the real time in practice.");
static PRACTICE: Family = gauge("taskrun_practice", &[], "1 in practice, where nothing real is touched.");
static STOPPING: Family = gauge("taskrun_stopping", &[], "1 while it stops.");
static DEGRADED: Family =
    gauge("taskrun_degraded_reasons", &[], "How many things are wrong with the daemon itself; `taskrun status` names them.");
static RELOAD_OK: Family = gauge("taskrun_last_reload_successful", &[], "0 while the last reload is refused.");
static LOADED: Family = gauge("taskrun_last_reload_success_timestamp_seconds", &[], "When the configuration in force was read.");
static ENABLED: Family = gauge("taskrun_task_enabled", INSTANCE, "Whether it fires by itself.");
static PAUSED: Family = gauge("taskrun_task_paused", INSTANCE, "Whether a person has paused it.");
static NEXT: Family =
    gauge("taskrun_task_next_fire_timestamp_seconds", INSTANCE, "When it will next start; missing where nothing is planned.");
static LAST: Family = gauge("taskrun_task_last_end_timestamp_seconds", INSTANCE, "When its last run or skip ended.");
static LAST_OK: Family = gauge("taskrun_task_last_end_successful", INSTANCE, "1 where its last run succeeded; missing after a skip.");
static SUCCESS: Family =
    gauge("taskrun_task_last_success_timestamp_seconds", INSTANCE, "When its last successful run ended; missing where none ever did.");
static OPEN: Family = gauge("taskrun_runs_open", &["phase"], "Open runs of the daemon by what they are doing.");
static RUNNING: Family = gauge("taskrun_task_runs_open", INSTANCE, "Open runs of the daemon.");
static DONE: Family = gauge("taskrun_run_progress_items", INSTANCE, "How many items the open run has done.");
static TOTAL: Family = gauge("taskrun_run_expected_items", INSTANCE, "How many items the open run has in all; 0 where that is unknown.");
static QUOTA_LIMIT: Family = gauge("taskrun_quota_limit_calls", &["account", "operation"], "Calls that are allowed in each period.");
static QUOTA_PERIOD: Family = gauge("taskrun_quota_period_seconds", &["account", "operation"], "How long a period is.");
static QUOTA_USED: Family =
    gauge("taskrun_quota_used_calls", &["account", "operation", "purpose"], "Calls of this period; of the day where calls have a rate.");
static QUOTA_WAIT: Family = gauge("taskrun_quota_wait_seconds", &["account", "operation"], "How long the next call has to wait.");
static REFUSED: Family = counter(
    "taskrun_quota_refusals_total",
    &["account", "operation"],
    "Calls that the marketplace refused as too many; begins anew each day.",
);
static ITEMS: Family = gauge("taskrun_queue_items", &["platform", "account", "state"], "Items of the queue by state.");
static DEAD: Family = gauge("taskrun_queue_dead_items", ACCOUNT, "Items that are not tried again by themselves and wait for a person.");
static DUE: Family = gauge("taskrun_queue_due_items", ACCOUNT, "Items whose time has come.");
static OLDEST: Family =
    gauge("taskrun_queue_oldest_due_age_seconds", ACCOUNT, "How long the oldest of the due items has waited; 0 where none is due.");
static TODAY: Family = gauge("taskrun_queue_listed_today_items", ACCOUNT, "Items that count for the cap of the day.");
static CAP: Family = gauge("taskrun_queue_daily_limit_items", ACCOUNT, "The cap of the day.");
static WORK: Family = gauge("taskrun_work_items", &["kind", "source", "state"], "Jobs of the work queue by state.");
static WORK_DUE: Family = gauge("taskrun_work_due_items", LANE, "Jobs whose time has come.");
static WORK_OLDEST: Family =
    gauge("taskrun_work_oldest_due_age_seconds", LANE, "How long the oldest of the due jobs has waited; 0 where none is due.");
static WORK_DEAD: Family = gauge("taskrun_work_dead_items", LANE, "Jobs that are not tried again by themselves and wait for a person.");
static SENT: Family = counter("taskrun_notices_sent_total", &["channel"], "Messages that a channel took; counted by the store.");
static UNSENT: Family =
    gauge("taskrun_notices_failures_in_row", &["channel"], "Messages that a channel did not take, since it last took one.");
static WAITING: Family = gauge("taskrun_notices_waiting", &["channel"], "Notices that a channel has still to tell.");
static LISTED: Family = gauge("taskrun_data_products", &[], "Products that are listed anywhere.");
static TOO_OLD: Family = gauge("taskrun_data_stale_products", &[], "Those whose data is too old to be written by, or was never fetched.");
static NEVER: Family = gauge("taskrun_data_never_fetched_products", &[], "Those whose data was never fetched.");
static AGE: Family = gauge("taskrun_data_oldest_age_seconds", &[], "The age of the oldest data of a listed product.");
static MAX_AGE: Family = gauge("taskrun_data_max_age_seconds", &[], "How old data may be that a sync writes by.");
static ACCESS: Family = gauge("taskrun_token_access_left_seconds", ACCOUNT, "How long the access token still works.");
static REFRESH_AGE: Family = gauge("taskrun_token_refresh_age_seconds", ACCOUNT, "How old the refresh token is.");
static REFRESH_LEFT: Family = gauge("taskrun_token_refresh_left_seconds", ACCOUNT, "How long the refresh token still works.");
static TOKEN_DEAD: Family = gauge("taskrun_token_refused", ACCOUNT, "1 where a person has to log in again.");
static PARKED: Family = gauge("taskrun_account_parked", &["platform", "account", "cause"], "1 while the account is not called, by why.");
static ACCOUNT_ON: Family = gauge("taskrun_account_enabled", ACCOUNT, "Whether the account is in use.");
static PROXY: Family = gauge("taskrun_account_proxy", ACCOUNT, "1 where the account's calls go through a proxy.");
static LOG_FAILED: Family = counter("taskrun_log_write_failures_total", &[], "Lines that did not reach a log file.");
static LOG_DROPPED: Family = counter("taskrun_log_console_drops_total", &[], "Lines that the console was too slow for.");

/// What an open run may be doing.
const PHASES: &[&str] = &["judged", "lock_wait", "waiting", "queued", "starting", "running", "stopping", "backoff", "not_yet", "closing"];

impl Desk {
    /// All metrics.
    ///
    /// # Errors
    /// The engine stops. What the store does not say is left out.
    pub async fn metrics(&self) -> Result<Page, DeskError> {
        let status = self.status().await?;
        let mut page = self.tally.page();
        // Known before the first time, so that the first failure is seen as a change.
        page.add(&tally::STORE_FAILED, &[], 0.0);
        for result in ["applied", "refused"] {
            page.add(&tally::RELOADS, &[result], 0.0);
        }
        daemon(&mut page, &status);
        tasks(&mut page, &status);
        self.successes(&mut page).await;
        runs(&mut page, &status);
        let now = self.now();
        for quota in &status.quotas {
            of_quota(&mut page, quota, now);
        }
        data(&mut page, &status, now);
        self.of_accounts(&mut page, now).await;
        for standing in self.queue().await.unwrap_or_default() {
            of_queue(&mut page, &standing, now);
        }
        for source in self.config().sources.keys() {
            for work in [Work::Check, Work::Replace] {
                no_work(&mut page, [work.word(), source]);
            }
        }
        for count in self.shop.job_counts(now).await.unwrap_or_default() {
            of_work(&mut page, &count, now);
        }
        self.of_channels(&mut page, now).await;
        page.take_in(tally::OUTBOUND.page());
        if let Some(log) = &self.log {
            page.set(&LOG_FAILED, &[], float(log.write_failures()));
            page.set(&LOG_DROPPED, &[], float(log.console_drops()));
        }
        Ok(page)
    }

    async fn successes(&self, page: &mut Page) {
        let names = self.config().instances.keys().cloned().collect();
        for last in self.runs.last_successes(names).await.unwrap_or_default() {
            page.set(&SUCCESS, &of_instance(last.instance.as_str()), last.ended_at.as_duration().as_secs_f64());
        }
    }

    async fn of_accounts(&self, page: &mut Page, now: Timestamp) {
        let config = self.config();
        for known in logins(&*self.shop, &config, now).await.unwrap_or_default() {
            let account = known.view(now, &config.timezone);
            of_account(page, &account);
            let labels = [account.platform, &*account.account];
            let proxy = config.accounts.get(&*account.account).is_some_and(|account| account.proxy.is_some());
            page.set(&PROXY, &labels, flag(proxy));
            if known.key.platform != Platform::Amazon {
                // Sellers list nothing; a shop whose queue was never used has nothing in it.
                for family in [&DEAD, &DUE, &OLDEST] {
                    page.add(family, &labels, 0.0);
                }
                for state in State::ALL {
                    page.add(&ITEMS, &[account.platform, &account.account, state.word()], 0.0);
                }
            }
        }
    }

    /// The channels that are in use.
    async fn of_channels(&self, page: &mut Page, now: Timestamp) {
        let (config, rows) = (self.config(), self.outbox.channels().await.unwrap_or_default());
        for channel in config.notify.channels.iter().filter(|channel| channel.enabled) {
            let labels = [&*channel.name];
            if let Some(row) = rows.iter().find(|row| row.name == channel.name) {
                page.set(&SENT, &labels, f64::from(row.sent));
                page.set(&UNSENT, &labels, f64::from(row.failures));
            }
            // Only how many there are is asked, not when they are due.
            let wants = Wants {
                channel: Arc::clone(&channel.name),
                events: Arc::clone(&channel.events),
                min_level: channel.min_level,
                gather: SignedDuration::ZERO,
                repeat_after: SignedDuration::ZERO,
                flap: SignedDuration::ZERO,
            };
            if let Ok(waiting) = self.outbox.waiting(wants, now).await {
                page.set(&WAITING, &labels, f64::from(waiting));
            }
        }
    }
}

/// A lane that nothing was ever in.
fn no_work(page: &mut Page, lane @ [kind, source]: [&str; 2]) {
    for family in [&WORK_DUE, &WORK_OLDEST, &WORK_DEAD] {
        page.add(family, &lane, 0.0);
    }
    for state in State::ALL {
        page.add(&WORK, &[kind, source, state.word()], 0.0);
    }
}

/// Uploads are counted by account: see [`of_queue`].
fn of_work(page: &mut Page, count: &JobCount, now: Timestamp) {
    if count.lane.work == Work::Upload {
        return;
    }
    let lane @ [kind, source] = [count.lane.work.word(), &*count.lane.source];
    no_work(page, lane);
    page.add(&WORK, &[kind, source, count.state.word()], f64::from(count.jobs));
    if matches!(count.state, State::Failed | State::Uncertain) {
        page.add(&WORK_DEAD, &lane, f64::from(count.jobs));
    }
    page.add(&WORK_DUE, &lane, f64::from(count.due));
    if let Some(oldest) = count.oldest_due {
        page.set(&WORK_OLDEST, &lane, now.duration_since(oldest).as_secs_f64().max(0.0));
    }
}

fn daemon(page: &mut Page, status: &StatusPage) {
    let status = &status.status;
    page.set(&BUILD, &[&status.version], 1.0);
    instant(page, &STARTED, &[], Some(&status.started_at));
    instant(page, &CLOCK, &[], Some(&status.now));
    page.set(&PRACTICE, &[], flag(status.practice_speed.is_some()));
    page.set(&STOPPING, &[], flag(status.stopping));
    page.set(&DEGRADED, &[], float(status.degraded.len() as u64));
    page.set(&RELOAD_OK, &[], flag(status.config.last_reload_faults.is_empty()));
    instant(page, &LOADED, &[], Some(&status.config.loaded_at));
}

fn tasks(page: &mut Page, status: &StatusPage) {
    for view in &status.status.instances {
        let labels = of_instance(&view.instance);
        page.set(&ENABLED, &labels, flag(view.enabled));
        page.set(&PAUSED, &labels, flag(view.paused.is_some()));
        instant(page, &NEXT, &labels, view.next_at.as_ref());
        let [task, account] = labels;
        for end in [RunEnd::Succeeded, RunEnd::Failed, RunEnd::TimedOut] {
            page.add(&tally::RUNS, &[task, account, end.word()], 0.0);
        }
        page.add(&tally::STARVING, &labels, 0.0);
        if let Some(last) = &view.last {
            instant(page, &LAST, &labels, last.ended_at.as_ref());
            if last.state != "skipped" {
                page.set(&LAST_OK, &labels, flag(last.state == RunEnd::Succeeded.word()));
            }
        }
    }
}

fn runs(page: &mut Page, status: &StatusPage) {
    for phase in PHASES {
        page.set(&OPEN, &[phase], 0.0);
    }
    for run in &status.status.runs {
        let labels = of_instance(&run.instance);
        page.add(&OPEN, &[&run.phase], 1.0);
        page.add(&RUNNING, &labels, 1.0);
        page.set(&DONE, &labels, float(run.done));
        page.set(&TOTAL, &labels, float(run.total));
    }
}

fn of_quota(page: &mut Page, quota: &QuotaView, now: Timestamp) {
    let labels = [&*quota.account, &*quota.operation];
    page.set(&QUOTA_LIMIT, &labels, whole(quota.limit));
    page.set(&QUOTA_PERIOD, &labels, quota.per_s);
    let by = &quota.used_by;
    for (purpose, used) in [("sync", by.sync), ("upload", by.upload), ("manual", by.manual)] {
        page.set(&QUOTA_USED, &[&quota.account, &quota.operation, purpose], whole(used));
    }
    let wait = quota.next_at.parse::<Timestamp>().map_or(0.0, |next| next.duration_since(now).as_secs_f64().max(0.0));
    page.set(&QUOTA_WAIT, &labels, wait);
    page.set(&REFUSED, &labels, whole(quota.refused_today));
}

fn data(page: &mut Page, status: &StatusPage, now: Timestamp) {
    let Some(data) = &status.data else { return };
    page.set(&LISTED, &[], f64::from(data.listed));
    page.set(&TOO_OLD, &[], f64::from(data.too_old));
    page.set(&NEVER, &[], f64::from(data.never_fetched));
    page.set(&MAX_AGE, &[], data.max_age_s);
    if let Some(Ok(at)) = data.oldest_fetched_at.as_ref().map(|at| at.parse::<Timestamp>()) {
        page.set(&AGE, &[], now.duration_since(at).as_secs_f64());
    }
}

fn of_account(page: &mut Page, account: &AccountView) {
    let labels = [account.platform, &*account.account];
    page.set(&ACCOUNT_ON, &labels, flag(account.enabled));
    page.set(&TOKEN_DEAD, &labels, flag(account.refused.is_some()));
    let ages = [(&ACCESS, account.access_left_s), (&REFRESH_AGE, account.refresh_age_s), (&REFRESH_LEFT, account.refresh_left_s)];
    for (family, seconds) in ages {
        if let Some(seconds) = seconds {
            page.set(family, &labels, whole(seconds));
        }
    }
    for cause in Parked::ALL {
        let parked = account.parks.iter().any(|park| park.cause == cause.word());
        page.set(&PARKED, &[account.platform, &account.account, cause.word()], flag(parked));
    }
}

fn of_queue(page: &mut Page, standing: &StandingView, now: Timestamp) {
    let labels = [standing.platform, &*standing.account];
    for (state, items) in &standing.items {
        page.set(&ITEMS, &[standing.platform, &standing.account, state], f64::from(*items));
    }
    let dead = ["failed", "uncertain"].iter().filter_map(|state| standing.items.get(state)).sum::<u32>();
    page.set(&DEAD, &labels, f64::from(dead));
    page.set(&DUE, &labels, f64::from(standing.due));
    let oldest = standing.oldest_due_at.as_ref().and_then(|at| at.parse::<Timestamp>().ok());
    page.set(&OLDEST, &labels, oldest.map_or(0.0, |at| now.duration_since(at).as_secs_f64().max(0.0)));
    page.set(&TODAY, &labels, f64::from(standing.today));
    if let Some(cap) = standing.daily_limit {
        page.set(&CAP, &labels, f64::from(cap));
    }
}

fn instant(page: &mut Page, family: &'static Family, labels: &[&str], at: Option<&String>) {
    if let Some(Ok(at)) = at.map(|at| at.parse::<Timestamp>()) {
        page.set(family, labels, at.as_duration().as_secs_f64());
    }
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nobody counts")]
fn float(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "beyond 2^53 nobody counts")]
fn whole(number: i64) -> f64 {
    number as f64
}
