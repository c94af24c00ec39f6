//! The command of a crontab's line: what cron itself reads in it, what taskrun would take otherwise, and what to call it.

/// Splits off what the program gets to read: from the first `%` on, in which each further `%` is a line end; without its last line end. `\%` is a
/// percent sign.
pub(super) fn split_input(text: &str) -> (String, Option<String>) {
    let (mut command, mut input) = (String::new(), None::<String>);
    let mut escaped = false;
    for c in text.chars() {
        if c == '%' && !escaped {
            match &mut input {
                None => input = Some(String::new()),
                Some(input) => input.push('\n'),
            }
            continue;
        }
        // Cron reads the two halves a little differently, too.
        let again = input.is_some() || !escaped;
        let part = input.as_mut().unwrap_or(&mut command);
        if c == '%' {
            part.pop();
        }
        part.push(c);
        escaped = c == '\\' && again;
    }
    let input = input.filter(|input| !input.is_empty());
    (command, input.map(|input| input.strip_suffix('\n').unwrap_or(&input).to_owned()))
}

/// What a command leaves behind when its line has been read to the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Background {
    Nothing,
    /// It ends with `&`; the same without that.
    Whole(String),
    /// Some part of it.
    Part,
}

/// Looks for programs that are started in the background: taskrun ends them with their run.
pub(super) fn background(command: &str) -> Background {
    let mut found = Vec::new();
    let (mut quote, mut escaped, mut last) = (None, false, ' ');
    let mut letters = command.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        let next = letters.peek().map_or(' ', |(_, next)| *next);
        match quote {
            _ if escaped => escaped = false,
            Some('\'') if c != '\'' => {}
            _ if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            // The rest is for people.
            None if c == '#' && last.is_whitespace() => break,
            None if c == '&' && next != '&' && !matches!(last, '&' | '>' | '<' | '|') => found.push((at, next)),
            Some(_) | None => {}
        }
        last = c;
    }
    match *found.as_slice() {
        [] => Background::Nothing,
        [(at, next)] if next != '>' => {
            let (before, rest) = command.split_at(at);
            let rest = rest.strip_prefix('&').unwrap_or(rest);
            if only_redirections(rest) { Background::Whole(format!("{}{rest}", before.trim_end())) } else { Background::Part }
        }
        _ => Background::Part,
    }
}

/// Whether nothing but `>> FILE 2>&1` and the like is left.
fn only_redirections(text: &str) -> bool {
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let arrow = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let Some(target) = arrow.strip_prefix(">>").or_else(|| arrow.strip_prefix('>')).or_else(|| arrow.strip_prefix('<')) else {
            return false;
        };
        let target = target.trim_start();
        let end = target.find(|c: char| c.is_whitespace() || ";|(){}".contains(c)).unwrap_or(target.len());
        rest = target.get(end..).unwrap_or_default().trim_start();
    }
    true
}

/// Words before a secret that somebody typed into a command.
const BEFORE_SECRETS: [&str; 8] = ["password=", "passwd=", "--password ", "token=", "secret=", "api_key=", "apikey=", "authorization: "];

/// Whether a secret seems to be typed into it.
pub(super) fn shows_a_secret(command: &str) -> bool {
    let lower = command.to_ascii_lowercase();
    let typed =
        |rest: &str| rest.starts_with(|c: char| !c.is_whitespace() && !"$`\"'".contains(c) || "\"'".contains(c) && !is_variable(rest));
    let named = BEFORE_SECRETS.iter().any(|word| lower.split(word).skip(1).any(typed));
    let in_address = lower.split("://").skip(1).any(|rest| {
        let host = rest.split(|c: char| c.is_whitespace() || "/\"'".contains(c)).next().unwrap_or_default();
        host.split_once('@').and_then(|(who, _)| who.split_once(':')).is_some_and(|(_, word)| typed(word))
    });
    named || in_address
}

/// Whether a quoted word is a variable's value and no secret itself.
fn is_variable(rest: &str) -> bool {
    rest.trim_start_matches(['"', '\'']).starts_with('$')
}

/// Words that run another command, which gives the task its name.
const WRAPPERS: [&str; 28] = [
    "sh", "bash", "dash", "zsh", "ksh", "python", "python2", "python3", "php", "perl", "ruby", "node", "env", "exec", "nice", "ionice",
    "nohup", "time", "setsid", "chronic", "eval", "sudo", "if", "then", "else", "do", "while", "!",
];
/// Programs whose first argument says what is done.
const DISPATCHERS: [&str; 12] =
    ["manage.py", "artisan", "console", "rake", "wp", "drush", "make", "run-parts", "npm", "npx", "bundle", "occ"];
const ENDINGS: [&str; 9] = [".sh", ".bash", ".py", ".pl", ".rb", ".php", ".js", ".jar", ".exe"];

