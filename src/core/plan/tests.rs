#![expect(clippy::arithmetic_side_effects, reason = "a test may overflow loudly")]
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::core::{
    schedule::Schedule,
    task::{Backoff, InstanceName, OnLost, Overlap, RetryPolicy, TaskName},
    timing::{
        Timing,
        tests::{at, cron, every, hours, timing},
    },
    value::Params,
};

fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

pub(crate) fn instance(schedule: Schedule, catch_up: CatchUp) -> Instance {
    let retries = RetryPolicy { max: 0, delay: seconds(60), backoff: Backoff::Fixed, max_delay: seconds(60), jitter: 0.0 };
    Instance {
        name: InstanceName::from("sync"),
        task: TaskName::from("sync"),
        account: None,
        handler: "sync".into(),
        enabled: true,
        timing: timing(vec![schedule], "UTC"),
        catch_up,
        start_deadline: None,
        overlap: Overlap::LastWins,
        locks: Vec::new(),
        lock_wait: seconds(0),
        retries,
        timeout: None,
        deadline: None,
        grace: seconds(30),
        takeover: seconds(30),
        on_lost: OnLost::Retry,
        resumable: true,
        parks: true,
        needs: Vec::new(),
        after_success: Vec::new(),
        with: Params::default(),
    }
}

/// All that is due by `now`, call by call: `skips; asked`.
fn answers(instance: &Instance, watermark: &str, now: &str) -> Vec<String> {
    let (mut watermark, now) = (at(watermark), at(now));
    let mut answers = Vec::new();
    while let Some(due) = due(instance, watermark, now, Anchors::default(), false) {
        assert!(due.upto > watermark, "the watermark moves");
        let time = |at: Timestamp| at.strftime("%H:%M");
        let mut words: Vec<String> = due
            .skips
            .iter()
            .map(|skip| {
                let plus = if skip.at_least { "+" } else { "" };
                format!("{} {}-{} x{}{plus}", skip.reason, time(skip.first_at), time(skip.last_at), skip.count)
            })
            .collect();
        words.extend(due.asked.map(|asked| format!("{} {}", asked.trigger, time(asked.fire_at))));
        answers.push(words.join(", "));
        watermark = due.upto;
    }
    answers
}

#[test]
fn a_fire_in_time_is_a_run() {
    for catch_up in CatchUp::ALL {
        let hourly = instance(cron("0 * * * *"), *catch_up);
        assert_eq!(answers(&hourly, "2026-03-30T08:00Z", "2026-03-30T08:59:59.999Z"), Vec::<String>::new(), "{catch_up}");
        assert_eq!(answers(&hourly, "2026-03-30T08:00Z", "2026-03-30T09:00Z"), ["schedule 09:00"], "{catch_up}");
        assert_eq!(answers(&hourly, "2026-03-30T08:00Z", "2026-03-30T09:01Z"), ["schedule 09:00"], "60 s are not late: {catch_up}");
    }
}

#[test]
fn what_becomes_of_misfires_is_up_to_the_policy() {
    let (down_at, back_at) = ("2026-03-30T08:30Z", "2026-03-30T12:10Z");
    for (catch_up, expected) in [
        (CatchUp::None, vec!["misfire 09:00-12:00 x4"]),
        (CatchUp::Latest, vec!["misfire 09:00-11:00 x3, catch_up 12:00"]),
        (CatchUp::All, vec!["catch_up 09:00", "catch_up 10:00", "catch_up 11:00", "catch_up 12:00"]),
    ] {
        assert_eq!(answers(&instance(cron("0 * * * *"), catch_up), down_at, back_at), expected, "{catch_up}");
    }
}

#[test]
fn back_within_a_minute_of_a_fire_that_fire_is_in_time() {
    for (catch_up, expected) in [
        (CatchUp::None, vec!["misfire 09:00-11:00 x3, schedule 12:00"]),
        (CatchUp::Latest, vec!["misfire 09:00-11:00 x3, schedule 12:00"]),
        (CatchUp::All, vec!["catch_up 09:00", "catch_up 10:00", "catch_up 11:00", "schedule 12:00"]),
    ] {
        assert_eq!(answers(&instance(cron("0 * * * *"), catch_up), "2026-03-30T08:30Z", "2026-03-30T12:00:30Z"), expected, "{catch_up}");
    }
}

