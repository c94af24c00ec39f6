//! Cron expressions: our parser, the `cron` crate's calendar search, and a thin layer for zones.
//!
//! The rule is cronie's. Our parser (`parse.rs`) turns the text into sets; the `cron` crate searches the calendar on a wall clock read as if it were
//! UTC, so it never sees a zone; the layer here maps wall clock to instants. A *fixed* job, one whose time fields do not begin with a star, runs
//! once right after a gap that skipped it, and only in the first pass of a repeated hour. Other jobs follow elapsed time: they have nothing in a gap
//! and both passes of a repeated hour. A clock change of more than three hours is a correction: nothing is caught up or dropped.
//!
//! The calendar search ends with the year 2100.
use std::str::FromStr;

use jiff::{
    Timestamp,
    civil::{Date, DateTime, Weekday},
    tz::{Offset, TimeZone},
};

use self::parse::{DayTerm, Fields, Set, WeekdayTerm};
use super::value::Misread;

mod parse;
#[cfg(test)]
mod tests;

/// Clock changes above this are corrections (cron(8)).
const CORRECTION_ABOVE: i64 = 3 * 3600;
/// No zone repeats more of the wall clock than this, so a match may be that much behind the last one.
const FOLD_MAX: i64 = 25 * 3600;

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct CronExpr {
    searches: Vec<Search>,
    fixed: bool,
    warnings: Vec<String>,
}

/// A part of the expression that the `cron` crate can search, with what it cannot say of days.
#[derive(Clone, Debug, PartialEq)]
struct Search {
    schedule: cron::Schedule,
    day: DayTerm,
    weekday: WeekdayTerm,
}

/// A change of the clocks: at `at`, the wall clock goes from `before` to `after`. All in seconds; the wall clock is read as if it were UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    at: i64,
    before: i64,
    after: i64,
}

impl CronExpr {
    /// Reads five fields, six (seconds first), seven (year last), or an alias such as `@daily`.
    ///
    /// # Errors
    /// When a field cannot be read; the message names the field and the offending part.
    pub fn parse(text: &str) -> Result<Self, Misread> {
        let fields = parse::fields(text)?;
        let searches = searches(&fields).map_err(|cause| {
            let message = format!("`{text}` cannot be searched: {cause}");
            Misread { at: 0..text.len(), message, hint: None }
        })?;
        Ok(Self { searches, fixed: fields.fixed, warnings: fields.warnings })
    }

    /// What is odd about the expression though it can be read: one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// The first fire time strictly after `after`, in the zone; `None` if there is none up to the year 2100.
    pub fn next_after(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = floor_second(after);
        let mut offset = i64::from(zone.to_offset(after).seconds());
        let mut wall = start.checked_add(offset)?;
        if self.fixed {
            // Within a repeated hour: its walls were passed already.
            wall =
                wall.max(last_change(zone, after).filter(|change| change.folds()).map_or(wall, |change| change.before.saturating_sub(1)));
        }
        let mut next = self.next_wall(wall);
        for change in zone.following(after).filter_map(|change| Change::read(zone, change.timestamp())) {
            if let Some(next) = next.filter(|next| *next < change.before) {
                return instant(next.saturating_sub(offset));
            }
            if next.is_none() && change.at > start.saturating_add(FOLD_MAX) {
                return None;
            }
            let skipped = next.is_some_and(|next| next < change.after);
            if self.fixed && change.gaps() && skipped {
                return instant(change.at);
            }
            if !(self.fixed && (change.gaps() || change.folds())) {
                next = self.next_wall(change.after.saturating_sub(1));
            }
            offset = change.after.saturating_sub(change.at);
        }
        instant(next?.saturating_sub(offset))
    }

