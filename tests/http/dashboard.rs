//! The dashboard in a real browser: every view in both languages, strings that would like to be scripts, changes with the token, a daemon that goes.
use crate::{
    browser::Browser,
    daemon::{Daemon, until},
};

const VIEWS: [&str; 7] = ["#/", "#/runs", "#/run/1", "#/task/hello", "#/queue", "#/accounts", "#/logs"];

/// Strings that do something when they are taken for markup, script, style, address or template.
fn hostile() -> Vec<String> {
    let payloads = [
        "<script>window.pwned=1</script>",
        "<img src=x onerror=window.pwned=1>",
        "<svg onload=window.pwned=1>",
        "\"><script>window.pwned=1</script>",
        "'-window.pwned=1-'",
        "javascript:window.pwned=1",
        "{{constructor.constructor('window.pwned=1')()}}",
        "${window.pwned=1}",
        "</title><script>window.pwned=1</script>",
        "</style><script>window.pwned=1</script>",
        "<a href=javascript:window.pwned=1>x</a>",
        "<iframe srcdoc='<script>parent.pwned=1</script>'>",
        "<math><mtext></p><style><img src=x onerror=window.pwned=1>",
        "&lt;script&gt;window.pwned=1&lt;/script&gt;",
        "<!--><script>window.pwned=1</script>-->",
        "<base href=//evil.example/>",
        "<form action=javascript:window.pwned=1><button>x",
        "%3Cscript%3Ewindow.pwned=1%3C/script%3E",
        "<details open ontoggle=window.pwned=1>",
        "<object data=javascript:window.pwned=1>",
    ];
    let wraps: [fn(&str, usize) -> String; 10] = [
        |text, n| format!("{n} {text}"),
        |text, n| format!("{n} {text}{text}"),
        |text, n| format!("{n} \" {text}"),
        |text, n| format!("{n} ' {text}"),
        |text, n| format!("{n} ` {text}"),
        |text, n| format!("{n} --> {text}"),
        |text, n| format!("{n} ]]> {text}"),
        |text, n| format!("{n} \u{202e}{text}"),
        |text, n| format!("{n} 三脚 {text}"),
        |text, n| format!("{n} \\u003c {text}"),
    ];
    let pairs = payloads.iter().flat_map(|payload| wraps.iter().map(move |wrap| (payload, wrap)));
    pairs.enumerate().map(|(n, (payload, wrap))| wrap(payload, n)).collect()
}

/// A daemon whose tasks print, fail with, and are paused for hostile strings.
fn hostile_daemon() -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("hostile.txt"), hostile().join("\n")).unwrap();
    let task = |name: &str, run: &str| format!("  {name}: {{ handler: command, with: {{ run: [{run:?}], shell: true }} }}\n");
    let mut file = "timezone: Asia/Tokyo\nhttp: { listen: \"127.0.0.1:0\" }\nlog: { console: false }\ntasks:\n".to_owned();
    file += &task("hello", "cat hostile.txt");
    for (n, text) in hostile().iter().enumerate().step_by(20) {
        std::fs::write(folder.path().join(format!("{n}.txt")), text).unwrap();
        file += &task(&format!("bad_{n}"), &format!("cat {n}.txt >&2; cat {n}.txt; exit 1"));
    }
    std::fs::write(folder.path().join("tasks.yaml"), file).unwrap();
    Daemon::of(folder, &["--sandbox"])
}

fn is_calm(browser: &Browser, view: &str) {
    assert_eq!(browser.eval("return window.pwned ?? null;"), serde_json::Value::Null, "a script ran in {view}");
    assert_eq!(
        browser.eval("return document.querySelectorAll('main script, main iframe, main object, main base, main img').length;"),
        0,
        "{view}"
    );
    let errors = browser.errors();
    assert!(errors.is_empty(), "{view}: {errors:#?}");
}

