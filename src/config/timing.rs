//! When a task is due, as tasks.yaml says it: schedules, zones, business hours, dates; and whether they can ever come together.
use std::{collections::BTreeMap, ops::Range, rc::Rc, sync::Arc};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{
    fault::{Fault, quote},
    keys::{CALENDAR, HOURS, SCHEDULE},
    read::{Reader, Reading},
    tree::{Data, Node},
};
use crate::core::{
    calendar::{self, BusinessHours, Calendar, DateRange, Window},
    cron::CronExpr,
    schedule::Schedule,
    timing::{Anchors, Timing},
};

/// The calendars of the file, by name.
pub(super) type Calendars = BTreeMap<String, Vec<DateRange>>;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// Business hours as they were written; the holidays of the task come on top.
#[derive(Clone, Debug)]
pub(super) struct Hours {
    windows: Vec<Window>,
    holidays: Vec<DateRange>,
    /// As it was written, for people.
    text: String,
}

/// What a place says of the business hours.
#[derive(Clone, Debug)]
pub(super) enum Opening {
    Always,
    Hours(At<Hours>),
}

/// Finds a time zone.
pub(super) fn zone(reader: &mut Reader<'_>, name: &Reading) -> Option<(TimeZone, Arc<str>)> {
    if let Ok(zone) = TimeZone::get(&name.text) {
        let proper = zone.iana_name().unwrap_or(&name.text).into();
        return Some((zone, proper));
    }
    let known: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    let hint = super::fault::did_you_mean(&name.text, known.iter().map(String::as_str));
    let hint = hint.unwrap_or_else(|| "write an IANA name such as `Asia/Tokyo`, or `UTC`".to_owned());
    reader.fault(&name.span, format!("there is no time zone {}", quote(&name.text)), hint);
    None
}

/// Reads a schedule or a list of them.
pub(super) fn schedules(reader: &mut Reader<'_>, node: &Rc<Node>, at: &Range<usize>) -> Vec<At<Schedule>> {
    let elements = reader.elements(node, at, "a schedule");
    if elements.is_empty() && matches!(node.data, Data::List(_)) {
        reader.fault(&node.span, "the list of schedules is empty", "leave `schedule` out for a task that is started by hand only");
    }
    elements.iter().filter_map(|node| schedule(reader, node, at)).collect()
}

fn schedule(reader: &mut Reader<'_>, node: &Rc<Node>, at: &Range<usize>) -> Option<At<Schedule>> {
    if matches!(node.data, Data::Map(_)) {
        return schedule_table(reader, node, at);
    }
    let text = reader.whole(node, at, "a schedule such as `\"0 9 * * mon-fri\"`")?;
    let value = match text.text.trim() {
        "@start" => Schedule::Start,
        "@reboot" => {
            reader.fault(&text.span, "`@reboot` is not known here", "write `@start`: once at each start of the daemon");
            return None;
        }
        other => match ["@every ", "every ", "@after ", "after "].iter().find_map(|word| Some((word.trim(), other.strip_prefix(word)?))) {
            Some((word, rest)) => {
                reader.fault(
                    &text.span,
                    format!("{} is not a cron expression", quote(other)),
                    format!("write `{{ {}: {rest} }}`", word.trim_start_matches('@')),
                );
                return None;
            }
            None => cron(reader, &text)?,
        },
    };
    Some(At { value, span: text.span })
}

fn schedule_table(reader: &mut Reader<'_>, node: &Node, at: &Range<usize>) -> Option<At<Schedule>> {
    let table = reader.table(node, at, &[SCHEDULE])?;
    let known = || SCHEDULE.iter().filter_map(|key| table.entry(key.name));
    let entry = known().next();
    if known().count() != 1 {
        if known().count() > 1 || table.entries().is_empty() {
            reader.fault(
                &node.span,
                "a schedule is one of `cron`, `every` and `after`",
                "write a list for several: `[{ every: 3h }, \"@start\"]`",
            );
        }
        return None;
    }
    let entry = entry?;
    let span = entry.value.span.clone();
    let value = match &*entry.key.text {
        "cron" => {
            let text = reader.whole(&entry.value, &entry.key.span, "a cron expression")?;
            cron(reader, &text)?
        }
        word => {
            let length = reader.duration(&entry.value, &entry.key.span, false)?;
            if length < SignedDuration::from_secs(1) {
                reader.fault(&span, "a task can't be due more often than once a second", "write `1s` or more");
                return None;
            }
            if word == "every" { Schedule::Every { interval: length } } else { Schedule::After { delay: length } }
        }
    };
    Some(At { value, span })
}

fn cron(reader: &mut Reader<'_>, text: &Reading) -> Option<Schedule> {
    let parsed = reader.crons.get(&text.text).map(|known| Ok(Arc::clone(known)));
    match parsed.unwrap_or_else(|| CronExpr::parse(&text.text).map(Arc::new)) {
        Ok(expr) => {
            for warning in expr.warnings() {
                reader.warnings.push(Fault::new(text.span.clone(), warning));
            }
            reader.crons.insert(text.text.clone(), Arc::clone(&expr));
            Some(Schedule::Cron { expr, text: text.text.trim().into() })
        }
        Err(misread) => {
            reader.misread(text, misread);
            None
        }
    }
}

