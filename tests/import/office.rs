//! The old back office's files: what they say stands in tasks.yaml, their secrets nowhere, and Python is never run.
use std::{fs, path::Path, process::Command};

use jiff::SignedDuration;
use taskrun::{
    core::{schedule::Schedule, task::Overlap},
    import::office::{from_accounts, from_daemons},
};

use crate::world::read;

const DAEMONS: &str = include_str!("office/daemons.json");
const ACCOUNTS: &str = include_str!("office/accounts.py");

/// Every variable that the imported files name.
const VARIABLES: [&str; 7] = [
    "LWA_CLIENT_ID",
    "LWA_CLIENT_SECRET",
    "LWA_REFRESH_TOKEN",
    "BASE_CLIENT_ID",
    "BASE_CLIENT_SECRET",
    "BASE_ACCOUNT_2_REFRESH_TOKEN",
    "SHOP_2_PROXY",
];

/// Imports by the real binary, has the check pass, and gives both outputs back.
fn by_hand(folder: &Path, arguments: &[&str]) -> (String, String) {
    for (name, text) in [("daemons.json", DAEMONS), ("accounts.py", ACCOUNTS)] {
        fs::write(folder.join(name), text).unwrap();
    }
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taskrun"));
        command.args(arguments).current_dir(folder).env_remove("TASKRUN_CONFIG");
        command.envs(VARIABLES.map(|name| (name, "http://proxy.example:3128"))).output().unwrap()
    };
    let import = run(&[&["import"], arguments].concat());
    let said = String::from_utf8(import.stderr).unwrap();
    assert!(import.status.success(), "{said}");
    fs::write(folder.join("tasks.yaml"), &import.stdout).unwrap();
    let check = run(&["check"]);
    assert!(check.status.success(), "{}{}", String::from_utf8_lossy(&check.stdout), String::from_utf8_lossy(&import.stdout));
    (String::from_utf8(import.stdout).unwrap(), said)
}

#[test]
fn both_files_make_one_that_passes_the_check_and_holds_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["daemons-json", "daemons.json"] as &[&str],
        &["daemons-json", "daemons.json", "--accounts", "accounts.py"],
        &["accounts-py", "accounts.py"],
    ] {
        let (yaml, said) = by_hand(folder.path(), arguments);
        assert!(!yaml.contains("canary") && !said.contains("canary"), "{yaml}\n{said}");
        assert!(!folder.path().join("it-was-run").exists());
        if arguments.len() == 4 {
            for wanted in [
                "accounts.py line 35: set `BASE_ACCOUNT_2_REFRESH_TOKEN` where taskrun is started, to the refresh token of `base_account_2`",
                "accounts.py line 36: set `SHOP_2_PROXY` where taskrun is started",
                "accounts.py line 17: left out: `ebay_account_1`: `ebay` has settings of its own",
                "accounts.py line 15: an account is called `base-account_3` now",
                "accounts.py line 31: left out: `base_account_2.rate_limit_per_hour` was read by nobody",
                "accounts.py line 38: left out: `base_account_2.shop_password` looks like a secret",
                "accounts.py line 40: left out: `base_account_9` is no account that the file lists",
                "accounts.py line 43: left out: `CHATWORK_API_TOKEN` looks like a secret",
                "accounts.py line 44: left out: `LOG_DIR` is not written out but worked out",
                "accounts.py line 45: left out: `VERBOSE` has no counterpart",
                "daemons.json line 4: `sync_inventory` counted 1h from the end of a run",
                "daemons.json line 2: a pass over ten thousand products takes 1.8 hours",
                "set where taskrun is started: LWA_CLIENT_ID, LWA_CLIENT_SECRET, LWA_REFRESH_TOKEN, BASE_CLIENT_ID, BASE_CLIENT_SECRET",
            ] {
                assert!(said.contains(wanted), "{wanted}\n{said}");
                assert!(yaml.contains(&format!("# ! {wanted}")) || wanted.starts_with("set "), "{wanted}\n{yaml}");
            }
        }
    }
}