#[test]
fn every_view_shows_hostile_strings_as_they_are_in_both_languages() {
    let Some(browser) = Browser::start() else {
        return eprintln!("chromedriver is not installed (Debian: chromium-driver): not looked at");
    };
    let daemon = hostile_daemon();
    let url = |view: &str| format!("http://{}/{view}", daemon.address);
    assert_eq!(daemon.post("/api/v1/trigger", "{\"name\":\"hello\"}").status, 200);
    until("hello has printed", || daemon.get("/api/v1/runs?task=hello").body.contains("\"succeeded\""));
    for n in (0..200).step_by(20) {
        assert_eq!(daemon.post("/api/v1/trigger", &format!("{{\"name\":\"bad_{n}\"}}")).status, 200);
    }
    until("all have failed", || daemon.get("/api/v1/runs?failed=true").json()["runs"].as_array().unwrap().len() >= 10);
    let reason = serde_json::json!({ "name": "hello", "reason": hostile()[1] });
    assert_eq!(daemon.post("/api/v1/pause", &reason.to_string()).status, 200);
    browser.open(&url(""));
    for (language, title) in [("en", "Overview"), ("ja", "概要")] {
        browser.eval(&format!("localStorage.setItem('taskrun.language', '{language}');"));
        for view in VIEWS {
            browser.open(&url(view));
            browser.eval("location.reload();");
            browser.until("document.querySelector('main h1') && document.querySelector('#live.good')");
            is_calm(&browser, view);
            assert_eq!(browser.eval("return document.documentElement.lang;"), language);
        }
        browser.open(&url("#/"));
        browser.until(&format!("document.querySelector('main h1')?.textContent === '{title}'"));
        browser.open(&url("#/logs"));
        browser.until("document.querySelector('main .log')");
        let text = browser.text();
        for (n, text_of_task) in hostile().iter().enumerate().filter(|(n, _)| n % 20 == 0) {
            assert!(text.contains(text_of_task.as_str()), "line {n} is not shown as it is: {text_of_task}");
        }
    }
    browser.open(&url("#/run/1"));
    browser.until("document.querySelectorAll('main .log span').length > 200");
    let text = browser.text();
    // What turns text around is escaped by the log itself.
    let missing: Vec<String> =
        hostile().into_iter().map(|line| line.replace('\u{202e}', "\\u{202e}")).filter(|line| !text.contains(line)).collect();
    assert_eq!(missing, Vec::<String>::new());
    is_calm(&browser, "#/run/1");
}

#[test]
fn who_has_the_token_starts_pauses_and_resumes_and_others_are_told_to_unlock() {
    let Some(browser) = Browser::start() else {
        return eprintln!("chromedriver is not installed (Debian: chromium-driver): not looked at");
    };
    let daemon = Daemon::start();
    browser.open(&format!("http://{}/#/", daemon.address));
    browser.eval("localStorage.setItem('taskrun.language', 'en'); location.reload();");
    browser.until("document.querySelector('main table')");
    assert_eq!(browser.eval("return document.querySelectorAll('[data-key=\"trigger-hello\"]').length;"), 0, "no button without the token");
    browser.eval(&format!(
        "document.getElementById('unlock').click(); document.querySelector('dialog input').value = '{}'; document.querySelector('dialog button').click();",
        daemon.token()
    ));
    browser.until("document.querySelector('[data-key=\"trigger-hello\"]')");
    browser.eval("document.querySelector('[data-key=\"trigger-hello\"]').click();");
    until("hello has run", || daemon.get("/api/v1/runs?task=hello").body.contains("\"succeeded\""));
    browser.eval("document.querySelector('[data-key=\"pause-hello\"]').click();");
    browser.until("document.querySelector('dialog[open] select')");
    browser.eval("document.querySelector('dialog input').value = 'stocktaking'; document.querySelector('dialog button').click();");
    browser.until("document.querySelector('[data-key=\"resume-hello\"]')");
    assert!(browser.text().contains("stocktaking"));
    browser.eval("document.querySelector('[data-key=\"resume-hello\"]').click();");
    browser.until("document.querySelector('[data-key=\"pause-hello\"]')");
    is_calm(&browser, "changes");
    browser.eval("sessionStorage.setItem('taskrun.token', 'wrong'); location.reload();");
    browser.until("document.querySelector('[data-key=\"trigger-hello\"]')");
    browser.eval("document.querySelector('[data-key=\"trigger-hello\"]').click();");
    browser.until("document.getElementById('toast').textContent.includes('not accepted')");
    assert_eq!(browser.eval("return sessionStorage.getItem('taskrun.token');"), serde_json::Value::Null);
}

#[test]
fn a_phone_has_no_sideways_scrolling_and_a_daemon_that_is_gone_is_said() {
    let Some(browser) = Browser::start() else {
        return eprintln!("chromedriver is not installed (Debian: chromium-driver): not looked at");
    };
    let daemon = Daemon::start();
    browser.resize(500, 900);
    for view in VIEWS {
        browser.open(&format!("http://{}/{view}", daemon.address));
        browser.until("document.querySelector('main h1') && document.querySelector('#live.good')");
        let over = browser.eval("return document.documentElement.scrollWidth - document.documentElement.clientWidth;");
        assert!(over.as_i64().unwrap() <= 0, "{view} is {over} px too wide");
        let unnamed = browser.eval(
            "return [...document.querySelectorAll('button, a, select, input')].filter((node) => !(node.textContent.trim() || node.ariaLabel || \
             node.labels?.length)).map((node) => node.outerHTML);",
        );
        assert_eq!(unnamed, serde_json::json!([]), "{view}: whoever only listens hears no name for these");
    }
    drop(daemon);
    browser.until("document.querySelector('#live.bad') && document.body.classList.contains('is-stale')");
}
