//! Real crontabs: each imported line fires at the instants at which cron runs it, over a year.
use std::{collections::BTreeSet, sync::LazyLock};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::{
    core::{
        task::{Instance, Overlap},
        timing::Anchors,
    },
    import::{Imported, crontab::Format},
};

use crate::{
    vixie::{Job, Span},
    world::{imported, instances, is_start},
};

/// A leap year.
const FROM: &str = "2028-01-01T00:00:00Z";
const DAYS: i64 = 366;
/// The clocks there change on 26 March and 29 October, and on 12 March and 5 November.
const ZONES: [&str; 4] = ["UTC", "Asia/Tokyo", "Europe/Berlin", "America/New_York"];

/// What fires more often in a year is compared on some days only, unless under `STRESS=1`.
const DENSE: usize = 10_000;
/// First day and number of days: ends of months, and the days on which the clocks change.
const WINDOWS: &[(i64, i64)] = &[(0, 2), (58, 3), (70, 3), (84, 3), (181, 1), (301, 3), (308, 3), (364, 2)];

pub(crate) const DEBIAN: &str = include_str!("crontabs/debian-crontab");
pub(crate) const CRON_D: &str = include_str!("crontabs/debian-cron.d");
pub(crate) const RICHS: &str = include_str!("crontabs/richs");

/// The times of a crontab's lines, taken out without taskrun's help.
fn times(crontab: &str) -> Vec<String> {
    let lines = crontab.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let entries = lines.filter(|line| line.starts_with(['@', '*', '-']) || line.starts_with(|c: char| c.is_ascii_digit()));
    entries
        .map(|line| {
            let words = line.trim_start_matches('-').split_whitespace();
            words.take(if line.starts_with('@') { 1 } else { 5 }).collect::<Vec<_>>().join(" ")
        })
        .collect()
}

/// The year in each zone.
static SPANS: LazyLock<Vec<(TimeZone, Span)>> = LazyLock::new(|| {
    let zones = ZONES.map(|zone| TimeZone::get(zone).unwrap());
    zones.into_iter().map(|zone| (zone.clone(), Span::new(FROM.parse().unwrap(), DAYS, &zone))).collect()
});

/// Compares what a task does with what cron does, in each zone.
#[derive(Default)]
pub(crate) struct Judge {
    /// Many lines have the same time.
    known: BTreeSet<(String, String)>,
}

impl Judge {
    pub(crate) fn compare(&mut self, instance: &Instance, time: &str) {
        if time == "@reboot" {
            assert!(is_start(instance), "{}", instance.name);
            return;
        }
        let text = instance.timing.schedules.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if !self.known.insert((text, time.to_owned())) {
            return;
        }
        let from: Timestamp = FROM.parse().unwrap();
        for (zone, span) in &*SPANS {
            let zone_name = zone.iana_name().unwrap();
            let expected = Job::read(time).runs(span);
            let mut timing = instance.timing.clone();
            timing.zone = zone.clone();
            let dense = DENSE < expected.len() && !is_stress();
            for (begin, days) in if dense { WINDOWS } else { &[(0, DAYS)] } {
                let (begin, end) = (from + SignedDuration::from_hours(24 * begin), from + SignedDuration::from_hours(24 * (begin + days)));
                let fire = |after| timing.next_after(after, Anchors::default()).map(|fire| fire.at);
                let mut after = begin - SignedDuration::from_nanos(1);
                let within = begin.as_second()..end.as_second();
                for minute in expected.iter().filter(|minute| within.contains(&(*minute * 60))) {
                    let due = Timestamp::from_second(minute * 60).unwrap();
                    assert_eq!(fire(after), Some(due), "`{time}` as {} in {zone_name}, after {after}", instance.name);
                    after = due;
                }
                let next = fire(after);
                assert!(next.is_none_or(|next| end <= next), "`{time}` in {zone_name}: {next:?} is one too many");
            }
        }
    }
}

fn is_stress() -> bool {
    std::env::var_os("STRESS").is_some()
}

fn holds(crontab: &str, format: Format) -> Imported {
    let imported = imported(crontab.as_bytes(), format);
    let (instances, times) = (instances(&imported.yaml), times(crontab));
    assert_eq!(instances.len(), times.len(), "{}", imported.yaml);
    let mut judge = Judge::default();
    for (instance, time) in instances.iter().zip(&times) {
        judge.compare(instance, time);
        assert_eq!((instance.overlap, &*instance.handler), (Overlap::Allow, "command"));
    }
    for comment in crontab.lines().filter(|line| line.starts_with('#')) {
        assert!(imported.yaml.contains(comment.trim()), "{comment}\n{}", imported.yaml);
    }
    imported
}

fn names(imported: &Imported) -> Vec<String> {
    instances(&imported.yaml).iter().map(|instance| instance.name.to_string()).collect()
}

#[test]
fn debians_own_crontab_fires_as_under_cron() {
    let imported = holds(DEBIAN, Format::Auto);
    assert_eq!(names(&imported), ["cron_hourly", "cron_daily", "cron_weekly", "cron_monthly"]);
    assert!(imported.remarks.is_empty(), "{:?}", imported.remarks);
    assert!(imported.yaml.contains("started by `root`"));
}

