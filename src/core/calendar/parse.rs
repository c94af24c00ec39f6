//! Windows and dates as people write them.
use jiff::civil::{Date, Time, Weekday};

use super::{DateRange, Window};
use crate::core::{part::Part, value::Misread};

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

/// Reads windows: `06:00-23:00`, `mon-fri 09:00-12:00, 13:00-18:00`, `22:00-02:00`, `sat,sun 10:00-24:00`.
///
/// Days stand before their times; a window without days has those of the window before it, the first one every day.
///
/// # Errors
/// When a day or a time cannot be read, or a window never opens.
pub fn parse_windows(text: &str) -> Result<Vec<Window>, Misread> {
    let whole = Part::whole(text);
    let mut windows = Vec::new();
    let mut days: Vec<Weekday> = DAYS.iter().map(|(_, day)| *day).collect();
    // Days that were read and wait for their times.
    let mut named: Option<(Part<'_>, Vec<Weekday>)> = None;
    for part in whole.split(|letter| letter == ',' || letter.is_ascii_whitespace()).into_iter().filter(|part| !part.text.is_empty()) {
        if part.text.starts_with(|letter: char| letter.is_ascii_digit()) {
            if let Some((_, named)) = named.take() {
                days = named;
            }
            windows.push(window(part, days.clone())?);
        } else {
            named.get_or_insert_with(|| (part, Vec::new())).1.extend(day_range(part)?);
        }
    }
    if let Some((part, _)) = named {
        return Err(part.misread(format!("`{}` has no times", part.text), Some("write `mon-fri 09:00-18:00`".to_owned())));
    }
    if windows.is_empty() {
        return Err(whole.misread("a window is missing".to_owned(), Some("write `09:00-18:00`".to_owned())));
    }
    Ok(windows)
}

/// Reads a day or days: `2026-12-31` or `2026-12-31..2027-01-03`.
///
/// # Errors
/// When a date does not exist, or the last one is before the first.
pub fn parse_dates(text: &str) -> Result<DateRange, Misread> {
    let whole = Part::whole(text);
    let (first, last) = whole.split_once("..").unwrap_or((whole, whole));
    let range = DateRange { first: date(first)?, last: date(last)? };
    if range.last < range.first {
        return Err(whole.misread(format!("`{text}` ends before it begins"), Some(format!("write `{}..{}`", range.last, range.first))));
    }
    Ok(range)
}

fn window(part: Part<'_>, days: Vec<Weekday>) -> Result<Window, Misread> {
    let Some((from, to)) = part.split_once("-") else {
        let hint = "write both ends without spaces: `09:00-18:00`";
        return Err(part.misread(format!("`{}` is not a window", part.text), Some(hint.to_owned())));
    };
    let window = Window { days, from: time(from)?, to: if to.text == "24:00" { None } else { Some(time(to)?) } };
    if Some(window.from) == window.to {
        let hint = "the whole day is `00:00-24:00`";
        return Err(part.misread(format!("`{}` closes when it opens", part.text), Some(hint.to_owned())));
    }
    Ok(window)
}

/// Reads `9:00` or `09:00`.
fn time(part: Part<'_>) -> Result<Time, Misread> {
    let read = || {
        let (hour, minute) = part.text.split_once(':')?;
        let digits = |text: &str, count: usize| text.len() <= count && text.bytes().all(|byte| byte.is_ascii_digit());
        let shaped = digits(hour, 2) && digits(minute, 2) && minute.len() == 2;
        Time::new(hour.parse().ok().filter(|_| shaped)?, minute.parse().ok()?, 0, 0).ok()
    };
    let hint = || match part.text {
        "24:00" => Some("a day begins at `00:00` and ends at `24:00`".to_owned()),
        text => text.parse::<u8>().ok().filter(|hour| *hour < 24).map(|hour| format!("write `{hour:02}:00`")),
    };
    read().ok_or_else(|| part.misread(format!("`{}` is not a time (00:00 to 23:59)", part.text), hint()))
}

/// Reads `mon` or `fri-mon`.
fn day_range(part: Part<'_>) -> Result<Vec<Weekday>, Misread> {
    let (first, last) = part.split_once("-").unwrap_or((part, part));
    let (first, last) = (day(first)?, day(last)?);
    let days = first.cycle_forward().take(7);
    let length = first.until(last).saturating_add(1);
    Ok(days.take(usize::try_from(length).unwrap_or(7)).collect())
}

fn day(part: Part<'_>) -> Result<Weekday, Misread> {
    let known = DAYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(part.text));
    known.map(|(_, day)| *day).ok_or_else(|| {
        let start = part.text.to_lowercase();
        let short = DAYS.iter().find(|(name, _)| start.starts_with(name)).map(|(name, _)| format!("write `{name}`"));
        part.misread(format!("`{}` is not a day (mon to sun)", part.text), short)
    })
}

fn date(part: Part<'_>) -> Result<Date, Misread> {
    // `20261231` and times are dates to the library, but not to our readers.
    part.text.parse().ok().filter(|date: &Date| date.to_string() == part.text).ok_or_else(|| {
        let hint = "write year-month-day: `2026-12-31`, or a range: `2026-12-31..2027-01-03`";
        part.misread(format!("`{}` is not a date", part.text), Some(hint.to_owned()))
    })
}
