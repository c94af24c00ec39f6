//! `update_env`: the file is whole at every instant, changes only when the settings do, and reads the same to everybody.
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use proptest::{prelude::*, test_runner::Config};
use rustix::process::Signal;
use taskrun::shop::setting::{SettingName, SettingValue, env_line};

use crate::{
    readers,
    shop::{Shop, wait_until},
};

const ENV: &str = "tasks:\n  env: { handler: update_env, with: { path: app.env } }\n";

fn file(shop: &Shop) -> PathBuf {
    shop.path().join("app.env")
}

/// What lies in the folder beside what belongs there.
fn leftovers(shop: &Shop) -> Vec<String> {
    let names = fs::read_dir(shop.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.contains("app.env") && name != "app.env").collect()
}

#[test]
fn the_file_is_written_when_the_settings_change_and_only_then() {
    let shop = Shop::new(ENV);
    shop.run("settings set WORKERS=14 API_KEY=hunter22").ends(0);
    let done = shop.run("once env").ends(0);
    assert!(!format!("{done:?}").contains("hunter22"));
    let text = shop.run("history --json").out;
    assert!(text.contains("added API_KEY, WORKERS") && !text.contains("hunter22"), "{text}");
    let found = fs::metadata(file(&shop)).unwrap();
    assert_eq!(found.permissions().mode() & 0o777, 0o600);
    shop.run("once env").ends(0);
    let after = fs::metadata(file(&shop)).unwrap();
    assert_eq!((after.ino(), after.mtime_nsec()), (found.ino(), found.mtime_nsec()), "not touched");
    shop.run("settings set WORKERS=8 REGION=fe").ends(0);
    shop.run("settings unset API_KEY").ends(0);
    shop.run("once env --dry-run").ends(0).prints(&["added REGION; changed WORKERS; removed API_KEY"]);
    assert_eq!(fs::metadata(file(&shop)).unwrap().ino(), found.ino(), "a dry run writes nothing");
    shop.run("once env").ends(0);
    assert!(fs::read_to_string(file(&shop)).unwrap().ends_with("lost.\nREGION=fe\nWORKERS=8\n"));
    fs::set_permissions(file(&shop), fs::Permissions::from_mode(0o644)).unwrap();
    shop.run("once env").ends(0);
    assert_eq!(fs::metadata(file(&shop)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn only_what_is_asked_for_is_written_under_its_prefix() {
    let shop = Shop::new("tasks:\n  env: { handler: update_env, with: { path: app.env, only: [A, B], prefix: X_ } }\n");
    shop.run("settings set A=1 B=2 C=3").ends(0);
    shop.run("once env").ends(0);
    assert!(fs::read_to_string(file(&shop)).unwrap().ends_with("X_A=1\nX_B=2\n"));
    shop.write("tasks:\n  env: { handler: update_env, with: { path: app.env, only: [A, b-c] } }\n");
    shop.run("check").ends(2).prints(&["`b-c` can't be a setting's name"]);
}

#[test]
fn links_and_files_of_others_are_left_alone() {
    let shop = Shop::new(ENV);
    shop.run("settings set A=1").ends(0);
    let canary = shop.path().join("canary");
    fs::write(&canary, "mine").unwrap();
    symlink(&canary, file(&shop)).unwrap();
    let told = |shop: &Shop, what: &str| {
        shop.run("once env").ends(1);
        let text = shop.run("history --json").out;
        assert!(text.contains(what), "{text}");
    };
    told(&shop, "is a link");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "mine");
    fs::remove_file(file(&shop)).unwrap();
    fs::write(file(&shop), "MINE=1\n").unwrap();
    told(&shop, "was not written by taskrun");
    assert_eq!(fs::read_to_string(file(&shop)).unwrap(), "MINE=1\n");
    fs::remove_file(file(&shop)).unwrap();
    fs::create_dir(file(&shop)).unwrap();
    told(&shop, "is no plain file");
    fs::remove_dir(file(&shop)).unwrap();
    shop.run("once env").ends(0);
}

#[test]
fn whoever_reads_while_writers_are_killed_sees_a_whole_file() {
    let shop = Shop::new("tasks:\n  env: { handler: update_env, overlap: last_wins, with: { path: app.env } }\n");
    let long = "x".repeat(4000);
    let set = |n: usize| {
        let values: Vec<_> = (0..20).map(|i| format!("V{i}={n}-{long}")).collect();
        shop.run(&format!("settings set {}", values.join(" "))).ends(0);
    };
    set(0);
    shop.run("once env").ends(0);
    let done = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (done, path) = (Arc::clone(&done), file(&shop));
        move || {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                let found = readers::systemd(&fs::read_to_string(&path).expect("it is always there"));
                let versions: std::collections::BTreeSet<_> =
                    found.values().map(|value| value.split('-').next().unwrap().to_owned()).collect();
                assert_eq!((found.len(), versions.len()), (20, 1), "one version, all of it");
                reads += 1;
            }
            reads
        }
    });
    let rounds = if std::env::var_os("STRESS").is_some() { 200 } else { 12 };
    for n in 1..=rounds {
        set(n);
        let killed = shop.start("once env");
        let (mut looks, life) = (0, fastrand::u32(0..8));
        wait_until("it has lived for a while", || {
            looks += 1;
            life < looks
        });
        killed.signal(Signal::KILL);
        killed.code();
    }
    // As a kill between the two would leave it.
    fs::write(shop.path().join(".app.env.taskrun-1"), "half").unwrap();
    shop.run("once env").ends(0);
    done.store(true, Ordering::Relaxed);
    assert!(reader.join().unwrap() > 0);
    assert_eq!(leftovers(&shop), [""; 0]);
    assert!(fs::read_to_string(file(&shop)).unwrap().contains(&format!("V0={rounds}-")));
}

/// What goes wrong when values are quoted, and plain text.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("'"),
        Just("\""),
        Just("$"),
        Just("`"),
        Just("#"),
        Just(" "),
        Just("="),
        Just("$("),
        Just("{"),
        Just("!"),
        Just("~"),
        Just(";"),
        Just("&"),
        Just("*"),
        Just("%"),
        Just("水"),
        Just("a"),
        Just("Z9"),
        Just(" #x"),
        Just("\u{a0}"),
        Just("\u{2028}"),
        Just("-"),
        Just("|"),
    ];
    prop::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

#[test]
fn everybody_reads_the_same_values_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.env");
    let cases = if std::env::var_os("STRESS").is_some() { 2_000 } else { 40 };
    proptest!(Config { cases, failure_persistence: None, ..Config::default() }, |(values in prop::collection::vec(value(), 40))| {
        let mut expected = BTreeMap::new();
        let mut text = "# A header: it's \"one\".\n".to_owned();
        for (nth, value) in values.iter().enumerate() {
            let Ok(value) = SettingValue::parse(value) else { continue };
            let name = SettingName::parse(&format!("V{nth}")).unwrap();
            text.push_str(&env_line(&name, &value));
            text.push('\n');
            expected.insert(name.to_string(), value.expose().to_owned());
        }
        fs::write(&path, &text).unwrap();
        prop_assert_eq!(&readers::systemd(&text), &expected);
        prop_assert_eq!(&readers::node(&text), &expected);
        prop_assert_eq!(&readers::python(&text), &expected);
        prop_assert_eq!(&readers::sh(&path), &expected);
    });
}
