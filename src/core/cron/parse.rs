//! The fields of a cron expression: text to sets, with the day extensions `L`, `LW`, `15W`, `5L` and `fri#2`.
use std::collections::BTreeSet;

use super::super::{part::Part, value::Misread};

/// The values of a field that match.
pub(super) type Set = BTreeSet<u32>;

/// What a field may hold.
#[derive(Clone, Copy, Debug)]
struct Spec {
    /// `hour`, to speak of the field.
    name: &'static str,
    /// `an hour`, to speak of a value.
    value: &'static str,
    low: u32,
    high: u32,
    /// Names of the values from `low` on.
    names: &'static [&'static str],
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

const SECOND: Spec = Spec { name: "second", value: "a second", low: 0, high: 59, names: &[] };
const MINUTE: Spec = Spec { name: "minute", value: "a minute", low: 0, high: 59, names: &[] };
const HOUR: Spec = Spec { name: "hour", value: "an hour", low: 0, high: 23, names: &[] };
const DAY: Spec = Spec { name: "day of the month", value: "a day of the month", low: 1, high: 31, names: &[] };
const MONTH: Spec = Spec { name: "month", value: "a month", low: 1, high: 12, names: MONTHS };
const WEEKDAY: Spec = Spec { name: "day of the week", value: "a day of the week", low: 0, high: 7, names: WEEKDAYS };
/// The calendar search ends in 2100.
const YEAR: Spec = Spec { name: "year", value: "a year", low: 1970, high: 2099, names: &[] };

/// One item of the day-of-month field, or all its plain values.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum DayTerm {
    On(Set),
    /// `L`: the last day of the month.
    Last,
    /// `LW`: the last day of the month that is not a Saturday or a Sunday.
    LastWorkday,
    /// `15W`: the workday nearest to the 15th, in the same month; nothing in a month without that day.
    Nearest(u32),
}

/// One item of the day-of-week field, or all its plain values; 0 is Sunday.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum WeekdayTerm {
    On(Set),
    /// `5L`: the last Friday of the month.
    LastOf(u32),
    /// `5#2`: the second Friday of the month.
    Nth(u32, u32),
}

/// An expression, field by field.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fields {
    pub(super) seconds: Set,
    pub(super) minutes: Set,
    pub(super) hours: Set,
    pub(super) days: Vec<DayTerm>,
    pub(super) months: Set,
    pub(super) weekdays: Vec<WeekdayTerm>,
    /// `None`: every year.
    pub(super) years: Option<Set>,
    /// Neither the minute nor the hour, nor seconds that are given, begin with a star.
    pub(super) fixed: bool,
    /// Neither day field begins with a star, so that either one matching is enough.
    pub(super) either_day: bool,
    pub(super) warnings: Vec<String>,
}

/// The expression that an alias stands for.
fn alias(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "@hourly" => Some("0 * * * *"),
        "@daily" | "@midnight" => Some("0 0 * * *"),
        "@weekly" => Some("0 0 * * 0"),
        "@monthly" => Some("0 0 1 * *"),
        "@yearly" | "@annually" => Some("0 0 1 1 *"),
        _ => None,
    }
}

/// Reads an expression.
pub(super) fn fields(text: &str) -> Result<Fields, Misread> {
    let whole = Part::whole(text);
    let mut words = whole.words();
    if let [word] = *words.as_slice()
        && word.text.starts_with('@')
    {
        let unknown = || {
            let hint = "the aliases are @hourly, @daily (@midnight), @weekly, @monthly, @yearly (@annually) and, as a schedule, @start";
            word.misread(format!("`{}` is not known", word.text), Some(hint.to_owned()))
        };
        words = Part::whole(alias(word.text).ok_or_else(unknown)?).words();
    }
    let (second, [minute, hour, day, month, weekday], year) = match *words.as_slice() {
        [minute, hour, day, month, weekday] => (None, [minute, hour, day, month, weekday], None),
        [second, minute, hour, day, month, weekday] => (Some(second), [minute, hour, day, month, weekday], None),
        [second, minute, hour, day, month, weekday, year] => (Some(second), [minute, hour, day, month, weekday], Some(year)),
        _ => return Err(wrong_count(whole, words.len())),
    };
    let mut warnings = Vec::new();
    let mut plain = |spec: &Spec, part: Part<'_>| set(spec, part, &mut warnings);
    let seconds = second.map_or_else(|| Ok(Set::from([0])), |part| plain(&SECOND, part))?;
    let (minutes, hours) = (plain(&MINUTE, minute)?, plain(&HOUR, hour)?);
    let months = plain(&MONTH, month)?;
    let years = year.filter(|part| part.text != "*").map(|part| plain(&YEAR, part)).transpose()?;
    let days = days(day, &mut warnings)?;
    let weekdays = weekdays(weekday, &mut warnings)?;
    let either_day = !starred(day) && !starred(weekday);
    if either_day {
        warnings.push("both the day of the month and the day of the week are restricted: either one matching is enough".to_owned());
    }
    let fixed = ![second, Some(minute), Some(hour)].iter().flatten().any(|part| part.text.starts_with('*'));
    Ok(Fields { seconds, minutes, hours, days, months, weekdays, years, fixed, either_day, warnings })
}

