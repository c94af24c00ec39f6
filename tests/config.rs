//! What tasks.yaml means once it has been read. What its mistakes look like is in `faults.rs`.
#![cfg(test)]
use std::{collections::BTreeSet, fs, path::Path, sync::Arc, time::Instant};

use common::{BASE, env, fault_of, load, options, read, task};
use jiff::SignedDuration;
use proptest::prelude::*;
use taskrun::{
    cli::render,
    config::{self, CallLimits, Config, LoadOptions, PerPurpose, Secrets, StoreLocation},
    core::{
        reload::differences,
        task::{Backoff, Instance, InstanceName, OnLost, Overlap},
    },
};

mod common;

const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tasks.yaml");

fn sound(text: &str) -> Config {
    read(text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn instance(config: &Config, name: &str) -> Arc<Instance> {
    Arc::clone(&config.instances[&InstanceName::from(name)])
}

fn only(text: &str) -> Arc<Instance> {
    instance(&sound(text), "t")
}

#[expect(clippy::disallowed_methods, reason = "how long it took is reported, and nothing depends on it")]
fn now() -> Instant {
    Instant::now()
}

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

#[test]
fn who_tells_amazon_the_stock_has_a_sellers_number() {
    let text = |says: &str| {
        format!(
            "marketplaces: {{amazon: {{region: fe, marketplace_id: A, client_id: x, client_secret: \"${{SECRET}}\"}}}}\n\
             accounts: {{s: {{platform: amazon{says}}}}}\ntasks: {{t: {{handler: update_feed, for_each: {{platform: amazon}}}}}}"
        )
    };
    let shipped = LoadOptions { handlers: taskrun::handlers::registry::SPECS, ..options() };
    let read = |says: &str| config::read(&text(says), Path::new("tasks.yaml"), &shipped);
    assert!(fault_of(read("")).contains("the handler `update_feed` needs the `seller_id` of `s`"));
    assert_eq!(read(", seller_id: A2EXAMPLE").unwrap().accounts["s"].seller_id.as_deref(), Some("A2EXAMPLE"));
}

#[test]
fn the_shipped_file_is_sound_in_practice() {
    let practice = LoadOptions { practice: true, handlers: taskrun::handlers::registry::SPECS, ..options() };
    let config = config::load(Path::new(SHIPPED), &practice).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.warnings.to_string(), "");
    let names: Vec<&str> = config.instances.keys().map(InstanceName::as_str).collect();
    for name in ["sync_inventory", "report", "shop_check@base_account_1", "shop_check@base_account_2"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let used: BTreeSet<&str> = config.instances.values().map(|instance| &*instance.handler).collect();
    let unused: Vec<&str> = taskrun::handlers::registry::SPECS.iter().map(|spec| spec.name).filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "the shipped file shows every handler there is: {unused:?}");
}

#[test]
fn a_task_that_says_nothing_gets_what_is_built_in() {
    let t = only("tasks: {t: {handler: command, with: {run: [ls]}}}");
    assert_eq!(
        (t.enabled, t.overlap, t.on_lost, t.retries.max, t.retries.backoff),
        (true, Overlap::LastWins, OnLost::Close, 0, Backoff::Fixed)
    );
    assert_eq!(
        (t.retries.delay, t.grace, t.takeover, t.lock_wait),
        (minutes(1), SignedDuration::from_secs(30), SignedDuration::from_secs(30), SignedDuration::ZERO)
    );
    assert_eq!((t.timeout, t.deadline, t.timing.schedules.len(), &t.timing.hours), (None, None, 0, &None));
    let config = sound(&format!("{BASE}tasks: {{t: {{handler: refresh}}}}"));
    assert_eq!(
        (config.max_running, config.shutdown_grace, config.log.keep, config.log.max_size),
        (64, SignedDuration::from_secs(30), 5, 10_000_000)
    );
    let t = instance(&config, "t");
    assert_eq!((t.retries.max, t.on_lost, t.resumable), (3, OnLost::Retry, true));
}

#[test]
fn account_over_task_over_defaults() {
    let text = "accounts:
  a: {platform: base, timeout: 3m, retries: {max: 7}}
  b: {platform: base, enabled: false}
defaults: {timeout: 1m, business_hours: 09:00-10:00, overlap: skip, grace: 5s, retries: {max: 1, delay: 10s}}
tasks:
  t: {handler: command, with: {run: [ls]}, timeout: 2m, overlap: queue, retries: {delay: 20s}, for_each: {platform: base}}
  u: {handler: command, with: {run: [ls]}, timeout: none, business_hours: always}
";
    let config = sound(&format!("{BASE}{text}"));
    let (a, b, u) = (instance(&config, "t@a"), instance(&config, "t@b"), instance(&config, "u"));
    assert_eq!(config.instances.len(), 3);
    assert_eq!((a.timeout, b.timeout, u.timeout), (Some(minutes(3)), Some(minutes(2)), None));
    assert_eq!((a.timing.hours.is_some(), u.timing.hours.is_some()), (true, false));
    assert_eq!((a.retries.max, b.retries.max, a.retries.delay), (7, 1, SignedDuration::from_secs(20)));
    assert_eq!((a.overlap, u.overlap, a.grace), (Overlap::Queue, Overlap::Skip, SignedDuration::from_secs(5)));
    assert_eq!((a.enabled, b.enabled, a.account.as_deref()), (true, false, Some("a")));
}

#[test]
fn for_each_takes_accounts_by_name_too() {
    let text = "accounts: {a: {platform: base}, b: {platform: base}, c: {platform: base}}
tasks: {t: {handler: command, with: {run: [ls]}, for_each: {platform: base, accounts: [c, a]}}}";
    let names: Vec<_> = sound(&format!("{BASE}{text}")).instances.into_keys().map(|name| name.to_string()).collect();
    assert_eq!(names, ["t@a", "t@c"]);
}

#[test]
fn schedules_come_in_every_shape() {
    for (text, expected) in [
        ("0 9 * * mon-fri", "0 9 * * mon-fri"),
        ("'@daily'", "@daily"),
        ("'@start'", "@start"),
        ("{every: 90s}", "every 90s"),
        ("{after: 1h 30m}", "after 1h 30m"),
        ("{cron: 0 9 * * *}", "0 9 * * *"),
        ("[0 9 * * *, '@start', {every: 3h}]", "0 9 * * *|@start|every 3h"),
        ("\"${CRON}\"", "30 4 * * *"),
    ] {
        let t = only(&task(&format!("schedule: {text}")));
        let shown: Vec<String> = t.timing.schedules.iter().map(ToString::to_string).collect();
        assert_eq!(shown.join("|"), expected);
    }
}

#[test]
fn hours_come_in_every_shape() {
    for (text, expected) in [
        ("business_hours: 09:00-18:00", Some(("09:00-18:00", 1, 0))),
        ("business_hours: [mon-fri 09:00-18:00, 'sat 10:00-12:00']", Some(("mon-fri 09:00-18:00, sat 10:00-12:00", 2, 0))),
        ("business_hours: {windows: 09:00-18:00, holidays: [closed, 2027-05-01]}", Some(("09:00-18:00", 1, 2))),
        ("business_hours: 22:00-02:00\n    holidays: closed", Some(("22:00-02:00", 1, 1))),
        ("holidays: [closed]", Some(("always but on holidays", 1, 1))),
        ("business_hours: always", None),
        ("business_hours: always\n    holidays: closed", Some(("always but on holidays", 1, 1))),
        ("holidays: []", None),
    ] {
        let t = only(&format!("calendars: {{closed: [2026-12-31..2027-01-03]}}\n{}", task(text)));
        let hours = t.timing.hours.as_ref().map(|hours| (&*hours.text, hours.windows.len(), hours.holidays.len()));
        assert_eq!(hours, expected, "{text}");
    }
}

#[test]
fn jitter_moves_each_instance_by_its_own_amount() {
    let splay = |name: &str| {
        let config = sound(&format!("tasks: {{{name}: {{handler: command, with: {{run: [ls]}}, jitter: 30s}}}}"));
        instance(&config, name).timing.splay
    };
    assert_eq!(splay("a"), splay("a"));
    assert_ne!(splay("a"), splay("b"));
    assert!(splay("a") < SignedDuration::from_secs(30) && !splay("a").is_negative());
}

#[test]
fn parameters_are_read_as_the_handler_wants_them() {
    let t = only(
        "tasks: {t: {handler: command, with: {run: [ls], shell: true, env: {A: 1.10, B: 'x $${C} ${NAME}', D: true}, output_cap: 1MB}}}",
    );
    let env = t.with.table("env").unwrap();
    assert_eq!((env.text("A"), env.text("B"), env.text("D")), (Some("1.10"), Some("x ${C} value"), Some("true")));
    assert_eq!((t.with.bool("shell"), t.with.size("output_cap"), t.with.list("run").len()), (Some(true), Some(1_000_000), 1));
}

/// Tiers whose second begins cheaper than the first ends, unless its markup says otherwise.
fn tiered(markup: &str, more: &str) -> String {
    format!("pricing: {{tiers: [{{up_to: 1000, markup: 1.4}}, {{markup: '{markup}'}}]{more}}}")
}

#[test]
fn parts_that_do_not_fit_together_are_a_fault_wherever_they_are_set() {
    let practice = |with: &str| {
        let text = format!("tasks: {{t: {{handler: sync_inventory, with: {{{with}}}}}}}");
        config::read(&text, Path::new("tasks.yaml"), &LoadOptions { practice: true, ..options() })
    };
    let fault = common::fault_of(practice(&tiered("1.3", "")));
    assert!(fault.contains("cost 1,000 -> 1,400 yen but 1,001 -> 1,300"), "{fault}");
    practice(&tiered("1.3", ", edges: hold")).unwrap();
    practice(&tiered("1.4", "")).unwrap();
    practice(&tiered("${NOPE}", "")).expect("what is not set can't be judged, and need not be where it is not needed");
    let setting = |text: &str| config::settings(&[text.to_owned()], &taskrun::handlers::sync_inventory::SPEC, [], &options());
    assert!(setting(&tiered("1.3", "").replacen(": ", "=", 1)).unwrap_err().to_string().contains("the price falls"));
    setting(&tiered("1.4", "").replacen(": ", "=", 1)).unwrap();
    let all = "phases: [price], restock: never, offers: {condition: used, free_shipping: false, ships_within: none, invitation_only: true},
      pricing: {markup: 1.3, min_margin: {percent: 10%, amount: 100}, threshold: {amount: 100, percent: 5%}, warn_ratio: {below: 1.05, above: 2}}";
    practice(all).unwrap();
}

#[test]
fn merge_keys_and_anchors_save_typing() {
    let text = "tasks:\n  t: &t {handler: command, with: {run: [ls]}, timeout: 1m}\n  u: {<<: *t, timeout: 2m}\n";
    let config = sound(text);
    assert_eq!((instance(&config, "t").timeout, instance(&config, "u").timeout), (Some(minutes(1)), Some(minutes(2))));
}

#[test]
fn paths_are_beside_the_file() {
    let text = "store: sqlite://data/x.db\nlog: {dir: /var/log/shop}\ntasks: {}";
    let mut config = config::read(text, Path::new("/srv/shop/tasks.yaml"), &options()).unwrap();
    assert_eq!((config.base_dir.as_path(), config.state_dir.as_path()), (Path::new("/srv/shop"), Path::new("/srv/shop/state")));
    assert_eq!(
        (config.store.clone(), config.log.dir.as_path()),
        (StoreLocation::Sqlite("/srv/shop/data/x.db".into()), Path::new("/var/log/shop"))
    );
    config.keep_state_in("/tmp/practice".into());
    assert_eq!(config.store, StoreLocation::Sqlite("/tmp/practice/taskrun.db".into()));
}

#[test]
fn marketplaces_have_their_real_hosts_and_their_secrets() {
    let text = "marketplaces:
  amazon: {region: fe, marketplace_id: A1VC38T7YXB528, client_id: id, client_secret: \"${SECRET}\"}
  base: {client_id: id, client_secret: \"${SECRET}\", endpoint: 'http://127.0.0.1:9000/'}
accounts: {shop: {platform: base, proxy: 'http://me:pass@proxy.example:3128'}}
tasks: {}";
    let config = sound(text);
    let (amazon, base) = (config.marketplaces.amazon.clone().unwrap(), config.marketplaces.base.clone().unwrap());
    assert_eq!(
        (amazon.endpoint.as_str(), amazon.lwa_endpoint.as_str()),
        ("https://sellingpartnerapi-fe.amazon.com", "https://api.amazon.com")
    );
    assert_eq!((amazon.client_secret.expose(), base.endpoint.as_str()), ("hush", "http://127.0.0.1:9000"));
    let shown = format!("{config:?}");
    assert!(!shown.contains("hush") && !shown.contains("me:pass"), "{shown}");
}

#[test]
fn a_shops_calls_may_be_limited_further_and_shared_out() {
    let base = |says: &str| format!("marketplaces: {{base: {{client_id: x, client_secret: \"${{SECRET}}\"{says}}}}}\n");
    let with = |says: &str| {
        sound(&format!("{}accounts: {{a: {{platform: base, calls_per_hour: 100}}, b: {{platform: base}}}}\ntasks: {{}}", base(says)))
    };
    let limits = |config: &config::Config| config.marketplaces.base.as_ref().unwrap().calls;
    assert_eq!(limits(&with("")), CallLimits::default());
    let config = with(", calls_per_hour: 4000, calls_per_day: 50000, reserve: {sync: 60%, manual: 0%}");
    let reserve = PerPurpose { sync: 600_000, upload: 200_000, manual: 0 };
    assert_eq!(limits(&config), CallLimits { per_hour: 4000, per_day: 50_000, reserve });
    let of = |account: &str| (config.accounts[account].calls_per_hour, config.accounts[account].calls_per_day);
    assert_eq!((of("a"), of("b")), ((Some(100), None), (None, None)));
    let faults = |says: &str| fault_of(read(&format!("{}tasks: {{}}", base(says))));
    assert!(faults(", calls_per_hour: 5001").contains("5001 is not from 1 to 5000"));
    assert!(faults(", reserve: {sync: 75%}").contains("100% is kept, and nothing is left"));
    let amazon = "marketplaces: {amazon: {region: fe, marketplace_id: A, client_id: x, client_secret: \"${SECRET}\"}}\naccounts: {s: {platform: amazon, calls_per_day: 9}}\ntasks: {}";
    assert!(fault_of(read(amazon)).contains("`calls_per_day` is for BASE shops"));
}

#[test]
fn ebay_says_how_many_yen_its_currency_costs() {
    let ebay = |says: &str| {
        let policies = "fulfillment_policy: '1', payment_policy: '2', return_policy: '3'";
        format!(
            "marketplaces: {{ebay: {{client_id: x, client_secret: \"${{SECRET}}\", category_id: '4', location: tokyo, {policies}{says}}}}}\n\
             accounts: {{abroad: {{platform: ebay}}}}\ntasks: {{}}"
        )
    };
    let known = sound(&ebay(", yen_per_unit: 149.5")).marketplaces.ebay.unwrap();
    assert_eq!(
        (known.endpoint.as_str(), known.terms.currency, known.terms.marketplace_id.as_str()),
        ("https://api.ebay.com", "USD", "EBAY_US")
    );
    assert_eq!(known.terms.rate.cents(1495), 1000);
    assert!(fault_of(read(&ebay(""))).contains("yen_per_unit"));
    assert!(fault_of(read(&ebay(", yen_per_unit: 150, currency: JPY"))).contains("JPY"));
}

#[test]
fn what_is_not_set_is_no_fault_where_it_is_not_needed() {
    let text = "marketplaces: {base: {client_id: '${NOPE}', client_secret: '${NOPE}', endpoint: '${NOPE}'}}
accounts: {shop: {platform: base, refresh_token: {file: no/such/file}}, seller: {platform: amazon, refresh_token: '${NOPE}'}}
tasks: {t: {handler: sync_inventory}, u: {handler: command, timeout: '${NOPE}', with: {run: [echo, 'a${NOPE}b']}}}";
    let practice = config::read(text, Path::new("tasks.yaml"), &LoadOptions { practice: true, ..options() }).unwrap();
    let base = practice.marketplaces.base.clone().unwrap();
    assert!(base.client_id.is_empty() && base.client_secret.is_unset());
    assert_eq!(base.endpoint, "https://api.thebase.in");
    let u = instance(&practice, "u");
    assert_eq!((u.timeout, format!("{:?}", u.with.list("run"))), (None, "[Text(\"echo\"), Text(\"ab\")]".to_owned()));
    // Without secrets the marketplaces still have to be there.
    let faults = config::read(text, Path::new("tasks.yaml"), &LoadOptions { secrets: Secrets::NotNeeded, ..options() }).unwrap_err();
    let messages: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(messages, ["the marketplace `amazon` is not configured", "the handler `sync_inventory` needs the marketplace `amazon`"]);
    assert_eq!(read(text).unwrap_err().len(), 9);
}

#[cfg(unix)]
#[test]
fn secrets_come_from_files_that_nobody_else_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (file, secret) = (folder.path().join("tasks.yaml"), folder.path().join("token"));
    fs::write(&file, "marketplaces: {base: {client_id: x, client_secret: {file: token}}}\ntasks: {}\n").unwrap();
    assert_eq!(fault_of(load(&file)).split('`').next(), Some("1:59: failed to read the secret in "));
    fs::write(&secret, "from a file\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(fault_of(load(&file)).starts_with("1:59: others can read or write the secret in `"));
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(load(&file).unwrap().marketplaces.base.unwrap().client_secret.expose(), "from a file");
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_write_is_refused() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.yaml");
    fs::write(&file, "tasks: {}\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o646)).unwrap();
    assert!(fault_of(load(&file)).starts_with("everybody can write to this file"));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o664)).unwrap();
    // A group with the owner's number is the owner's own.
    let metadata = fs::metadata(&file).unwrap();
    assert_eq!(load(&file).is_ok(), metadata.uid() == metadata.gid());
}

#[test]
fn what_is_no_configuration_at_all_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tasks.yaml");
    assert!(fault_of(load(&file)).starts_with("there is no such file ("));
    assert_eq!(fault_of(load(folder.path())), "this is not a file");
    fs::write(&file, b"tasks:\n  a: \xff\n").unwrap();
    assert_eq!(fault_of(load(&file)), "2:6: this is not UTF-8 (save the file as UTF-8)");
    fs::File::create(&file).unwrap().set_len((16 << 20) + 1).unwrap();
    assert_eq!(fault_of(load(&file)), "the file is larger than 16 MiB");
}

#[test]
fn what_is_odd_is_a_warning() {
    let text = "calendars: {past: [2020-01-01]}
accounts: {shop: {platform: base, timeout: 5m}}
tasks:
  t: {handler: command, with: {run: [ls]}, schedule: '*/90 * * * *'}
  u: {handler: command, with: {run: [ls]}, schedule: '* * * * *', calendar: {only: past}}
";
    let warnings = sound(&format!("{BASE}{text}")).warnings;
    let shown: Vec<String> = warnings.iter().map(|warning| format!("{}: {}", warning.line, warning.message)).collect();
    assert_eq!(shown.len(), 3, "{shown:?}");
    assert_eq!(shown[0], "3: `timeout` has no effect: no task has a `for_each` for this account");
    assert!(shown[1].starts_with("5: "), "{shown:?}");
    assert_eq!(shown[2], "6: no fire of the year to come lies on a day of the calendar");
}

#[test]
fn a_calendar_far_ahead_is_not_taken_for_one_that_is_over() {
    let config = sound(&task("schedule: '* * * * *'\n    business_hours: 09:00-10:00\n    calendar: {only: 2027-10-01}"));
    assert_eq!(config.warnings.to_string(), "");
    let config = sound(&task("schedule: '0 9 13 * *'\n    business_hours: fri 09:00-10:00"));
    assert_eq!(config.instances.len(), 1);
    let config = sound(&task("schedule: '0 3 * * *'\n    business_hours: 09:00-10:00\n    defer: true"));
    assert_eq!(config.instances.len(), 1);
}

#[test]
fn faults_in_fourteen_places_are_all_reported_at_once() {
    let text = "timezone: Asia/Tokio
state_dir: ~/state
log: {level: loud, keep: -1}
locks: [amazon]
calendars: {c: [2026-02-30]}
marketplaces: {base: {client_id: x, client_secret: plain}}
accounts: {a: {platform: ebay}}
defaults: {grace: 5}
tasks:
  t:
    handler: comand
    schedule: 0 25 * * *
    locks: [base]
    enabled: yes
    retries: {delay: 5M}
    calendar: {except: d}
    colour: red
";
    let faults = read(text).unwrap_err();
    let lines: Vec<_> = faults.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 2, 3, 3, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 17], "{faults}");
    let paths: Vec<_> = faults.iter().map(|fault| fault.key_path.as_str()).collect();
    assert_eq!(paths[..4], ["timezone", "state_dir", "log.level", "log.keep"]);
    assert_eq!(paths[12..], ["tasks.t.retries.delay", "tasks.t.calendar.except", "tasks.t.colour"]);
}

#[test]
fn line_ends_of_windows_and_a_byte_order_mark_change_nothing() {
    let text = fs::read_to_string(SHIPPED).unwrap();
    let practice = LoadOptions { practice: true, handlers: taskrun::handlers::registry::SPECS, ..options() };
    let plain = config::read(&text, Path::new(SHIPPED), &practice).unwrap();
    let windows = config::read(&format!("\u{feff}{}", text.replace('\n', "\r\n")), Path::new(SHIPPED), &practice).unwrap();
    assert_eq!(plain.instances, windows.instances);
}

#[test]
fn a_reload_says_what_differs() {
    let old = sound(
        "timezone: UTC\ntasks:\n  t: {handler: command, with: {run: [ls], shell: true}, timeout: 1h, schedule: 0 9 * * *}\n  gone: {handler: command, with: {run: [ls]}}\n",
    );
    let new = sound(
        "timezone: UTC\ntasks:\n  t: {handler: command, with: {run: [pwd]}, timeout: none, schedule: 0 10 * * *, holidays: 2027-01-01}\n  new: {handler: command, with: {run: [ls]}, schedule: {every: 90s}}\n",
    );
    let shown: Vec<String> = differences(&old.instances, &new.instances).iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "gone: removed",
            "new: added, every 90s",
            "t: schedule 0 9 * * * -> 0 10 * * *; business_hours always -> always but on holidays; holidays none -> 2027-01-01; \
             timeout 1h -> none; with.run changed; with.shell true -> none",
        ]
    );
    assert_eq!(differences(&old.instances, &old.instances), []);
}

#[test]
fn hostile_files_fail_fast() {
    let nest = |times| "[".repeat(times);
    let level = |level: usize| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
    let bomb: String = std::iter::once("a0: &a0 [x, x, x]\n".to_owned()).chain((1..100).map(level)).collect();
    let keys: Vec<String> = (0..200_000).map(|key| format!("k{key}: 1\n")).collect();
    let twice = "tasks: {}\n".repeat(100_000);
    let line = format!("tasks: {{{}}}", "a: 1, ".repeat(200_000));
    for (name, text) in
        [("nesting", nest(1_000_000)), ("bomb", bomb), ("unknown keys", keys.concat()), ("keys given twice", twice), ("one line", line)]
    {
        let begin = now();
        let faults = read(&text).unwrap_err();
        let shown = render::faults(&faults, false);
        println!("{name}: {} faults, {} bytes shown, {:?}", faults.len(), shown.len(), begin.elapsed());
        assert!(shown.len() < 1_000_000 && faults.iter().count() <= 1_000, "{name}");
    }
}

#[test]
fn ten_thousand_tasks_are_read() {
    // Unoptimized code needs seconds for as many.
    let count = if cfg!(debug_assertions) { 1_000 } else { 10_000 };
    let task = |number: usize| {
        let (minute, hour, lock) = (number % 60, 6 + number % 17, number % 50);
        format!(
            "  task_{number}:
    handler: command
    schedule: \"{minute} {hour} * * mon-fri\"
    locks: [lock_{lock}]
    overlap: skip
    retries: {{ max: 3, delay: 60s, backoff: exponential }}
    jitter: 30s
    with: {{ run: [\"./job.sh\", \"--number\", \"{number}\"], env: {{ LANG: C }}, cwd: . }}
"
        )
    };
    let tasks: Vec<String> = (0..count).map(task).collect();
    let text = format!("timezone: Asia/Tokyo\ndefaults: {{timeout: 30m, business_hours: '06:00-23:00'}}\ntasks:\n{}", tasks.concat());
    let begin = now();
    let config = sound(&text);
    println!("{count} tasks in {:?}", begin.elapsed());
    assert_eq!(config.instances.len(), count);
}

/// Reads, renders and formats whatever it is; returns whether it was sound.
fn survives(text: &str) -> bool {
    match read(text) {
        Ok(_) => true,
        Err(faults) => {
            assert!(!faults.is_empty());
            let shown = render::faults(&faults, true).len() + faults.to_string().len();
            assert!(faults.iter().all(|fault| text.get(fault.span.clone()).is_some()) && shown > 0);
            false
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_or_refused(text in "[ -~\n\t:{}\\[\\]&*!|>'\"%@`#,?é\u{feff}-]{0,200}") {
        survives(&text);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_sound_file_with_slips_is_read_or_refused(slips in proptest::collection::vec((any::<prop::sample::Index>(), "[ -~\n]{0,6}", 0..12_usize), 1..6)) {
        let mut text: Vec<char> = include_str!("../tasks.yaml").chars().collect();
        for (place, put, cut) in slips {
            let at = place.index(text.len());
            let end = (at + cut).min(text.len());
            text.splice(at..end, put.chars());
        }
        survives(&text.into_iter().collect::<String>());
    }

    #[test]
    fn variables_of_any_content_cannot_break_the_reading(value in "\\PC{0,20}") {
        let env = |name: &str| env(name).or_else(|| Some(value.clone()));
        let options = LoadOptions { env: &env, ..options() };
        let text = "timezone: ${A}\nstore: ${A}\ntasks: {t: {handler: command, schedule: '${A}', timeout: '${A}', business_hours: '${A}', with: {run: ['${A}']}}}";
        drop(config::read(text, Path::new("tasks.yaml"), &options));
    }
}

#[test]
fn a_program_is_a_list_unless_a_shell_takes_the_line_apart() {
    let run = |with: &str| read(&format!("tasks: {{hello: {{handler: command, with: {{{with}}}}}}}"));
    let refused = |with: &str| run(with).unwrap_err().to_string();
    assert!(run("run: [./report.sh, --daily]").is_ok());
    assert!(run("run: ./report.sh --daily | tail, shell: true").is_ok());
    assert!(refused("run: ./report.sh --daily").contains(r#"write `run: ["./report.sh", "--daily"]`, or `shell: true` beside it"#));
    assert!(refused("run: []").contains("this list is empty"));
    assert!(refused("run: ['']").contains("the program to run is empty"));
}

const CHAIN: &str = "accounts:
  a: {platform: base}
  b: {platform: base}
tasks:
  sync: {handler: command, with: {run: [ls]}, schedule: '@hourly', after_success: [pack, tick]}
  pack: {handler: command, with: {run: [ls]}, needs: {tick: {max_age: 4h}}}
  tick: {handler: command, with: {run: [ls]}, for_each: {platform: base}, schedule: '@hourly', needs: {fetch: {end: any}, sync: {max_age: 90m}}}
  fetch: {handler: command, with: {run: [ls]}, for_each: {accounts: [a]}, schedule: '@hourly'}
";

#[test]
fn needs_and_follow_ups_are_those_of_the_same_account_or_of_all() {
    let config = sound(&format!("{BASE}{CHAIN}"));
    let needs = |name: &str| instance(&config, name).needs.iter().map(ToString::to_string).collect::<Vec<_>>();
    let follows = |name: &str| instance(&config, name).after_success.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(needs("pack"), ["tick@a succeeded within 4h", "tick@b succeeded within 4h"]);
    assert_eq!(needs("tick@a"), ["fetch@a ended", "sync succeeded within 1h 30m"]);
    assert_eq!(needs("tick@b"), ["fetch@a ended", "sync succeeded within 1h 30m"], "it has no twin, so all count");
    assert_eq!(follows("sync"), ["pack", "tick@a", "tick@b"]);
    assert_eq!(config.warnings.to_string(), "");
    let without = sound(&format!("{BASE}{}", CHAIN.replace("{tick: {max_age: 4h}}", "{}").replace("[pack, tick]", "[tick]")));
    let said: Vec<String> = differences(&without.instances, &config.instances).iter().map(ToString::to_string).collect();
    let wanted = [
        "pack: needs none -> tick@a succeeded within 4h, tick@b succeeded within 4h",
        "sync: after_success tick@a, tick@b -> pack, tick@a, tick@b",
    ];
    assert_eq!(said, wanted);
}

#[test]
fn a_need_that_nothing_meets_by_itself_is_warned_of() {
    let said = |other: &str| {
        let t = "t: {handler: command, with: {run: [ls]}, schedule: '@daily', needs: {u: }}";
        sound(&format!("tasks:\n  {t}\n  u: {{handler: command, with: {{run: [ls]}}{other}}}\n")).warnings.to_string()
    };
    assert_eq!(said(", schedule: '@daily'"), "");
    assert!(said("").ends_with("nothing starts `u`: as long as nobody does so by hand, `t` is skipped"), "{}", said(""));
    let off = said(", schedule: '@daily', enabled: false");
    assert!(off.ends_with("2:72: `u` is disabled: as long as nobody starts it, `t` is skipped"), "{off}");
}

#[test]
fn circles_and_strangers_among_tasks_are_faults_where_they_stand() {
    let fault = |a: &str, b: &str| {
        let run = "handler: command, with: {run: [ls]}, schedule: '@daily'";
        fault_of(read(&format!("tasks:\n  a: {{{run}, {a}}}\n  b: {{{run}, {b}}}\n  c: {{{run}, after_success: [a]}}\n")))
    };
    let cases = [
        ("needs: {a: }", "enabled: true", "2:72: a task can't need itself (name another task, or use `schedule: { after: 1h }`)"),
        (
            "after_success: [a]",
            "enabled: true",
            "2:80: a task can't start itself after its own success (name another task, or use `schedule: { after: 1h }`)",
        ),
        ("needs: {bb: }", "enabled: true", "2:72: there is no task `bb` (did you mean `b`?)"),
        ("after_success: [d]", "enabled: true", "2:80: there is no task `d` (there is a, b, c)"),
        (
            "needs: {b: }",
            "needs: {a: }",
            "3:72: these tasks wait for each other in a circle: b before a before b (take one of these `needs` or `after_success` out)",
        ),
        (
            "after_success: [b]",
            "after_success: [c]",
            "4:80: these tasks wait for each other in a circle: a before b before c before a (take one of these `needs` or `after_success` out)",
        ),
        (
            "after_success: [b]",
            "enabled: true}\n  d: {handler: command, with: {run: [ls]}, needs: {b: }, after_success: [c]",
            "5:80: these tasks wait for each other in a circle: a before b before d before c before a (take one of these `needs` or `after_success` out)",
        ),
        ("needs: {b: {max_age: 0s}}", "enabled: true", "2:85: "),
        ("needs: {b: {end: ended}}", "enabled: true", "2:81: `ended` is not one of succeeded, any"),
    ];
    for (a, b, wanted) in cases {
        let got = fault(a, b);
        assert!(got.starts_with(wanted), "{a}; {b}: {got}");
    }
    // What a success starts may well need that success.
    let both = "tasks:\n  a: {handler: command, with: {run: [ls]}, after_success: [b]}\n  b: {handler: command, with: {run: [ls]}, needs: {a: }}\n";
    assert_eq!(sound(both).warnings.to_string(), "tasks.yaml:3:52: nothing starts `a`: as long as nobody does so by hand, `b` is skipped");
}
