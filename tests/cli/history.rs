//! `taskrun history` and `taskrun explain`.
use crate::shop::{Shop, TASKS};

#[test]
fn history_is_filtered_by_task_end_age_and_number() {
    let shop = Shop::new(TASKS);
    for task in ["hello", "bad", "hello"] {
        shop.run(&format!("once {task}"));
    }
    let count = |line: &str| shop.run(line).ends(0).json().as_array().unwrap().len();
    assert_eq!(count("history --json"), 3);
    assert_eq!(count("history hello --json"), 2);
    assert_eq!(count("history --failed --json"), 1);
    assert_eq!(count("history -n 2 --json"), 2);
    assert_eq!(count("history --since 1h --json"), 3);
    assert_eq!(count("history --since 2999-01-01T00:00:00Z --json"), 0);
    shop.run("history helo").ends(2).says(&["did you mean `hello`?"]);
    shop.run("history --since soon").ends(2);
}

#[test]
fn a_store_that_is_not_there_is_an_empty_history() {
    let shop = Shop::new(TASKS);
    shop.run("history").ends(0).says(&["nothing in the history yet"]);
    assert_eq!(shop.run("history --json").ends(0).json(), serde_json::json!([]));
    assert!(!shop.file("state").exists());
}

#[test]
fn explain_says_why_it_ran_or_did_not() {
    let shop = Shop::new(TASKS);
    shop.run("explain hello").ends(0).says(&["hello has no history yet"]);
    shop.run("once hello").ends(0);
    shop.run("explain hello").ends(0).prints(&["hello ran as run 1 (manual), which ended as succeeded: hello"]);
    shop.run("pause hello --reason stocktaking").ends(0);
    shop.run("once hello").ends(75);
    shop.run("explain hello").ends(0).prints(&["hello did not run: skipped (paused)", "stocktaking"]);
    shop.run("explain hello --at 2020-01-01T00:00:00Z").ends(0).prints(&["hello had not come due by then"]);
    shop.run("explain helo").ends(2).says(&["did you mean `hello`?"]);
}

#[test]
fn explain_says_what_a_time_to_come_will_bring() {
    let shop = Shop::new(TASKS);
    let explain = |line: &str| shop.run(&format!("explain {line}")).ends(0).out;
    assert!(explain("hello --at 2098-11-22T15:00:00+09:00").starts_with("hello is due 2098-11-22T15:00:00+09:00, and will run"));
    assert!(explain("hello --at 2098-11-22T14:00:00+09:00").contains("is not due then: it fires next 2098-11-22T15:00:00+09:00"));
    assert!(explain("never --at 2098-11-22T15:00:00+09:00").contains("it is disabled"));
    assert!(explain("slow --at 2098-11-22T15:00:00+09:00").contains("never fires"));
    shop.run("pause hello --reason stocktaking").ends(0);
    assert!(explain("hello --at 2098-11-22T15:00:00+09:00").contains("skipped (paused): stocktaking"));
}
