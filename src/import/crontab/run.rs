//! What becomes of a crontab's command: where it starts, as whom, by which shell, and what of it would outlive its run.
use serde_yaml::{Mapping, Value};

use super::{
    Import,
    command::{self, Background},
};
use crate::{import::sheet::literal, shop::setting::shell_word};

/// Shells that know `$?` and `wait`.
const BOURNE: [&str; 7] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh"];

impl Import<'_> {
    /// Says once of each user whose home is not known that cron starts there.
    pub(super) fn remark_home(&mut self, number: usize, command: &str, user: Option<&str>) {
        let name = user.map_or_else(|| "the owner".to_owned(), |user| format!("`{user}`"));
        if !command::goes_elsewhere(command) && self.cwd(command, user).is_none() && self.homeless.insert(name.clone()) {
            let text =
                format!("cron starts it in the home folder of {name}, which is not known here: set `cwd`, or import on that machine");
            self.sheet.differs(number, text);
        }
    }

    /// The command with nothing of it in the background, where its run would not wait for it.
    pub(super) fn in_the_foreground(&mut self, number: usize, command: String) -> String {
        let (background, within) = command::background(&command);
        if within {
            let text = "something within quotes or brackets goes on in the background, where taskrun ends it with the run: leave its `&` out, or \
                write `wait` behind it";
            self.sheet.differs(number, text);
        }
        match background {
            Background::Nothing => command,
            Background::Whole(command) => {
                let text = "the `&` is gone: taskrun ends what a run leaves in the background, and waits for the command itself";
                self.sheet.differs(number, text);
                command
            }
            Background::Part if !BOURNE.contains(&self.shell.rsplit('/').next().unwrap_or_default()) => {
                let text = "a part of it runs in the background, where taskrun ends it with the run: have it waited for";
                self.sheet.differs(number, text);
                command
            }
            Background::Part => {
                let text =
                    "a part of it runs in the background (in /bin/sh also with `&>`), where taskrun would end it: the run now waits for it";
                self.sheet.differs(number, text);
                // A backslash at the end would join the lines; `status` is zsh's own.
                let backslashes = command.len() - command.trim_end_matches('\\').len();
                let stands_alone = if backslashes % 2 == 1 { "\\" } else { "" };
                format!("{command}{stands_alone}\nended=$?; wait; exit $ended")
            }
        }
    }

    /// The parameters of the task.
    pub(super) fn with(&self, command: &str, input: Option<&str>, user: Option<&str>) -> Mapping {
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
                let words: Vec<String> = words.iter().map(|word| shell_word(word)).collect();
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
        let mut env = self.env.clone();
        if let Some(home) = &self.home {
            env.insert("HOME".into(), literal(home).into());
        }
        if !env.is_empty() {
            with.insert("env".into(), env.into());
        }
        with
    }

    /// Cron begins in the home folder; what goes elsewhere at once need not.
    fn cwd(&self, command: &str, user: Option<&str>) -> Option<String> {
        if command::goes_elsewhere(command) {
            return None;
        }
        let home = self.home.clone().or_else(|| (self.surroundings.home)(user));
        home.or_else(|| (user == Some("root")).then(|| "/root".to_owned()))
    }
}