#[test]
fn fires_that_another_has_followed_are_caught_up_one_by_one_even_within_a_minute() {
    let fast = instance(cron("*/20 * * * * *"), CatchUp::All);
    let answers = answers(&fast, "2026-03-30T08:59:50Z", "2026-03-30T09:00:45Z");
    assert_eq!(answers, ["catch_up 09:00", "catch_up 09:00", "schedule 09:00"]);
}

#[test]
fn a_misfire_older_than_the_start_deadline_is_not_caught_up() {
    for (catch_up, deadline, expected) in [
        (CatchUp::Latest, 600, vec!["misfire 09:00-11:00 x3, catch_up 12:00"]),
        (CatchUp::Latest, 599, vec!["misfire 09:00-12:00 x4"]),
        (CatchUp::All, 2 * 3600, vec!["misfire 09:00-10:00 x2, catch_up 11:00", "catch_up 12:00"]),
        (CatchUp::All, 10, vec!["misfire 09:00-12:00 x4"]),
    ] {
        let late = Instance { start_deadline: Some(seconds(deadline)), ..instance(cron("0 * * * *"), catch_up) };
        assert_eq!(answers(&late, "2026-03-30T08:30Z", "2026-03-30T12:10Z"), expected, "{catch_up} {deadline}");
    }
    let strict = Instance { start_deadline: Some(seconds(10)), ..instance(cron("0 * * * *"), CatchUp::Latest) };
    assert_eq!(
        answers(&strict, "2026-03-30T08:30Z", "2026-03-30T09:00:30Z"),
        ["misfire 09:00-09:00 x1"],
        "a deadline below a minute holds"
    );
}

#[test]
fn a_long_backlog_is_cut_to_the_newest() {
    let minutes = instance(cron("* * * * *"), CatchUp::All);
    let answers = answers(&minutes, "2026-03-30T08:00Z", "2026-03-30T10:00Z");
    assert_eq!(answers.len(), BACKLOG_MAX);
    assert_eq!((answers[0].as_str(), answers[99].as_str()), ("misfire 08:01-08:20 x20, catch_up 08:21", "schedule 10:00"));
}

#[test]
fn catching_up_waits_while_a_catch_up_run_is_open() {
    let (watermark, now) = (at("2026-03-30T08:30Z"), at("2026-03-30T12:10Z"));
    let busy = |catch_up| due(&instance(cron("0 * * * *"), catch_up), watermark, now, Anchors::default(), true);
    assert_eq!(busy(CatchUp::All), None);
    assert!(busy(CatchUp::Latest).is_some() && busy(CatchUp::None).is_some());
}

#[test]
fn closed_fires_keep_their_reason_and_later_ones_are_answered_later() {
    let gated = |timing: Timing| Timing { hours: Some(hours("09:00-12:00", &[])), ..timing };
    for (catch_up, expected) in [
        (CatchUp::None, vec!["outside_hours 06:00-08:00 x3, misfire 09:00-11:00 x3, outside_hours 12:00-14:00 x3"]),
        (CatchUp::Latest, vec!["outside_hours 06:00-08:00 x3, misfire 09:00-10:00 x2, catch_up 11:00", "outside_hours 12:00-14:00 x3"]),
        (
            CatchUp::All,
            vec!["outside_hours 06:00-08:00 x3, catch_up 09:00", "catch_up 10:00", "catch_up 11:00", "outside_hours 12:00-14:00 x3"],
        ),
    ] {
        let plain = instance(cron("0 * * * *"), catch_up);
        let gated = Instance { timing: gated(plain.timing.clone()), ..plain };
        assert_eq!(answers(&gated, "2026-03-30T05:00Z", "2026-03-30T14:00Z"), expected, "{catch_up}");
    }
}

#[test]
fn deferred_fires_run_at_the_opening() {
    let plain = instance(cron("0 * * * *"), CatchUp::Latest);
    let timing = Timing { hours: Some(hours("08:30-12:00", &[])), defer: true, ..plain.timing.clone() };
    let gated = Instance { timing, ..plain };
    assert_eq!(answers(&gated, "2026-03-30T06:30Z", "2026-03-30T08:00Z"), ["outside_hours 07:00-08:00 x2"]);
    assert_eq!(answers(&gated, "2026-03-30T08:00Z", "2026-03-30T08:30Z"), ["schedule 08:30"]);
}

