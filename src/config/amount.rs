//! Durations, sizes and exact decimals as people write them. What is wrong comes back in words.
use jiff::SignedDuration;

use super::fault::quote;
use crate::core::value::{DURATION_MAX, decimal_text as show};

/// What is wrong with a text, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Misfit {
    pub message: String,
    pub hint: Option<String>,
}

impl Misfit {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()) }
    }
}

/// Reads a duration such as `90s` or `3h 30m`. Months and years are refused: they have no fixed length, and `5M` is seldom meant as five months.
///
/// # Errors
/// What is wrong, in words.
pub fn duration(text: &str, zero: bool) -> Result<SignedDuration, Misfit> {
    let shown = quote(text);
    let text = text.trim();
    if text.is_empty() || text.chars().all(|c| c.is_ascii_digit()) && text != "0" {
        let example = if text.is_empty() { "90" } else { text };
        return Err(Misfit::new(format!("{shown} is not a duration"), format!("add a unit: `{example}s`")));
    }
    let units = text.split(|c: char| !c.is_ascii_alphabetic());
    if let Some(unit) = units.into_iter().find(|unit| matches!(*unit, "M" | "month" | "months" | "y" | "yr" | "year" | "years")) {
        let hint = if unit == "M" { format!("minutes are `m`: `{}`", text.replace('M', "m")) } else { "count in days: `30d`".to_owned() };
        return Err(Misfit::new(format!("{shown}: months and years have no fixed length"), hint));
    }
    let read = humantime::parse_duration(text).ok();
    let Some(read) = read else { return Err(Misfit::new(format!("{shown} is not a duration"), "write it like `90s`, `5m` or `3h 30m`")) };
    if read.is_zero() && !zero {
        return Err(Misfit::new(format!("{shown}: zero makes no sense here"), "write it like `90s`, `5m` or `3h 30m`"));
    }
    if read > DURATION_MAX.unsigned_abs() {
        let days = DURATION_MAX.as_hours() / 24;
        return Err(Misfit::new(format!("{shown} is longer than {days} days"), "check the unit: `m` is minutes, `s` seconds"));
    }
    if !read.is_zero() && read.as_millis() == 0 {
        return Err(Misfit::new(format!("{shown} is shorter than a millisecond"), "write it like `90s`, `5m` or `3h 30m`"));
    }
    SignedDuration::try_from(read).map_err(|_| Misfit::new(format!("{shown} is too long"), "write it like `90s`, `5m` or `3h 30m`"))
}

/// Reads a size such as `10MB` (powers of 1,000) or `10MiB` (powers of 1,024).
///
/// # Errors
/// What is wrong, in words.
pub fn size(text: &str) -> Result<u64, Misfit> {
    let shown = quote(text);
    let wrong = || Misfit::new(format!("{shown} is not a size"), "write it like `500KB`, `10MB` or `1GiB`");
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(end).ok_or_else(wrong)?;
    if unit.is_empty() && !number.is_empty() {
        return Err(Misfit::new(format!("{shown} is not a size"), format!("add a unit: `{number}MB`")));
    }
    let factor: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let millionths = decimal(number).ok().and_then(|number| u64::try_from(number).ok()).ok_or_else(wrong)?;
    let bytes = u128::from(millionths) * u128::from(factor) / 1_000_000;
    u64::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= 1 << 50)
        .ok_or_else(|| Misfit::new(format!("{shown} is too large"), "check the unit"))
}

/// Reads an exact decimal as millionths: `1.30` is 1,300,000.
///
/// # Errors
/// What is wrong, in words.
pub fn decimal(text: &str) -> Result<i64, Misfit> {
    const DIGITS: usize = 6;
    let wrong = || Misfit::new(format!("{} is not a number", quote(text)), "write it like `1.30`, with at most six digits after the point");
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.len() <= 12 && part.chars().all(|c| c.is_ascii_digit());
    if !plain(whole) || !plain(part) || part.trim_end_matches('0').len() > DIGITS {
        return Err(wrong());
    }
    let part = format!("{:0<DIGITS$}", part.trim_end_matches('0'));
    let whole: i64 = whole.parse().map_err(|_| wrong())?;
    let part: i64 = part.parse().map_err(|_| wrong())?;
    whole.checked_mul(1_000_000).and_then(|whole| whole.checked_add(part)).map(|value| sign * value).ok_or_else(wrong)
}

/// Whether a number of millionths lies within bounds.
///
/// # Errors
/// It does not.
pub fn within(millionths: i64, least: i64, most: i64) -> Result<i64, Misfit> {
    if (least..=most).contains(&millionths) {
        return Ok(millionths);
    }
    let (least, most) = (show(least), show(most));
    Err(Misfit::new(format!("{} is not from {least} to {most}", show(millionths)), format!("write a number from {least} to {most}")))
}

