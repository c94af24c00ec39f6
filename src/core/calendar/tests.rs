use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn berlin() -> TimeZone {
    TimeZone::get("Europe/Berlin").unwrap()
}

fn hours(text: &str, holidays: &[&str]) -> BusinessHours {
    let holidays = holidays.iter().map(|text| parse_dates(text).unwrap()).collect();
    BusinessHours { windows: parse_windows(text).unwrap(), holidays, text: text.into() }
}

/// The openings and closings after an instant, as the wall clock shows them.
fn edges(hours: &BusinessHours, zone: &TimeZone, from: &str, count: usize) -> Vec<String> {
    let mut after = at(from);
    let mut edges = Vec::new();
    while edges.len() < count {
        after = hours.next_open(after, zone).unwrap();
        let closes = hours.closes_at(after, zone).unwrap();
        let show = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%a %d %H:%M").to_string();
        edges.push(format!("{} to {}", show(after), show(closes)));
    }
    edges
}

#[test]
fn windows_are_read() {
    let week = 7;
    for (text, read) in [
        ("06:00-23:00", vec![(week, "06:00", Some("23:00"))]),
        ("mon-fri 9:00-18:00", vec![(5, "09:00", Some("18:00"))]),
        ("Mon,WED,fri 22:00-02:00", vec![(3, "22:00", Some("02:00"))]),
        ("fri-mon 00:00-24:00", vec![(4, "00:00", None)]),
        (
            "mon-fri 09:00-12:00, 13:00-18:00, sat 10:00-14:00",
            vec![(5, "09:00", Some("12:00")), (5, "13:00", Some("18:00")), (1, "10:00", Some("14:00"))],
        ),
        ("06:00-09:00,sun 12:00-13:00", vec![(week, "06:00", Some("09:00")), (1, "12:00", Some("13:00"))]),
    ] {
        let time = |text: &str| text.parse::<Time>().unwrap();
        let windows = parse_windows(text).unwrap();
        let found: Vec<_> = windows.iter().map(|window| (window.days.len(), window.from, window.to)).collect();
        let expected: Vec<_> = read.iter().map(|(days, from, to)| (*days, time(from), to.map(time))).collect();
        assert_eq!(found, expected, "{text}");
    }
    let days = &parse_windows("fri-mon 10:00-11:00").unwrap()[0].days;
    assert_eq!(days, &[Weekday::Friday, Weekday::Saturday, Weekday::Sunday, Weekday::Monday]);
}

#[test]
fn what_is_wrong_with_a_window_is_named_and_pointed_at() {
    for (text, part, message, hint) in [
        ("monday 09:00-18:00", "monday", "`monday` is not a day (mon to sun)", Some("write `mon`")),
        ("foo 09:00-18:00", "foo", "`foo` is not a day (mon to sun)", None),
        ("09:00-25:00", "25:00", "`25:00` is not a time (00:00 to 23:59)", None),
        ("9-18", "9", "`9` is not a time (00:00 to 23:59)", Some("write `09:00`")),
        ("24:00-02:00", "24:00", "`24:00` is not a time (00:00 to 23:59)", Some("a day begins at `00:00` and ends at `24:00`")),
        ("09:00 - 18:00", "09:00", "`09:00` is not a window", Some("write both ends without spaces: `09:00-18:00`")),
        ("09:00-09:00", "09:00-09:00", "`09:00-09:00` closes when it opens", Some("the whole day is `00:00-24:00`")),
        ("09:00-18:00 mon", "mon", "`mon` has no times", Some("write `mon-fri 09:00-18:00`")),
        ("09:00-18:00, +9:00-1:00", "+9:00", "`+9:00` is not a day (mon to sun)", None),
        (" ", " ", "a window is missing", Some("write `09:00-18:00`")),
    ] {
        let misread = parse_windows(text).unwrap_err();
        assert_eq!((misread.message.as_str(), misread.hint.as_deref(), text.get(misread.at)), (message, hint, Some(part)), "{text}");
    }
}

