//! Cron across clock changes: every change of the clocks in these zones, 2020 to 2037 and some famous older ones, against an oracle that walks
//! minute by minute as cronie's daemon does.
#![cfg(test)]
use std::fmt::Write;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::core::cron::CronExpr;

const ZONES: [&str; 14] = [
    "Africa/Cairo",
    "Africa/Casablanca",
    "America/Havana",
    "America/New_York",
    "America/Santiago",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Beirut",
    "Asia/Tokyo",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Europe/Dublin",
    "Pacific/Apia",
    "Pacific/Chatham",
];
/// Half an hour, a whole day lost, a new year without DST.
const FAMOUS: [(&str, &str); 5] = [
    ("Pacific/Apia", "2011-12-30T10:00Z"),
    ("Pacific/Kwajalein", "1993-08-21T12:00Z"),
    ("Asia/Pyongyang", "2015-08-14T15:00Z"),
    ("Asia/Pyongyang", "2018-05-04T15:00Z"),
    ("America/Caracas", "2016-05-01T07:00Z"),
];
/// Each change is walked through with this many of the expressions, in turn.
const EXPRESSIONS_A_CHANGE: usize = 20;
const AROUND: SignedDuration = SignedDuration::from_hours(26);

/// A job whose fields the oracle knows without reading the text.
struct Job {
    text: String,
    fixed: bool,
    /// One bit for each minute and hour.
    minutes: u64,
    hours: u64,
    sundays_only: bool,
}

/// One minute of the walk.
#[derive(Clone, Copy)]
struct Minute {
    at: Timestamp,
    /// Minutes of the wall clock since an arbitrary day.
    wall: i64,
}

impl Job {
    fn matches(&self, wall: i64) -> bool {
        let on = |set: u64, value: i64| set >> value & 1 == 1;
        // Day 0 is 1970-01-01, a Thursday.
        let sunday = wall.div_euclid(1440).rem_euclid(7) == 3;
        on(self.minutes, wall.rem_euclid(60)) && on(self.hours, wall.div_euclid(60).rem_euclid(24)) && (sunday || !self.sundays_only)
    }
}

/// A linear congruential generator: the same jobs every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % sides) as usize
    }
}

/// A field as text, whether it begins with a star, and its values.
fn field(dice: &mut Dice, size: usize, sparse: bool) -> (String, bool, u64) {
    let set = |matches: &dyn Fn(usize) -> bool| (0..size).filter(|value| matches(*value)).fold(0, |set, value| set | 1 << value);
    let step = [1, 2, 3, 5, 10, 15][dice.below(6)].min(size / 2);
    let from = if size == 24 { dice.below(5) } else { dice.below(60) };
    match dice.below(if sparse { 3 } else { 5 }) {
        0 | 1 => (from.to_string(), false, 1 << from),
        2 => {
            let second = (from + dice.below(30)) % size;
            (format!("{from},{second}"), false, 1 << from | 1 << second)
        }
        3 if from < size - 1 => (format!("{from}-{}/{step}", size - 1), false, set(&|value| value >= from && (value - from) % step == 0)),
        _ => (format!("*/{step}"), true, set(&|value| value % step == 0)),
    }
}

fn jobs() -> Vec<Job> {
    let mut dice = Dice(7);
    let job = |_| {
        let (minute, minute_star, minutes) = field(&mut dice, 60, false);
        let (hour, hour_star, hours) = field(&mut dice, 24, !minute_star && minutes.count_ones() > 4);
        let sundays_only = dice.below(4) == 0;
        let text = format!("{minute} {hour} * * {}", if sundays_only { "sun" } else { "*" });
        Job { text, fixed: !minute_star && !hour_star, minutes, hours, sundays_only }
    };
    (0..300).map(job).collect()
}

/// The minutes around a change, with what the wall clock shows.
fn walk(zone: &TimeZone, change: Timestamp) -> Vec<Minute> {
    let minute = |n: i64| {
        let at = change - AROUND + SignedDuration::from_mins(n);
        Minute { at, wall: (at.as_second() + i64::from(zone.to_offset(at).seconds())).div_euclid(60) }
    };
    (0..=AROUND.as_mins() * 2).map(minute).collect()
}

/// When cronie would start the job, going from minute to minute.
fn oracle(job: &Job, minutes: &[Minute]) -> Vec<Timestamp> {
    let mut fires = Vec::new();
    // The minute of the wall clock up to which fixed jobs are done.
    let mut done = minutes[0].wall;
    for pair in minutes.windows(2) {
        let (before, now) = (pair[0].wall, pair[1]);
        let change = now.wall - before - 1;
        let correction = change.abs() > 180;
        if correction {
            done = now.wall - 1;
        }
        let due = if job.fixed { (done + 1..=now.wall).any(|wall| job.matches(wall)) } else { job.matches(now.wall) };
        if due {
            fires.push(now.at);
        }
        done = done.max(now.wall);
    }
    fires
}

fn ours(expr: &CronExpr, zone: &TimeZone, minutes: &[Minute]) -> Vec<Timestamp> {
    let (first, last) = (minutes[0].at, minutes[minutes.len() - 1].at);
    std::iter::successors(expr.next_after(first, zone), |at| expr.next_after(*at, zone)).take_while(|at| *at <= last).collect()
}

#[test]
fn every_clock_change_is_handled_as_cronie_does() {
    let (from, until): (Timestamp, Timestamp) = ("2020-01-01T00:00Z".parse().unwrap(), "2038-01-01T00:00Z".parse().unwrap());
    let jobs: Vec<(CronExpr, Job)> = jobs().into_iter().map(|job| (CronExpr::parse(&job.text).unwrap(), job)).collect();
    let mut changes: Vec<(&str, TimeZone, Timestamp)> = Vec::new();
    for name in ZONES {
        let zone = TimeZone::get(name).unwrap();
        // A zone without changes is walked through, too.
        let mut found: Vec<Timestamp> = zone.following(from).map(|change| change.timestamp()).take_while(|at| *at < until).collect();
        found.push("2026-03-29T01:00Z".parse().unwrap());
        changes.extend(found.into_iter().map(|at| (name, zone.clone(), at)));
    }
    changes.extend(FAMOUS.map(|(name, at)| (name, TimeZone::get(name).unwrap(), at.parse().unwrap())));
    let (mut compared, mut fires, mut wrong) = (0, 0, String::new());
    let mut turn = jobs.iter().cycle();
    for (name, zone, change) in &changes {
        let minutes = walk(zone, *change);
        for (expr, job) in turn.by_ref().take(EXPRESSIONS_A_CHANGE) {
            let (expected, found) = (oracle(job, &minutes), ours(expr, zone, &minutes));
            compared += 1;
            fires += expected.len();
            if expected != found {
                let differ = expected.iter().zip(&found).find(|(expected, found)| expected != found);
                writeln!(wrong, "`{}` in {name} around {change}: {differ:?} of {} and {}", job.text, expected.len(), found.len()).unwrap();
            }
        }
    }
    println!("{} changes, {compared} walks, {fires} fires", changes.len());
    assert!(wrong.is_empty(), "{wrong}");
    assert!(changes.len() > 350 && fires > 100_000, "the walk went through {} changes and {fires} fires", changes.len());
}
