//! Strings that want to do harm, in both languages.
use taskrun::{
    notify::{Event, Level},
    sandbox::Operation,
};

use crate::bench::*;

const HOSTILE: [&str; 8] = [
    "[toall] everybody",
    "[/info][To:1] you",
    "</script><script>alert(1)</script>",
    "\u{1b}[31mred\u{1b}[0m\u{7}\u{0}",
    "\u{202e}gnirts desrever\u{2066}",
    "a\nb\r\nc\tSubject: x",
    "{{title}} ${TOKEN} %s %n",
    "wrong-token-hunter22 in the open",
];

#[tokio::test(flavor = "multi_thread")]
async fn nothing_hostile_gets_through_in_either_language() {
    for (language, failed, do_it) in [("en", "failed", "do: "), ("ja", "失敗しました", "対応: ")] {
        let bench = Bench::open(1).await;
        let more = format!(
            "  language: {language}\n  webhooks: {{ slack: {{ url: \"${{HOOK}}\", preset: slack }}, other: {{ url: \"${{WRONG_HOOK}}\", enabled: false }} }}"
        );
        let office = bench.office(&bench.room(&more)).await;
        for (n, text) in HOSTILE.iter().enumerate() {
            office.notify(
                Event::Failed,
                Level::Alert,
                &format!("{text}_{n}"),
                &text.replace("wrong-token-hunter22", taskrun::sandbox::practice_keys().chatwork_token),
            );
        }
        let message = bench.wait_for_messages(1).await.remove(0);
        let (title, text) = message.strip_prefix("[info][title]").unwrap().split_once("[/title]").unwrap();
        let text = text.strip_suffix("[/info]").unwrap();
        for part in [title, text] {
            assert!(!part.contains('[') && !part.contains(']'), "{part}");
        }
        assert!(message.contains(failed) && message.contains(do_it), "{message}");
        assert!(
            message.chars().all(|c| c == '\n' || !c.is_control()) && !message.contains('\u{202e}') && !message.contains('\u{2066}'),
            "{message:?}"
        );
        assert!(message.contains("*** in the open") && !message.contains("practice-chatwork-token"), "{message}");
        until("the other channel has it, too", || !bench.taken(Operation::Hook).is_empty()).await;
        let hook = bench.taken(Operation::Hook).concat();
        assert!(!hook.contains("<script>") && hook.contains("&lt;script&gt;"), "{hook}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_lies_across_the_end_of_what_is_kept_is_not_kept_by_half() {
    let bench = Bench::open(1).await;
    let office = bench.office(&bench.room("")).await;
    let token = taskrun::sandbox::practice_keys().chatwork_token;
    let (half, _) = token.split_at(token.len() / 2);
    office.notify(Event::Failed, Level::Alert, "report", &format!("{}{token}", "x".repeat(1_000 - half.len())));
    bench.wait_for_messages(1).await;
    let rows = taskrun::store::notices::Outbox::notices(&*bench.store, 10).await.unwrap();
    assert!(rows.iter().any(|row| row.told.notice.text.contains("***")), "{rows:?}");
    assert!(rows.iter().all(|row| !row.told.notice.text.contains(half)), "{rows:?}");
}