/// What to call a task with this command: its program, or what that is told to do.
pub(super) fn name_of(command: &str) -> String {
    let spaced: String = command.chars().map(|c| if "\"'`".contains(c) { ' ' } else { c }).collect();
    let spaced = [";", "|", "&", "(", ")", "{", "}"].iter().fold(spaced, |text, mark| text.replace(mark, " ; "));
    let mut words = spaced.split_whitespace().peekable();
    while let Some(word) = words.next() {
        let base = word.rsplit('/').find(|part| !part.is_empty()).unwrap_or(word);
        match base {
            // Looks whether something is there, and is not what is done.
            "[" | "[[" => while words.next().is_some_and(|word| !matches!(word, "]" | "]]")) {},
            "test" | "command" => while words.next_if(|word| *word != ";").is_some() {},
            "cd" | "flock" | "timeout" | "su" | "." | "source" => {
                while words.next_if(|word| word.starts_with('-')).is_some() {}
                words.next_if(|word| *word != ";");
            }
            "-u" | "-n" | "-c" if !word.contains('/') => drop(words.next_if(|value| base == "-u" || value.parse::<i64>().is_ok())),
            _ if WRAPPERS.contains(&base) || base.starts_with("python3.") => {}
            _ if word.starts_with(['-', '+', '>', '<', ';', '$', '#']) || word.starts_with(|c: char| c.is_ascii_digit()) => {}
            _ if word.contains('=') => {}
            _ if DISPATCHERS.contains(&base) => {
                let target = words.find(|word| !word.starts_with('-')).filter(|word| *word != ";" && *word != "run");
                let target = target.map(|target| target.rsplit('/').find(|part| !part.is_empty()).unwrap_or(target));
                return target.unwrap_or(base).to_owned();
            }
            _ => return ENDINGS.iter().find_map(|ending| base.strip_suffix(ending)).unwrap_or(base).to_owned(),
        }
    }
    "task".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_ends_the_command_and_the_lines_of_its_input() {
        let split = |text| {
            let (command, input) = split_input(text);
            (command, input.unwrap_or_default())
        };
        for (text, command, input) in [
            ("mail -s hi%Dear,%you%", "mail -s hi", "Dear,\nyou"),
            (r"date +\%F", "date +%F", ""),
            (r"date +\%d%a\%b\c", "date +%d", r"a%b\c"),
            (r"echo \\%x\\%y", r"echo \\", r"x\%y"),
            ("cmd%", "cmd", ""),
            ("plain", "plain", ""),
        ] {
            assert_eq!(split(text), (command.to_owned(), input.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_goes_on_in_the_background_is_found() {
        let whole = |text: &str| Background::Whole(text.to_owned());
        for (command, expected) in [
            ("a && b", Background::Nothing),
            ("a > x 2>&1", Background::Nothing),
            ("a '&' \"&\" \\&", Background::Nothing),
            ("a |& b", Background::Nothing),
            ("a # & b", Background::Nothing),
            ("a &", whole("a")),
            ("bash -cl \"x\" & >> /tmp/l 2>&1", whole("bash -cl \"x\" >> /tmp/l 2>&1")),
            ("a & b", Background::Part),
            ("a & b &", Background::Part),
            ("a &> /tmp/l", Background::Part),
        ] {
            assert_eq!(background(command), expected, "{command}");
        }
    }

    #[test]
    fn a_task_is_called_what_it_does() {
        for (command, name) in [
            ("bash -cl \"cd /var/www/richs; python manage.py check_item_yahoo 2 4 --max-workers 14\" >> /tmp/x.log", "check_item_yahoo"),
            ("cd / && run-parts --report /etc/cron.hourly", "cron.hourly"),
            ("test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }", "cron.daily"),
            ("command -v debian-sa1 > /dev/null && debian-sa1 1 1", "debian-sa1"),
            ("/usr/bin/nice -n 19 /opt/backup.sh --all", "backup"),
            ("sudo -u shop /opt/sync.py", "sync"),
            ("LANG=C /usr/bin/env python3 /srv/report.py", "report"),
            ("/usr/bin/flock -n /tmp/lock /opt/x", "x"),
            ("if [ -x /usr/bin/mdadm ] && [ $(date +%d) -le 7 ]; then /usr/share/mdadm/checkarray --cron; fi", "checkarray"),
            ("cd /app && /usr/bin/php artisan schedule:run >> /dev/null 2>&1", "schedule:run"),
            ("\"\"", "task"),
        ] {
            assert_eq!(name_of(command), name, "{command}");
        }
    }

    #[test]
    fn a_typed_secret_is_noticed() {
        for yes in [
            "mysqldump --password=hush db",
            "curl https://me:hush@example.com/",
            "curl -H 'Authorization: Bearer hush'",
            "x token=\"hush\"",
        ] {
            assert!(shows_a_secret(yes), "{yes}");
        }
        for no in ["mysqldump --password=$PW db", "curl https://example.com/a:b@c", "x --password", "x token=\"$T\"", "make password"] {
            assert!(!shows_a_secret(no), "{no}");
        }
    }
}