#[test]
fn what_the_files_say_stands_in_the_tasks() {
    let imported = from_daemons("daemons.json", DAEMONS, Some(("accounts.py", ACCOUNTS))).unwrap();
    let config = read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
    let every = |instance: &str| match config.instances[&instance.into()].timing.schedules.as_slice() {
        [Schedule::Every { interval }] => *interval,
        other => panic!("{other:?}"),
    };
    let sync = &config.instances[&"sync_inventory".into()];
    assert_eq!((every("sync_inventory"), sync.overlap, sync.retries.max), (SignedDuration::from_hours(1), Overlap::Skip, 3));
    assert_eq!((sync.retries.delay, sync.enabled), (SignedDuration::from_mins(1), true));
    let first = &config.instances[&"upload_tick_base_account_1@base_account_1".into()];
    assert_eq!((every(first.name.as_str()), first.with.int("batch_size")), (SignedDuration::from_secs(30), Some(15)));
    let second = &config.instances[&"upload_tick@base_account_2".into()];
    assert_eq!(
        (every(second.name.as_str()), second.with.int("batch_size"), second.enabled),
        (SignedDuration::from_mins(1), Some(10), false)
    );
    let hours = |name: &str| config.instances[&name.into()].timing.hours.as_ref().unwrap().text.to_string();
    assert_eq!(hours(first.name.as_str()), "06:00-23:00");
    assert_eq!(hours(second.name.as_str()), "09:00-18:00");
    assert_eq!(hours("upload_tick@base-account_3"), "06:00-23:00");
    assert_eq!(config.accounts["base_account_1"].daily_limit, Some(1000));
    assert_eq!(config.timezone.iana_name(), Some("Asia/Tokyo"));
    assert!(config.instances.contains_key(&"refresh_tokens".into()));
}