fn wrong_count(whole: Part<'_>, count: usize) -> Misread {
    let message = match count {
        0 => "a cron expression is missing".to_owned(),
        1 => "one field where a cron expression has five".to_owned(),
        _ => format!("{count} fields where a cron expression has five"),
    };
    let hint = if whole.text.contains('\u{3000}') {
        "there is a full-width space (U+3000) in it; write ordinary ones"
    } else if whole.text.starts_with("@every") {
        "in tasks.yaml, write `schedule: { every: 5m }`"
    } else {
        "write: minute hour day-of-month month day-of-week; with six fields seconds come first, with seven a year comes last"
    };
    whole.misread(message, Some(hint.to_owned()))
}

/// Vixie cron's rule: a field that begins with a star does not restrict, even as `*/2`.
fn starred(part: Part<'_>) -> bool {
    part.text.starts_with(['*', '?'])
}

/// Reads a field without extensions.
fn set(spec: &Spec, field: Part<'_>, warnings: &mut Vec<String>) -> Result<Set, Misread> {
    let mut values = Set::new();
    for item in items(spec, field)? {
        values.extend(plain_item(spec, item, warnings)?);
    }
    Ok(values)
}

/// Reads the day of the month.
fn days(field: Part<'_>, warnings: &mut Vec<String>) -> Result<Vec<DayTerm>, Misread> {
    let (mut terms, mut values) = (Vec::new(), Set::new());
    for item in items(&DAY, field)? {
        let text = item.text.to_ascii_uppercase();
        match (text.as_str(), text.strip_suffix('W')) {
            ("?", _) => values.extend(DAY.low..=DAY.high),
            ("L", _) => terms.push(DayTerm::Last),
            ("LW", _) => terms.push(DayTerm::LastWorkday),
            (_, Some(day)) => terms.push(DayTerm::Nearest(number(day, &DAY).ok_or_else(|| not_a_value(&DAY, item))?)),
            _ => values.extend(plain_item(&DAY, item, warnings)?),
        }
    }
    if !values.is_empty() {
        terms.push(DayTerm::On(values));
    }
    Ok(terms)
}

/// Reads the day of the week. Sunday is 0 from here on.
fn weekdays(field: Part<'_>, warnings: &mut Vec<String>) -> Result<Vec<WeekdayTerm>, Misread> {
    let sunday_first = |day: u32| if day == 7 { 0 } else { day };
    let (mut terms, mut values) = (Vec::new(), Set::new());
    for item in items(&WEEKDAY, field)? {
        if item.text == "?" {
            values.extend(0..=6);
        } else if let Some((day, nth)) = item.split_once("#") {
            let day = value(&WEEKDAY, day)?;
            let weeks = ["1", "2", "3", "4", "5"];
            let nth = weeks.iter().zip(1..).find_map(|(week, n)| (*week == nth.text).then_some(n)).ok_or_else(|| {
                let message = format!("`{}` is not a week of the month (1 to 5)", nth.text);
                nth.misread(message, Some("`fri#2` is the second Friday of the month".to_owned()))
            })?;
            terms.push(WeekdayTerm::Nth(sunday_first(day), nth));
        } else if let Some(day) = item.text.strip_suffix(['L', 'l']).and_then(|day| known_value(&WEEKDAY, day)) {
            terms.push(WeekdayTerm::LastOf(sunday_first(day)));
        } else {
            values.extend(plain_item(&WEEKDAY, item, warnings)?.into_iter().map(sunday_first));
        }
    }
    if !values.is_empty() {
        terms.push(WeekdayTerm::On(values));
    }
    Ok(terms)
}

