//! What texts look like, as patterns that JavaScript and Rust read alike: no looking ahead, no needless escapes.
//!
//! A pattern may let pass what `check` refuses, never the other way round.

/// Whatever holds a variable: what it stands for is not known here.
pub(super) const VARIABLE: &str = r"\$\{[A-Za-z_]";

/// A whole text of this shape, or one with a variable in it.
pub(super) fn whole(shape: &str) -> String {
    format!("^(?:{shape})$|{VARIABLE}")
}

pub(super) const NAME: &str = "[a-z0-9_-]{1,64}";
pub(super) const BOOL: &str = "true|false";
pub(super) const INT: &str = r"-?(?:0|[1-9]\d*)";
pub(super) const DECIMAL: &str = r"-?\d{1,12}(?:\.\d{1,12})?";
pub(super) const PERCENT: &str = r"\s*0*(?:100(?:\.0+)?|\d{1,2}(?:\.\d{1,12})?)\s*%\s*";
pub(super) const SIZE: &str = r"\s*\d+(?:\.\d+)?\s*(?:[kKmMgG][iI]?)?[bB]\s*";
pub(super) const STORE: &str = "sqlite://.+";
pub(super) const PATH: &str = r"~|~[^/]+.*|[^~][\s\S]*";
pub(super) const ZONE: &str = "[A-Za-z][A-Za-z0-9_+/-]*";
pub(super) const ADDRESS: &str = r"(?:\d{1,3}(?:\.\d{1,3}){3}|\[[0-9A-Fa-f:.]+\]):\d{1,5}";
pub(super) const HOST: &str = r"(?:(?:\*\.)?[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?";
pub(super) const URL: &str =
    r"https://[^\s/?#@\\]+(?:/[^\s?#\\]*)?|http://(?:localhost|127\.[\d.]+|\[[0-9A-Fa-f:]+\])(?::\d{1,5})?(?:/[^\s?#\\]*)?";
pub(super) const CALL_URL: &str = r"https?://[^\s/?#@\\]+(?:/[^\s?#\\]*)?(?:\?[^\s#\\]*)?";

/// Days and ranges of days, and names of calendars; what begins like a date is one.
pub(super) const DATES: &str = r"\d{4}-\d{2}-\d{2}(?:\.\.\d{4}-\d{2}-\d{2})?|[0-9-]*[a-z_][a-z0-9_-]*";

/// With `days` and `weeks` as the longest units: months have no fixed length.
pub(super) const DURATION: &str = concat!(
    r"(?:\s*\d+(?:\.\d+)?\s*(?:nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|",
    r"days?|d|weeks?|wks?|w)\s*)+"
);
/// A text with no digit but zeros, and no variable: a duration of nothing.
pub(super) const NOTHING: &str = "^[^1-9$]*$";

/// Hours: days before their times, a time at the end; or `always`.
pub(super) fn hours() -> String {
    let day = names(&["mon", "tue", "wed", "thu", "fri", "sat", "sun"]);
    let time = r"(?:[01]?\d|2[0-3]):[0-5]\d";
    let window = format!("{time}-(?:{time}|24:00)");
    format!(r"\s*always\s*|[,\s]*(?:(?:{day}(?:-{day})?|{window})[,\s]+)*{window}[,\s]*")
}

/// Five fields, six with seconds first, seven with a year last, or an alias.
pub(super) fn cron() -> String {
    let months = names(&["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]);
    let (minute, hour) = ("0*[0-5]?[0-9]", "0*(?:[01]?[0-9]|2[0-3])");
    let (day, month) = ("0*(?:[1-9]|[12][0-9]|3[01])", format!("(?:0*(?:[1-9]|1[0-2])|{months})"));
    let weekday = format!("(?:0*[0-7]|{})", names(&["sun", "mon", "tue", "wed", "thu", "fri", "sat"]));
    let year = "(?:19[7-9][0-9]|20[0-9]{2})";
    let time = field(minute, "");
    let days = field(day, &format!(r"|\?|[lL][wW]?|{day}[wW]"));
    let weekdays = field(&weekday, &format!(r"|\?|{weekday}#[1-5]|{weekday}[lL]"));
    let aliases = names(&["start", "hourly", "daily", "midnight", "weekly", "monthly", "yearly", "annually"]);
    let gap = r"[ \t\n]";
    let fields = [time.clone(), field(hour, ""), days, field(&month, ""), weekdays].join(&format!("{gap}+"));
    format!("{gap}*(?:@{aliases}|(?:{time}{gap}+)?{fields}(?:{gap}+{})?){gap}*", field(year, ""))
}

/// A list of values, ranges and steps, and what else this field knows.
fn field(value: &str, more: &str) -> String {
    let item = format!(r"(?:(?:\*|{value}(?:-{value})?)(?:/0*[1-9][0-9]*)?{more})");
    format!("{item}(?:,{item})*")
}

/// One of these words, in capitals or not.
fn names(words: &[&str]) -> String {
    let any_case = |c: char| format!("[{}{}]", c, c.to_ascii_uppercase());
    let words: Vec<String> = words.iter().map(|word| word.chars().map(any_case).collect()).collect();
    format!("(?:{})", words.join("|"))
}