#[test]
fn the_splay_moves_the_start_and_not_the_fire() {
    let plain = instance(cron("0 * * * *"), CatchUp::None);
    let moved = Instance { timing: Timing { splay: seconds(30), ..plain.timing.clone() }, ..plain };
    let (watermark, anchors) = (at("2026-03-30T08:00Z"), Anchors::default());
    assert_eq!(next_start(&moved, watermark, anchors), Some(at("2026-03-30T09:00:30Z")));
    assert_eq!(answers(&moved, "2026-03-30T08:00Z", "2026-03-30T09:00:29.999Z"), Vec::<String>::new());
    assert_eq!(answers(&moved, "2026-03-30T08:00Z", "2026-03-30T09:00:30Z"), ["schedule 09:00"]);
    assert_eq!(answers(&moved, "2026-03-30T08:00Z", "2026-03-30T09:01:30Z"), ["schedule 09:00"]);
    assert_eq!(answers(&moved, "2026-03-30T08:00Z", "2026-03-30T09:01:30.001Z"), ["misfire 09:00-09:00 x1"]);
}

#[test]
fn a_disabled_instance_is_never_due() {
    let disabled = Instance { enabled: false, ..instance(cron("* * * * *"), CatchUp::Latest) };
    assert_eq!(due(&disabled, at("2026-03-30T08:00Z"), at("2026-03-30T09:00Z"), Anchors::default(), false), None);
    assert_eq!(next_start(&disabled, at("2026-03-30T08:00Z"), Anchors::default()), None);
}

#[test]
fn a_watermark_in_the_future_silences() {
    let minutes = instance(cron("* * * * *"), CatchUp::Latest);
    assert_eq!(due(&minutes, at("2098-01-01T00:00Z"), at("2026-03-30T09:00Z"), Anchors::default(), false), None);
}

#[test]
fn a_clock_ten_years_ahead_gives_one_run_and_a_bounded_history() {
    let (watermark, now) = ("2026-03-30T08:00Z", "2036-03-30T08:00:20Z");
    for (catch_up, expected) in [
        (CatchUp::None, vec!["misfire 08:01-07:59 x1001+, schedule 08:00"]),
        (CatchUp::Latest, vec!["misfire 08:01-07:59 x1001+, schedule 08:00"]),
    ] {
        assert_eq!(answers(&instance(cron("* * * * *"), catch_up), watermark, now), expected, "{catch_up}");
    }
    let all = answers(&instance(cron("* * * * *"), CatchUp::All), watermark, now);
    assert_eq!((all.len(), all[0].as_str()), (BACKLOG_MAX, "misfire 08:01-06:20 x1001+, catch_up 06:21"));
    let plain = instance(cron("* * * * *"), CatchUp::Latest);
    let gated = Instance {
        timing: Timing { hours: Some(hours("mon-fri 09:00-18:00", &["2036-03-28..2036-04-30"])), defer: true, ..plain.timing.clone() },
        ..plain
    };
    let answers = answers(&gated, watermark, now);
    assert_eq!(answers.len(), 2);
    assert!(answers[0].starts_with("outside_hours 08:01-08:59 x59, misfire 09:00-17:59 x540, outside_hours"), "{answers:?}");
    assert!(answers[0].ends_with("+, catch_up 17:59"), "{answers:?}");
    assert!(answers[1].starts_with("outside_hours 18:00-08:00 x") && answers[1].ends_with('+'), "{answers:?}");
}

#[test]
fn a_clock_ten_years_ahead_is_decided_at_once() {
    // A thousand take half a second where the code is optimised.
    let minutes = instance(cron("* * * * *"), CatchUp::Latest);
    let started = std::time::UNIX_EPOCH.elapsed().unwrap();
    for _ in 0..20 {
        due(&minutes, at("2026-03-30T08:00Z"), at("2036-03-30T08:00:20Z"), Anchors::default(), false).unwrap();
    }
    assert!(std::time::UNIX_EPOCH.elapsed().unwrap() < started + std::time::Duration::from_secs(1));
}

fn schedules() -> impl Strategy<Value = Vec<Schedule>> {
    let one = prop_oneof![
        Just(cron("*/7 * * * *")),
        Just(cron("30 2 * * *")),
        Just(cron("0 */3 * * *")),
        Just(cron("15 1,2,12 * * mon-fri")),
        (2_i64..300).prop_map(every),
        Just(Schedule::After { delay: seconds(5000) }),
        Just(Schedule::Start),
    ];
    prop::collection::vec(one, 1..3)
}