/// Reads a share such as `5%` as millionths, from 0 to 100 percent.
///
/// # Errors
/// What is wrong, in words.
pub fn percent(text: &str) -> Result<i64, Misfit> {
    let shown = quote(text);
    let Some(number) = text.trim().strip_suffix('%') else {
        return Err(Misfit::new(format!("{shown} is not a share"), "write it with a percent sign: `5%`"));
    };
    let share = decimal(number.trim()).map_err(|_| Misfit::new(format!("{shown} is not a share"), "write it like `5%` or `0.5%`"))?;
    if (0..=100_000_000).contains(&share) {
        Ok(share / 100)
    } else {
        Err(Misfit::new(format!("{shown} is not from 0% to 100%"), "write it like `5%`"))
    }
}

/// Reads a whole number in decimal digits.
///
/// # Errors
/// What is wrong, in words.
pub fn whole(text: &str, least: i64, most: i64) -> Result<i64, Misfit> {
    let shown = quote(text);
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit());
    let read = text.parse::<i64>().ok().filter(|_| plain);
    let Some(read) = read else {
        let joined: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
        let hint = joined.parse::<i64>().ok().filter(|_| joined != text).map(|number| format!("write `{number}`"));
        return Err(Misfit { message: format!("{shown} is not a whole number"), hint });
    };
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(Misfit::new(format!("{shown}: a number does not begin with 0"), format!("write `{read}`")));
    }
    if (least..=most).contains(&read) {
        Ok(read)
    } else {
        Err(Misfit::new(format!("{read} is not from {least} to {most}"), format!("write a number from {least} to {most}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_units_and_have_fixed_lengths() {
        for (text, expected) in [
            ("90s", 90),
            ("3h 30m", 12_600),
            ("3h30m", 12_600),
            ("1.5h", 5_400),
            ("2w", 1_209_600),
            ("366d", 366 * 86_400),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(duration(text, true), Ok(SignedDuration::from_secs(expected)), "{text}");
        }
        for (text, hint) in [
            ("90", "add a unit: `90s`"),
            ("5M", "minutes are `m`: `5m`"),
            ("1month", "count in days: `30d`"),
            ("1y", "count in days: `30d`"),
            ("-5s", "write it like `90s`, `5m` or `3h 30m`"),
            ("PT1H", "write it like `90s`, `5m` or `3h 30m`"),
            ("367d", "check the unit: `m` is minutes, `s` seconds"),
            ("18446744073709551615s", "check the unit: `m` is minutes, `s` seconds"),
            ("99999999999999999999999s", "write it like `90s`, `5m` or `3h 30m`"),
            ("5ns", "write it like `90s`, `5m` or `3h 30m`"),
            ("", "add a unit: `90s`"),
        ] {
            assert_eq!(duration(text, true).unwrap_err().hint.as_deref(), Some(hint), "{text}");
        }
        assert!(duration("0", false).is_err());
    }

    #[test]
    fn sizes_need_units() {
        for (text, expected) in [("10MB", 10_000_000), ("1.5 kib", 1_536), ("7B", 7), ("2GiB", 2 << 30)] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for text in ["10", "MB", "", "10XB", "-1MB", "1e3MB", "9999999GB", "10MBé"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn decimals_are_exact() {
        for (text, expected) in [("1.30", 1_300_000), ("0.000001", 1), ("-2", -2_000_000), ("0.1000000000", 100_000), ("100", 100_000_000)]
        {
            assert_eq!(decimal(text), Ok(expected), "{text}");
        }
        for text in ["1.0000001", "1e3", ".5", "5.", "", "-", "1,5", "999999999999999", "NaN"] {
            assert!(decimal(text).is_err(), "{text}");
        }
        assert_eq!(percent("5%"), Ok(50_000));
        assert_eq!(percent("0.5 %"), Ok(5_000));
        assert!(percent("5").is_err() && percent("101%").is_err() && percent("-1%").is_err());
    }

    #[test]
    fn whole_numbers_are_decimal_digits() {
        assert_eq!(whole("42", 0, 100), Ok(42));
        for (text, hint) in [
            ("1_000", Some("write `1000`")),
            ("0755", Some("write `755`")),
            ("+5", None),
            ("1.0", None),
            ("101", Some("write a number from 0 to 100")),
        ] {
            assert_eq!(whole(text, 0, 100).unwrap_err().hint.as_deref(), hint, "{text}");
        }
    }
}
