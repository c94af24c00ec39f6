//! Old history goes in portions, the newest of each instance stays, and a copy is whole while others write.
use std::sync::Arc;

use taskrun::{
    core::{
        event::{Judgement, RunEnd, SkipReason},
        value::Secret,
    },
    shop::product::Platform,
    store::{
        HistoryFilter, RowState, RunStore as _,
        shop::{AccountKey, TokenPair, Tokens as _},
        sqlite::{self, SqliteStore},
        upkeep::{Old, PRUNE_PORTION, Upkeep},
    },
};

use crate::world::{World, fire, instance, minute, skip, skips};

/// Prunes to the end; gives how many rows went, and in how many portions.
async fn prune(store: &dyn Upkeep, before: i64, dry: bool) -> (u64, u64) {
    let (mut rows, mut portions, mut next) = (0, 0, Some(0));
    while let Some(from) = next {
        let pruned = store.prune(Old::History, minute(before), from, dry).await.unwrap();
        (rows, portions, next) = (rows + pruned.rows, portions + 1, pruned.next);
    }
    (rows, portions)
}

#[tokio::test]
async fn old_history_goes_and_the_newest_of_each_instance_stays() {
    let w = World::sqlite();
    let me = w.daemon().await;
    for at in 1..=4 {
        let run = w.running(me, fire(&instance("sync"), at)).await;
        w.close(me, run, RunEnd::Succeeded).await;
    }
    w.judge(me, skips(&instance("seldom"), vec![skip(1, 1, SkipReason::OutsideHours, None)])).await;
    let open = w.running(me, fire(&instance("open"), 1)).await;
    let store = w.upkeep();
    // All of them ended in the second minute.
    assert_eq!(prune(store.as_ref(), 2, true).await.0, 0, "not older than that");
    assert_eq!(prune(store.as_ref(), 60, true).await.0, 3, "a dry look");
    assert_eq!(prune(store.as_ref(), 60, false).await.0, 3);
    assert_eq!(prune(store.as_ref(), 60, false).await.0, 0, "nothing is left to do");
    let left: Vec<_> = w.history().await.into_iter().map(|row| (row.instance.to_string(), row.fire_at)).collect();
    let wanted = [("open", 1), ("seldom", 1), ("sync", 4)].map(|(name, at)| (name.to_owned(), minute(at)));
    assert_eq!(left, wanted, "the newest of each, and what is open");
    assert!(w.store.attempts(open).await.unwrap().len() == 1);
}