    /// What a change of the clocks did to the fire at this instant, for people: "02:30 does not exist that day: runs at 03:00".
    pub fn clock_note(&self, at: Timestamp, zone: &TimeZone) -> Option<String> {
        let time = |wall: i64| Some(civil(wall)?.strftime("%H:%M").to_string());
        let wall = at.as_second().checked_add(zone.to_offset(at).seconds().into())?;
        if !self.fixed {
            return None;
        }
        if let Some(gap) = last_change(zone, at).filter(|change| change.at == at.as_second() && change.gaps()) {
            let skipped = self.next_wall(gap.before.saturating_sub(1)).filter(|skipped| *skipped < gap.after)?;
            return Some(format!("{} does not exist that day: runs at {}", time(skipped)?, time(gap.after)?));
        }
        let next = Change::read(zone, zone.following(at).next()?.timestamp())?;
        let twice = next.folds() && (next.after..next.before).contains(&wall) && self.next_wall(wall.saturating_sub(1)) == Some(wall);
        Some(format!("{} comes twice that day: runs the first time", time(wall)?)).filter(|_| twice)
    }

    /// The first match of the wall clock after `wall`.
    fn next_wall(&self, wall: i64) -> Option<i64> {
        self.searches.iter().filter_map(|search| search.next_wall(wall)).min()
    }
}

impl Change {
    fn read(zone: &TimeZone, at: Timestamp) -> Option<Self> {
        let before = zone.to_offset(at.checked_sub(jiff::SignedDuration::from_nanos(1)).ok()?);
        let after = zone.to_offset(at);
        let at = at.as_second();
        Some(Self { at, before: at.checked_add(before.seconds().into())?, after: at.checked_add(after.seconds().into())? })
    }

    /// Whether it skips a part of the wall clock, and is no correction.
    fn gaps(self) -> bool {
        self.after > self.before && self.after.saturating_sub(self.before) <= CORRECTION_ABOVE
    }

    /// Whether it repeats a part of the wall clock, and is no correction.
    fn folds(self) -> bool {
        self.after < self.before && self.before.saturating_sub(self.after) <= CORRECTION_ABOVE
    }
}

impl Search {
    /// The first match of the wall clock after `wall`.
    fn next_wall(&self, mut wall: i64) -> Option<i64> {
        const DAY: i64 = 86_400;
        loop {
            let after = chrono::DateTime::from_timestamp(wall, 0)?;
            let found = self.schedule.after(&after).next()?.timestamp();
            if self.matches(found) {
                return Some(found);
            }
            // The rest of that day does not match either.
            wall = found.checked_sub(found.checked_rem_euclid(DAY)?)?.checked_add(DAY)?.checked_sub(1)?;
        }
    }

    /// Whether the day is what the terms say, as far as the search has not seen to that.
    fn matches(&self, wall: i64) -> bool {
        if matches!((&self.day, &self.weekday), (DayTerm::On(_), WeekdayTerm::On(_) | WeekdayTerm::Nth(..))) {
            return true;
        }
        let Some(date) = civil(wall).map(DateTime::date) else { return false };
        let (day, days) = (date.day(), date.days_in_month());
        let on_day = match &self.day {
            DayTerm::On(_) => true,
            DayTerm::Last => day == days,
            DayTerm::LastWorkday => Some(date) == nearest_workday(date.last_of_month()),
            DayTerm::Nearest(n) => i8::try_from(*n)
                .is_ok_and(|n| Date::new(date.year(), date.month(), n).is_ok_and(|target| Some(date) == nearest_workday(target))),
        };
        let on_weekday = match self.weekday {
            WeekdayTerm::On(_) | WeekdayTerm::Nth(..) => true,
            WeekdayTerm::LastOf(_) => day.saturating_add(7) > days,
        };
        on_day && on_weekday
    }
}

/// The workday nearest to a day, in the same month.
fn nearest_workday(target: Date) -> Option<Date> {
    let days = match target.weekday() {
        Weekday::Saturday if target.day() == 1 => 2,
        Weekday::Saturday => -1,
        Weekday::Sunday if target.day() == target.days_in_month() => -2,
        Weekday::Sunday => 1,
        Weekday::Monday | Weekday::Tuesday | Weekday::Wednesday | Weekday::Thursday | Weekday::Friday => 0,
    };
    target.checked_add(jiff::Span::new().days(days)).ok()
}

