//! What a message says: what failed, on what, why, and what to do; without secrets, without control characters, no longer than a channel takes.
use jiff::{Timestamp, tz::TimeZone};

use super::{
    Event, Level,
    words::{self, Label},
};
use crate::{
    config::notify::Language,
    observe::log::Secrets,
    store::notices::{Claimed, Told},
};

/// Of one cause, more is not said: the log has the rest.
const WHY_MAX: usize = 300;
/// A daily report has this many lines at most.
const LINES_MAX: usize = 20;

/// How messages are written.
#[derive(Clone, Debug)]
pub(super) struct Style {
    pub(super) language: Language,
    pub(super) zone: TimeZone,
    pub(super) secrets: Secrets,
    pub(super) practice: bool,
}

/// A message: what is due for a channel at once.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    /// The channel's own count. A message that may have arrived is repeated under its number, so that people see doubles.
    pub(super) number: u32,
    /// One line.
    pub(super) title: String,
    /// Of what matters most.
    pub(super) level: Level,
    pub(super) practice: bool,
    pub(super) pieces: Vec<Piece>,
    language: Language,
}

/// One notice of a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) event: &'static str,
    pub(super) level: Level,
    pub(super) subject: String,
    pub(super) why: String,
    pub(super) run: Option<i64>,
    pub(super) count: u32,
    pub(super) first_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
    /// What people read: a heading, and lines below it.
    head: String,
    lines: Vec<String>,
}

impl Message {
    pub(super) fn of(claimed: &Claimed, style: &Style) -> Self {
        let pieces: Vec<Piece> = claimed.notices.iter().map(|told| style.piece(told)).collect();
        let level = pieces.iter().map(|piece| piece.level).max().unwrap_or(Level::Info);
        let what = match pieces.as_slice() {
            [one] => one.head.clone(),
            many => {
                let count = many.len();
                let notices = words::label(style.language, Label::Notices);
                let first = many.first().map(|piece| piece.head.as_str()).unwrap_or_default();
                match style.language {
                    Language::En => format!("{count} {notices}: {first}, …"),
                    Language::Ja => format!("{count}{notices}: {first} ほか"),
                }
            }
        };
        Self {
            number: claimed.number,
            title: style.title(&what, (0 < claimed.number).then_some(claimed.number)),
            level,
            practice: style.practice,
            pieces,
            language: style.language,
        }
    }

    /// A message that is no notice, for tests of a channel.
    pub(super) fn test(style: &Style, host: &str) -> Self {
        let (title, text) = words::test(style.language, host);
        Self { title: style.title(title, None), practice: style.practice, language: style.language, ..Self::plain(0, title, &text) }
    }

    /// One that the outbox does not know of.
    pub(super) fn plain(number: u32, title: &str, text: &str) -> Self {
        let why = visible(text);
        let piece = Piece {
            event: "",
            level: Level::Info,
            subject: String::new(),
            why: why.clone(),
            run: None,
            count: 1,
            first_at: None,
            last_at: None,
            head: why,
            lines: Vec::new(),
        };
        Self { number, title: title.to_owned(), level: Level::Info, practice: false, pieces: vec![piece], language: Language::En }
    }

    /// The text, at most so many characters; what does not fit is counted. `calm` takes the channel's own markup out of it.
    pub(super) fn body(&self, chars_max: usize, calm: impl Fn(&str) -> String) -> String {
        let mut body = String::new();
        let mut left = chars_max;
        for (index, piece) in self.pieces.iter().enumerate() {
            let block = std::iter::once(piece.head.as_str()).chain(piece.lines.iter().map(String::as_str)).collect::<Vec<_>>().join("\n  ");
            let block = calm(&block);
            let rest = self.pieces.len().saturating_sub(index);
            let note = calm(&words::more(self.language, rest));
            let length = block.chars().count().saturating_add(1);
            let is_last = rest == 1;
            if left < length.saturating_add(if is_last { 0 } else { note.chars().count() }) {
                if index == 0 {
                    // Not even one fits: its beginning says what it is.
                    body.extend(block.chars().take(left));
                } else {
                    body.push_str(&note);
                }
                return body;
            }
            body.push_str(&block);
            if !is_last {
                body.push('\n');
            }
            left = left.saturating_sub(length);
        }
        body
    }
}

impl Style {
    fn title(&self, what: &str, number: Option<u32>) -> String {
        let practice = if self.practice { format!(" ({})", words::label(self.language, Label::Practice)) } else { String::new() };
        let number = number.map(|number| format!(" #{number}")).unwrap_or_default();
        format!("taskrun{practice}: {what}{number}")
    }

