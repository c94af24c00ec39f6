//! Lines that crontabs should not have, and do: what can be imported fires as under cron, what cannot is explained.
use std::fmt::Write as _;

use taskrun::{
    core::value::Value,
    import::crontab::{self, Format},
};

use crate::{
    crontabs::Judge,
    world::{imported, instances, surroundings},
};

struct Case {
    /// What is odd.
    what: &'static str,
    text: &'static [u8],
    /// The time of each task that comes of it.
    times: &'static [&'static str],
    /// What is said, each in a remark of its own and in this order.
    said: &'static [&'static str],
    /// What the YAML holds.
    yaml: &'static [&'static str],
}

const fn case(
    what: &'static str,
    text: &'static [u8],
    times: &'static [&'static str],
    said: &'static [&'static str],
    yaml: &'static [&'static str],
) -> Case {
    Case { what, text, times, said, yaml }
}

const CASES: &[Case] = &[
    case("nothing", b"", &[], &[], &["tasks: {}"]),
    case("only comments", b"# a\n\n# b\n", &[], &[], &["# a\n\n# b\n"]),
    case("no line end", b"0 5 * * * /bin/a", &["0 5 * * *"], &["line 1: the last line has no line end, and cron ignores such a line"], &[]),
    case("Windows line ends", b"0 5 * * * /bin/a\r\n", &["0 5 * * *"], &["cron would hand the CR to the commands"], &["run: /bin/a\n"]),
    case("a byte order mark", b"\xef\xbb\xbf0 5 * * * /bin/a\n", &["0 5 * * *"], &[], &["run: /bin/a"]),
    case("blanks everywhere", b" \t 0\t 5  *\t*   * \t /bin/a  b \t\n", &["0 5 * * *"], &[], &["run: /bin/a  b\n"]),
    case("full-width blanks", "0\u{3000}5\u{3000}* * * /bin/a\n".as_bytes(), &[], &["left out: "], &[]),
    case("a no-break space", "0\u{a0}5 * * * /bin/a\n".as_bytes(), &[], &["left out: "], &[]),
    case("four fields", b"0 5 * *\n", &[], &["line 1: left out: 4 of the five time fields"], &["# 0 5 * *"]),
    case("no command", b"0 5 * * *\n", &[], &["a schedule without a command"], &[]),
    case("an alias without a command", b"@daily\n", &[], &["a schedule without a command"], &[]),
    case("six fields", b"0 */5 * * * * /bin/a\n", &[], &["six time fields where cron has five"], &[]),
    case("six numbers", b"0 30 4 * * 1 /bin/a\n", &[], &["six time fields where cron has five"], &["# 0 30 4 * * 1 /bin/a"]),
    case("seconds and a question mark", b"0 0 12 * ? /bin/a\n", &[], &["cron does not know `?`"], &[]),
    case("the last day", b"0 0 L * * /bin/a\n", &[], &["if it was meant, write a task with `schedule: \"0 0 L * *\"`"], &[]),
    case("the nearest weekday", b"0 0 15W * * /bin/a\n", &[], &["cron does not know"], &[]),
    case("the last Friday", b"0 0 * * 5L /bin/a\n", &[], &["cron does not know"], &[]),
    case("the second Friday", b"0 0 * * fri#2 /bin/a\n", &[], &["cron does not know"], &[]),
    case("July is no last day", b"0 0 1 JUL * /bin/a\n", &["0 0 1 jul *"], &[], &[]),
    case("minute 60", b"60 5 * * * /bin/a\n", &[], &["`60` is not a minute (0 to 59)"], &[]),
    case("hour 24", b"0 24 * * * /bin/a\n", &[], &["`24` is not an hour (0 to 23)"], &[]),
    case("day 0", b"0 0 0 * * /bin/a\n", &[], &["`0` is not a day of the month (1 to 31)"], &[]),
    case("month 13", b"0 0 1 13 * /bin/a\n", &[], &["`13` is not a month"], &[]),
    case("weekday 8", b"0 0 * * 8 /bin/a\n", &[], &["`8` is not a day of the week"], &[]),
    case(
        "Sunday as 7, as 0 and as both",
        b"0 0 * * 7 /bin/a\n0 0 * * 0 /bin/a\n0 0 * * 0-7 /bin/a\n",
        &["0 0 * * 7", "0 0 * * 0", "0 0 * * 0-7"],
        &[],
        &["  a:", "  a_2:", "  a_3:"],
    ),
    case("leading zeros", b"00 05 01 01 00 /bin/a\n", &["0 5 1 1 0"], &[], &[]),
    case("backwards", b"0 22-2 * * * /bin/a\n", &[], &["`22-2` runs backwards in the hour field: write `22-23,0-2`"], &[]),
    case("a step of nothing", b"*/0 * * * * /bin/a\n", &[], &["`0` is not a step"], &[]),
    case("a step too large", b"*/90 * * * * /bin/a\n", &["*/90 * * * *"], &[], &[]),
    case("a step over a range", b"10-50/20 * * * * /bin/a\n", &["10-50/20 * * * *"], &[], &[]),
    case("a step from a number", b"5/15 * * * * /bin/a\n", &["5/15 * * * *"], &["Debian's cron refuses or ignores such a step"], &[]),
    case("a comma too many", b"0,,5 * * * * /bin/a\n", &[], &["lists an empty minute"], &[]),
    case("a long name", b"0 0 * * monday /bin/a\n", &[], &["`monday` is not a day of the week (0 to 7, or sun to sat): write `mon`"], &[]),
    case("names in ranges", b"0 0 * feb-Apr MON-wed,Sat /bin/a\n", &["0 0 * feb-apr mon-wed,sat"], &[], &[]),
    case("a day that never comes", b"0 0 30 2 * /bin/a\n", &[], &["`0 0 30 2 *` never fires, with cron neither"], &[]),
    case("either day", b"0 0 13 * 5 /bin/a\n", &["0 0 13 * 5"], &[], &[]),
    case("both days, as one begins with a star", b"0 0 */2 * 5 /bin/a\n0 0 13 * */2 /bin/a\n", &["0 0 */2 * 5", "0 0 13 * */2"], &[], &[]),
    case("all days written out", b"0 0 1-31 * 5 /bin/a\n", &["0 0 1-31 * 5"], &[], &[]),
    case("every minute", b"* * * * * /bin/a\n", &["* * * * *"], &[], &[]),
    case("a random minute", b"0~59 3 * * * /bin/a\n", &[], &["a random time (`~`)"], &[]),
    case("an alias in capitals", b"@Daily /bin/a\n", &[], &["cron knows `@daily` in small letters only"], &[]),
    case(
        "FreeBSD's aliases",
        b"@every_minute /bin/a\n@600 /bin/b\n",
        &[],
        &["`@every_minute` is FreeBSD's", "`schedule: { after: 600s }`"],
        &[],
    ),
    case("an interval", b"@every 5m /bin/a\n", &[], &["cron does not know `@every`; for an interval"], &[]),
    case("our own alias", b"@start /bin/a\n", &[], &["its word is `@reboot`"], &[]),
    case(
        "at boot",
        b"@reboot /bin/a\n",
        &["@reboot"],
        &["it runs at each start of taskrun, not only of the machine"],
        &["schedule: '@start'"],
    ),
    case("quietly", b"-0 5 * * * /bin/a\n", &["0 5 * * *"], &["`-` kept cron's own log quiet"], &[]),
    case("a line that goes on", b"0 5 * * * /bin/a \\\n  --more\n", &["0 5 * * *"], &["cron joins no lines"], &["# ***"]),
    case("percent signs", b"0 5 * * * date +\\%F > /tmp/a-\\%\n", &["0 5 * * *"], &[], &["run: date +%F > /tmp/a-%\n"]),
    case(
        "input",
        b"0 5 * * * mail -s hi ada%Dear Ada,%bye\n",
        &["0 5 * * *"],
        &[],
        &["- mail -s hi ada\n", "Dear Ada,\n", "printf '%s\\n' \"$2\" | /bin/sh -c \"$1\""],
    ),
    case("braces for the shell", b"0 5 * * * echo ${HOME:-none} $${X}\n", &["0 5 * * *"], &[], &["echo $${HOME:-none} $$${X}"]),
    case("in the background", b"0 5 * * * /bin/a &\n", &["0 5 * * *"], &["line 1: the `&` is gone"], &["run: /bin/a\n"]),
    case(
        "partly in the background",
        b"0 5 * * * /bin/a & /bin/b\n",
        &["0 5 * * *"],
        &["the run now waits for it"],
        &["ended=$?; wait; exit $ended"],
    ),
    case(
        "partly in the background, with a backslash at the end",
        b"0 5 * * * echo a & echo b \\\n",
        &["0 5 * * *"],
        &["the run now waits for it"],
        &["echo b \\\\\n        ended=$?"],
    ),
    case(
        "partly in the background of a shell that knows no `wait`",
        b"SHELL=/usr/bin/fish\n0 5 * * * /bin/a & /bin/b\n",
        &["0 5 * * *"],
        &["have it waited for"],
        &["- /bin/a & /bin/b\n"],
    ),
    case(
        "in the background of a shell within",
        b"0 5 * * * bash -c \"/bin/a &\"\n1 5 * * * (/bin/b &)\n",
        &["0 5 * * *", "1 5 * * *"],
        &["line 1: something within quotes or brackets goes on in the background", "line 2: something within quotes"],
        &[],
    ),
    case(
        "a folder that may be gone",
        b"0 5 * * * cd /gone; /bin/a\n0 6 * * * cd /srv && /bin/b\n",
        &["0 5 * * *", "0 6 * * *"],
        &[],
        &["run: cd /gone; /bin/a\n      shell: true\n      cwd: /home/ada\n", "run: cd /srv && /bin/b\n      shell: true\n"],
    ),
    case(
        "a comment that goes on",
        b"# curl --token \\\n#  hunter2\n# C:\\\nPATH=/bin\n0 5 * * * /bin/a\n",
        &["0 5 * * *"],
        &[],
        &["# ***\n", "PATH: /bin"],
    ),
    case(
        "a setting that goes on with a command",
        b"0 5 * * * env \\\nA=hunter2 --more\n0 6 * * * /bin/a \\\n0 7 * * * /bin/b\n",
        &["0 5 * * *", "0 6 * * *", "0 7 * * *"],
        &["line 2: left out: cron joins no lines"],
        &[],
    ),
    case("the folder that a shell is in", b"PWD=/srv\n0 5 * * * /bin/a\n", &["0 5 * * *"], &[], &["PWD: /srv"]),
    case(
        "a secret that no variable can have the name of",
        b"1_TOKEN=hunter2\n0 5 * * * /bin/a\n",
        &["0 5 * * *"],
        &["line 1: left out: `1_TOKEN` looks like a secret, and no `${…}` can have that name"],
        &[],
    ),
    case("terminals' own signs", b"\x1b]0;x\x07 5\n0 5 * * * \x1b[31m/bin/a\n", &["0 5 * * *"], &["line 1: left out: "], &[]),
    case("a secret in the input", b"0 5 * * * /bin/a%password=hunter\n", &["0 5 * * *"], &["a secret seems to stand"], &[]),
    case("bash's redirection in sh", b"0 5 * * * /bin/a &> /tmp/a\n", &["0 5 * * *"], &["also with `&>`"], &[]),
    case(
        "a secret in a variable",
        b"DB_PASSWORD=hunter2\n0 5 * * * /bin/a\n",
        &["0 5 * * *"],
        &["set `DB_PASSWORD` where taskrun is started"],
        &["DB_PASSWORD: ${DB_PASSWORD}"],
    ),
    case(
        "a secret in a broken variable",
        b"DB_PASSWORD=\"hunter2\n0 5 * * * /bin/a\n",
        &["0 5 * * *"],
        &["the quotes of `DB_PASSWORD` do not match"],
        &["# DB_PASSWORD=***\n"],
    ),
    case(
        "a secret in a command",
        b"0 5 * * * curl -u me https://me:pw@example.com\n",
        &["0 5 * * *"],
        &["a secret seems to stand in the command"],
        &[],
    ),
    case("an empty variable", b"A=\n0 5 * * * /bin/a\n", &["0 5 * * *"], &["an empty value is written `A=\"\"`"], &[]),
    case(
        "variables of variables",
        b"PATH=$HOME/bin:/bin\nB=\"${A} x\"\n0 5 * * * /bin/a\n",
        &["0 5 * * *"],
        &["`PATH`: cron fills in no variables", "`B`: cron"],
        &["PATH: $HOME/bin:/bin", "B: $${A} x"],
    ),
    case("a comment behind a value", b"A=b # c\n0 5 * * * /bin/a\n", &["0 5 * * *"], &["`#` and the rest belong to it"], &["A: 'b # c'"]),
    case(
        "variables in between",
        b"A=1\n0 5 * * * /bin/a\nA=2\nHOME=/srv\n0 6 * * * /bin/b\n",
        &["0 5 * * *", "0 6 * * *"],
        &[],
        &["A: '1'", "A: '2'\n        HOME: /srv", "cwd: /home/ada", "cwd: /srv"],
    ),
    case(
        "another shell",
        b"SHELL=/bin/bash\n0 5 * * * [[ a == a ]]\n",
        &["0 5 * * *"],
        &[],
        &["- /bin/bash\n      - -c\n      - '[[ a == a ]]'"],
    ),
    case(
        "a zone",
        b"CRON_TZ=Asia/Tokyo\n0 5 * * * /bin/a\n",
        &["0 5 * * *"],
        &["`CRON_TZ` becomes `timezone: Asia/Tokyo`"],
        &["timezone: Asia/Tokyo"],
    ),
    case(
        "a zone that is none",
        b"CRON_TZ=JST-9\n0 5 * * * /bin/a\nCRON_TZ=\"\"\n0 6 * * * /bin/b\n",
        &["0 6 * * *"],
        &["`CRON_TZ` on line 1 is no time zone"],
        &["# 0 5 * * * /bin/a"],
    ),
    case(
        "the programs' zone",
        b"TZ=Asia/Tokyo\n0 5 * * * /bin/a\n",
        &["0 5 * * *"],
        &["when they are due is said by `timezone`"],
        &["TZ: Asia/Tokyo"],
    ),
    case("no mail", b"MAILTO=\"\"\n0 5 * * * /bin/a\n", &["0 5 * * *"], &[], &["# MAILTO=\"\": output goes to the log"]),
    case(
        "mail",
        b"MAILTO=a@b.example\nMAILFROM=x\n0 5 * * * /bin/a\n",
        &["0 5 * * *"],
        &["output is not mailed but kept", "left out: `MAILFROM`"],
        &[],
    ),
    case("who one is", b"LOGNAME=root\n0 5 * * * /bin/a\n", &["0 5 * * *"], &["`LOGNAME` cannot be chosen"], &[]),
    case("a delay", b"RANDOM_DELAY=10\n0 5 * * * /bin/a\n", &["0 5 * * *"], &["`RANDOM_DELAY` becomes `jitter`"], &["jitter: 10m"]),
    case(
        "a command in Shift-JIS",
        b"0 5 * * * echo \x8d\xdd\x8c\xc9\n0 6 * * * /bin/b\n",
        &["0 6 * * *"],
        &["line 1: left out: there are characters in it that are not UTF-8"],
        &[],
    ),
    case("a comment in Shift-JIS", b"# \x8d\xdd\x8c\xc9\n0 6 * * * /bin/b\n", &["0 6 * * *"], &[], &[]),
    case("a zero byte", b"0 5 * * * echo \0\n", &[], &["left out: "], &[]),
    case("bells in a comment", b"# \x07\x1b[31m: - {\n0 6 * * * /bin/b\n", &["0 6 * * *"], &[], &["# ??[31m: - {"]),
    case("YAML in a command", b"0 5 * * * echo \"a: b\" 'c' # {d}, [e] - !f &g *h @i | > %\n", &["0 5 * * *"], &[], &[]),
    case(
        "text that YAML takes for something else",
        b"0 5 * * * true\n0 6 * * * ~\n0 7 * * * 0x1F\n",
        &["0 5 * * *", "0 6 * * *", "0 7 * * *"],
        &[],
        &["run: 'true'"],
    ),
    case("anacron's table", b"1\t5\tcron.daily\trun-parts --report /etc/cron.daily\n", &[], &["this is a line of /etc/anacrontab"], &[]),
    case("a user's name in a user's crontab", b"0 5 * * * backup /srv\n", &["0 5 * * *"], &[], &["run: backup /srv"]),
    case(
        "root in a system's crontab",
        b"0 5 * * * root /bin/a\n1 5 * * * ada /bin/b\n",
        &["0 5 * * *", "1 5 * * *"],
        &[],
        &["run: /bin/a", "- ada\n      - --\n      - /bin/sh"],
    ),
    case("merge conflict", b"<<<<<<< HEAD\n0 5 * * * /bin/a\n=======\n", &["0 5 * * *"], &["left out: ", "left out: "], &[]),
    case("a setting that looks like a line", b"0 = 5 * * * /bin/a\n", &[], &[], &["tasks: {}"]),
];