/// What to search: one part, or several whose union counts.
fn searches(fields: &Fields) -> Result<Vec<Search>, cron::error::Error> {
    let (any_day, any_weekday) = ([DayTerm::On((1..=31).collect())], [WeekdayTerm::On((0..=6).collect())]);
    let pairs: Vec<(&DayTerm, &WeekdayTerm)> = if fields.either_day {
        let by_day = fields.days.iter().flat_map(|day| any_weekday.iter().map(move |weekday| (day, weekday)));
        let by_weekday = fields.weekdays.iter().flat_map(|weekday| any_day.iter().map(move |day| (day, weekday)));
        by_day.chain(by_weekday).collect()
    } else {
        fields.days.iter().flat_map(|day| fields.weekdays.iter().map(move |weekday| (day, weekday))).collect()
    };
    let mut searches = Vec::new();
    for (day, weekday) in pairs {
        if let Some(text) = canonical(fields, day, weekday) {
            searches.push(Search { schedule: cron::Schedule::from_str(&text)?, day: day.clone(), weekday: weekday.clone() });
        }
    }
    Ok(searches)
}

/// The numbers that the `cron` crate searches, days narrowed down as far as sets can say; `None` if no day can match.
fn canonical(fields: &Fields, day: &DayTerm, weekday: &WeekdayTerm) -> Option<String> {
    let days: Set = match day {
        DayTerm::On(days) => days.clone(),
        DayTerm::Last => (28..=31).collect(),
        DayTerm::LastWorkday => (26..=31).collect(),
        DayTerm::Nearest(n) => (n.saturating_sub(2).max(1)..=n.saturating_add(2).min(31)).collect(),
    };
    let (days, weekdays): (Set, Set) = match weekday {
        WeekdayTerm::On(weekdays) => (days, weekdays.clone()),
        WeekdayTerm::LastOf(weekday) => (days.into_iter().filter(|day| *day >= 22).collect(), [*weekday].into()),
        WeekdayTerm::Nth(weekday, n) => {
            let last = n.saturating_mul(7);
            (days.into_iter().filter(|day| *day <= last && *day > last.saturating_sub(7)).collect(), [*weekday].into())
        }
    };
    if days.is_empty() || weekdays.is_empty() {
        return None;
    }
    // The crate counts Sunday as 1, and checks the day of the week only where it is no star.
    let weekdays = if weekdays.len() == 7 { "*".to_owned() } else { list(weekdays.iter().map(|day| day.saturating_add(1))) };
    let years = fields.years.as_ref().map_or_else(|| "*".to_owned(), |years| list(years.iter().copied()));
    let [seconds, minutes, hours, days, months] =
        [&fields.seconds, &fields.minutes, &fields.hours, &days, &fields.months].map(|set| list(set.iter().copied()));
    Some(format!("{seconds} {minutes} {hours} {days} {months} {weekdays} {years}"))
}

fn list(values: impl Iterator<Item = u32>) -> String {
    values.map(|value| value.to_string()).collect::<Vec<_>>().join(",")
}

/// The change of the clocks at or before an instant.
fn last_change(zone: &TimeZone, at: Timestamp) -> Option<Change> {
    let just_after = at.checked_add(jiff::SignedDuration::from_nanos(1)).ok()?;
    Change::read(zone, zone.preceding(just_after).next()?.timestamp())
}

/// The second in which an instant lies.
fn floor_second(at: Timestamp) -> i64 {
    if at.subsec_nanosecond() < 0 { at.as_second().saturating_sub(1) } else { at.as_second() }
}

fn instant(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(second).ok()
}

/// What the wall clock shows.
fn civil(wall: i64) -> Option<DateTime> {
    Some(Offset::UTC.to_datetime(instant(wall)?))
}