fn instances() -> impl Strategy<Value = Instance> {
    let gates = prop_oneof![Just(None), Just(Some(hours("mon-fri 09:00-18:00", &["2026-03-31"]))), Just(Some(hours("22:00-02:30", &[])))];
    let zones = prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe")];
    let deadlines = prop_oneof![Just(None), (1_i64..20_000).prop_map(|deadline| Some(seconds(deadline)))];
    (schedules(), gates, any::<bool>(), zones, 0..3_usize, deadlines, 0_i64..90).prop_map(
        |(schedules, hours, defer, zone, catch_up, start_deadline, splay)| {
            let plain = instance(Schedule::Start, CatchUp::ALL[catch_up]);
            let zone = jiff::tz::TimeZone::get(zone).unwrap();
            let timing = Timing { schedules, hours, defer, zone, splay: seconds(splay), ..plain.timing };
            Instance { timing, start_deadline, ..plain }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever the instants at which somebody looks, and however long nobody does, each fire is answered once and in order.
    #[test]
    fn every_fire_gets_exactly_one_answer(instance in instances(), waits in prop::collection::vec(prop_oneof![1_i64..200, 1_i64..50_000], 1..40)) {
        let from = at("2026-03-27T12:00:00.5Z");
        let anchors = Anchors { last_end: Some(at("2026-03-27T13:00Z")), start: Some(at("2026-03-28T20:00Z")) };
        let (mut now, mut watermark) = (from, from);
        let mut answered: BTreeMap<Timestamp, (u32, bool)> = BTreeMap::new();
        for wait in waits {
            now += seconds(wait);
            let mut calls = 0;
            while let Some(due) = due(&instance, watermark, now, anchors, false) {
                let until = now - instance.timing.splay;
                let runs_at = due.asked.map(|asked| asked.fire_at);
                let spans: Vec<(Timestamp, Timestamp)> =
                    due.skips.iter().map(|skip| (skip.first_at, skip.last_at)).chain(runs_at.map(|at| (at, at))).collect();
                let mut last = watermark;
                for (first_at, last_at) in &spans {
                    prop_assert!(last < *first_at && first_at <= last_at, "{spans:?} after {watermark}");
                    last = *last_at;
                }
                prop_assert_eq!((last, last <= until), (due.upto, true));
                for skip in &due.skips {
                    prop_assert!(!skip.at_least && skip.count > 0);
                    answered.insert(skip.last_at, (skip.count, false));
                }
                if let Some(asked) = due.asked {
                    answered.insert(asked.fire_at, (1, true));
                    let late = until.duration_since(asked.fire_at) > LATE_AFTER;
                    let followed = instance.catch_up == CatchUp::All && instance.timing.fires(watermark, anchors).latest_open(asked.fire_at, until).is_some();
                    prop_assert_eq!(asked.trigger == Trigger::CatchUp, late || followed);
                    prop_assert!(!(late && instance.catch_up == CatchUp::None));
                }
                watermark = due.upto;
                calls += 1;
                prop_assert!(calls <= 2 * BACKLOG_MAX);
            }
            let next = next_start(&instance, watermark, anchors);
            prop_assert!(next.is_none_or(|next| next > now), "nothing is left that is due: {:?} by {}", next, now);
        }
        // Count all fires anew, without looking at what was answered.
        if instance.timing.schedules.iter().any(|schedule| matches!(schedule, Schedule::After { .. })) {
            return Ok(());
        }
        let fires = instance.timing.fires(from, anchors);
        let expected: Vec<Fire> = std::iter::successors(fires.next(from), |fire| fires.next(fire.at)).take_while(|fire| fire.at <= watermark).collect();
        let count: u32 = answered.values().map(|(count, _)| *count).sum();
        prop_assert_eq!(usize::try_from(count), Ok(expected.len()));
        for (at, (_, ran)) in &answered {
            let fire = expected.iter().find(|fire| fire.at == *at);
            prop_assert!(fire.is_some_and(|fire| !ran || fire.closed.is_none()), "{} is a fire, and open if it ran", at);
        }
    }
}