#[tokio::test]
async fn a_long_history_is_looked_at_in_portions_and_only_as_far_as_it_is_old() {
    let w = World::sqlite();
    let me = w.daemon().await;
    let count = PRUNE_PORTION * 2 + 10;
    // Each reason differs from the one before, so each is a row of its own.
    let reasons = [SkipReason::Paused, SkipReason::OutsideHours];
    let every = (1..=count).map(|at| skip(at, at, reasons[usize::try_from(at).unwrap() % 2], None)).collect();
    w.judge(me, skips(&instance("sync"), every)).await;
    let store = w.upkeep();
    let (rows, portions) = prune(store.as_ref(), count + 10, false).await;
    assert_eq!((rows, portions), (u64::try_from(count).unwrap() - 1, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_whole_private_and_of_one_instant_while_others_write() {
    let w = World::sqlite();
    let me = w.daemon().await;
    let folder = tempfile::tempdir().unwrap();
    let store = w.upkeep();
    let writer = {
        let runs = Arc::clone(&w.store);
        tokio::spawn(async move {
            for at in 0..300 {
                let request = skips(&instance("sync"), vec![skip(at, at, SkipReason::Paused, Some(&at.to_string()))]);
                runs.judge(me, request, minute(at)).await.unwrap();
            }
        })
    };
    for n in 0..5 {
        let path = folder.path().join(format!("copy{n}.db"));
        store.copy(path.clone()).await.unwrap();
        #[cfg(unix)]
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
        assert!(store.copy(path.clone()).await.is_err(), "nothing is overwritten");
        let copy = SqliteStore::open(&path).unwrap();
        let rows = copy.history(HistoryFilter { limit: 1000, ..HistoryFilter::default() }).await.unwrap();
        let firsts: Vec<_> = rows.iter().rev().map(|row| row.fire_at).collect();
        assert!(firsts.is_sorted());
    }
    writer.await.unwrap();
    store.checkpoint().await.unwrap();
}

#[tokio::test]
async fn a_restored_store_keeps_the_tokens_of_today_and_runs_nothing_again() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("taskrun.db"), folder.path().join("copy.db"));
    let account = AccountKey { platform: Platform::Base, account: "a".into() };
    let pair = |n: u32| TokenPair {
        access: Secret::new(format!("access {n}")),
        expires_at: minute(60),
        refresh: Some(Secret::new(format!("refresh {n}"))),
    };
    let judge = async |store: &SqliteStore, me, at| store.judge(me, fire(&instance("sync"), at), minute(at)).await.unwrap();
    let store = SqliteStore::open(&path).unwrap();
    let me = store.register_process(1, false, "1".to_owned(), minute(0)).await.unwrap();
    store.token(account.clone(), Some(Secret::new("first"))).await.unwrap();
    store.keep_token(account.clone(), 0, pair(1), minute(1)).await.unwrap();
    judge(&store, me, 1).await;
    store.copy(copy.clone()).await.unwrap();
    store.keep_token(account.clone(), 1, pair(2), minute(2)).await.unwrap();
    assert!(matches!(judge(&store, me, 5).await, Judgement::Admitted { .. }));
    // An instance that was not there when the copy was made.
    assert!(matches!(store.judge(me, fire(&instance("later"), 7), minute(7)).await.unwrap(), Judgement::Admitted { .. }));
    drop(store);
    let restored = sqlite::restore(&copy, &path, minute(10)).unwrap();
    assert!(restored.took_along && restored.before.is_some_and(|before| before.exists()));
    let store = SqliteStore::open(&path).unwrap();
    let token = store.token(account.clone(), None).await.unwrap().unwrap();
    assert_eq!((token.generation, token.refresh.expose()), (2, "refresh 2"), "a rotated token is the only good one");
    let me = store.register_process(2, false, "2".to_owned(), minute(0)).await.unwrap();
    assert_eq!(judge(&store, me, 5).await, Judgement::AlreadyJudged);
    let again = store.judge(me, fire(&instance("later"), 7), minute(7)).await.unwrap();
    assert_eq!(again, Judgement::AlreadyJudged, "nor what the copy knows nothing of");
    let rows = store.history(HistoryFilter { limit: 10, ..HistoryFilter::default() }).await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].state, RowState::Ended { end: RunEnd::Lost, by: None }, "what the copy held as open is over");
    drop(store);
}

#[tokio::test]
async fn a_copy_takes_the_place_of_a_damaged_store() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("taskrun.db"), folder.path().join("copy.db"));
    let store = SqliteStore::open(&path).unwrap();
    let me = store.register_process(1, false, "1".to_owned(), minute(0)).await.unwrap();
    store.judge(me, fire(&instance("sync"), 1), minute(1)).await.unwrap();
    store.copy(copy.clone()).await.unwrap();
    drop(store);
    std::fs::write(&path, b"no store at all").unwrap();
    let restored = sqlite::restore(&copy, &path, minute(10)).unwrap();
    assert!(!restored.took_along && restored.before.is_some());
    let store = SqliteStore::open(&path).unwrap();
    let me = store.register_process(2, false, "2".to_owned(), minute(0)).await.unwrap();
    let judged = store.judge(me, fire(&instance("sync"), 9), minute(11)).await.unwrap();
    assert_eq!(judged, Judgement::AlreadyJudged, "nobody knows what ran since the copy, so nothing of that time is run");
}
