//! The versions of tasks.yaml that the world goes through: every policy, with whatever makes it hard.
use std::sync::Arc;

use jiff::{SignedDuration, tz::TimeZone};
use taskrun::core::{
    calendar::{BusinessHours, Calendar, parse_dates, parse_windows},
    cron::CronExpr,
    order::{Need, NeedEnd},
    schedule::Schedule,
    task::{Backoff, CatchUp, Instance, InstanceSet, OnLost, Overlap, RetryPolicy},
    timing::Timing,
};

use crate::rng::Rng;

/// One version of tasks.yaml, as the engine sees it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) instances: InstanceSet,
    pub(crate) running_max: usize,
    pub(crate) shutdown_grace: SignedDuration,
}

pub(crate) fn secs(secs: i64) -> SignedDuration {
    SignedDuration::from_secs(secs)
}

fn every(interval: i64) -> Vec<Schedule> {
    vec![Schedule::Every { interval: secs(interval) }]
}

fn cron(text: &str) -> Schedule {
    Schedule::Cron { expr: Arc::new(CronExpr::parse(text).unwrap()), text: text.into() }
}

fn hours(text: &str, holidays: &[&str]) -> BusinessHours {
    let holidays = holidays.iter().map(|days| parse_dates(days).unwrap()).collect();
    BusinessHours { windows: parse_windows(text).unwrap(), holidays, text: text.into() }
}

fn locks(names: &[&str]) -> Vec<taskrun::core::task::LockName> {
    names.iter().map(|name| (*name).into()).collect()
}

fn instance(name: &str, overlap: Overlap, schedules: Vec<Schedule>) -> Instance {
    let (task, account) = name.split_once('@').map_or((name, None), |(task, account)| (task, Some(account.into())));
    let timing = Timing {
        schedules,
        zone: TimeZone::UTC,
        zone_name: "UTC".into(),
        hours: None,
        calendar: None,
        defer: false,
        splay: SignedDuration::ZERO,
    };
    Instance {
        name: name.into(),
        task: task.into(),
        account,
        handler: "practice".into(),
        enabled: true,
        timing,
        catch_up: CatchUp::Latest,
        start_deadline: None,
        overlap,
        locks: Vec::new(),
        lock_wait: SignedDuration::ZERO,
        retries: RetryPolicy { max: 2, delay: secs(5), backoff: Backoff::Fixed, max_delay: secs(60), jitter: 0.0 },
        timeout: Some(secs(300)),
        deadline: None,
        grace: secs(10),
        takeover: secs(30),
        on_lost: OnLost::Retry,
        resumable: true,
        parks: true,
        needs: Vec::new(),
        after_success: Vec::new(),
        with: taskrun::core::value::Params::default(),
    }
}

fn zoned(mut instance: Instance, zone: &str) -> Instance {
    instance.timing.zone = TimeZone::get(zone).unwrap();
    instance.timing.zone_name = zone.into();
    instance
}

