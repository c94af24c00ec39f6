//! Everything that a remote side can do to a call (reliability.md, D5): deadlines are kept, bodies bounded, a wish to be left alone is obeyed, nothing
//! is doubled and nothing lost.
use std::time::{Duration, Instant};

use taskrun::{
    handlers::{Handler as _, HandlerError},
    sandbox::seed,
    store::shop::Intents as _,
};

use crate::bench::*;

/// One request may take so long, in real time; the machine that tests this may be busy.
const DEADLINE: Duration = Duration::from_secs(30);
const BUSY: Duration = Duration::from_secs(20);

/// What meets one request, as in a fault plan.
const KINDS: &[&str] = &[
    "hang",
    "slow=1000ms",
    "endless",
    "huge",
    "bomb",
    "drop",
    "drop+",
    "cut",
    "halfclose",
    "reset",
    "short",
    "long",
    "deep",
    "mistyped",
    "twice",
    "html",
    "page",
    "empty",
    "error200",
    "redirect=host",
    "redirect=file",
    "redirect=metadata",
    "400",
    "429",
    "429=30",
    "429=date",
    "429=absurd",
    "429=garbage",
    "500",
    "502",
    "503",
    "503=30",
    "503=date",
    "503=absurd",
];

/// A sync whose second request of this route goes wrong in this way, and what must be so afterwards.
async fn one_goes_wrong(route: &str, kind: &str) {
    let case = format!("{route}:{kind}#2");
    let bench = Bench::new().await;
    bench.sandbox.plan(&case.parse().unwrap());
    let began = Instant::now();
    let over = bench.run().await;
    let took = began.elapsed();
    assert!(over.ended.result.is_ok(), "{case}: {:?}", over.ended.result);
    assert!(took < DEADLINE + BUSY, "{case} took {took:?}");
    assert!(over.retries <= 1, "{case}: {} retries", over.retries);
    if kind.starts_with("429") && route != "edit" {
        assert_eq!(over.retries, 0, "{case}: a limit uses no retry up");
    }
    assert_rest(&bench, &case, kind);

    // Nothing was doubled.
    let writes: Vec<_> = bench.writes().into_iter().filter(|entry| entry.status == 200).map(|entry| entry.detail).collect();
    let mut once = writes.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), writes.len(), "{case}: an edit was made twice");
    for shop in seed::SHOPS {
        assert_eq!(bench.store.open_edits(shop_key(shop)).await.unwrap(), [], "{case}");
    }
    // Little more was asked than without the fault: 42 requests.
    let requests = bench.sandbox.ledger().len();
    assert!(requests <= 51, "{case}: {requests} requests");
    // Nothing was lost. Where it was waited, offers have changed since they were read.
    if over.waited_ms > 0 {
        bench.live().await.summary();
    }
    bench.assert_in_line(&[]);
}

/// Who was asked to leave the other side alone for a while does so, but never for a thousand years.
fn assert_rest(bench: &Bench, case: &str, kind: &str) {
    let asked_ms = match kind.split_once('=') {
        Some(("429" | "503", "30")) => 30_000,
        Some(("429" | "503", "date")) => 59_000,
        // BASE's limit ends with the hour, whatever a header says.
        Some(("503", "absurd")) => 3_600_000,
        Some(("429", "absurd")) if case.starts_with("offers") => 3_600_000,
        _ => return,
    };
    let ledger = bench.sandbox.ledger();
    let met = ledger.iter().find(|entry| !entry.fault.is_empty()).unwrap_or_else(|| panic!("{case}: nothing went wrong"));
    let next = ledger.iter().find(|entry| entry.seq > met.seq && entry.path == met.path && entry.account == met.account);
    let rest = next.map_or_else(|| panic!("{case}: it was not asked again"), |next| next.at_ms - met.at_ms);
    assert!(
        (asked_ms..asked_ms + 120_000).contains(&rest) || 3_600_000 > asked_ms && rest >= asked_ms,
        "{case}: asked again after {rest} ms"
    );
}

const ROUTES: [&str; 3] = ["offers", "items", "edit"];

/// Each kind meets one of the routes; with `STRESS=1` each of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_may_go_wrong_in_any_way() {
    let is_stress = std::env::var_os("STRESS").is_some();
    let cases: Vec<_> = KINDS
        .iter()
        .enumerate()
        .flat_map(|(n, kind)| {
            ROUTES.into_iter().enumerate().filter(move |(route, _)| is_stress || *route == n % 3).map(|(_, route)| (route, *kind))
        })
        .collect();
    for some in cases.chunks(12) {
        let mut running = tokio::task::JoinSet::new();
        for (route, kind) in some {
            running.spawn(one_goes_wrong(route, kind));
        }
        while let Some(case) = running.join_next().await {
            case.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_can_not_be_reached_fails_soon_and_changes_nothing() {
    let bench = Bench::new().await;
    let port = bench.sandbox.addr.port();
    for endpoint in ["http://127.0.0.1:1".to_owned(), "http://there-is-no.practice.invalid".to_owned(), format!("https://127.0.0.1:{port}")]
    {
        let broken = handler(&endpoint, &bench.store);
        let began = Instant::now();
        let fence = bench.admit().await;
        let ended = broken.run(&bench.context(taskrun::handlers::Access::Live(fence))).await;
        assert!(matches!(ended, Err(HandlerError::Transient { .. })), "{endpoint}: {ended:?}");
        assert!(began.elapsed() < DEADLINE, "{endpoint}: {:?}", began.elapsed());
    }
    assert_eq!(bench.writes(), []);
    bench.live().await.summary();
    bench.assert_in_line(&[]);
}
