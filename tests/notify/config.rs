//! `notify:` in tasks.yaml: what is wrong is said when the file is loaded.
use std::path::Path;

use taskrun::config::{self, LoadOptions, Secrets};

fn faults(notify: &str) -> String {
    let env = |name: &str| (name == "TOKEN").then(|| "https://example.com/hook".to_owned());
    let options = LoadOptions { handlers: &[], practice: false, secrets: Secrets::Required, env: &env, now: jiff::Timestamp::now() };
    match config::read(&format!("notify: {{ {notify} }}\ntasks: {{}}\n"), Path::new("tasks.yaml"), &options) {
        Ok(_) => String::new(),
        Err(faults) => faults.to_string(),
    }
}

#[test]
fn what_is_wrong_with_a_channel_is_a_fault_with_a_hint() {
    for (notify, message) in [
        ("chatwork: { room_id: abc, token: \"${TOKEN}\" }", "`abc` is not the number of a room (write the digits after `#!rid`"),
        ("chatwork: { room_id: 1, token: open }", "a secret does not belong in this file"),
        ("chatwork: { room_id: 1, token: \"${UNSET}\" }", "`${UNSET}` is not set"),
        ("chatwork: { token: \"${TOKEN}\" }", "`room_id` is missing"),
        ("webhook: { url: \"${TOKEN}\", preset: teams }", "`teams` is not one of generic, slack, discord"),
        ("webhook: { url: \"${TOKEN}\", template: '{\"a\": \"{{titel}}\"}' }", "there is no `titel` to fill in (there is title, text"),
        ("webhook: { url: \"${TOKEN}\", template: 'just {{text}}' }", "this template is not a JSON object"),
        ("webhook: { url: \"${TOKEN}\", preset: slack, template: '{}' }", "`slack` has a form of its own"),
        ("webhook: { url: \"x${TOKEN}\" }", "this does not hold the URL of a webhook"),
        ("webhooks: { chatwork: { url: \"${TOKEN}\" } }", "a channel is called `chatwork` by itself"),
        ("email: { smtp: \"a b\", from: a@b.c, to: d@e.f }", "`a b` is not a mail server (write it like `smtp.example.com:587`"),
        ("email: { smtp: a.example, from: a, to: d@e.f }", "`a` is not an e-mail address"),
        ("email: { smtp: a.example, from: a@b.c, to: [] }", "there is nobody to write to"),
        ("email: { smtp: a.example, from: a@b.c, to: d@e.f, username: x }", "`username` is of no use without `password`"),
        (
            "email: { smtp: a.example, tls: none, username: x, password: \"${TOKEN}\", from: a@b.c, to: d@e.f }",
            "the password would go to `a.example` in the clear",
        ),
        ("on: [faild]", "did you mean `failed`?"),
        ("daily_report: 9 o'clock", "is not a time of day"),
        ("chatwrk: {}", "did you mean `chatwork`?"),
    ] {
        let faults = faults(notify);
        assert!(faults.contains(message), "{notify}: {faults}");
    }
}

#[test]
fn a_channel_that_is_not_enabled_needs_no_secret() {
    assert_eq!(
        faults("chatwork: { enabled: false, room_id: \"${ROOM}\", token: \"${UNSET}\" }, webhook: { enabled: false, url: \"${UNSET}\" }"),
        ""
    );
    assert_eq!(
        faults(
            "webhooks: { ops: { url: \"${TOKEN}\", min_level: alert, on: [failed, lost] } }, email: { smtp: \"localhost:25\", tls: none, from: a@b.c, to: d@e.f }"
        ),
        ""
    );
}