/// What the shop's tasks.yaml says at first.
fn first() -> Vec<Instance> {
    use Overlap::{Allow, LastWins, Queue, Skip};
    let retries = |max, delay, backoff, jitter| RetryPolicy { max, delay: secs(delay), backoff, max_delay: secs(60), jitter };
    let spread = |mut instance: Instance, splay: i64| {
        instance.timing.splay = secs(splay);
        instance
    };
    let gated = |mut instance: Instance, text: &str, defer: bool| {
        instance.timing.hours = Some(hours(text, &["2026-11-26", "2026-12-31..2027-01-03"]));
        instance.timing.defer = defer;
        instance
    };
    let mut weekly = spread(zoned(instance("report", Skip, vec![cron("0,30 9-17 * * mon-fri"), Schedule::Start]), "America/New_York"), 20);
    weekly.timing.calendar = Some(Calendar { only: None, except: vec![parse_dates("2026-12-31..2027-01-03").unwrap()] });
    let follows = |mut instance: Instance, names: &[&str]| {
        instance.after_success = names.iter().map(|name| (*name).into()).collect();
        instance
    };
    let needs = |mut instance: Instance, of: &str, end, max_age: Option<i64>| {
        instance.needs.push(Need { of: of.into(), end, max_age: max_age.map(secs) });
        instance
    };
    vec![
        follows(
            Instance { locks: locks(&["amazon"]), ..instance("sync_inventory", LastWins, every(600)) },
            &["invoices", "ship", "stock", "upload_tick@base_1"],
        ),
        follows(needs(instance("invoices", Queue, vec![]), "sync_orders", NeedEnd::Succeeded, None), &["mail"]),
        needs(
            needs(instance("picking", Skip, every(80)), "sync_inventory", NeedEnd::Succeeded, Some(700)),
            "sync_messages",
            NeedEnd::Any,
            Some(400),
        ),
        follows(Instance { retries: retries(4, 2, Backoff::Exponential, 1.0), ..instance("sync_orders", LastWins, every(45)) }, &["feeds"]),
        Instance { timeout: Some(secs(40)), ..instance("sync_messages", Skip, every(60)) },
        Instance { locks: locks(&["base"]), deadline: Some(secs(240)), ..instance("upload_tick@base_1", Queue, every(75)) },
        Instance { catch_up: CatchUp::None, ..instance("upload_tick@base_2", Allow, every(90)) },
        needs(
            Instance { locks: locks(&["amazon", "base"]), lock_wait: secs(25), ..instance("prices", LastWins, every(150)) },
            "sync_orders",
            NeedEnd::Succeeded,
            Some(120),
        ),
        Instance { locks: locks(&["amazon"]), ..instance("stock", Skip, every(100)) },
        Instance { locks: locks(&["amazon"]), lock_wait: secs(90), deadline: Some(secs(120)), ..instance("feeds", Queue, every(200)) },
        Instance { on_lost: OnLost::Close, resumable: false, retries: retries(0, 5, Backoff::Fixed, 0.0), ..weekly },
        Instance {
            on_lost: OnLost::Close,
            ..gated(zoned(instance("ship", Skip, every(300)), "Europe/Berlin"), "mon-sat 06:00-23:00", false)
        },
        gated(zoned(instance("mail", LastWins, vec![cron("*/20 * * * *")]), "America/New_York"), "09:00-12:00, 13:00-18:00", true),
        instance("refresh_tokens", LastWins, vec![Schedule::After { delay: secs(120) }, Schedule::Start]),
        Instance {
            catch_up: CatchUp::All,
            start_deadline: Some(secs(3600)),
            retries: retries(1, 10, Backoff::Fixed, 0.5),
            ..instance("ledger", Skip, every(300))
        },
        Instance {
            start_deadline: Some(secs(600)),
            timeout: None,
            deadline: Some(secs(900)),
            ..instance("cleanup", Queue, vec![cron("*/7 * * * *")])
        },
        spread(zoned(instance("nightly", LastWins, vec![cron("30 2 * * *"), cron("15 */2 * * *")]), "Europe/Berlin"), 30),
        Instance { locks: locks(&["base"]), catch_up: CatchUp::All, lock_wait: secs(10), ..instance("backlog", LastWins, every(400)) },
    ]
}

/// The next version: what `before` says, with some of it changed by hand.
pub(crate) fn next(rng: &mut Rng, before: Option<&Config>) -> Config {
    let mut instances = InstanceSet::new();
    for first in first() {
        let kept = before.and_then(|before| before.instances.get(&first.name)).map(|kept| Instance::clone(kept));
        let removed = if before.is_some() { rng.chance(80) } else { rng.chance(30) };
        if removed {
            continue;
        }
        let mut instance = if rng.chance(120) { first } else { kept.unwrap_or(first) };
        if rng.chance(150) {
            change(rng, &mut instance);
        }
        instances.insert(instance.name.clone(), Arc::new(instance));
    }
    let running_max = usize::try_from(rng.between(2, 6)).unwrap();
    Config { instances, running_max, shutdown_grace: secs(rng.between(3, 20)) }
}

fn change(rng: &mut Rng, instance: &mut Instance) {
    match rng.below(11) {
        0 => instance.overlap = *rng.pick(Overlap::ALL),
        1 => instance.catch_up = *rng.pick(CatchUp::ALL),
        2 => instance.on_lost = *rng.pick(OnLost::ALL),
        3 => instance.retries.max = u32::try_from(rng.below(5)).unwrap(),
        4 => instance.lock_wait = secs(rng.below(60)),
        5 => instance.deadline = rng.chance(500).then(|| secs(rng.between(60, 600))),
        6 => instance.enabled = rng.chance(500),
        7 => instance.locks = locks(rng.pick::<&[&str]>(&[&[], &["amazon"], &["base"], &["amazon", "base"]])),
        8 => instance.timing.splay = secs(rng.below(40)),
        9 => instance.start_deadline = rng.chance(500).then(|| secs(rng.between(60, 3600))),
        _ => {
            for schedule in &mut instance.timing.schedules {
                if let Schedule::Every { interval } = schedule {
                    *interval = secs(rng.between(40, 400));
                }
            }
        }
    }
}
