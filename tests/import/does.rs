//! Imported commands do what they did under cron, and the file is one that `taskrun check` passes; by the real binary.
use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
};

use proptest::prelude::*;
use taskrun::{core::value::Value, import::crontab::Format};

use crate::{
    crontabs::{CRON_D, DEBIAN, RICHS},
    world::{imported, instances},
};

/// Each line writes its own file into the home folder.
const LINES: &str = r#"GREETING="hello  there"
SHELL=/bin/bash
0 5 * * * [[ $GREETING == hello* ]] && echo "$GREETING" > by-bash
0 5 * * * cat > input%line one%line \% two%
SHELL=/bin/sh
0 5 * * * (sleep 0.7; echo late > background) & > /dev/null 2>&1
0 5 * * * (sleep 0.7; echo late > partly) & echo now > now
0 5 * * * echo "${GREETING:-none} $${NOT_SET:-x}y" | sed 's/ [0-9]*{/ {/' > braces
API_TOKEN=of-the-file
0 5 * * * echo "$API_TOKEN" > token; pwd > folder
"#;

fn taskrun(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskrun"));
    command.args(arguments).current_dir(folder).env("HOME", folder).env_remove("TASKRUN_CONFIG").stdin(Stdio::null());
    command
}

#[track_caller]
fn done(output: &Output) -> (String, String) {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    (out, err)
}

#[test]
fn imported_commands_do_what_they_did() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    fs::write(path.join("crontab"), LINES).unwrap();
    let (yaml, said) = done(&taskrun(&path, &["import", "crontab", "crontab"]).output().unwrap());
    assert!(!yaml.contains("of-the-file") && !said.contains("of-the-file"), "{yaml}{said}");
    assert!(said.contains("6 tasks; next: look at the lines with `!`"), "{said}");
    fs::write(path.join("tasks.yaml"), &yaml).unwrap();
    for instance in instances(&yaml) {
        done(&taskrun(&path, &["once", instance.name.as_str()]).env("API_TOKEN", "of-the-environment").output().unwrap());
    }
    for (file, text) in [
        ("by-bash", "hello  there\n"),
        ("input", "line one\nline % two\n"),
        ("background", "late\n"),
        ("partly", "late\n"),
        ("now", "now\n"),
        ("braces", "hello  there {NOT_SET:-x}y\n"),
        ("token", "of-the-environment\n"),
        ("folder", &format!("{}\n", path.display())),
    ] {
        assert_eq!(fs::read_to_string(path.join(file)).unwrap(), text, "{file}\n{yaml}");
    }
}

#[test]
fn a_line_of_another_user_runs_as_that_user() {
    let line = "0 5 * * * root id -un\n0 5 * * * nobody id -un; cat%and reads\n";
    let as_nobody = &instances(&imported(line.as_bytes(), Format::System).yaml)[1];
    let Some(Value::Text(run)) = as_nobody.with.list("run").first() else { panic!("{as_nobody:?}") };
    assert_eq!(&**run, "printf '%s\\n' \"$2\" | runuser -u nobody -- /bin/sh -c \"$1\"");
    let by_root = done(&Command::new("id").arg("-u").output().unwrap()).0.trim() == "0";
    if !by_root || Command::new("runuser").arg("--version").output().is_err() {
        // Only root can be somebody else.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut import = taskrun(path, &["import", "crontab", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    import.stdin.take().unwrap().write_all(line.as_bytes()).unwrap();
    let (yaml, _) = done(&import.wait_with_output().unwrap());
    fs::write(path.join("tasks.yaml"), &yaml).unwrap();
    for instance in instances(&yaml) {
        done(&taskrun(path, &["once", instance.name.as_str()]).output().unwrap());
    }
    let (lines, _) = done(&taskrun(path, &["logs"]).output().unwrap());
    for expected in ["root", "nobody", "and reads"] {
        assert!(lines.lines().any(|line| line.ends_with(expected)), "{expected}\n{lines}\n{yaml}");
    }
}

#[test]
fn what_is_printed_passes_the_check() {
    for (name, text) in [("debian", DEBIAN), ("cron.d", CRON_D), ("richs", RICHS)] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        for options in [&["--system"] as &[&str], &["--user"], &["--as", "richs"], &[]] {
            let (yaml, said) = done(&taskrun(folder.path(), &[&["import", "crontab", name], options].concat()).output().unwrap());
            fs::write(folder.path().join("tasks.yaml"), &yaml).unwrap();
            let (checked, _) = done(&taskrun(folder.path(), &["check"]).output().unwrap());
            assert!(checked.contains("tasks.yaml: ok, "), "{checked}");
            if options.contains(&"richs") && name != "richs" {
                assert!(said.contains("it runs as `root`, and taskrun as `richs` cannot do that"), "{said}");
            }
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let output = taskrun(folder.path(), &["import", "crontab", "nowhere"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: failed to read nowhere: No such file"), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    /// Whatever a command holds, it comes out of our own reader as it went in.
    #[test]
    fn a_command_survives_its_way_into_yaml(command in r#"[A-Za-z/.~$"'(!<>\[{|]([^%&\n\r\x00\u{fffd}]{0,60}[!-~&&[^%&\\]])?"#) {
        let crontab = format!("0 5 * * * {command}\n");
        let imported = imported(crontab.as_bytes(), Format::User);
        let instances = instances(&imported.yaml);
        prop_assert_eq!(instances.len(), 1, "{}", imported.yaml);
        let Some(Value::Text(run)) = instances[0].with.list("run").first() else { panic!("{}", imported.yaml) };
        prop_assert_eq!(&**run, command.as_str(), "{}", imported.yaml);
    }
}