#[test]
fn what_can_be_imported_fires_as_under_cron_and_the_rest_is_explained() {
    let (mut judge, mut faults) = (Judge::default(), String::new());
    for Case { what, text, times, said, yaml } in CASES {
        let imported = imported(text, Format::Auto);
        let instances = instances(&imported.yaml);
        if instances.len() == times.len() {
            for (instance, time) in instances.iter().zip(*times) {
                judge.compare(instance, time);
            }
        } else {
            writeln!(faults, "{what}: {} tasks\n{}", instances.len(), imported.yaml).unwrap();
        }
        let remarks: Vec<String> = imported.remarks.iter().map(ToString::to_string).collect();
        if remarks.len() != said.len() || !remarks.iter().zip(*said).all(|(remark, said)| remark.contains(said)) {
            writeln!(faults, "{what}: {remarks:#?}").unwrap();
        }
        for remark in remarks {
            assert!(imported.yaml.contains(&format!("# ! {remark}")), "{what}: {remark}\n{}", imported.yaml);
            assert!(!remark.contains(|c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)), "{what}: {remark:?}");
        }
        assert!(!imported.yaml.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{what}: {:?}", imported.yaml);
        for wanted in yaml.iter().filter(|wanted| !imported.yaml.contains(**wanted)) {
            writeln!(faults, "{what}: without {wanted}\n{}", imported.yaml).unwrap();
        }
        assert!(!imported.yaml.contains("hunter2"), "{}", imported.yaml);
    }
    assert!(faults.is_empty(), "{faults}");
}

