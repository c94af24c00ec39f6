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

/// Looks for programs that are started in the background: taskrun ends them with their run. And whether some seem to be within brackets, or quotes
/// for another shell, where nobody can wait for them from outside.
pub(super) fn background(command: &str) -> (Background, bool) {
    let (mut found, mut quoted, mut brackets) = (Vec::new(), false, false);
    let (mut quote, mut escaped, mut last) = (None, false, ' ');
    // Open brackets, and at how many of them `((` was.
    let (mut depth, mut sums) = (0_usize, None);
    let mut letters = command.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        let next = letters.peek().map_or(' ', |(_, next)| *next);
        let is_mark = c == '&' && next != '&' && !matches!(last, '&' | '>' | '<' | '|') && !escaped;
        match quote {
            _ if escaped => escaped = false,
            Some(mark) if is_mark => quoted |= next == mark || next == ';' || next.is_whitespace(),
            Some('\'') if c != '\'' => {}
            _ if c == '\\' => escaped = true,
            Some(mark) if c == mark => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            // The rest is for people.
            None if c == '#' && last.is_whitespace() => break,
            None if c == '(' => {
                depth = depth.saturating_add(1);
                sums = sums.or((last == '(').then_some(depth));
            }
            None if c == ')' => {
                depth = depth.saturating_sub(1);
                sums = sums.filter(|sums| *sums <= depth);
            }
            None if is_mark && depth == 0 => found.push((at, next)),
            // A subshell waits for nobody, either.
            None if is_mark && sums.is_none() => brackets = true,
            Some(_) | None => {}
        }
        last = c;
    }
    let whole = match *found.as_slice() {
        [] => Background::Nothing,
        [(at, next)] if next != '>' => {
            let (before, rest) = command.split_at(at);
            let rest = rest.strip_prefix('&').unwrap_or(rest);
            if only_redirections(rest) { Background::Whole(format!("{}{rest}", before.trim_end())) } else { Background::Part }
        }
        _ => Background::Part,
    };
    (whole, brackets || quoted && hands_to_a_shell(command))
}

/// Whether another shell is told what to do, as in `bash -lc "…"`.
fn hands_to_a_shell(command: &str) -> bool {
    let is_shell = |word: &str| word.ends_with("sh") || word.rsplit('/').next() == Some("su");
    let is_told =
        |word: &str| word.strip_prefix('-').is_some_and(|letters| letters.contains('c') && letters.chars().all(char::is_alphabetic));
    command.split_whitespace().any(is_shell) && command.split_whitespace().any(is_told)
}

/// Whether all of it is done in a folder that it goes to first, or not at all. What a single `&` may end is not all, whoever quotes it: shells differ.
pub(super) fn goes_elsewhere(command: &str) -> bool {
    let apart = ["&&", ">&1", ">&2"].iter().fold(command.to_owned(), |text, mark| text.replace(mark, " "));
    command.starts_with("cd /") && command.contains("&&") && !apart.contains([';', '|', '\n', '&'])
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
            assert_eq!(background(command), (expected, false), "{command}");
        }
        for command in ["bash -c \"a &\"", "su - ada -c 'a & b'", "bash -lc 'nohup a&'", "(a & b)", "x=$(a &)", "{ (a &) }"] {
            assert_eq!(background(command), (Background::Nothing, true), "{command}");
        }
        for command in ["mail -s \"Tom & Jerry\" a", "bash -c 'curl http://h/?a=1&b=2'", "echo $((5 & 3))", "bash -c 'a && b' 2>&1"] {
            assert_eq!(background(command), (Background::Nothing, false), "{command}");
        }
    }

    #[test]
    fn a_command_goes_elsewhere_only_if_nothing_of_it_stays() {
        for (command, is) in [
            ("cd /srv && a >> /tmp/l 2>&1", true),
            ("cd /gone && a | b", false),
            ("cd /gone && a & b", false),
            // In fish, the quotes end behind the `s`.
            (r"cd /gone && a 'it\'s' & b 'c'", false),
            ("cd /gone && a ${x#(} & b", false),
            ("cd /gone && a &", false),
            ("cd /gone && a &> /tmp/l", false),
            ("cd /srv && a 2>&1 && b >&2", true),
            ("cd /srv && a && b", true),
            ("cd /gone; a", false),
            ("cd /gone || a && b", false),
            ("cd /gone && a; b", false),
            ("cd srv && a", false),
        ] {
            assert_eq!(goes_elsewhere(command), is, "{command}");
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
}