#[test]
fn dates_are_read() {
    let range = parse_dates("2026-12-31..2027-01-03").unwrap();
    assert_eq!((range.first.to_string(), range.last.to_string()), ("2026-12-31".to_owned(), "2027-01-03".to_owned()));
    let day = parse_dates("2028-02-29").unwrap();
    assert_eq!(day.first, day.last);
    for (text, part, message) in [
        ("2026-02-30", "2026-02-30", "`2026-02-30` is not a date"),
        ("20261231", "20261231", "`20261231` is not a date"),
        ("2026-12-31..soon", "soon", "`soon` is not a date"),
        ("2027-01-03..2026-12-31", "2027-01-03..2026-12-31", "`2027-01-03..2026-12-31` ends before it begins"),
    ] {
        let misread = parse_dates(text).unwrap_err();
        assert_eq!((misread.message.as_str(), text.get(misread.at)), (message, Some(part)), "{text}");
    }
}

#[test]
fn a_window_includes_its_start_and_not_its_end() {
    let hours = hours("mon-fri 09:00-18:00", &[]);
    for (text, open) in [
        ("2026-03-30T08:59:59.999+02:00", false),
        ("2026-03-30T09:00+02:00", true),
        ("2026-03-30T17:59:59.999+02:00", true),
        ("2026-03-30T18:00+02:00", false),
        ("2026-03-29T12:00+02:00", false),
    ] {
        assert_eq!(hours.is_open(at(text), &berlin()), open, "{text}");
    }
    assert_eq!(hours.closes_at(at("2026-03-30T18:00+02:00"), &berlin()), None);
    assert_eq!(hours.closes_at(at("2026-03-30T17:00+02:00"), &berlin()), Some(at("2026-03-30T18:00+02:00")));
}

