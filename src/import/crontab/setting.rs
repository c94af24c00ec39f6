//! The variables of a crontab: those that cron heeds, and those that are the commands'.
use jiff::tz::TimeZone;

use super::{Import, Zone};
use crate::{
    core::value::DURATION_MAX,
    import::{secret::is_setting, sheet::literal},
    shop::setting::is_variable,
};

/// The longest delay, in minutes.
const DELAY_MAX: u64 = DURATION_MAX.as_mins().unsigned_abs();

impl Import<'_> {
    pub(super) fn setting(&mut self, number: usize, name: &str, value: String) {
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
            if !is_variable(name) {
                let text = format!("`{name}` looks like a secret, and no `${{…}}` can have that name: set it where taskrun is started");
                self.sheet.left_out(number, text);
                return;
            }
            self.sheet.differs(
                number,
                format!("secrets do not stand in tasks.yaml: set `{name}` where taskrun is started, to what this line has"),
            );
            self.env.insert(name.into(), format!("${{{name}}}").into());
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
        self.env.insert(name.into(), literal(value).into());
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
}
