//! A crontab as a tasks.yaml: the system's, with users in it, or a user's own.
//!
//! Lines mean what cronie takes them for. What cron would refuse is left out, since nobody relies on it; what runs differently here is said.
use std::collections::BTreeSet;

use jiff::{Timestamp, tz::TimeZone};
use serde_yaml::Mapping;

use self::{
    kind::{is_user, runner},
    line::{Entry, Line},
};
use super::{
    Imported,
    secret::{HIDDEN, masked, shows_one},
    sheet::{Sheet, SheetError, mapping},
};
use crate::core::cron::CronExpr;

pub use self::kind::is_one;

mod command;
mod kind;
mod line;
mod run;
mod setting;

/// How lines are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Told by what stands in it.
    Auto,
    /// `/etc/crontab` and `/etc/cron.d`: a user before each command.
    System,
    /// A user's own: `crontab -l`.
    User,
}

/// What is known of the machine whose crontab it is.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub format: Format,
    /// Who will run taskrun; otherwise the only user of the file, or root.
    pub run_as: Option<&'a str>,
    /// The home folder of a user; of `None`: of whoever imports.
    pub home: &'a dyn Fn(Option<&str>) -> Option<String>,
    /// Schedules that never fire from here on are left out.
    pub now: Timestamp,
}

impl std::fmt::Debug for Surroundings<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surroundings").field("format", &self.format).field("run_as", &self.run_as).finish_non_exhaustive()
    }
}

/// Makes a tasks.yaml of a crontab; `name` is what to call it.
///
/// # Errors
/// When the YAML cannot be written.
pub fn import(name: &str, bytes: &[u8], surroundings: &Surroundings<'_>) -> Result<Imported, SheetError> {
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    let ends = text.ends_with('\n') || text.is_empty();
    let texts: Vec<&str> = text.lines().collect();
    let lines: Vec<Line<'_>> = texts.iter().map(|text| line::read(text)).collect();
    let (system, doubt) = match surroundings.format {
        Format::System => (true, None),
        Format::User => (false, None),
        Format::Auto => kind::guess(&texts, &lines, surroundings),
    };
    let mut import = Import::new(surroundings, system.then(|| runner(&lines, surroundings)));
    import.open(name);
    if let Some((line, doubt)) = doubt {
        import.sheet.differs(line, doubt);
    }
    if text.contains("\r\n") {
        let text = "lines end as on Windows (CR LF): cron would hand the CR to the commands; here it is dropped";
        import.sheet.differs(0, text);
    }
    let last = lines.len();
    for (number, (line, text)) in (1..).zip(lines.into_iter().zip(&texts)) {
        if number == last && !ends && matches!(line, Line::Entry(_)) {
            let text = "the last line has no line end, and cron ignores such a line; here it runs: remove the task if that is not wanted";
            import.sheet.differs(number, text);
        }
        import.line(number, line, text);
        if import.sheet.is_lost() {
            break;
        }
    }
    import.sheet.finish()
}

/// An import under way.
struct Import<'a> {
    surroundings: &'a Surroundings<'a>,
    sheet: Sheet,
    /// Who runs taskrun; `None`: the crontab is a user's, and so is taskrun.
    runner: Option<String>,
    /// Variables as they stand at this line.
    env: Mapping,
    shell: String,
    home: Option<String>,
    zone: Zone,
    /// `RANDOM_DELAY`, in minutes.
    delay: u64,
    /// The line before this one, if it ends with a backslash.
    continued: Option<Continued>,
    /// Users whose home folder is not known, of which that was said.
    homeless: BTreeSet<String>,
}

/// What a line goes on with that stands behind a backslash: for whoever wrote it, not for cron.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Continued {
    Comment,
    Line,
}

/// What `CRON_TZ` says at this line.
enum Zone {
    Unsaid,
    Named(String),
    /// No zone that we know.
    Unknown(usize),
}

impl<'a> Import<'a> {
    fn new(surroundings: &'a Surroundings<'a>, runner: Option<String>) -> Self {
        Self {
            surroundings,
            sheet: Sheet::default(),
            runner,
            env: Mapping::new(),
            shell: "/bin/sh".to_owned(),
            home: None,
            zone: Zone::Unsaid,
            delay: 0,
            continued: None,
            homeless: BTreeSet::new(),
        }
    }

    fn open(&mut self, name: &str) {
        let home = (self.surroundings.home)(None);
        let sheet = &mut self.sheet;
        sheet.head(format!(
            "Made from {name} by `taskrun import crontab`. Lines with `!` say what is different now. Then: taskrun check; taskrun list"
        ));
        sheet.head(
            "Times are those of the machine's own zone, as they were; `timezone: Asia/Tokyo` on a line of its own makes sure of one.",
        );
        match (&self.runner, home) {
            (Some(runner), _) => sheet.head(format!("taskrun has to be started by `{runner}`.")),
            (None, Some(home)) => {
                sheet.head(format!("taskrun has to be started by the crontab's owner, whose home folder is taken to be {home}."));
            }
            (None, None) => sheet.head("taskrun has to be started by the crontab's owner."),
        }
        let defaults = mapping([("overlap", "allow".into()), ("catch_up", "none".into())]);
        let comments = [
            "As cron has it: a job is started even where its last run still goes on, and what was due while the machine was down is forgotten.",
            "Mostly better: `overlap: skip` or `last_wins`, and `catch_up: latest`.",
        ];
        sheet.section(&comments, "defaults", defaults);
    }

