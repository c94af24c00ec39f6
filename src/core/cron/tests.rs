use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn expr(text: &str) -> CronExpr {
    CronExpr::parse(text).unwrap_or_else(|misread| panic!("`{text}`: {misread}"))
}

/// The next fires, as the wall clock shows them.
fn fires(text: &str, zone_name: &str, from: &str, count: usize) -> Vec<String> {
    let (expr, zone, mut after) = (expr(text), zone(zone_name), at(from));
    let mut fires = Vec::new();
    while fires.len() < count {
        after = expr.next_after(after, &zone).unwrap();
        fires.push(after.to_zoned(zone.clone()).strftime("%m-%d %H:%M%:z").to_string());
    }
    fires
}

#[test]
fn what_is_wrong_is_named_and_pointed_at() {
    // expression, the part pointed at, message, hint
    let table = [
        ("0 25 * * *", "25", "`25` is not an hour (0 to 23)", None),
        ("61 * * * *", "61", "`61` is not a minute (0 to 59)", None),
        ("0 9 * * sunday", "sunday", "`sunday` is not a day of the week (0 to 7, or sun to sat)", Some("write `sun`")),
        ("0 9 * sept *", "sept", "`sept` is not a month (1 to 12, or jan to dec)", Some("write `sep`")),
        (
            "0\u{3000}9 * * *",
            "0\u{3000}9 * * *",
            "4 fields where a cron expression has five",
            Some("there is a full-width space (U+3000) in it; write ordinary ones"),
        ),
        ("0 9 * * foo", "foo", "`foo` is not a day of the week (0 to 7, or sun to sat)", None),
        ("0 22-5 * * *", "22-5", "`22-5` runs backwards in the hour field", Some("write `22-23,0-5`")),
        ("0 9 * * sat-mon", "sat-mon", "`sat-mon` runs backwards in the day of the week field", Some("write `sat,sun-mon`")),
        ("*/0 * * * *", "0", "`0` is not a step (a whole number from 1 on)", Some("`*/10` matches every tenth minute")),
        ("0 9 * * fri#6", "6", "`6` is not a week of the month (1 to 5)", Some("`fri#2` is the second Friday of the month")),
        ("0 9,,10 * * *", "9,,10", "`9,,10` lists an empty hour", Some("remove the extra comma")),
        ("0 9- * * *", "", "an hour is missing here (0 to 23)", None),
        ("0 9 32W * *", "32W", "`32W` is not a day of the month (1 to 31)", None),
        ("0 9 * * * * 2200", "2200", "`2200` is not a year (1970 to 2099)", None),
    ];
    for (text, part, message, hint) in table {
        let misread = CronExpr::parse(text).unwrap_err();
        assert_eq!((misread.message.as_str(), misread.hint.as_deref()), (message, hint), "{text}");
        assert_eq!(text.get(misread.at), Some(part), "{text}");
    }
}

#[test]
fn a_wrong_number_of_fields_is_counted() {
    for (text, message) in [
        ("", "a cron expression is missing"),
        ("hourly", "one field where a cron expression has five"),
        ("* * * *", "4 fields where a cron expression has five"),
        ("* * * * * * * *", "8 fields where a cron expression has five"),
    ] {
        let misread = CronExpr::parse(text).unwrap_err();
        assert_eq!(misread.message, message);
        assert!(misread.hint.unwrap().starts_with("write: minute hour"), "{text}");
    }
}

#[test]
fn an_unknown_alias_is_told_the_known_ones() {
    let misread = CronExpr::parse(" @never").unwrap_err();
    assert_eq!((misread.at, misread.message.as_str()), (1..7, "`@never` is not known"));
    assert!(misread.hint.unwrap().contains("@start"));
}

#[test]
fn odd_expressions_are_warned_of() {
    assert_eq!(expr("*/15 * * * *").warnings(), Vec::<String>::new());
    assert_eq!(expr("*/90 * * * *").warnings(), ["the step of `*/90` is larger than the minute field: only 0 is left of it"]);
    assert_eq!(expr("0 0 1 * mon").warnings().len(), 1);
}

