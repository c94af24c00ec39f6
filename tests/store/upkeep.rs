//! Old history goes in portions, the newest of each instance stays, and a copy is whole while others write.
use std::{os::unix::fs::PermissionsExt as _, sync::Arc};

use taskrun::{
    core::event::{RunEnd, SkipReason},
    store::{
        sqlite::SqliteStore,
        upkeep::{PRUNE_PORTION, Upkeep},
    },
};

use crate::world::{World, fire, instance, minute, skip, skips};

/// Prunes to the end; gives how many rows went, and in how many portions.
async fn prune(store: &dyn Upkeep, before: i64, dry: bool) -> (u64, u64) {
    let (mut rows, mut portions, mut next) = (0, 0, Some(0));
    while let Some(from) = next {
        let pruned = store.prune_history(minute(before), from, dry).await.unwrap();
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
        store.snapshot(path.clone()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(store.snapshot(path.clone()).await.is_err(), "nothing is overwritten");
        let copy = SqliteStore::open(&path).unwrap();
        let rows =
            taskrun::store::RunStore::history(&copy, taskrun::store::HistoryFilter { limit: 1000, ..Default::default() }).await.unwrap();
        let firsts: Vec<_> = rows.iter().rev().map(|row| row.fire_at).collect();
        assert!(firsts.is_sorted());
    }
    writer.await.unwrap();
    store.checkpoint().await.unwrap();
}