#[test]
fn a_user_whose_home_is_not_known_is_named_once() {
    let imported =
        imported(b"0 5 * * * root /bin/a\n0 6 * * * eve /bin/b\n0 7 * * * eve /bin/c\n0 8 * * * eve cd /srv && /bin/d\n", Format::System);
    let said: Vec<String> = imported.remarks.iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("line 2: cron starts it in the home folder of `eve`"), "{said:?}");
    for (command, is_named) in [("cd /srv && a & b", true), ("cd /srv && a 'it\\'s' & b 'c'", true), ("cd /srv && a &", false)] {
        let imported = self::imported(format!("SHELL=/usr/bin/fish\n0 5 * * * eve {command}\n").as_bytes(), Format::System);
        assert_eq!(imported.remarks.iter().any(|remark| remark.text.contains("home folder of `eve`")), is_named, "{command}");
    }
}

#[test]
fn many_lines_make_as_many_tasks() {
    let imported = imported("* * * * * a\n".repeat(2_000).as_bytes(), Format::User);
    assert_eq!((imported.tasks, instances(&imported.yaml).len()), (2_000, 2_000));
}

/// Each would be a hundred times as long as what came in.
#[test]
fn what_would_be_too_long_for_tasks_yaml_is_refused() {
    let long = "x".repeat(100_000);
    let lines = "* * * * * a\n".repeat(500);
    for text in [
        format!("HOME=/{long}\n{lines}"),
        format!("A={}\n{lines}", "\u{1}".repeat(30_000)),
        format!("{}{lines}", (0..3_000).fold(String::new(), |all, n| format!("{all}A{n}=1\n"))),
    ] {
        let failed = crontab::import("a test", text.as_bytes(), &surroundings(Format::User)).unwrap_err();
        assert!(failed.to_string().starts_with("the tasks would take more than 8 MiB: split the file"), "{failed}");
    }
    let noise = "x\n".repeat(180_000);
    let failed = crontab::import("a test", noise.as_bytes(), &surroundings(Format::User)).unwrap_err();
    assert!(failed.to_string().starts_with("more than 16 MiB would come of it"), "{failed}");
}

