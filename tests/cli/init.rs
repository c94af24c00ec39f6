//! The first commands: the files to begin with, completions, the manual, and colours.
use std::{fs, process::Command};

use crate::shop::{Done, Shop};

/// A shop without a tasks.yaml.
fn empty() -> Shop {
    let shop = Shop::new("");
    fs::remove_file(shop.file("tasks.yaml")).unwrap();
    shop
}

#[test]
fn the_files_to_begin_with_are_sound_and_the_next_commands_work() {
    let shop = empty();
    let done = shop.run("init").ends(0).prints(&["wrote ./tasks.yaml", "wrote ./tasks.schema.json", "wrote ./.env.example", "Next:"]);
    let next: Vec<&str> = done.out.lines().skip_while(|line| *line != "Next:").skip(1).map(str::trim).collect();
    assert_eq!(next, ["taskrun check", "taskrun once hello", "taskrun run"]);
    shop.run("check").ends(0).prints(&["ok, 2 tasks"]);
    shop.run("once hello").ends(0);
    shop.run("logs hello").ends(0).prints(&["good morning"]);
    shop.run("doctor").ends(0);
    assert_eq!(fs::read_to_string(shop.file("tasks.schema.json")).unwrap(), shop.run("schema").ends(0).out);
    assert!(fs::read_to_string(shop.file(".env.example")).unwrap().ends_with("CHATWORK_ROOM=\nCHATWORK_TOKEN=\nSLACK_WEBHOOK=\n"));
}

#[test]
fn what_is_commented_out_in_the_first_file_is_right_too() {
    let shop = empty();
    shop.run("init").ends(0);
    let text = fs::read_to_string(shop.file("tasks.yaml")).unwrap();
    // Every commented line that is YAML, but for the other ways to write a schedule.
    let is_wanted = |line: &&str| !line.trim_start().starts_with("# schedule:");
    let uncomment = |line: &str| match line.split_once("# ") {
        Some((indent, rest)) if indent.trim().is_empty() && is_yaml(rest) => format!("{indent}{rest}"),
        _ => line.to_owned(),
    };
    shop.write(&text.lines().filter(is_wanted).map(uncomment).collect::<Vec<_>>().join("\n"));
    let mut command = shop.command("check");
    let variables = [("CHATWORK_ROOM", "1"), ("CHATWORK_TOKEN", "t"), ("SLACK_WEBHOOK", "https://hooks.example.com/x")];
    Done::of(command.envs(variables).output().unwrap()).ends(0).prints(&["ok, 4 tasks"]);
}

/// It begins with a key.
fn is_yaml(text: &str) -> bool {
    let key = text.trim_start().split(':').next().unwrap();
    text.contains(':') && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let shop = Shop::new("tasks: {}\n");
    shop.run("init").ends(2).says(&["`./tasks.yaml` is there already: nothing was written"]);
    assert_eq!(fs::read_to_string(shop.file("tasks.yaml")).unwrap(), "tasks: {}\n");
    assert_eq!(fs::read_dir(shop.path()).unwrap().count(), 1);
    fs::create_dir(shop.file("other")).unwrap();
    fs::write(shop.file("other/.env.example"), "MINE=\n").unwrap();
    shop.run("init --dir other").ends(0).prints(&["kept  other/.env.example", "wrote other/tasks.yaml", "  cd other\n"]);
    assert_eq!(fs::read_to_string(shop.file("other/.env.example")).unwrap(), "MINE=\n");
}

#[test]
fn a_whole_shop_is_written_with_its_rules_and_can_be_practised() {
    let shop = empty();
    shop.run("init --shop --dir 'my shop'").ends(0).prints(&["cd 'my shop'", "taskrun check --sandbox", "taskrun run --sandbox"]);
    let mut command = shop.command("check --sandbox");
    Done::of(command.current_dir(shop.file("my shop")).output().unwrap()).ends(0);
    assert!(fs::read_to_string(shop.file("my shop/.env.example")).unwrap().contains("\nLWA_REFRESH_TOKEN=\n"));
}

#[test]
fn shells_take_their_completions() {
    let shop = empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        shop.run(&format!("completions {shell}")).ends(0).prints(&["taskrun", "doctor", "reschedule"]);
    }
    shop.run("completions tcsh").ends(2);
    let script = shop.file("completion");
    fs::write(&script, shop.run("completions bash").out).unwrap();
    let ask = format!(
        "source {} && COMP_WORDS=(taskrun que) COMP_CWORD=1 && _taskrun taskrun que taskrun && echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let done = Done::of(Command::new("bash").args(["-c", &ask]).output().unwrap()).ends(0);
    assert_eq!(done.out, "queue\n");
}

#[test]
fn the_manual_has_a_page_for_each_command() {
    let shop = empty();
    shop.run("man").ends(0).prints(&[".TH taskrun 1", "taskrun check"]);
    shop.run("man queue add").ends(0).prints(&["queue add"]);
    shop.run("man queu").ends(2).says(&["did you mean `queue`?"]);
    shop.run("man --out man1").ends(0);
    for page in ["taskrun.1", "taskrun-once.1", "taskrun-queue-add.1", "taskrun-service-install.1"] {
        assert!(fs::read_to_string(shop.file("man1").join(page)).unwrap().contains("Example"), "{page}");
    }
}

#[test]
fn colours_are_for_those_who_see_them() {
    let shop = Shop::new("tasks: { hello: { handler: comand } }\n");
    let colored = |line: &str, variables: &[(&str, &str)]| {
        let mut command = shop.command(line);
        let names = ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "CI"];
        for name in names {
            command.env_remove(name);
        }
        let done = Done::of(command.envs(variables.iter().copied()).output().unwrap());
        (done.out + &done.err).contains('\x1b')
    };
    // Data, a fault in its place, help, and wrong usage.
    for line in ["doctor", "check", "--help", "queue add --help", "no_such_command"] {
        assert!(!colored(line, &[]), "{line}: nobody sees it");
        assert!(colored(line, &[("CLICOLOR_FORCE", "1")]), "{line}: wanted by CLICOLOR_FORCE");
        assert!(!colored(line, &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), "{line}: refused by NO_COLOR");
        assert!(colored(&format!("--color always {line}"), &[("NO_COLOR", "1")]), "{line}: wanted by --color");
        assert!(!colored(&format!("--color never {line}"), &[("CLICOLOR_FORCE", "1")]), "{line}: refused by --color");
    }
}
