use super::*;
use crate::core::{
    calendar::{parse_dates, parse_windows},
    cron::CronExpr,
};

pub(crate) fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn cron(text: &str) -> Schedule {
    Schedule::Cron { expr: Arc::new(CronExpr::parse(text).unwrap()), text: text.into() }
}

pub(crate) fn every(minutes: i64) -> Schedule {
    Schedule::Every { interval: SignedDuration::from_mins(minutes) }
}

pub(crate) fn timing(schedules: Vec<Schedule>, zone: &str) -> Timing {
    Timing {
        schedules,
        zone: TimeZone::get(zone).unwrap(),
        zone_name: zone.into(),
        hours: None,
        calendar: None,
        defer: false,
        splay: SignedDuration::ZERO,
    }
}

pub(crate) fn hours(text: &str, holidays: &[&str]) -> BusinessHours {
    let holidays = holidays.iter().map(|text| parse_dates(text).unwrap()).collect();
    BusinessHours { windows: parse_windows(text).unwrap(), holidays, text: text.into() }
}

fn except(dates: &[&str]) -> Calendar {
    Calendar { only: None, except: dates.iter().map(|text| parse_dates(text).unwrap()).collect() }
}

/// Fires as text: the wall clock, then `outside_hours` or `calendar`, or `deferred`.
fn shown(timing: &Timing, fires: impl Iterator<Item = Fire>) -> Vec<String> {
    fires
        .map(|fire| {
            let wall = fire.at.to_zoned(timing.zone.clone()).strftime("%a %H:%M").to_string();
            let what = fire.closed.map(SkipReason::word).or_else(|| fire.deferred.then_some("deferred"));
            what.map_or_else(|| wall.clone(), |what| format!("{wall} {what}"))
        })
        .collect()
}

fn all(timing: &Timing, from: &str, until: &str, anchors: Anchors) -> Vec<Fire> {
    let (from, until) = (at(from), at(until));
    let fires = timing.fires(from, anchors);
    std::iter::successors(fires.next(from), |fire| fires.next(fire.at)).take_while(|fire| fire.at <= until).collect()
}

fn next(timing: &Timing, from: &str, count: usize) -> Vec<String> {
    let fires = timing.fires(at(from), Anchors::default());
    shown(timing, std::iter::successors(fires.next(at(from)), |fire| fires.next(fire.at)).take(count))
}

#[test]
fn schedules_are_united_and_one_instant_fires_once() {
    let both = timing(vec![cron("0 9 * * *"), cron("0 9,12 * * mon"), every(12 * 60)], "UTC");
    assert_eq!(next(&both, "2026-03-30T00:00Z", 5), ["Mon 09:00", "Mon 12:00", "Tue 00:00", "Tue 09:00", "Tue 12:00"]);
}

#[test]
fn a_fire_outside_hours_or_on_an_excluded_day_is_closed() {
    let closed = Timing {
        hours: Some(hours("mon-fri 09:00-18:00", &["2026-04-01"])),
        calendar: Some(except(&["2026-03-31"])),
        ..timing(vec![cron("0 8,17 * * *")], "Asia/Tokyo")
    };
    assert_eq!(
        next(&closed, "2026-03-30T00:00+09:00", 6),
        [
            "Mon 08:00 outside_hours",
            "Mon 17:00",
            "Tue 08:00 calendar",
            "Tue 17:00 calendar",
            "Wed 08:00 outside_hours",
            "Wed 17:00 outside_hours"
        ]
    );
}

#[test]
fn closed_fires_are_deferred_to_the_next_opening_once() {
    let deferring =
        Timing { hours: Some(hours("mon-fri 09:00-18:00", &[])), defer: true, ..timing(vec![cron("0 */8 * * *")], "Asia/Tokyo") };
    assert_eq!(
        next(&deferring, "2026-04-03T10:00+09:00", 10),
        [
            "Fri 16:00",
            "Sat 00:00 outside_hours",
            "Sat 08:00 outside_hours",
            "Sat 16:00 outside_hours",
            "Sun 00:00 outside_hours",
            "Sun 08:00 outside_hours",
            "Sun 16:00 outside_hours",
            "Mon 00:00 outside_hours",
            "Mon 08:00 outside_hours",
            "Mon 09:00 deferred"
        ]
    );
}

#[test]
fn an_opening_without_anything_deferred_does_not_fire() {
    let rare = Timing {
        hours: Some(hours("09:00-12:00, 13:00-18:00", &[])),
        defer: true,
        ..timing(vec![cron("0 10 * * *"), cron("30 12 * * tue")], "UTC")
    };
    assert_eq!(
        next(&rare, "2026-03-30T00:00Z", 5),
        ["Mon 10:00", "Tue 10:00", "Tue 12:30 outside_hours", "Tue 13:00 deferred", "Wed 10:00"]
    );
}