#[test]
fn a_file_of_noise_is_explained_line_by_line() {
    let noise: Vec<u8> = (0..20_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap()).collect();
    let imported = imported(&noise, Format::Auto);
    assert_eq!(instances(&imported.yaml).len(), 0);
    let text = String::from_utf8_lossy(&noise);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim_start_matches([' ', '\t']).starts_with('#') && !line.is_empty());
    let numbers: Vec<usize> = lines.map(|(number, _)| number).collect();
    assert!(50 < numbers.len(), "{}", numbers.len());
    for number in numbers {
        assert!(
            imported.remarks.iter().any(|remark| remark.line == number && remark.left_out),
            "{number}: {:?}",
            text.lines().nth(number - 1)
        );
    }
}

#[test]
fn a_line_without_a_user_does_not_make_the_systems_crontab_a_users() {
    for (text, left_out) in [
        ("# m h dom mon dow user command\n17 * * * * root run-parts /etc/cron.hourly\n0 4 * * * root\n", 3),
        ("17 * * * * root /bin/a\n0 4 * * * /bin/b\n", 2),
        ("0 4 * * * root\n", 1),
    ] {
        let imported = imported(text.as_bytes(), Format::Auto);
        assert!(!imported.yaml.contains("run: root"), "{}", imported.yaml);
        assert!(imported.remarks.iter().any(|remark| remark.left_out && remark.line == left_out), "{:?}", imported.remarks);
        instances(&imported.yaml);
    }
    let doubtful = imported(b"17 * * * * root /bin/a\n0 4 * * * /bin/b\n", Format::Auto);
    assert!(doubtful.remarks.iter().any(|remark| remark.text.contains("`--user`")), "{:?}", doubtful.remarks);
    let users = imported(b"0 1 * * * root /bin/a\n0 4 * * * /bin/b\n0 5 * * * /bin/c\n", Format::Auto);
    assert!(users.remarks.iter().any(|remark| remark.line == 1 && remark.text.contains("`--system`")), "{:?}", users.remarks);
    assert_eq!(users.tasks, 3);
}

