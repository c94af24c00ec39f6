//! A crontab as a tasks.yaml: the system's, with users in it, or a user's own.
//!
//! Lines mean what cronie takes them for. What cron would refuse is left out, since nobody relies on it; what runs differently here is said.
use std::collections::BTreeSet;

use jiff::{Timestamp, tz::TimeZone};
use serde_yaml::{Mapping, Value};

use self::{
    command::Background,
    kind::{is_user, runner},
    line::{Entry, Line},
};
use super::{
    Imported,
    secret::{is_setting, masked, shows_one},
    sheet::{Sheet, SheetError, literal, mapping},
};
use crate::core::cron::CronExpr;

pub use self::kind::is_one;

mod command;
mod kind;
mod line;

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
    }
    import.sheet.finish()
}

/// More variables than this, written down for each task, are no settings but a mistake; tasks.yaml may have twice as much in all.
const ENV_BYTES_MAX: usize = 8 << 20;

/// Minutes of 366 days, the longest time that tasks.yaml knows.
const DELAY_MAX: u64 = 366 * 24 * 60;

/// An import under way.
struct Import<'a> {
    surroundings: &'a Surroundings<'a>,
    sheet: Sheet,
    /// Who runs taskrun; `None`: the crontab is a user's, and so is taskrun.
    runner: Option<String>,
    /// Variables as they stand at this line.
    env: Vec<(String, String)>,
    shell: String,
    home: Option<String>,
    zone: Zone,
    /// `RANDOM_DELAY`, in minutes.
    delay: u64,
    /// The line before this one ends with a backslash.
    continued: bool,
    /// Users whose home folder is not known, of which that was said.
    homeless: BTreeSet<String>,
    /// How many bytes the variables of all tasks take.
    env_bytes: usize,
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
            env: Vec::new(),
            shell: "/bin/sh".to_owned(),
            home: None,
            zone: Zone::Unsaid,
            delay: 0,
            continued: false,
            homeless: BTreeSet::new(),
            env_bytes: 0,
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
        let continued = std::mem::replace(&mut self.continued, text.ends_with('\\') && !text.trim_start().starts_with('#'));
        match line {
            Line::Blank => self.sheet.gap(),
            Line::Comment(text) => self.sheet.verbatim(&masked(text)),
            Line::Setting(name, value) => self.setting(number, &name, value),
            Line::Entry(entry) => match self.entry(number, &entry) {
                Ok(()) => {}
                Err(why) => self.refuse(number, text, continued, &why),
            },
            Line::Broken(why) => self.refuse(number, text, continued, &why),
        }
    }

    /// Keeps a line that is no task as a comment.
    fn refuse(&mut self, number: usize, text: &str, continued: bool, why: &str) {
        let why = if continued { "cron joins no lines: what follows a backslash stands alone; write it on one line" } else { why };
        self.sheet.left_out(number, masked(why));
        self.sheet.comment(masked(text).trim());
    }

    fn setting(&mut self, number: usize, name: &str, value: String) {
        match name {
            "SHELL" if value.is_empty() => self.sheet.left_out(number, "`SHELL` is empty: the commands run as before it"),
            "SHELL" => self.shell = value,
            "HOME" if !value.starts_with('/') => {
                self.sheet.left_out(number, "`HOME` is no whole path: the commands start where they would without it");
            }
            "HOME" => self.home = Some(value),
            "CRON_TZ" => self.zone(number, &value),
            "RANDOM_DELAY" => {
                let Ok(delay) = value.trim().parse::<u64>() else {
                    return self.sheet.left_out(number, "`RANDOM_DELAY` is no number of minutes: write `jitter` where it is needed");
                };
                self.delay = delay.min(DELAY_MAX);
                let text = "`RANDOM_DELAY` becomes `jitter`: cron draws it anew at each start, here each task keeps its own";
                self.sheet.differs(number, text);
                if DELAY_MAX < delay {
                    self.sheet
                        .differs(number, format!("`RANDOM_DELAY` of {delay} minutes is more than there is: {DELAY_MAX}m is the most"));
                }
            }
            "MAILTO" | "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" => self.mail(number, name, &value),
            "LOGNAME" | "USER" => self.sheet.left_out(number, format!("`{name}` cannot be chosen; cron sets it itself, too")),
            "TZ" => {
                let text = "`TZ` is the programs' own, as with cron; when they are due is said by `timezone`";
                self.sheet.differs(number, text);
                self.set(name, &value);
            }
            _ => self.plain_setting(number, name, &value),
        }
    }

    fn plain_setting(&mut self, number: usize, name: &str, value: &str) {
        if is_setting(name, value) {
            if name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                let text = format!("`{name}` looks like a secret, and no `${{…}}` can have that name: set it where taskrun is started");
                self.sheet.left_out(number, text);
                return;
            }
            self.sheet.differs(
                number,
                format!("secrets do not stand in tasks.yaml: set `{name}` where taskrun is started, to what this line has"),
            );
            self.env.retain(|(known, _)| known != name);
            self.env.push((name.to_owned(), format!("${{{name}}}")));
            return;
        }
        if value.contains('$') {
            let text =
                format!("`{name}`: cron fills in no variables, and neither does taskrun here: a `$` stays one; write out what is meant");
            self.sheet.differs(number, text);
        } else if value.contains(" #") {
            self.sheet.differs(number, format!("`{name}`: there are no comments behind a value, `#` and the rest belong to it"));
        }
        self.set(name, value);
    }

    fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), literal(value)));
    }

    fn zone(&mut self, number: usize, value: &str) {
        let name = value.strip_prefix(':').unwrap_or(value);
        self.zone = match name {
            "" => Zone::Unsaid,
            _ if TimeZone::get(name).is_ok() => Zone::Named(name.to_owned()),
            _ => Zone::Unknown(number),
        };
        if let Zone::Named(name) = &self.zone {
            let text = format!("`CRON_TZ` becomes `timezone: {name}` of the tasks below; Debian's own cron does not heed it, cronie does");
            self.sheet.differs(number, text);
        }
    }

    fn mail(&mut self, number: usize, name: &str, value: &str) {
        match (name, value) {
            ("MAILTO", "") => self.sheet.comment("MAILTO=\"\": output goes to the log; who is to hear of failures is said under `notify`"),
            ("MAILTO", _) => {
                let text = "`MAILTO`: output is not mailed but kept (`taskrun logs TASK`); for mails when a run fails, `notify: { email: … }`, see \
                    docs/notifications.md";
                self.sheet.differs(number, text);
            }
            _ => self.sheet.left_out(number, format!("`{name}` is about mails with output, which taskrun does not send")),
        }
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
        self.env_bytes =
            self.env.iter().fold(self.env_bytes, |sum, (name, value)| sum.saturating_add(name.len()).saturating_add(value.len()));
        if self.env_bytes > ENV_BYTES_MAX {
            return Err("the variables of all lines together are too many for one tasks.yaml: split the crontab".to_owned());
        }
        let (command, input) = command::split_input(line);
        self.remark_time(number, entry);
        self.remark_home(number, &command, user);
        let command = self.in_the_foreground(number, command);
        if command::shows_a_secret(&command) || shows_one(&command) {
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

    /// Says once of each user whose home is not known that cron starts there.
    fn remark_home(&mut self, number: usize, command: &str, user: Option<&str>) {
        let name = user.map_or_else(|| "the owner".to_owned(), |user| format!("`{user}`"));
        if !command.starts_with("cd /") && self.cwd(command, user).is_none() && self.homeless.insert(name.clone()) {
            let text =
                format!("cron starts it in the home folder of {name}, which is not known here: set `cwd`, or import on that machine");
            self.sheet.differs(number, text);
        }
    }

    /// The command with nothing of it in the background, where its run would not wait for it.
    fn in_the_foreground(&mut self, number: usize, command: String) -> String {
        match command::background(&command) {
            Background::Nothing => command,
            Background::Whole(command) => {
                let text = "the `&` is gone: taskrun ends what a run leaves in the background, and waits for the command itself";
                self.sheet.differs(number, text);
                command
            }
            Background::Part => {
                let text =
                    "a part of it runs in the background (in /bin/sh also with `&>`), where taskrun would end it: the run now waits for it";
                self.sheet.differs(number, text);
                format!("{command}\nstatus=$?; wait; exit $status")
            }
        }
    }

    /// The parameters of the task.
    fn with(&self, command: &str, input: Option<&str>, user: Option<&str>) -> Mapping {
        let other = user.filter(|user| Some(*user) != self.runner.as_deref());
        let mut words: Vec<String> = Vec::new();
        if let Some(user) = other {
            words.extend(["runuser", "-u", user, "--"].map(str::to_owned));
            // It sets the user's own.
            words.extend(self.home.iter().flat_map(|home| ["env".to_owned(), format!("HOME={home}")]));
        }
        let as_is = words.is_empty() && self.shell == "/bin/sh";
        words.extend([self.shell.clone(), "-c".to_owned()]);
        let (command, input) = (literal(command), input.map(literal));
        let mut with = Mapping::new();
        match input {
            // `$1` and `$2` are the elements behind the line.
            Some(input) => {
                let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
                let line = format!("printf '%s\\n' \"$2\" | {} \"$1\"", words.join(" "));
                with.insert("run".into(), vec![literal(&line), command.clone(), input].into());
                with.insert("shell".into(), true.into());
            }
            None if as_is => {
                with.insert("run".into(), command.clone().into());
                with.insert("shell".into(), true.into());
            }
            None => {
                let words = words.iter().map(|word| literal(word)).chain([command.clone()]);
                with.insert("run".into(), words.map(Value::from).collect::<Vec<_>>().into());
            }
        }
        if let Some(cwd) = self.cwd(&command, user) {
            with.insert("cwd".into(), literal(&cwd).into());
        }
        let home = self.home.as_ref().map(|home| ("HOME".to_owned(), literal(home)));
        let env: Mapping = self.env.iter().cloned().chain(home).map(|(name, value)| (name.into(), value.into())).collect();
        if !env.is_empty() {
            with.insert("env".into(), env.into());
        }
        with
    }

    /// Cron begins in the home folder; what goes elsewhere at once need not.
    fn cwd(&self, command: &str, user: Option<&str>) -> Option<String> {
        if command.starts_with("cd /") {
            return None;
        }
        let home = self.home.clone().or_else(|| (self.surroundings.home)(user));
        home.or_else(|| (user == Some("root")).then(|| "/root".to_owned()))
    }
}

/// A word as the shell takes it for one.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=".contains(c);
    if word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// A command without the blanks at its end.
fn ended(command: &str) -> &str {
    let end = command.trim_end_matches([' ', '\t']);
    if end.ends_with('\\') { command } else { end }
}