#[test]
fn an_opening_and_a_fire_at_the_same_instant_are_one() {
    let both = Timing { hours: Some(hours("09:00-18:00", &[])), defer: true, ..timing(vec![cron("0 9,20 * * *")], "UTC") };
    assert_eq!(next(&both, "2026-03-30T00:00Z", 3), ["Mon 09:00 deferred", "Mon 20:00 outside_hours", "Tue 09:00 deferred"]);
}

#[test]
fn a_fire_is_not_deferred_to_a_day_that_the_calendar_excludes() {
    let excluded = Timing {
        hours: Some(hours("09:00-18:00", &[])),
        calendar: Some(except(&["2026-03-31"])),
        defer: true,
        ..timing(vec![cron("0 20 * * mon,tue")], "UTC")
    };
    assert_eq!(
        next(&excluded, "2026-03-30T00:00Z", 4),
        ["Mon 20:00 outside_hours", "Tue 20:00 calendar", "Wed 09:00 deferred", "Mon 20:00 outside_hours"]
    );
}

#[test]
fn a_calendar_of_one_day_defers_within_that_day() {
    let only = Calendar { only: Some(vec![parse_dates("2026-03-31").unwrap()]), except: Vec::new() };
    let once =
        Timing { hours: Some(hours("09:00-18:00", &[])), calendar: Some(only), defer: true, ..timing(vec![cron("0 3 * * *")], "UTC") };
    assert_eq!(
        next(&once, "2026-03-30T00:00Z", 4),
        ["Mon 03:00 calendar", "Tue 03:00 outside_hours", "Tue 09:00 deferred", "Wed 03:00 calendar"]
    );
}

#[test]
fn after_waits_out_closed_hours_and_then_fires_once() {
    let after = Schedule::After { delay: SignedDuration::from_hours(4) };
    let anchors = Anchors { last_end: Some(at("2026-03-30T15:00Z")), start: None };
    let plain = timing(vec![after.clone()], "UTC");
    assert_eq!(shown(&plain, all(&plain, "2026-03-30T16:00Z", "2026-04-30T00:00Z", anchors).into_iter()), ["Mon 19:00"]);
    assert_eq!(
        plain.next_after(at("2026-03-30T19:00Z"), anchors).map(|fire| fire.at),
        Some(at("2026-03-30T23:00Z")),
        "that fire became no run"
    );
    let gated = Timing { hours: Some(hours("09:00-18:00", &[])), ..plain.clone() };
    let until = "2026-04-30T00:00Z";
    let expected =
        ["Mon 19:00 outside_hours", "Mon 23:00 outside_hours", "Tue 03:00 outside_hours", "Tue 07:00 outside_hours", "Tue 11:00"];
    assert_eq!(shown(&gated, all(&gated, "2026-03-30T16:00Z", until, anchors).into_iter()), expected);
    let deferring = Timing { defer: true, ..gated };
    let fires = all(&deferring, "2026-03-31T08:00Z", until, anchors);
    assert_eq!(shown(&deferring, fires.into_iter()), ["Tue 09:00 deferred", "Tue 11:00"]);
}

#[test]
fn a_start_outside_hours_is_deferred() {
    let anchors = Anchors { last_end: None, start: Some(at("2026-03-30T20:00Z")) };
    let start = Timing { hours: Some(hours("09:00-18:00", &[])), defer: true, ..timing(vec![Schedule::Start], "UTC") };
    let fires = all(&start, "2026-03-30T19:00Z", "2026-05-30T19:00Z", anchors);
    assert_eq!(shown(&start, fires.into_iter()), ["Mon 20:00 outside_hours", "Tue 09:00 deferred"]);
}

/// Timings of many kinds.
fn samples() -> Vec<Timing> {
    let zones = ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Pacific/Apia"];
    let schedules = [
        vec![cron("* * * * *")],
        vec![every(7)],
        vec![cron("30 2 * * *"), cron("0 */5 * * *")],
        vec![cron("0 3 L * *")],
        vec![Schedule::After { delay: SignedDuration::from_mins(50) }, Schedule::Start],
    ];
    let gates = [
        (None, None),
        (Some(hours("mon-fri 09:00-18:00", &["2026-10-28"])), None),
        (Some(hours("22:00-02:30, sun 00:00-24:00", &[])), Some(except(&["2026-10-26..2026-10-27"]))),
        (None, Some(except(&["2026-10-25"]))),
    ];
    let mut samples = Vec::new();
    for zone in zones {
        for schedules in &schedules {
            for (hours, calendar) in &gates {
                for defer in [false, true] {
                    samples.push(Timing { hours: hours.clone(), calendar: calendar.clone(), defer, ..timing(schedules.clone(), zone) });
                }
            }
        }
    }
    samples
}

