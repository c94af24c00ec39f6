//! `taskrun accounts`: what is known of the accounts, and how a person lets taskrun in again. The tokens' hard moments with real processes, too.
use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use taskrun::sandbox::{control::Switch, seed};

use crate::{
    market::Market,
    shop::{Done, Shop, TASKS, wait_until},
};

/// Logs in as a person would: opens the page, and pastes what `pasted` makes of the address that it leads to.
fn log_in(market: &Market, pasted: impl FnOnce(String) -> String) -> Done {
    let [first, _] = seed::SHOPS;
    let mut command = market.command(&format!("accounts login {first}"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut page = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut page).unwrap();
    let answer = pasted(market.browse(&format!("{}&shop={first}", page.trim())));
    writeln!(child.stdin.take().unwrap(), "{answer}").unwrap();
    let mut done = Done::of(child.wait_with_output().unwrap());
    done.out = page;
    done
}

#[test]
fn the_list_shows_tokens_parks_and_verdicts_without_a_store_or_a_secret() {
    let shop = Shop::new(TASKS);
    shop.run("accounts list --sandbox").ends(0).prints(&["# account", "amazon_main", "base_account_1", "none yet", "not looked at"]);
    let market = Market::new();
    assert_eq!(market.listed()["access_ends"], serde_json::Value::Null);
    market.run("once refresh_tokens").ends(0);
    market.run("accounts check").ends(0).prints(&["base_account_1", "valid"]);
    let listed = market.listed();
    assert!((3500..=3600).contains(&listed["access_left_s"].as_i64().unwrap()), "{listed}");
    assert_eq!(listed["refresh_left_s"].as_i64().unwrap() / 86_400, 29, "{listed}");
    assert_eq!((&listed["credentials"]["verdict"], &listed["parks"]), (&"valid".into(), &serde_json::json!([])));
    let listed = market.shop.command("accounts list").output().unwrap();
    assert!(listed.status.success(), "no secret has to be set for it");
}

#[test]
fn a_person_pauses_an_account_and_resumes_it() {
    let market = Market::new();
    market
        .run("accounts pause base_account_1 --until 2h --reason stocktaking")
        .ends(0)
        .says(&["base_account_1 is not called any more until"]);
    let listed = market.listed();
    assert_eq!((&listed["parks"][0]["cause"], &listed["parks"][0]["detail"]), (&"paused".into(), &"stocktaking".into()));
    market.run("accounts list").ends(0).prints(&["paused until", "stocktaking"]);
    market.run("accounts pause base_account_1 --until 2020-01-01T00:00:00Z").ends(2).says(&["which is past"]);
    market.run("accounts resume base_account_1").ends(0).says(&["is called again"]);
    market.run("accounts resume base_account_1").ends(0).says(&["was not parked"]);
    let store = rusqlite::Connection::open(market.shop.file("state/taskrun.db")).unwrap();
    let waits = "INSERT INTO instances (name, first_seen_ms, generation) VALUES ('sync', 0, 1), ('sync@base_account_2', 0, 1);
        INSERT INTO runs (id, instance, fire_at_ms, trigger, state, generation, attempts, started_at_ms, retry_at_ms)
          VALUES (71, 'sync', 0, 'manual', 'backoff', 1, 1, 0, 4000000000000), (72, 'sync@base_account_2', 0, 'manual', 'backoff', 1, 1, 0, 4000000000000);
        INSERT INTO attempts (run, attempt, started_at_ms, ended_at_ms, outcome) VALUES (71, 1, 0, 1, 'not_yet'), (72, 1, 0, 1, 'not_yet')";
    store.execute_batch(waits).unwrap();
    let done = market.run("accounts resume base_account_1").ends(0);
    assert!(
        done.err.contains("run 71 of sync waits until") && done.err.contains("`taskrun cancel 71`") && !done.err.contains("72"),
        "{done:?}"
    );
    market.run("accounts pause base_acount_1").ends(2).says(&["did you mean `base_account_1`?"]);
}

#[test]
fn a_person_logs_in_with_the_address_that_the_page_led_to() {
    let mut market = Market::new();
    market.set("FIRST", "dead-refresh-token");
    market.run("once refresh_tokens").ends(1);
    market.run("accounts check base_account_1").ends(1).prints(&["revoked"]);
    assert_eq!(market.listed()["parks"][0]["cause"], "login");
    let refused = log_in(&market, |address| address.replace("state=", "state=x")).ends(2).says(&["its `state` is another"]);
    assert!(refused.out.contains("scope=read_users"), "{}", refused.out);
    log_in(&market, |_| String::new()).ends(2).says(&["nothing was given"]);
    assert_eq!(market.listed()["parks"][0]["cause"], "login");
    log_in(&market, |address| address).ends(0).says(&["base_account_1 is logged in"]);
    let listed = market.listed();
    assert_eq!((&listed["parks"], &listed["refused"]), (&serde_json::json!([]), &serde_json::Value::Null));
    market.run("accounts check base_account_1").ends(0).prints(&["valid"]);
    market.run("once refresh_tokens").ends(0);
    market.set("FIRST", "another-token-by-hand");
    market.run("once refresh_tokens").ends(0);
    let (_, last) = market.refreshes().into_iter().rfind(|(account, _)| account.is_empty()).unwrap();
    assert_eq!(last, 400, "what a person puts into the file is tried first; as it is no good, the pair before goes on");
}

#[test]
fn a_code_may_come_alone_and_amazons_token_by_stdin_only() {
    let market = Market::new();
    let [first, _] = seed::SHOPS;
    let mut address = String::new();
    log_in(&market, |given| {
        address = given;
        String::new()
    })
    .ends(2);
    let code = address.split("code=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    market.run(&format!("accounts login {first} --code {code}")).ends(0);
    market.run(&format!("accounts login {first} --code {code}")).ends(1).says(&["can't log in", "start again"]);
    market.run("accounts login amazon_main --code x").ends(2).says(&["is for shops at BASE"]);
    market.run_with("accounts login amazon_main", "Atzr|nonsense\n").ends(1).says(&["Apps and Services", "invalid_grant"]);
    let token = taskrun::sandbox::practice_keys().accounts.iter().find(|account| account.name == seed::SELLER).unwrap().refresh_token;
    market.run_with("accounts login amazon_main", &format!("{token}\n")).ends(0).says(&["amazon_main is logged in"]);
    market.run("accounts check amazon_main").ends(0);
}

#[test]
fn kill_9_between_answer_and_use_leaves_a_shop_that_is_usable_or_waits_for_a_person() {
    for grace_s in [0, 60] {
        let market = Market::new();
        let [first, second] = seed::SHOPS;
        // A refusal has no account.
        let tries =
            || market.refreshes().into_iter().filter(|(account, _)| account != second).map(|(_, status)| status).collect::<Vec<_>>();
        market.sandbox.set_switch(first, Switch { grace_s: Some(grace_s), ..Switch::default() });
        market.run("once refresh_tokens").ends(0);
        market.sandbox.plan(&format!("token@{first}:delay=60s#1").parse().unwrap());
        let mut killed = market.command("once refresh_tokens").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        wait_until("the refresh has reached the marketplace", || tries().len() == 2);
        killed.kill().unwrap();
        killed.wait().unwrap();
        market.sandbox.clear_faults();
        assert!(!market.listed()["refresh_open_since"].is_null(), "it was written down before it was sent");
        market.run("accounts check base_account_1").ends(0);
        assert_eq!(tries(), [200, 200], "the access token is good for an hour, so nobody needs to try");

        // Two processes want new tokens at once, and nobody waits for the dead one.
        let start = || market.command("once refresh_tokens").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let both = [start(), start()].map(|child| Done::of(child.wait_with_output().unwrap()));
        let listed = market.listed();
        if grace_s == 0 {
            assert_eq!(tries(), [200, 200, 400], "one try: {both:#?}");
            assert!(both.iter().any(|done| done.err.contains("calls go on until")), "people are told: {both:#?}");
            assert!(listed["refused"].as_str().unwrap().contains("was lost"), "{listed}");
            for _ in 0..3 {
                market.run("once refresh_tokens").ends(1);
            }
            assert_eq!(tries().len(), 3, "and never again");
        } else {
            assert!(tries().len() > 2 && tries().iter().all(|status| *status == 200), "{both:#?}");
            assert!(listed["refresh_open_since"].is_null() && listed["refused"].is_null(), "{listed}");
            market.run("accounts check base_account_1").ends(0);
        }
    }
}

#[test]
fn acceptance_12_token_calls_go_through_the_shops_proxy_and_never_around_it() {
    let market = Market::new();
    market.write(", proxy: \"http://127.0.0.1:1\"");
    let done = market.run("once refresh_tokens").ends(1);
    assert!(done.err.contains("base_account_1 failed: BASE's login: no connection through the account's proxy: "), "{done:#?}");
    market.run("accounts login base_account_1 --code 00000000000000000000000000000000").ends(1).says(&["no connection"]);
    market.run("accounts check base_account_1").ends(1).prints(&["unknown", "no connection"]);
    let callers: Vec<String> = market.refreshes().into_iter().map(|(account, _)| account).collect();
    assert_eq!(callers, [seed::SHOPS[1]], "nothing of the first shop went out");
    let listed = market.listed();
    assert_eq!((&listed["refresh_open_since"], &listed["parks"]), (&serde_json::Value::Null, &serde_json::json!([])));
}