    fn line(&mut self, number: usize, line: Line<'_>, text: &str) {
        let is_comment = matches!(line, Line::Comment(_));
        let goes_on = text.ends_with('\\').then_some(if is_comment { Continued::Comment } else { Continued::Line });
        let continued = std::mem::replace(&mut self.continued, goes_on);
        let is_rest = continued == Some(Continued::Line);
        match line {
            Line::Blank => self.sheet.gap(),
            // It may be the rest of a secret.
            Line::Comment(_) if continued.is_some() => self.sheet.comment(HIDDEN),
            Line::Comment(text) => self.sheet.verbatim(&masked(text)),
            Line::Setting(..) if is_rest => self.refuse(number, text, is_rest, ""),
            Line::Setting(name, value) => self.setting(number, &name, value),
            Line::Entry(entry) => match self.entry(number, &entry) {
                Ok(()) => {}
                Err(why) => self.refuse(number, text, is_rest, &why),
            },
            Line::Broken(why) => self.refuse(number, text, is_rest, &why),
        }
    }

    /// Keeps a line that is no task as a comment, unless it may be the rest of a secret.
    fn refuse(&mut self, number: usize, text: &str, is_rest: bool, why: &str) {
        if is_rest {
            let text = "cron joins no lines: what follows a backslash stands alone, and is not shown; write it on one line";
            self.sheet.left_out(number, text);
            return self.sheet.comment(HIDDEN);
        }
        self.sheet.left_out(number, masked(why));
        self.sheet.comment(masked(text).trim());
    }

    /// Adds a task, or says why there is none.
    fn entry(&mut self, number: usize, entry: &Entry<'_>) -> Result<(), String> {
        let schedule = self.schedule(entry)?;
        let (user, line) = self.user_and_command(entry)?;
        line::not_a_field(line::first_word(line).0)?;
        if line.contains(['\0', char::REPLACEMENT_CHARACTER]) {
            return Err("there are characters in it that are not UTF-8: write the command by hand".to_owned());
        }
        if let Zone::Unknown(at) = self.zone {
            return Err(format!(
                "`CRON_TZ` on line {at} is no time zone that is known here: write an IANA name such as `Asia/Tokyo` there"
            ));
        }
        let (command, input) = command::split_input(line);
        self.remark_time(number, entry);
        let command = self.in_the_foreground(number, command);
        self.remark_home(number, &command, user);
        if shows_one(&command) || input.as_deref().is_some_and(shows_one) {
            self.sheet.differs(number, "a secret seems to stand in the command: take it from the environment instead, as in `$API_TOKEN`");
        }
        if command.contains("run-parts ") {
            self.sheet.comment("Each script of that folder could be a task of its own, with its own history and timeout.");
        }
        let mut task = mapping([("handler", "command".into()), ("schedule", schedule.into())]);
        if let Zone::Named(zone) = &self.zone {
            task.insert("timezone".into(), zone.as_str().into());
        }
        if self.delay > 0 {
            task.insert("jitter".into(), format!("{}m", self.delay).into());
        }
        task.insert("with".into(), self.with(&command, input.as_deref(), user).into());
        self.sheet.task(&command::name_of(&command), task);
        Ok(())
    }

    fn schedule(&self, entry: &Entry<'_>) -> Result<String, String> {
        if let Some(why) = line::foreign(&entry.time) {
            return Err(why);
        }
        if entry.time == "@reboot" {
            return Ok("@start".to_owned());
        }
        if shows_one(&entry.time) {
            return Err("a name and its value stand among the time fields: correct the line".to_owned());
        }
        let expr = CronExpr::parse(&entry.time).map_err(|misread| match misread.hint {
            Some(hint) => format!("{}: {hint}", misread.message),
            None => format!("{}: correct it", misread.message),
        })?;
        if line::is_beyond_cron(&entry.time) {
            let time = &entry.time;
            return Err(format!(
                "cron does not know `?`, `#`, `L` and `W`; taskrun does: if it was meant, write a task with `schedule: \"{time}\"`"
            ));
        }
        if expr.next_after(self.surroundings.now, &TimeZone::UTC).is_none() {
            return Err(format!("`{}` never fires, with cron neither: check day and month", entry.time));
        }
        Ok(entry.time.clone())
    }

    /// Whom the command belongs to, if that is not who runs taskrun.
    fn user_and_command<'e>(&self, entry: &Entry<'e>) -> Result<(Option<&'e str>, &'e str), String> {
        let Some(runner) = &self.runner else { return Ok((None, ended(entry.rest))) };
        let (user, command) = line::first_word(entry.rest);
        if !is_user(user) {
            return Err(format!(
                "`{user}` is no user: in the system's crontab one stands before the command (or is it a user's own? `--user`)"
            ));
        }
        if command.is_empty() {
            return Err("a user without a command: add the command, or remove the line".to_owned());
        }
        if user != runner && runner != "root" {
            return Err(format!(
                "it runs as `{user}`, and taskrun as `{runner}` cannot do that: give `{user}` a taskrun of its own, or run it as root"
            ));
        }
        Ok((Some(user), ended(command)))
    }

    fn remark_time(&mut self, number: usize, entry: &Entry<'_>) {
        if entry.time == "@reboot" {
            let text = "`@reboot` becomes `@start`: it runs at each start of taskrun, not only of the machine";
            self.sheet.differs(number, text);
        }
        if entry.quiet {
            self.sheet.differs(number, "`-` kept cron's own log quiet; here every run is in the history");
        }
        if line::has_open_step(&entry.time) {
            let text =
                format!("`{}`: from the number on, in steps, as cronie has it; Debian's cron refuses or ignores such a step", entry.time);
            self.sheet.differs(number, text);
        }
    }
}

/// A command without the blanks at its end.
fn ended(command: &str) -> &str {
    let end = command.trim_end_matches([' ', '\t']);
    if end.ends_with('\\') { command } else { end }
}