    fn piece(&self, told: &Told) -> Piece {
        let Told { notice, run, first, last, count, before, .. } = told;
        let (event, language) = (notice.event, self.language);
        let subject = self.clean(&notice.subject);
        let why = match event {
            Event::Starving => words::superseded(language, &notice.text.chars().filter(char::is_ascii_digit).collect::<String>()),
            Event::DailyReport => String::new(),
            _ => self.clean(&notice.text),
        };
        let mut lines = Vec::new();
        let label = |label| words::label(language, label);
        if event == Event::DailyReport {
            lines.extend(notice.text.lines().take(LINES_MAX).map(|line| self.clean(line)));
        } else {
            if !why.is_empty() {
                lines.push(format!("{}: {why}", label(Label::Why)));
            }
            let when = match before {
                Some((failures, since)) => format!("{} ({})", self.at(*last), words::after(language, *failures, &self.at(*since))),
                None if *count == 1 => self.at(*last),
                None => words::times(language, *count, &self.at(*first), &self.at(*last)),
            };
            let run = run.map(|run| format!(", {} {}", label(Label::Run), run.0)).unwrap_or_default();
            lines.push(format!("{}: {when}{run}", label(Label::When)));
            let advice = words::advice(language, event).replace("{}", &subject);
            if !advice.is_empty() {
                lines.push(format!("{}: {advice}", label(Label::Do)));
            }
        }
        let (level, what) = (words::level(language, notice.level), words::event(language, event));
        let head = match language {
            Language::En => format!("{level} {subject}: {what}"),
            Language::Ja => format!("【{level}】{subject}: {what}"),
        };
        Piece {
            event: event.word(),
            level: notice.level,
            subject,
            why,
            run: run.map(|run| run.0),
            count: *count,
            first_at: Some(*first),
            last_at: Some(*last),
            head,
            lines,
        }
    }

    /// Without secrets and control characters, on one line, not longer than somebody reads.
    pub(super) fn clean(&self, text: &str) -> String {
        let masked = visible(&self.secrets.mask(text));
        let mut cut: String = masked.chars().take(WHY_MAX).collect();
        if cut.len() < masked.len() {
            cut.push('…');
        }
        cut
    }

    fn at(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }
}

/// A text on one line, with its control characters and whatever turns the direction of writing made visible.
pub(super) fn visible(text: &str) -> String {
    let is_odd =
        |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let mut shown = String::new();
    for c in text.trim().chars() {
        match c {
            '\n' | '\r' | '\t' => shown.push(' '),
            c if is_odd(c) => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{core::task::RunId, notify::Notice};

    fn told(event: Event, subject: &str, text: &str, count: u32) -> Told {
        let notice = Notice { event, level: Level::Alert, subject: Arc::from(subject), text: text.to_owned() };
        let (first, last) = ("2026-11-23T00:00:00Z".parse().unwrap(), "2026-11-23T01:30:00Z".parse().unwrap());
        Told { notice, run: Some(RunId(812)), first, last, count, over: false, before: None }
    }

    fn style(language: Language) -> Style {
        let zone = TimeZone::get("Asia/Tokyo").unwrap();
        Style { language, zone, secrets: Secrets::new(["hunter22"]), practice: false }
    }

    #[test]
    fn a_message_says_what_on_what_why_when_and_what_to_do() {
        let claimed = Claimed { number: 3, notices: vec![told(Event::Failed, "sync_inventory", "amazon said 503", 12)] };
        let message = Message::of(&claimed, &style(Language::En));
        assert_eq!(message.title, "taskrun: ALERT sync_inventory: failed #3");
        let body = message.body(2_000, str::to_owned);
        assert_eq!(
            body,
            "ALERT sync_inventory: failed\n  why: amazon said 503\n  when: 12 times, from 2026-11-23 09:00 JST to 2026-11-23 10:30 JST, run 812\n  \
             do: `taskrun logs sync_inventory` shows what it said, `taskrun history sync_inventory --failed` what else failed"
        );
        let body = Message::of(&claimed, &style(Language::Ja)).body(2_000, str::to_owned);
        assert!(
            body.starts_with("【緊急】sync_inventory: 失敗しました\n  理由: amazon said 503\n  日時: 12回（2026-11-23 09:00 JST から"),
            "{body}"
        );
        assert!(body.contains("対応: `taskrun logs sync_inventory`"), "{body}");
    }

    #[test]
    fn a_message_is_never_longer_than_its_channel_takes_and_counts_what_does_not_fit() {
        let notices: Vec<Told> = (0..100).map(|n| told(Event::Failed, &format!("task_{n}"), &"x".repeat(500), 1)).collect();
        for language in [Language::En, Language::Ja] {
            let message = Message::of(&Claimed { number: 1, notices: notices.clone() }, &style(language));
            for max in [20, 500, 2_000, 8_000] {
                let body = message.body(max, |text| text.replace('x', "xx"));
                assert!(body.chars().count() <= max, "{max}: {}", body.chars().count());
                let told = body.matches("task_").count() > 0;
                assert!(max < 2_000 || told && body.contains("taskrun notify list"), "{body}");
            }
        }
    }

    #[test]
    fn secrets_and_control_characters_are_not_told() {
        let style = style(Language::En);
        assert_eq!(style.clean("token hunter22\n\x1b[31mred\u{202e}\u{0}"), "token *** \\u{1b}[31mred\\u{202e}\\u{0}");
        assert_eq!(style.clean(&"長".repeat(1_000)).chars().count(), WHY_MAX + 1);
    }
}