#[test]
fn a_secret_is_never_shown() {
    for line in [
        "PGPASSWORD=hunter2",
        "DATABASE_URL=postgres://u:hunter2@h/d",
        "DBPASSWORD=hunter2",
        "PASSWORD2=hunter2",
        "apiToken=hunter2",
        "API-TOKEN=hunter2",
        "\"MY API_TOKEN\"=hunter2",
        "OPTIONS=-v --password=hunter2",
        "#DB_TOKEN=hunter2",
        "# 0 5 * * * mysqldump --password=hunter2",
        "61 * * * * mysqldump --password=hunter2",
        "61 * * * * mysqldump -phunter2",
        "61 * * * * curl -u me:hunter2 https://example.com",
        "0 0 * *  API_TOKEN=hunter2 x",
        "0 0 * * API_TOKEN=x/hunter2 x",
        "@API_TOKEN=hunter2 x",
        "DB_PASSWORD=\"hunter2",
        "61 * * * * sshpass -p hunter2 ssh h",
        "ALERTS=https://hooks.slack.com/services/T0/hunter2",
        "# curl -d hi https://discord.com/api/webhooks/1/hunter2",
        "61 * * * * curl --token \\\n  hunter2",
        "61 * * * * curl --token \\\n\\\n  A=hunter2",
        "61 * * * * curl --token \\\n  # hunter2",
        "# curl --token \\\n# hunter2",
    ] {
        for format in [Format::Auto, Format::System, Format::User] {
            let imported = imported(format!("{line}\n0 5 * * * root /bin/a\n").as_bytes(), format);
            assert!(!format!("{imported:?}").contains("hunter2"), "{line}: {imported:#?}");
            assert!(line.starts_with('#') || !imported.remarks.is_empty(), "{line}");
            instances(&imported.yaml);
        }
    }
    for (command, shows) in [
        ("mysqldump -phunter2 db", true),
        ("curl -u me:hunter2 https://example.com", true),
        ("PGPASSWORD=hunter2 pg_dump", true),
        ("sshpass -p hunter2 ssh h", true),
        ("curl -d hi https://hooks.slack.com/services/T0/hunter2", true),
        ("cat%token: hunter2%", true),
        ("PWD=/srv pg_dump", false),
        ("sshpass -p \"$PW\" ssh h", false),
        ("cat%hello", false),
    ] {
        let imported = imported(format!("0 5 * * * {command}\n").as_bytes(), Format::User);
        assert_eq!(imported.remarks.iter().any(|remark| remark.text.contains("a secret seems to stand")), shows, "{command}");
    }
}

