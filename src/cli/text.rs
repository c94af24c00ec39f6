//! Times, durations and tables as people read them.
//!
//! In a terminal times are relative (`3h ago`), for they are read now; in a pipe they are RFC 3339, for they are read later.
use std::fmt::Write as _;

use clap::builder::styling::{AnsiColor, Style};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::exit::Failure;

pub(crate) const PLAIN: Style = Style::new();
pub(crate) const DIM: Style = Style::new().dimmed();
pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
pub(crate) const ODD: Style = AnsiColor::Yellow.on_default();

/// How to write times: relative to now or absolute, in which zone.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    pub(crate) now: Timestamp,
    pub(crate) zone: TimeZone,
    /// A person reads it now, in a terminal.
    pub(crate) relative: bool,
}

impl Times {
    /// An instant to come: `Sun 15:00 (in 1h 12m)`.
    pub(crate) fn coming(&self, at: Timestamp, zone: &TimeZone) -> String {
        if !self.relative {
            return stamp(at, zone);
        }
        let left = at.duration_since(self.now);
        let day = self.day(at, zone);
        if left.is_positive() { format!("{day} (in {})", took(round_up(left))) } else { format!("{day} (now)") }
    }

    /// An instant that passed: `3h ago`.
    pub(crate) fn passed(&self, at: Timestamp) -> String {
        if self.relative { ago(self.now.duration_since(at)) } else { stamp(at, &self.zone) }
    }

    /// An instant that passed, by the clock and relative: `Sun 15:00 (3h ago)`.
    pub(crate) fn dated(&self, at: Timestamp) -> String {
        if !self.relative {
            return stamp(at, &self.zone);
        }
        format!("{} ({})", self.day(at, &self.zone), ago(self.now.duration_since(at)))
    }

    /// What the clock shows.
    pub(crate) fn clock(&self) -> String {
        if self.relative { self.day(self.now, &self.zone) } else { stamp(self.now, &self.zone) }
    }

    /// `Sun 15:00` for instants less than a week away, otherwise with the date; with seconds where there are some.
    pub(crate) fn day(&self, at: Timestamp, zone: &TimeZone) -> String {
        let local = at.to_zoned(zone.clone());
        let today = self.now.to_zoned(zone.clone());
        let clock = if local.second() == 0 { "%H:%M" } else { "%H:%M:%S" };
        let week = SignedDuration::from_hours(6 * 24);
        let format = if at.duration_since(self.now).abs() < week {
            format!("%a {clock}")
        } else if local.year() == today.year() {
            format!("%a %-d %b {clock}")
        } else {
            format!("%Y-%m-%d {clock}")
        };
        local.strftime(&format).to_string()
    }
}

/// `2026-11-22T15:00:00+09:00`, for people.
pub(crate) fn stamp(at: Timestamp, zone: &TimeZone) -> String {
    at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

/// How long something took: `420ms`, `4.1s`, `39s`, `3m 20s`, `1h 29m`, `2d 3h`.
pub(crate) fn took(duration: SignedDuration) -> String {
    let ms = duration.as_millis().max(0);
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..9_950 => {
            let tenths = (ms + 50) / 100;
            if tenths % 10 == 0 { format!("{}s", tenths / 10) } else { format!("{}.{}s", tenths / 10, tenths % 10) }
        }
        _ => two_units((ms + 500) / 1_000),
    }
}