#[test]
fn odd_daemons_are_explained() {
    for (json, wanted) in [
        ("", "this is no JSON object"),
        ("[1]", "this is no JSON object"),
        (r#"{"sync_inventory": 5}"#, "`sync_inventory` has no settings under it"),
        (r#"{"price_checker": {"interval_seconds": 60}}"#, "there is no handler like `price_checker`"),
        (r#"{"sync_inventory": {"interval_seconds": "often"}}"#, "`sync_inventory.interval_seconds` is no number of seconds"),
        (r#"{"sync_inventory": {"dry_run": true}}"#, "`taskrun once sync_inventory --dry-run` makes one"),
        (r#"{"sync_inventory": {"color": "red"}}"#, "left out: `sync_inventory.color` has no counterpart"),
        (r#"{"upload_scheduler": {"business_hours": {"start": 23, "end": 23}}}"#, "`upload_scheduler`: its business hours cannot be read"),
        (r#"{"upload_scheduler": {}}"#, "no shop is named"),
        (r#"{"upload_scheduler": {}}"#, "06:00-23:00 it is, as it was with the old daemon"),
        (r#"{"daemons": {}, "upload_daemon": {}}"#, "left out: `upload_daemon` has no counterpart"),
        (r#"{"upload_daemon": {"business_hours": {"start": 6, "end": 0}}}"#, "its business hours cannot be read"),
        (r#"{"daemons": {"sync_inventory": {"colour": 1}}}"#, "left out: `sync_inventory.colour` has no counterpart"),
        (r#"{"sync_inventory": {}} {"upload_daemon": {}}"#, "line 1: left out: there is more behind the first value"),
        ("{\"sync_inventory\": {}}\n\n]", "line 3: left out: there is more behind the first value"),
        (r#"{"sync_inventory": {"platform": "ebay"}}"#, "left out: `sync_inventory` serves `ebay`"),
        (r#"{"upload_ebay": {"platform": "ebay"}}"#, "left out: `upload_ebay` serves `ebay`"),
        (r#"{"upload_ebay": {"platform": ["base", "ebay"]}}"#, "left out: `upload_ebay` serves something that cannot be read"),
        ("{\"sync\\u001b[31m\": 5}", "`sync?[31m` has no settings under it"),
    ] {
        let imported = from_daemons("daemons.json", json, None).unwrap();
        let said: Vec<String> = imported.remarks.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|said| said.contains(wanted)), "{json}: {said:?}");
        read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
    }
}

/// The tasks of a `daemons.json`, with whether each is on.
fn tasks(json: &str, python: &str) -> Vec<(String, bool)> {
    let imported = from_daemons("d", json, Some(("a", python))).unwrap();
    let config = read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
    let instances = config.instances.values().map(|instance| (instance.name.to_string(), instance.enabled));
    instances.filter(|(name, _)| !name.starts_with("refresh_tokens")).collect()
}

#[test]
fn what_was_tried_only_does_not_become_real() {
    let shop = "UPLOAD_ACCOUNTS = {'base': ['x']}\n";
    let is = |json: &str, python: &str, expected: &[(&str, bool)]| {
        let expected: Vec<_> = expected.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
        assert_eq!(tasks(json, &format!("{shop}{python}")), expected, "{json}");
    };
    let (dry, real) = (r#""upload_a": {"dry_run": true}"#, r#""upload_b": {"dry_run": false}"#);
    is(&format!("{{{dry}, {real}}}"), "", &[("upload_tick@x", false), ("upload_tick_2@x", true)]);
    is(&format!("{{{real}, {dry}}}"), "", &[("upload_tick@x", true), ("upload_tick_2@x", false)]);
    is(r#"{"upload": {"dry_run": true}, "upload_ebay": {"platform": "ebay"}}"#, "", &[("upload_tick@x", false)]);
    is(r#"{"upload_ebay": {"platform": "ebay", "enabled": true}}"#, "", &[("upload_tick@x", false)]);
    is(r#"{"upload": {"dry_run": false}, "upload": {"dry_run": true}}"#, "", &[("upload_tick@x", false)]);
    is(r#"{"upload": {}}"#, "DAEMON_CONFIG = {'enabled': False}", &[("upload_tick@x", false)]);
    is(r#"{"upload": {"dry_run": "perhaps"}}"#, "", &[("upload_tick@x", false)]);
    // Who says so: of all uploads, and of one shop.
    let all = "DAEMON_CONFIG = {'dry_run': True}";
    is("{}", all, &[("upload_tick@x", false)]);
    is(r#"{"upload": {"enabled": true}}"#, all, &[("upload_tick@x", false)]);
    is(r#"{"upload": {"dry_run": false}}"#, all, &[("upload_tick@x", false)]);
    is("{}", "DAEMON_CONFIG = {'dry_run': 'perhaps'}", &[("upload_tick@x", false)]);
    is("{}", "DAEMON_CONFIG = {'dry_run': False}", &[("upload_tick@x", true)]);
    for shop in ["{'dry_run': True}", "{'dry_run': 'perhaps'}", "{'active': 'perhaps'}", "{'business_hours': 'late'}"] {
        let python = format!("UPLOAD_ACCOUNTS = {{'base': ['x', 'y']}}\nACCOUNT_SPECIFIC_CONFIG = {{'x': {shop}}}");
        is("{}", &python, &[("upload_tick@y", true), ("upload_tick_x@x", false)]);
    }
    let said = from_accounts("a", &format!("{shop}{all}\nACCOUNT_SPECIFIC_CONFIG = {{'x': {{'dry_run': True}}}}")).unwrap().remarks;
    assert!(!said.iter().any(|remark| remark.text.contains("has no counterpart")), "{said:?}");
    assert_eq!(said.iter().filter(|remark| remark.text.contains("only made dry runs")).count(), 2, "{said:?}");
    is(
        r#"{"sync_inventory": {"dry_run": true}, "sync_inventory_ebay": {"platform": "ebay"}}"#,
        "",
        &[("sync_inventory", false), ("upload_tick@x", true)],
    );
}

#[test]
fn a_shop_that_says_one_end_of_its_hours_has_the_other_of_all() {
    let hours = |daemon: &str, python: &str| {
        let json = format!(r#"{{"upload_daemon": {daemon}}}"#);
        let imported = from_daemons("d", &json, Some(("a", python))).unwrap();
        let config = read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
        let tick = config.instances.values().find(|instance| instance.name.as_str().starts_with("upload_tick")).unwrap();
        (tick.enabled, tick.timing.hours.as_ref().map(|hours| hours.text.to_string()).unwrap_or_default())
    };
    for (daemon, all, own, expected) in [
        ("{}", "{'business_hours_start': 8, 'business_hours_end': 20}", "'business_hours_start': 9", "09:00-20:00"),
        ("{}", "{'business_hours_start': 8, 'business_hours_end': 20}", "'business_hours_end': 18", "08:00-18:00"),
        (r#"{"business_hours": {"start": 7, "end": 21}}"#, "{}", "'business_hours': {'start': 10}", "10:00-21:00"),
        (r#"{"business_hours": {"end": 21}}"#, "{'business_hours_start': 8}", "'business_hours_start': None", "08:00-21:00"),
        ("{}", "{}", "'business_hours_start': 9", "09:00-23:00"),
        ("{}", "{}", "'business_hours_end': 18", "06:00-18:00"),
        ("{}", "{}", "", "06:00-23:00"),
    ] {
        // Whichever comes first in the file.
        let shop = format!("UPLOAD_ACCOUNTS = {{'base': [{{'id': 'x', {own}}}]}}\n");
        for python in [format!("{shop}DAEMON_CONFIG = {all}\n"), format!("DAEMON_CONFIG = {all}\n{shop}")] {
            assert_eq!(hours(daemon, &python), (true, expected.to_owned()), "{daemon} {python}");
        }
    }
    let clash = "UPLOAD_ACCOUNTS = {'base': [{'id': 'x', 'business_hours_start': 20}]}\nDAEMON_CONFIG = {'business_hours_end': 20}\n";
    assert!(!hours("{}", clash).0);
    let json = r#"{"upload_a": {"business_hours": {"start": 6, "end": 20}}, "upload_b": {"business_hours": {"start": 6, "end": 22}}}"#;
    let imported = from_daemons("d", json, Some(("a", "UPLOAD_ACCOUNTS = {'base': [{'id': 'x', 'business_hours_start': 9}]}"))).unwrap();
    assert!(imported.remarks.iter().any(|remark| remark.text.contains("`x`: its business hours cannot be told")), "{imported:?}");
    read(&imported.yaml).unwrap().instances.values().filter(|i| i.name.as_str().starts_with("upload")).for_each(|i| assert!(!i.enabled));
}

/// What sold out at Amazon must not stay on sale where only the uploads are in doubt.
#[test]
fn a_shop_whose_uploads_are_off_is_still_looked_after() {
    let ends = r#""upload_a": {"business_hours": {"start": 6, "end": 20}}, "upload_b": {"business_hours": {"start": 6, "end": 22}}"#;
    for (daemons, x) in [
        (ends, "'business_hours_start': 9"),
        (r#""upload": {}"#, "'business_hours': 'late'"),
        (r#""upload": {}"#, "'business_hours_start': 9, 'business_hours_end': 9"),
        (r#""upload": {"business_hours": "late"}"#, "'business_hours_start': 9"),
        (r#""upload": {}"#, "'dry_run': True"),
        (r#""upload": {}"#, "'active': 'perhaps'"),
    ] {
        let python = format!("UPLOAD_ACCOUNTS = {{'base': ['x', 'y']}}\nACCOUNT_SPECIFIC_CONFIG = {{'x': {{{x}}}}}");
        let imported = from_daemons("d", &format!(r#"{{"sync_inventory": {{}}, {daemons}}}"#), Some(("a", &python))).unwrap();
        let config = read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
        assert!(config.accounts["x"].enabled && config.accounts["y"].enabled, "{}", imported.yaml);
        let uploads: Vec<_> = config.instances.values().filter(|instance| instance.name.as_str().ends_with("@x")).collect();
        assert!(!uploads.is_empty() && uploads.iter().all(|upload| !upload.enabled), "{}", imported.yaml);
        assert!(imported.remarks.iter().any(|remark| remark.text.starts_with("`x`") && remark.text.contains(" off")), "{imported:?}");
    }
    // Whoever put the shop itself out of use meant all of it; what follows is said.
    let imported = from_accounts("a", "UPLOAD_ACCOUNTS = {'base': [{'id': 'x', 'active': False}]}").unwrap();
    assert!(!read(&imported.yaml).unwrap().accounts["x"].enabled);
    assert!(imported.remarks.iter().any(|remark| remark.line == 1 && remark.text.contains("stays on sale")), "{imported:?}");
}

/// Two daemons with ends of their own: the tasks of a shop that names its start have the hours that each would have given it.
#[test]
fn the_hours_of_uploads_that_are_off_are_those_to_decide_between() {
    let json = r#"{"upload_a": {"business_hours": {"start": 6, "end": 20}}, "upload_b": {"business_hours": {"start": 6, "end": 22}}}"#;
    let imported = from_daemons("d", json, Some(("a", "UPLOAD_ACCOUNTS = {'base': [{'id': 'x', 'business_hours_start': 9}]}"))).unwrap();
    let config = read(&imported.yaml).unwrap();
    let hours = |name: &str| config.instances[&name.into()].timing.hours.as_ref().unwrap().text.to_string();
    assert_eq!((hours("upload_tick_x@x"), hours("upload_tick_x_2@x")), ("09:00-20:00".to_owned(), "09:00-22:00".to_owned()));
}

#[test]
fn each_secret_has_a_variable_of_its_own_that_the_check_takes() {
    let python = "BASE_ACCOUNTS = [{'id': id, 'refresh_token': 'hunter2', 'proxy': 'hunter2'} for id in x]\nBASE_ACCOUNTS = [\n\
        {'id': '123', 'refresh_token': 'hunter2'},\n{'id': 'a-b', 'refresh_token': 'hunter2'},\n{'id': 'a_b', 'refresh_token': 'hunter2'},\n\
        {'id': 'c', 'refresh_token': os.environ['1X']},\n{'id': 'd', 'refresh_token': os.environ['E_REFRESH_TOKEN']},\n\
        {'id': 'e', 'refresh_token': 'hunter2'},\n{'id': 'amazon_main', 'proxy': 'hunter2'}]\n\
        ACCOUNT_SPECIFIC_CONFIG = {'123': {'refresh_token': 'hunter2'}}\n";
    let imported = from_daemons("d", r#"{"sync_inventory": {}}"#, Some(("a", python))).unwrap();
    assert!(!format!("{imported:?}").contains("hunter2"), "{imported:?}");
    let config = read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
    assert_eq!(config.accounts.len(), 8, "{}", imported.yaml);
    for wanted in [
        "  '123':\n    platform: base\n    refresh_token: ${SHOP_123_REFRESH_TOKEN}\n",
        "  a-b:\n    platform: base\n    refresh_token: ${A_B_REFRESH_TOKEN}\n",
        "  a_b:\n    platform: base\n    refresh_token: ${A_B_REFRESH_TOKEN_2}\n",
        "  c:\n    platform: base\n    refresh_token: ${C_REFRESH_TOKEN}\n",
        "  d:\n    platform: base\n    refresh_token: ${E_REFRESH_TOKEN}\n",
        "  e:\n    platform: base\n    refresh_token: ${E_REFRESH_TOKEN_2}\n",
        "  amazon_main:\n    platform: amazon\n",
        "  amazon_main_2:\n    platform: base\n    proxy: ${AMAZON_MAIN_2_PROXY}\n",
    ] {
        assert!(imported.yaml.contains(wanted), "{wanted}\n{}", imported.yaml);
    }
}

/// As deep as a file can be.
#[test]
fn depth_does_no_harm() {
    for open in ["[", "(", "{", "{1:", "-", "os(", "os.environ[", "getenv(", "[os(-"] {
        let deep = open.repeat(20_000);
        let imported = from_accounts("a", &format!("UPLOAD_ACCOUNTS = {deep}\n")).unwrap();
        assert!(imported.remarks[0].left_out, "{open}: {imported:?}");
        assert_eq!(from_daemons("d", &deep, None).unwrap().tasks, 0, "{open}");
    }
}

#[test]
fn odd_accounts_are_explained() {
    for (python, wanted) in [
        ("UPLOAD_ACCOUNTS = load()", "`UPLOAD_ACCOUNTS` is not written out but worked out"),
        ("UPLOAD_ACCOUNTS = {'base': [{'name': 'x', 'active': False}, {}]}", "an account without an id"),
        ("ACCOUNTS = {'x': {'platform': 'mercari'}}", "`mercari` cannot be listed at yet"),
        ("BASE_ACCOUNTS = [{'id': 'x', 'refresh_token': 'hunter2'}]", "set `X_REFRESH_TOKEN`"),
        ("API_KEY = 'hunter2'", "`API_KEY` looks like a secret"),
        ("UPLOAD_ACCOUNTS = {'base': ['x']", "`UPLOAD_ACCOUNTS` is not written out"),
    ] {
        let imported = from_accounts("accounts.py", python).unwrap();
        let said: Vec<String> = imported.remarks.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|said| said.contains(wanted)), "{python}: {said:?}");
        assert!(!format!("{imported:?}").contains("hunter2"), "{imported:?}");
        read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
    }
}

#[test]
fn shops_whose_names_become_alike_stay_apart() {
    let imported = from_accounts("accounts.py", "UPLOAD_ACCOUNTS = {'base': ['東京店', '大阪店', 'x', 'X', '_x']}").unwrap();
    let config = read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
    assert_eq!(config.accounts.len(), 5, "{}", imported.yaml);
    assert!(imported.remarks.iter().any(|remark| remark.text.contains("`shop_2` now") && remark.text.contains("大阪店")), "{imported:?}");
}

#[test]
fn what_cannot_be_read_is_said_and_never_widens_the_hours() {
    for hours in [r#"{"start": 9.5, "end": 18}"#, r#""09:00-18:00""#, r#"{"start": "nine"}"#, r#"{"start": 9, "end": 25}"#, "{}"] {
        let json = format!(r#"{{"upload_daemon": {{"business_hours": {hours}}}}}"#);
        let python = format!("UPLOAD_ACCOUNTS = {{'base': [{{'id': 'x', 'business_hours': {hours}}}]}}");
        for imported in [from_daemons("d", &json, None).unwrap(), from_accounts("a", &python).unwrap()] {
            assert!(
                imported.remarks.iter().any(|remark| remark.left_out && remark.text.contains("business hours")),
                "{hours}: {imported:?}"
            );
            let config = read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
            let uploads = || config.instances.values().filter(|instance| instance.name.as_str().starts_with("upload_tick"));
            assert!(uploads().count() == 1 && uploads().all(|upload| !upload.enabled), "{hours}\n{}", imported.yaml);
        }
    }
    let text = from_daemons("d", r#"{"upload_daemon": {"business_hours": {"start": "9", "end": 18}}}"#, None).unwrap();
    assert!(text.yaml.contains("09:00-18:00"), "{}", text.yaml);
    for line in [
        "DAEMON_CONFIG = {'interval_seconds': 60*5}",
        "DAEMON_CONFIG = {'enabled': 'no'}",
        "UPLOAD_ACCOUNTS['base'].append('s2')",
        "UPLOAD_ACCOUNTS += ['s2']",
        "UPLOAD_ACCOUNTS.update(base=['s2'])",
        "if True: UPLOAD_ACCOUNTS['base'].append('s2')",
        "x = 1; UPLOAD_ACCOUNTS = {'base': ['s2']}",
        "from local_accounts import *",
        "ACCOUNTS = {'base': load()}",
        "UPLOAD_ACCOUNTS = {'base': 's2'}",
        "UPLOAD_ACCOUNTS = ['s2']",
    ] {
        let imported = from_accounts("a", &format!("UPLOAD_ACCOUNTS = {{'base': ['s1']}}\n{line}\n")).unwrap();
        assert!(imported.remarks.iter().any(|remark| remark.left_out && remark.line == 2), "{line}: {imported:?}");
    }
}

#[test]
fn what_a_block_changes_is_said() {
    for block in ["if True:\n    UPLOAD_ACCOUNTS['base'].append('s2')", "try:\n\tUPLOAD_ACCOUNTS = {'base': ['s2']}\nexcept E:\n\tpass"] {
        let imported = from_accounts("a", &format!("UPLOAD_ACCOUNTS = {{'base': ['s1']}}\n{block}\n")).unwrap();
        let said: Vec<_> = imported.remarks.iter().filter(|remark| remark.left_out).map(ToString::to_string).collect();
        assert_eq!(said.len(), 1, "{block}: {said:?}");
        assert!(said[0].contains("line 3: left out: this line may change `UPLOAD_ACCOUNTS`"), "{said:?}");
    }
}

#[test]
fn numbers_that_tasks_yaml_does_not_know_are_said_and_mended() {
    for setting in ["'batch_size': 0", "'batch_size': 5000", "'daily_upload_limit': -1", "'interval_seconds': 864000000"] {
        let imported = from_accounts("a", &format!("UPLOAD_ACCOUNTS = {{'base': [{{'id': 'x', {setting}}}]}}")).unwrap();
        read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
        assert!(imported.remarks.iter().any(|remark| remark.text.contains("is what there is")), "{setting}");
    }
    let json = r#"{"refresh_tokens": {"interval_seconds": 864000000, "max_retries": 99999999999}, "upload_daemon": {}}"#;
    let imported = from_daemons("d", json, None).unwrap();
    let config = read(&imported.yaml).unwrap_or_else(|faults| panic!("{faults}\n{}", imported.yaml));
    assert!(!config.instances.contains_key(&"refresh_tokens_2".into()), "{}", imported.yaml);
}

#[test]
fn a_file_in_which_nothing_is_known_is_wrong_usage() {
    let utf_16: Vec<u8> = "0 5 * * * /bin/a\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let folder = tempfile::tempdir().unwrap();
    for (kind, bytes) in [
        ("crontab", &utf_16 as &[u8]),
        ("crontab", b"\x7fELF\x02\x01\0\0 \xff\n\xfe"),
        ("crontab", b"{\"a\": 1}\n"),
        ("daemons-json", b"{\"upload_daemon\": {\"enabled\": tr"),
        ("accounts-py", b"print(1)\n"),
    ] {
        fs::write(folder.path().join("file"), bytes).unwrap();
        let mut import = Command::new(env!("CARGO_BIN_EXE_taskrun"));
        let output = import.args(["import", kind, "file"]).current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{kind}: {output:?}");
        assert!(output.stdout.is_empty(), "{kind}: {output:?}");
    }
}
