use super::*;

/// Every command with its help's last part, by its whole name.
fn commands() -> Vec<(String, String)> {
    fn collect(command: &clap::Command, name: &str, all: &mut Vec<(String, String)>) {
        let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        all.push((name.to_owned(), after));
        for below in command.get_subcommands() {
            collect(below, &format!("{name} {}", below.get_name()), all);
        }
    }
    let mut all = Vec::new();
    collect(&Line::command(), "taskrun", &mut all);
    all
}

/// The command lines in a help text, words and all: those that are set in, and an only one. What follows two blanks is a remark.
fn lines(text: &str) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix("  ").or_else(|| line.strip_prefix("Example: ")) else { continue };
        for words in words(line).split(|word| ["&&", "||", "|", ";"].contains(&word.as_str())) {
            let words = words.iter().skip_while(|word| *word == "sudo").take_while(|word| ![">", ">>", "<"].contains(&word.as_str()));
            let words: Vec<String> = words.cloned().collect();
            lines.extend(Some(words).filter(|words| words.first().is_some_and(|first| first == "taskrun")));
        }
    }
    lines
}

/// Words as a shell takes them apart, up to two blanks in a row.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut gap) = (Vec::new(), None::<String>, None, 0);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => {
                gap += 1;
                if gap > 1 {
                    break;
                }
                words.extend(word.take());
                continue;
            }
            (None, ';') => {
                words.extend(word.take());
                words.push(";".to_owned());
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
        gap = 0;
    }
    words.extend(word);
    words
}

#[test]
fn every_command_has_an_example_and_each_example_is_understood() {
    let mut seen = 0;
    let mut faults = Vec::new();
    for (name, after) in commands() {
        let examples = lines(&after);
        if !examples.iter().any(|words| words.join(" ").starts_with(&name)) {
            faults.push(format!("`{name} --help` has no example of its own: {examples:?}"));
        }
        for words in examples {
            seen += 1;
            let error = Line::try_parse_from(&words).err().filter(clap::Error::use_stderr);
            faults.extend(error.map(|error| format!("`{name} --help` shows {words:?}: {error}")));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(60 < seen, "the examples are gone: {seen}");
}

#[test]
fn words_are_taken_apart_as_a_shell_does() {
    assert_eq!(words("taskrun next --cron '0 9 * * mon-fri'  a remark"), ["taskrun", "next", "--cron", "0 9 * * mon-fri"]);
    assert_eq!(lines("Examples:\n  sudo taskrun stop && taskrun run > out"), [vec!["taskrun", "stop"], vec!["taskrun", "run"]]);
}

#[test]
fn the_command_line_is_sound() {
    Line::command().debug_assert();
}

#[test]
fn the_last_word_on_colour_counts() {
    let said = |line: &str| color(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
    assert_eq!(said("taskrun list"), ColorChoice::Auto);
    assert_eq!(said("taskrun --color never list"), ColorChoice::Never);
    assert_eq!(said("taskrun --color=never list --color always"), ColorChoice::Always);
    assert_eq!(said("taskrun list --color"), ColorChoice::Auto);
    assert_eq!(said("taskrun list --color blue"), ColorChoice::Auto);
}