fn two_units(seconds: i128) -> String {
    const UNITS: [(i128, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut text = String::new();
    let mut rest = seconds;
    let mut shown = 0;
    for (size, unit) in UNITS {
        let count = rest / size;
        rest %= size;
        if count > 0 && shown < 2 {
            let gap = if shown > 0 { " " } else { "" };
            write!(text, "{gap}{count}{unit}").unwrap_or_default();
        }
        if count > 0 || shown > 0 {
            shown += 1;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// How long ago, in one unit: `39s ago`, `3h ago`.
pub(crate) fn ago(passed: SignedDuration) -> String {
    let seconds = passed.as_secs();
    match seconds {
        ..1 => "just now".to_owned(),
        1..60 => format!("{seconds}s ago"),
        60..3_600 => format!("{}m ago", seconds / 60),
        3_600..86_400 => format!("{}h ago", seconds / 3_600),
        _ => format!("{}d ago", seconds / 86_400),
    }
}

/// To the next whole second, so that what is to come never reads `in 999ms`.
fn round_up(duration: SignedDuration) -> SignedDuration {
    let seconds = duration.as_secs() + i64::from(duration.subsec_nanos() > 0);
    SignedDuration::from_secs(seconds)
}

/// An instant, written as one (`2026-11-22T13:48:00+09:00`) or as how long before now (`2h`).
pub(crate) fn instant_before(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    instant(text, |span| now.checked_sub(span).ok())
}

/// An instant, written as one or as how long after now.
pub(crate) fn instant_after(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    instant(text, |span| now.checked_add(span).ok())
}

fn instant(text: &str, relative: impl Fn(SignedDuration) -> Option<Timestamp>) -> Result<Timestamp, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let span = humantime::parse_duration(text).ok().and_then(|span| SignedDuration::try_from(span).ok());
    span.and_then(relative).ok_or_else(|| {
        Failure::usage(format!("`{text}` is neither an instant nor a duration"))
            .advise("write `2026-11-22T13:48:00+09:00`, `2026-11-22T04:48:00Z`, or a duration such as `2h 30m`")
    })
}

/// `once`, `twice`, `3 times`.
pub(crate) fn counted_times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        count => format!("{count} times"),
    }
}

/// Somebody else's text on one line, its control characters made visible.
pub(crate) fn one_line(text: &str) -> String {
    /// What fits beside the other columns without wrapping twice.
    const SHOWN: usize = 160;
    let mut line = String::new();
    for c in text.trim().chars().take(SHOWN) {
        match c {
            '\n' | '\r' | '\t' => line.push(' '),
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    if text.trim().chars().nth(SHOWN).is_some() {
        line.push('…');
    }
    line
}

/// One field of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, PLAIN)
    }
}

/// Rows under each other, columns two blanks apart, no blanks at the ends of lines.
pub(crate) fn table<const N: usize>(rows: &[[Cell; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.text.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
        for (column, (cell, width)) in row.iter().zip(widths).take(last + 1).enumerate() {
            let style = cell.style;
            let pad = if column == last { 0 } else { width - cell.text.chars().count() + 2 };
            write!(text, "{style}{}{style:#}{:pad$}", cell.text, "").unwrap_or_default();
        }
        text.push('\n');
    }
    text
}

/// `1 task`, `2 tasks`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A real duration as the core counts.
pub(crate) fn real(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

/// Seconds of one of our views.
pub(crate) fn seconds(seconds: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// There is no task or instance of that name.
pub(crate) fn unknown_name<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Failure {
    let failure = Failure::usage(format!("there is no task or instance `{name}`"));
    match closest(name, known) {
        Some(closest) => failure.advise(format!("did you mean `{closest}`?")),
        None => failure.advise("`taskrun list` shows what there is"),
    }
}

/// The name that is closest to what was typed, if one is close.
pub(crate) fn closest<'a>(typed: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = names.map(|name| (strsim::jaro_winkler(typed, name), name));
    scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokyo() -> TimeZone {
        TimeZone::get("Asia/Tokyo").unwrap()
    }

    fn times(relative: bool) -> Times {
        Times { now: "2026-11-22T13:47:39+09:00".parse().unwrap(), zone: tokyo(), relative }
    }

    #[test]
    fn what_took_long_is_told_in_two_units() {
        let cases = [
            (0, "0ms"),
            (420, "420ms"),
            (4_120, "4.1s"),
            (4_000, "4s"),
            (9_960, "10s"),
            (39_000, "39s"),
            (200_000, "3m 20s"),
            (5_340_000, "1h 29m"),
            (3_600_000, "1h"),
            (3_601_000, "1h"),
            (183_600_000, "2d 3h"),
        ];
        for (ms, text) in cases {
            assert_eq!(took(SignedDuration::from_millis(ms)), text, "{ms} ms");
        }
    }

    #[test]
    fn a_terminal_shows_times_relative_and_a_pipe_absolute() {
        let at: Timestamp = "2026-11-22T15:00:00+09:00".parse().unwrap();
        assert_eq!(times(true).coming(at, &tokyo()), "Sun 15:00 (in 1h 12m)");
        assert_eq!(times(false).coming(at, &tokyo()), "2026-11-22T15:00:00+09:00");
        let at: Timestamp = "2026-11-22T10:47:00+09:00".parse().unwrap();
        assert_eq!(times(true).passed(at), "3h ago");
        assert_eq!(times(true).dated(at), "Sun 10:47 (3h ago)");
        assert_eq!(times(false).passed(at), "2026-11-22T10:47:00+09:00");
    }

    #[test]
    fn days_further_away_carry_their_date() {
        let at: Timestamp = "2026-12-24T09:00:30+09:00".parse().unwrap();
        assert_eq!(times(true).day(at, &tokyo()), "Thu 24 Dec 09:00:30");
        let at: Timestamp = "2027-01-04T09:00:00+09:00".parse().unwrap();
        assert_eq!(times(true).day(at, &tokyo()), "2027-01-04 09:00");
    }

    #[test]
    fn columns_stand_under_each_other_and_lines_end_without_blanks() {
        let rows = [["a".into(), "long name".into(), "".into()], ["bcd".into(), "x".into(), Cell::from("end")]];
        assert_eq!(table(&rows), "a    long name\nbcd  x          end\n");
    }

    #[test]
    fn a_name_that_is_close_is_suggested_and_others_are_not() {
        let names = ["sync_inventory", "upload_tick"];
        assert_eq!(closest("sync_inventroy", names.into_iter()), Some("sync_inventory"));
        assert_eq!(closest("zebra", names.into_iter()), None);
    }
}
