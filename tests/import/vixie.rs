//! Vixie cron's rules, minute by minute, written apart from taskrun's: what an imported line is measured against.
//!
//! In a zone with summer time the rule is cronie's: a job whose minute and hour begin with no star runs once right after a gap that skipped it, and
//! in the first pass of a repeated hour only; other jobs follow the clock on the wall.
use jiff::{Timestamp, civil::Date, tz::TimeZone};

/// A line's time, as cron keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    day_star: bool,
    weekday_star: bool,
    wildcard: bool,
}

/// The minutes of a span, as a clock on a wall shows them.
#[derive(Debug)]
pub(crate) struct Span {
    first: i64,
    /// Of each minute: the minute that the wall shows, counted from 1970 as if it were UTC.
    walls: Vec<i64>,
    first_day: i64,
    /// Day of the month, month and day of the week of each day.
    days: Vec<(u32, u32, u32)>,
}

const DAY: i64 = 24 * 60;

impl Span {
    pub(crate) fn new(from: Timestamp, days: i64, zone: &TimeZone) -> Self {
        let first = from.as_second() / 60;
        // Clocks change at quarter hours only.
        let offset = |minute: i64| i64::from(zone.to_offset(Timestamp::from_second(minute * 60).unwrap()).seconds()) / 60;
        let quarters = (0..days * DAY / 15).map(|quarter| first + quarter * 15).map(|minute| (minute, offset(minute)));
        let walls: Vec<i64> = quarters.flat_map(|(minute, offset)| minute + offset..minute + offset + 15).collect();
        let first_day = walls[0] / DAY - 1;
        let epoch = Date::constant(1970, 1, 1);
        let day = |day: i64| {
            let date = epoch.checked_add(jiff::Span::new().days(day)).unwrap();
            (
                date.day().unsigned_abs().into(),
                date.month().unsigned_abs().into(),
                date.weekday().to_sunday_zero_offset().unsigned_abs().into(),
            )
        };
        Self { first, walls, first_day, days: (first_day..first_day + days + 3).map(day).collect() }
    }
}

impl Job {
    /// Reads five fields or an alias.
    pub(crate) fn read(text: &str) -> Self {
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let star = |index: usize| fields[index].starts_with('*');
        let mut weekdays = bits(fields[4], 0, 7, &["sun", "mon", "tue", "wed", "thu", "fri", "sat"]);
        if weekdays & (1 | 1 << 7) != 0 {
            weekdays |= 1 | 1 << 7;
        }
        let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        Self {
            minutes: bits(fields[0], 0, 59, &[]),
            hours: bits(fields[1], 0, 23, &[]),
            days: bits(fields[2], 1, 31, &[]),
            months: bits(fields[3], 1, 12, &months),
            weekdays,
            day_star: star(2),
            weekday_star: star(4),
            wildcard: star(0) || star(1),
        }
    }

    fn is_day(&self, (day, month, weekday): (u32, u32, u32)) -> bool {
        let has = |set: u64, value: u32| set & (1 << value) != 0;
        let (day, weekday) = (has(self.days, day), has(self.weekdays, weekday));
        has(self.months, month) && if self.day_star || self.weekday_star { day && weekday } else { day || weekday }
    }

    /// When it runs, in minutes since 1970.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a minute of a day, and a day of a span")]
    pub(crate) fn runs(&self, span: &Span) -> Vec<i64> {
        let days: Vec<bool> = span.days.iter().map(|day| self.is_day(*day)).collect();
        let minutes: Vec<bool> =
            (0..DAY).map(|minute| self.hours & (1 << (minute / 60)) != 0 && self.minutes & (1 << (minute % 60)) != 0).collect();
        let is_due = |wall: i64| minutes[(wall % DAY) as usize] && days[(wall / DAY - span.first_day) as usize];
        let mut runs = Vec::new();
        let mut seen = span.walls[0] - 1;
        for (minute, &wall) in (span.first..).zip(&span.walls) {
            let due = if self.wildcard || wall == seen + 1 { is_due(wall) } else { (seen + 1..=wall).any(is_due) };
            if due {
                runs.push(minute);
            }
            seen = seen.max(wall);
        }
        runs
    }
}

/// The values of a field.
fn bits(field: &str, low: u32, high: u32, names: &[&str]) -> u64 {
    let value = |text: &str| {
        let by_name = names.iter().position(|name| name.eq_ignore_ascii_case(text)).map(|at| u32::try_from(at).unwrap() + low);
        by_name.unwrap_or_else(|| text.parse().unwrap_or_else(|_| panic!("{text} in {field}")))
    };
    let mut bits = 0;
    for item in field.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step.parse::<usize>().unwrap())));
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (value(from), value(to)),
            None => (value(range), if step.is_some() { high } else { value(range) }),
        };
        assert!(low <= from && from <= to && to <= high, "{field}");
        for value in (from..=to).step_by(step.unwrap_or(1)) {
            bits |= 1 << value;
        }
    }
    bits
}