#[test]
fn a_fixed_job_in_a_gap_runs_once_right_after_it() {
    // 02:00 to 03:00 does not exist on 29 March.
    assert_eq!(fires("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 2), ["03-29 03:00+02:00", "03-30 02:30+02:00"]);
    assert_eq!(fires("10,20 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 2), ["03-29 03:00+02:00", "03-30 02:10+02:00"]);
    assert_eq!(fires("0 2,3 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 2), ["03-29 03:00+02:00", "03-30 02:00+02:00"]);
    assert_eq!(fires("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00Z", 1), ["10-04 02:30+11:00"]);
}

#[test]
fn a_fixed_job_in_a_repeated_hour_runs_in_the_first_pass() {
    assert_eq!(fires("30 1 * * *", "America/New_York", "2026-11-01T00:00-04:00", 2), ["11-01 01:30-04:00", "11-02 01:30-05:00"]);
    // Asked within the second pass.
    assert_eq!(fires("30 1,3 * * *", "America/New_York", "2026-11-01T01:10-05:00", 1), ["11-01 03:30-05:00"]);
}

#[test]
fn a_wildcard_job_follows_elapsed_time() {
    assert_eq!(fires("0 * * * *", "Europe/Berlin", "2026-03-29T01:00+01:00", 2), ["03-29 03:00+02:00", "03-29 04:00+02:00"]);
    assert_eq!(
        fires("*/30 1 * * *", "America/New_York", "2026-11-01T00:59-04:00", 4).join(", "),
        "11-01 01:00-04:00, 11-01 01:30-04:00, 11-01 01:00-05:00, 11-01 01:30-05:00"
    );
}

#[test]
fn the_last_hour_of_an_expression_may_repeat() {
    // Nothing is left on the wall clock, but its last hour comes again.
    assert_eq!(fires("0 */30 1 1 11 * 2026", "America/New_York", "2026-11-01T01:30-04:00", 2), ["11-01 01:00-05:00", "11-01 01:30-05:00"]);
    assert_eq!(expr("0 */30 1 1 11 * 2026").next_after(at("2026-11-01T01:30-05:00"), &zone("America/New_York")), None);
}

#[test]
fn a_lost_day_is_a_correction_and_nothing_is_caught_up() {
    assert_eq!(fires("0 9 * * *", "Pacific/Apia", "2011-12-29T20:00Z", 2), ["12-31 09:00+14:00", "01-01 09:00+14:00"]);
}

#[test]
fn an_impossible_date_never_fires() {
    for text in ["0 0 30 2 *", "0 0 31W 2,4,6,9,11 *", "0 0 31 4 *", "0 0 0 1 1 * 1999"] {
        assert_eq!(expr(text).next_after(at("2026-01-01T00:00Z"), &TimeZone::UTC), None, "{text}");
    }
}

#[test]
fn the_ends_of_time_do_no_harm() {
    for after in [Timestamp::MIN, Timestamp::MAX, at("1969-12-31T23:59:59.5Z"), at("2100-12-31T23:59:59Z"), at("9999-01-01T00:00Z")] {
        for text in ["* * * * *", "0 0 29 2 *", "0 0 LW * *"] {
            let next = expr(text).next_after(after, &zone("America/New_York"));
            assert!(next.is_none_or(|next| next > after), "{text} after {after}");
        }
    }
    assert_eq!(expr("0 3 19 1 *").next_after(at("2038-01-18T00:00Z"), &TimeZone::UTC), Some(at("2038-01-19T03:00Z")));
}

#[test]
fn a_fire_is_strictly_later_to_the_nanosecond() {
    let minute = expr("* * * * *");
    assert_eq!(minute.next_after(at("2026-01-01T00:00:59.999999999Z"), &TimeZone::UTC), Some(at("2026-01-01T00:01Z")));
    assert_eq!(minute.next_after(at("2026-01-01T00:01:00Z"), &TimeZone::UTC), Some(at("2026-01-01T00:02Z")));
    assert_eq!(minute.next_after(at("2026-01-01T00:01:00.000000001Z"), &TimeZone::UTC), Some(at("2026-01-01T00:02Z")));
}

proptest! {
    /// Whatever the text, it is read or refused with a place inside the text; and what is read moves forward.
    #[test]
    fn any_text_is_read_or_refused_in_place(text in "[0-9*,/LW#?@a-z \u{b9}-]{0,20}|[0-9*]{1,2}( ([0-9]|\\*|\\*/[0-9]|L|LW|[1-9]W|[1-9]-[0-9])){3} ([0-7]|\\*|[0-7]L|fri#[0-6]|fri-sun)") {
        match CronExpr::parse(&text) {
            Err(misread) => prop_assert!(text.get(misread.at).is_some()),
            Ok(expr) => {
                for after in ["2026-03-29T00:30:00.25Z", "2026-11-01T05:59:59Z", "2096-02-28T12:00Z"].map(at) {
                    for zone in ["Europe/Berlin", "America/New_York", "UTC"].map(zone) {
                        let next = expr.next_after(after, &zone);
                        prop_assert!(next.is_none_or(|next| next > after), "{} after {}", text, after);
                        // Nothing lies in between.
                        let between = next.and_then(|next| expr.next_after(after.max(next.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap()), &zone));
                        prop_assert_eq!(between, next);
                    }
                }
            }
        }
    }
}