/// Reads dates, ranges of dates and names of calendars.
pub(super) fn dates(reader: &mut Reader<'_>, node: &Rc<Node>, at: &Range<usize>, calendars: &Calendars) -> Vec<DateRange> {
    let mut all = Vec::new();
    for node in reader.elements(node, at, "dates such as `2026-12-31`, or the name of a calendar") {
        let Some(text) = reader.whole(node, at, "a date such as `2026-12-31`, or the name of a calendar") else { continue };
        if let Some(dates) = calendars.get(&text.text) {
            all.extend_from_slice(dates);
        } else if text.text.starts_with(|c: char| c.is_ascii_digit()) {
            match calendar::parse_dates(&text.text) {
                Ok(range) => all.push(range),
                Err(misread) => reader.misread(&text, misread),
            }
        } else {
            reader.unknown(&text.span, "calendar", &text.text, calendars.keys().map(String::as_str));
        }
    }
    all
}

/// Reads business hours: windows, or a table of windows and holidays, or `always`.
pub(super) fn hours(reader: &mut Reader<'_>, node: &Rc<Node>, at: &Range<usize>, calendars: &Calendars) -> Option<Opening> {
    let (mut windows_at, mut holidays) = ((node, at), Vec::new());
    if matches!(node.data, Data::Map(_)) {
        let table = reader.table(node, at, &[HOURS])?;
        if let Some(entry) = table.entry("holidays") {
            holidays = dates(reader, &entry.value, &entry.key.span, calendars);
        }
        let entry = table.entry("windows")?;
        windows_at = (&entry.value, &entry.key.span);
    }
    let (node, at) = windows_at;
    let (mut windows, mut texts) = (Vec::new(), Vec::new());
    for element in reader.elements(node, at, "hours such as `09:00-18:00`") {
        let text = reader.whole(element, at, "hours such as `09:00-18:00`")?;
        if text.text.trim() == "always" {
            return Some(Opening::Always);
        }
        match calendar::parse_windows(&text.text) {
            Ok(read) => windows.extend(read),
            Err(misread) => {
                reader.misread(&text, misread);
                return None;
            }
        }
        texts.push(text.text.trim().to_owned());
    }
    if texts.is_empty() {
        reader.fault(&node.span, "without a window it never opens", "write hours such as `09:00-18:00`, or `always`");
        return None;
    }
    let hours = Hours { windows, holidays, text: texts.join(", ") };
    Some(Opening::Hours(At { value: hours, span: node.span.clone() }))
}

/// Reads `calendar: { only: .., except: .. }`.
pub(super) fn calendar(reader: &mut Reader<'_>, node: &Node, at: &Range<usize>, calendars: &Calendars) -> Option<Calendar> {
    let table = reader.table(node, at, &[CALENDAR])?;
    let mut read = |name| table.entry(name).map(|entry| dates(reader, &entry.value, &entry.key.span, calendars));
    Some(Calendar { only: read("only"), except: read("except").unwrap_or_default() })
}

/// Business hours with the task's holidays; holidays alone mean that it is open on all other days.
pub(super) fn business_hours(hours: Option<&Hours>, holidays: &[DateRange]) -> Option<BusinessHours> {
    let all_day = || {
        let windows = calendar::parse_windows("00:00-24:00").unwrap_or_default();
        Hours { windows, holidays: Vec::new(), text: "always but on holidays".to_owned() }
    };
    let hours = match hours {
        Some(hours) => hours.clone(),
        None if holidays.is_empty() => return None,
        None => all_day(),
    };
    let holidays = [hours.holidays.as_slice(), holidays].concat();
    Some(BusinessHours { windows: hours.windows, holidays, text: hours.text.into() })
}

/// Where the parts of a timing stand, for faults of their meeting.
#[derive(Debug)]
pub(super) struct Places<'t> {
    pub(super) schedules: &'t [At<Schedule>],
    pub(super) hours: Option<&'t Range<usize>>,
}

/// Reports schedules that never fire, hours that never open, and fires of which none lies inside the hours.
pub(super) fn judge(reader: &mut Reader<'_>, timing: &Timing, places: &Places<'_>) {
    let now = reader.options.now;
    let mut dead = false;
    for At { value, span } in places.schedules.iter().filter(|schedule| schedule.value.never_fires(now, &timing.zone)) {
        let shown = if let Schedule::Cron { text, .. } = value { quote(text) } else { "this schedule".to_owned() };
        reader.fault(span, format!("{shown} never fires"), "check day and month, and the year if there is one");
        dead = true;
    }
    let Some((first, last)) = places.schedules.first().zip(places.schedules.last()) else { return };
    let all = first.span.start..last.span.end;
    if let Some((hours, place)) = timing.hours.as_ref().zip(places.hours)
        && !hours.is_open(now, &timing.zone)
        && hours.next_open(now, &timing.zone).is_none()
    {
        reader.fault(place, "these business hours never open", "check the windows against the holidays");
        dead = true;
    }
    if dead || ever_counts(timing, now) {
        return;
    }
    // A calendar that ends is no mistake, and must not keep a daemon from starting a year later.
    if timing.calendar.is_some() {
        reader
            .warnings
            .push(Fault::new(all, "no fire of the year to come lies on a day of the calendar").hint("bring the calendar up to date"));
    } else if let Some(hours) = &timing.hours {
        let message = format!("every fire lies outside the business hours ({})", hours.text);
        reader.fault(&all, message, "move the schedule or the hours, or set `defer: true`");
    }
}

/// Whether some fire to come lies inside hours and calendar. `after` and `@start` follow what happens, so some fire of theirs can always come at a
/// good time.
fn ever_counts(timing: &Timing, now: Timestamp) -> bool {
    let follows = |schedule: &Schedule| matches!(schedule, Schedule::After { .. } | Schedule::Start);
    timing.schedules.iter().any(follows) || timing.next_open_after(now, Anchors::default()).is_some()
}