#[test]
fn adjoining_and_overlapping_windows_are_one() {
    let hours = hours("09:00-12:00, 11:00-14:00, 14:00-15:00, 20:00-02:00, 02:00-03:00", &[]);
    assert_eq!(
        edges(&hours, &berlin(), "2026-05-04T08:00+02:00", 3),
        ["Mon 04 09:00 to Mon 04 15:00", "Mon 04 20:00 to Tue 05 03:00", "Tue 05 09:00 to Tue 05 15:00"]
    );
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_it_opens_on() {
    let hours = hours("fri 22:00-02:00", &[]);
    assert_eq!(edges(&hours, &berlin(), "2026-05-04T08:00+02:00", 2), ["Fri 08 22:00 to Sat 09 02:00", "Fri 15 22:00 to Sat 16 02:00"]);
    assert!(hours.is_open(at("2026-05-09T01:59+02:00"), &berlin()));
    assert!(!hours.is_open(at("2026-05-08T01:59+02:00"), &berlin()));
}

#[test]
fn no_window_opens_on_a_holiday_and_one_of_the_day_before_ends_as_usual() {
    let hours = hours("22:00-02:00", &["2026-05-06..2026-05-07"]);
    assert_eq!(edges(&hours, &berlin(), "2026-05-05T08:00+02:00", 2), ["Tue 05 22:00 to Wed 06 02:00", "Fri 08 22:00 to Sat 09 02:00"]);
}

#[test]
fn hours_that_never_close_have_no_openings() {
    let always = hours("00:00-24:00", &[]);
    assert_eq!(always.next_open(at("2026-05-05T08:00Z"), &berlin()), None);
    assert_eq!(always.closes_at(at("2026-05-05T08:00Z"), &berlin()), None);
    let but_for_a_holiday = hours("00:00-24:00", &["2026-12-24"]);
    assert_eq!(but_for_a_holiday.next_open(at("2026-05-05T08:00Z"), &berlin()), Some(at("2026-12-25T00:00+01:00")));
    assert_eq!(but_for_a_holiday.closes_at(at("2026-05-05T08:00Z"), &berlin()), Some(at("2026-12-24T00:00+01:00")));
}

#[test]
fn windows_on_days_when_the_clocks_change() {
    // 29 March: 02:00 becomes 03:00. 25 October: 03:00 becomes 02:00.
    let night = hours("02:30-04:00", &[]);
    assert_eq!(edges(&night, &berlin(), "2026-03-28T12:00Z", 2), ["Sun 29 03:00 to Sun 29 04:00", "Mon 30 02:30 to Mon 30 04:00"]);
    let skipped = hours("02:10-02:40", &[]);
    assert_eq!(edges(&skipped, &berlin(), "2026-03-28T12:00Z", 1), ["Mon 30 02:10 to Mon 30 02:40"], "it does not exist on Sunday");
    let repeated = hours("01:00-02:30", &[]);
    assert!(repeated.is_open(at("2026-10-25T02:29+02:00"), &berlin()));
    assert!(!repeated.is_open(at("2026-10-25T02:10+01:00"), &berlin()), "it closed in the first pass");
    let long = hours("00:00-24:00", &["2026-10-26"]);
    let length = at("2026-10-26T00:00+01:00").duration_since(at("2026-10-25T00:00+02:00"));
    assert_eq!(length, SignedDuration::from_hours(25));
    assert_eq!(long.closes_at(at("2026-10-25T00:00+02:00"), &berlin()), Some(at("2026-10-26T00:00+01:00")));
}

#[test]
fn a_day_that_a_zone_lost_has_no_hours() {
    let apia = TimeZone::get("Pacific/Apia").unwrap();
    let hours = hours("09:00-18:00", &[]);
    assert_eq!(edges(&hours, &apia, "2011-12-29T00:00-10:00", 2), ["Thu 29 09:00 to Thu 29 18:00", "Sat 31 09:00 to Sat 31 18:00"]);
}

#[test]
fn a_calendar_allows_or_excludes_days() {
    let dates = |texts: &[&str]| texts.iter().map(|text| parse_dates(text).unwrap()).collect::<Vec<_>>();
    let except = Calendar { only: None, except: dates(&["2026-12-31..2027-01-03"]) };
    let only = Calendar { only: Some(dates(&["2026-12-30..2027-01-01"])), except: dates(&["2026-12-31"]) };
    for (date, by_except, by_only) in
        [("2026-12-30", true, true), ("2026-12-31", false, false), ("2027-01-01", false, true), ("2027-01-04", true, false)]
    {
        let date: Date = date.parse().unwrap();
        assert_eq!((except.allows(date), only.allows(date)), (by_except, by_only), "{date}");
    }
}

#[test]
fn a_day_that_begins_twice_has_its_windows_once() {
    // On 29 October 2006 the clocks went from 00:01 back to 23:01.
    let st_johns = TimeZone::get("America/St_Johns").unwrap();
    let hours = hours("sun 00:00-02:00", &[]);
    assert_eq!(hours.next_open(at("2006-10-28T12:00Z"), &st_johns), Some(at("2006-10-29T00:00-02:30")));
    assert!(hours.is_open(at("2006-10-28T23:30-03:30"), &st_johns), "it opened before, and goes on");
    assert_eq!(hours.closes_at(at("2006-10-28T23:30-03:30"), &st_johns), Some(at("2006-10-29T02:00-03:30")));
    assert_eq!(hours.gate(&st_johns).last_open(at("2006-10-28T23:30-03:30")), at("2006-10-29T00:00-02:30"));
}

#[test]
fn gate_and_brute_force_agree_on_every_edge() {
    let dates = |texts: &[&str]| texts.iter().map(|text| parse_dates(text).unwrap()).collect::<Vec<_>>();
    let calendar = Calendar { only: None, except: dates(&["2026-10-24", "2026-10-27..2026-10-28"]) };
    let hours = hours("fri-mon 22:30-02:30, 09:00-12:00, tue-thu 06:00-24:00", &["2026-10-29"]);
    for zone in ["Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "UTC"] {
        let zone = TimeZone::get(zone).unwrap();
        let gate = Gate { hours: Some(&hours), calendar: Some(&calendar), zone: &zone };
        let (mut now, end) = (at("2026-10-20T00:00Z"), at("2026-11-04T00:00Z"));
        let (mut expected_open, mut expected_close) = (Vec::new(), Vec::new());
        while now < end {
            let next = now + SignedDuration::from_mins(1);
            match (gate.closed(now).is_none(), gate.closed(next).is_none()) {
                (false, true) => expected_open.push(next),
                (true, false) => expected_close.push(next),
                _ => {}
            }
            now = next;
        }
        let walk = |step: &dyn Fn(Timestamp) -> Option<Timestamp>| {
            std::iter::successors(step(at("2026-10-20T00:00Z")), |at| step(*at)).take_while(|at| *at <= end).collect::<Vec<_>>()
        };
        assert_eq!(walk(&|after| gate.next_open(after, Timestamp::MAX)), expected_open);
        assert_eq!(walk(&|after| gate.next_close(after)), expected_close);
        for pair in expected_open.windows(2) {
            assert_eq!((gate.last_open(just_before(pair[1])), gate.last_open(pair[1])), (pair[0], pair[1]));
        }
        for pair in expected_close.windows(2) {
            assert_eq!((gate.last_close(just_before(pair[1])), gate.last_close(pair[1])), (Some(pair[0]), Some(pair[1])));
        }
    }
}