#[test]
fn bisection_finds_what_counting_finds() {
    let anchors = Anchors { last_end: Some(at("2026-10-24T03:00Z")), start: Some(at("2026-10-24T19:00Z")) };
    let (from, until) = ("2026-10-23T00:00Z", "2026-10-30T00:00Z");
    for timing in samples() {
        let fires = timing.fires(at(from), anchors);
        let counted = all(&timing, from, until, anchors);
        assert!(counted.windows(2).all(|pair| pair[0].at < pair[1].at), "{timing:?}");
        let mut probe = at(from);
        while probe < at(until) {
            let expected = counted.iter().rev().find(|fire| fire.at <= probe).copied();
            assert_eq!(fires.latest(at(from), probe), expected, "latest by {probe}: {timing:?}");
            let expected = counted.iter().rev().find(|fire| fire.at <= probe && fire.closed.is_none()).copied();
            assert_eq!(fires.latest_open(at(from), probe), expected, "latest open by {probe}: {timing:?}");
            if let Some(expected) = counted.iter().find(|fire| fire.at > probe && fire.closed.is_none()) {
                assert_eq!(fires.next_open(probe), Some(*expected), "next open after {probe}: {timing:?}");
            }
            let after = probe - SignedDuration::from_hours(20);
            let expected = counted.iter().rev().find(|fire| fire.at <= probe && fire.at > after).copied();
            assert_eq!(fires.latest(after.max(at(from)), probe), expected, "latest after {after} by {probe}: {timing:?}");
            probe += SignedDuration::from_secs(13 * 3600 + 7 * 60 + 30);
        }
    }
}

#[test]
fn a_timing_whose_every_fire_is_closed_never_counts() {
    let closed = Timing { hours: Some(hours("09:00-18:00", &[])), ..timing(vec![cron("0 3 * * *")], "UTC") };
    assert_eq!(closed.next_open_after(at("2026-03-30T00:00Z"), Anchors::default()), None);
}

#[test]
fn ten_years_of_minutes_are_bisected_and_not_counted() {
    let minutes = timing(vec![cron("* * * * *")], "Europe/Berlin");
    let (from, until) = (at("2026-01-01T00:00:30Z"), at("2036-01-01T00:00:30Z"));
    let started = std::time::UNIX_EPOCH.elapsed().unwrap();
    for _ in 0..1000 {
        let latest = minutes.latest_between(from, until, Anchors::default());
        assert_eq!(latest.map(|fire| fire.at), Some(at("2036-01-01T00:00Z")));
    }
    assert!(std::time::UNIX_EPOCH.elapsed().unwrap() < started + std::time::Duration::from_secs(1));
}

#[test]
fn a_preview_says_what_shifts_or_skips_a_fire() {
    let notes = |timing: &Timing, from: &str, count: usize| {
        let show = |preview: Preview| {
            let wall = preview.at.to_zoned(timing.zone.clone()).strftime("%a %H:%M");
            format!("{wall} {}", preview.note.as_deref().unwrap_or("-"))
        };
        preview(timing, at(from), count, Anchors::default()).into_iter().map(show).collect::<Vec<_>>()
    };
    let clocks = timing(vec![cron("30 2 * * *")], "Europe/Berlin");
    assert_eq!(notes(&clocks, "2026-03-28T12:00Z", 2), ["Sun 03:00 02:30 does not exist that day: runs at 03:00", "Mon 02:30 -"]);
    assert_eq!(notes(&clocks, "2026-10-24T12:00Z", 2), ["Sun 02:30 02:30 comes twice that day: runs the first time", "Mon 02:30 -"]);
    let gated =
        Timing { hours: Some(hours("mon-sat 06:00-20:00", &["2026-03-31"])), defer: true, ..timing(vec![cron("0 3,12 * * *")], "UTC") };
    assert_eq!(
        notes(&gated, "2026-03-30T00:00Z", 5),
        [
            "Mon 03:00 outside mon-sat 06:00-20:00",
            "Mon 06:00 the opening, for what was due before it",
            "Mon 12:00 -",
            "Tue 03:00 a holiday",
            "Tue 12:00 a holiday"
        ]
    );
}