#[test]
fn odd_texts_and_settings_give_a_file_that_passes_the_check() {
    for (text, run, yaml) in [
        (
            "0 5 * * * echo a\u{2028}b & echo\u{85}c\n",
            &["echo a\u{2028}b & echo\u{85}c\nended=$?; wait; exit $ended"] as &[_],
            "echo a\\Lb & echo\\Nc\\n",
        ),
        (
            "0 5 * * * cat%a\u{2029}b%\u{feff}c\n",
            &["printf '%s\\n' \"$2\" | /bin/sh -c \"$1\"", "cat", "a\u{2029}b\n\u{feff}c"],
            "a\\Pb\\n\\uFEFFc",
        ),
        ("A=x \u{ffff}\n0 5 * * * echo\u{2028}c\n", &["echo\u{2028}c"], "x \\uffff"),
        ("SHELL=\"\"\n0 5 * * * /bin/a\n", &["/bin/a"], "# ! line 1: left out: `SHELL` is empty"),
        ("SHELL=\"/bin/a b\"\n0 5 * * * /bin/a%b\n", &["printf '%s\\n' \"$2\" | '/bin/a b' -c \"$1\"", "/bin/a", "b"], ""),
        ("HOME=\"\"\n0 5 * * * /bin/a\n", &["/bin/a"], "# ! line 1: left out: `HOME` is no whole path"),
        ("RANDOM_DELAY=4000000000\n0 5 * * * /bin/a\n", &["/bin/a"], "jitter: 527040m"),
        ("RANDOM_DELAY=40000000000000000000\n0 5 * * * /bin/a\n", &["/bin/a"], "# ! line 1: left out: `RANDOM_DELAY` is no number"),
        ("A=\0\n0 5 * * * /bin/a\n", &["/bin/a"], ""),
    ] {
        let imported = imported(text.as_bytes(), Format::User);
        let instances = instances(&imported.yaml);
        assert_eq!(instances.len(), 1, "{}", imported.yaml);
        let texts = |value: &Value| if let Value::Text(text) = value { text.to_string() } else { panic!("{value:?}") };
        assert_eq!(instances[0].with.list("run").iter().map(texts).collect::<Vec<_>>(), run, "{}", imported.yaml);
        assert!(imported.yaml.contains(yaml), "{yaml}\n{}", imported.yaml);
    }
}