/// The items of a list.
fn items<'a>(spec: &Spec, field: Part<'a>) -> Result<Vec<Part<'a>>, Misread> {
    let items = field.split(|letter| letter == ',');
    if items.iter().any(|item| item.text.is_empty()) {
        return Err(field.misread(format!("`{}` lists an empty {}", field.text, spec.name), Some("remove the extra comma".to_owned())));
    }
    Ok(items)
}

/// Reads `*`, `5`, `1-5`, each with an optional step.
fn plain_item(spec: &Spec, item: Part<'_>, warnings: &mut Vec<String>) -> Result<Set, Misread> {
    let (range, step) = item.split_once("/").map_or((item, None), |(range, step)| (range, Some(step)));
    let (from, to) = if range.text == "*" {
        (spec.low, spec.high)
    } else if let Some((from, to)) = range.split_once("-") {
        span(spec, range, (from, to))?
    } else {
        let from = value(spec, range)?;
        (from, if step.is_some() { spec.high } else { from })
    };
    let Some(step) = step else { return Ok((from..=to).collect()) };
    let every = step.text.parse::<usize>().ok().filter(|every| *every > 0 && is_number(step.text)).ok_or_else(|| {
        let hint = format!("`*/10` matches every tenth {}", spec.name);
        step.misread(format!("`{}` is not a step (a whole number from 1 on)", step.text), Some(hint))
    })?;
    let values: Set = (from..=to).step_by(every).collect();
    if values.len() == 1 && to > from {
        warnings.push(format!("the step of `{}` is larger than the {} field: only {from} is left of it", item.text, spec.name));
    }
    Ok(values)
}

/// Reads the ends of a range. Only Sunday may stand behind a greater value: `fri-sun`.
fn span(spec: &Spec, range: Part<'_>, (from, to): (Part<'_>, Part<'_>)) -> Result<(u32, u32), Misread> {
    let (first, last) = (value(spec, from)?, value(spec, to)?);
    if first <= last {
        return Ok((first, last));
    }
    if spec.high == WEEKDAY.high && to.text.eq_ignore_ascii_case("sun") {
        return Ok((first, WEEKDAY.high));
    }
    let word = |value: u32| {
        let index = usize::try_from(value.saturating_sub(spec.low)).unwrap_or(usize::MAX);
        spec.names.get(index).map_or_else(|| value.to_string(), |name| (*name).to_owned())
    };
    let last_of_all = if spec.high == WEEKDAY.high { 6 } else { spec.high };
    let joined = |a: u32, b: u32| if a == b { word(a) } else { format!("{}-{}", word(a), word(b)) };
    let hint = format!("write `{},{}`", joined(first, last_of_all), joined(spec.low, last));
    Err(range.misread(format!("`{}` runs backwards in the {} field", range.text, spec.name), Some(hint)))
}

/// Reads one value.
fn value(spec: &Spec, part: Part<'_>) -> Result<u32, Misread> {
    known_value(spec, part.text).ok_or_else(|| not_a_value(spec, part))
}

/// A value by number or by name, if it is one.
fn known_value(spec: &Spec, text: &str) -> Option<u32> {
    let by_name = || spec.names.iter().zip(spec.low..).find_map(|(name, value)| name.eq_ignore_ascii_case(text).then_some(value));
    number(text, spec).or_else(by_name)
}

/// A number within the field, if it is one.
fn number(text: &str, spec: &Spec) -> Option<u32> {
    let value = text.parse().ok().filter(|_| is_number(text))?;
    (spec.low..=spec.high).contains(&value).then_some(value)
}

/// Whether there are digits and nothing else: `+5` is a number to Rust, but not to cron.
fn is_number(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

fn not_a_value(spec: &Spec, part: Part<'_>) -> Misread {
    let known = match spec.names {
        [first, .., last] => format!("{} to {}, or {first} to {last}", spec.low, spec.high),
        _ => format!("{} to {}", spec.low, spec.high),
    };
    // `sunday`, `Sept`: the names have three letters.
    let short = spec.names.iter().find(|name| part.text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)));
    let hint = short.filter(|_| part.text.chars().all(char::is_alphabetic)).map(|name| format!("write `{name}`"));
    if part.text.is_empty() {
        return part.misread(format!("{} is missing here ({known})", spec.value), hint);
    }
    part.misread(format!("`{}` is not {} ({known})", part.text, spec.value), hint)
}