#[test]
fn what_debians_packages_bring_fires_as_under_cron() {
    let imported = holds(CRON_D, Format::Auto);
    let said: Vec<String> = imported.remarks.iter().map(ToString::to_string).collect();
    assert!(said.iter().all(|said| said.contains("`@reboot` becomes `@start`")), "{said:?}");
    assert_eq!(imported.remarks.len(), 1);
    assert!(imported.yaml.contains("[ $(date +%d) -le 7 ]"), "{}", imported.yaml);
    assert!(imported.yaml.contains("- runuser\n      - -u\n      - www-data"), "{}", imported.yaml);
}

#[test]
fn the_ten_lines_of_the_old_back_office_fire_as_under_cron() {
    let imported = holds(RICHS, Format::Auto);
    let expected = [
        "check_item_yahoo",
        "check_item_mercari",
        "update_item_yahoo",
        "update_item_mercari",
        "update_feed_yahoo",
        "update_feed_mercari",
        "update_env",
        "delete_old_items",
        "check_background_jobs",
        "validate_mws_tokens",
    ];
    assert_eq!(names(&imported), expected);
    let said: Vec<String> = imported.remarks.iter().map(ToString::to_string).collect();
    assert!(said[0].contains("line 3: `MAILTO`: output is not mailed"), "{said:?}");
    assert_eq!(said.iter().filter(|said| said.contains("the `&` is gone")).count(), 4, "{said:?}");
    assert_eq!(said.len(), 5);
    assert!(imported.yaml.contains("--max-workers 14\" >> /tmp/check_item_yahoo_12.log 2>&1\n"), "{}", imported.yaml);
}

/// Whether cron takes a line that begins like a time for `NAME = value`.
fn is_setting(line: &str) -> bool {
    line.split_once('=').is_some_and(|(name, _)| !name.trim().contains(char::is_whitespace))
}

/// Each line that starts something is a task, or it is said why it is none.
fn is_taken_over(text: &str) {
    let imported = imported(text.as_bytes(), Format::System);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !times(line).is_empty() && !is_setting(line));
    let entries: BTreeSet<usize> = lines.map(|(number, _)| number).collect();
    let left_out: BTreeSet<usize> = imported.remarks.iter().filter(|remark| remark.left_out).map(|remark| remark.line).collect();
    let lost = entries.intersection(&left_out).count();
    assert_eq!(instances(&imported.yaml).len() + lost, entries.len(), "{:?}\n{}", imported.remarks, imported.yaml);
}

/// The files of this machine, where it has any; what Debian's are is in the tests above.
#[test]
fn this_machines_own_files_are_taken_over() {
    let files = std::fs::read_dir("/etc/cron.d").into_iter().flatten().flatten().map(|entry| entry.path());
    for file in files.chain(["/etc/crontab".into()]) {
        if let Ok(text) = std::fs::read_to_string(&file) {
            eprintln!("{}", file.display());
            is_taken_over(&text);
        }
    }
}

/// What may stand in somebody's own.
#[test]
fn whatever_an_administrator_left_there_is_taken_over_or_told_of() {
    for text in [
        "0 0 31 2 * root x\n",
        "CRON_TZ=Mars/Olympus\n0 5 * * * root x\n",
        "5 MIN=1\n0 5 * * * root x\n",
        "5=1\n6 = 7\n0 5 * * * root x\n",
        "0 5 * * * root x\n0 5 * * * ann y\n",
        "0 5 * * * ann x\n@daily ann y\n*/5 * * * *\n-0 5 * * * 1x\n",
        "BAD='a\n* * * * * root TOKEN=b c\n@weekend root x\n0 5 * * * root a \\\n5 b\n",
    ] {
        is_taken_over(text);
    }
}

/// What cronie decides and older crons do not: by the clock on the wall alone, the first time would be lost on the last Sunday of March and the second
/// come twice on the last of October.
#[test]
fn where_clocks_change_a_fixed_time_is_neither_lost_nor_doubled() {
    let imported = imported(b"30 2 * * * /bin/a\n*/30 2 * * * /bin/b\n", Format::User);
    let instances = instances(&imported.yaml);
    let fires = |index: usize, day: &str| -> Vec<String> {
        let mut timing = instances[index].timing.clone();
        timing.zone = TimeZone::get("Europe/Berlin").unwrap();
        let midnight = day.parse::<jiff::civil::Date>().unwrap().to_zoned(timing.zone.clone()).unwrap();
        let (from, end) = (midnight.timestamp(), midnight.tomorrow().unwrap().timestamp());
        let fires =
            std::iter::successors(timing.next_after(from, Anchors::default()), |fire| timing.next_after(fire.at, Anchors::default()));
        fires.take_while(|fire| fire.at < end).map(|fire| fire.at.to_zoned(timing.zone.clone()).strftime("%H:%M%z").to_string()).collect()
    };
    assert_eq!(fires(0, "2028-03-26"), ["03:00+0200"], "right after the gap");
    assert_eq!(fires(0, "2028-10-29"), ["02:30+0200"], "the first time");
    assert_eq!(fires(1, "2028-03-26"), Vec::<String>::new(), "with a star: by the clock on the wall");
    assert_eq!(fires(1, "2028-10-29"), ["02:00+0200", "02:30+0200", "02:00+0100", "02:30+0100"]);
}
