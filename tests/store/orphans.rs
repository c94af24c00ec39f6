//! Runs whose process is gone: set aside by an orderly stop, or left by a crash.
use std::sync::Arc;

use taskrun::{
    core::{
        event::{AdoptAnswer, CloseAnswer, Judgement, NotYet, OutcomeKind, Rival, RunEnd, SkipReason, StartAnswer, StopReason},
        task::{Generation, Instance, Overlap},
    },
    store::RowState,
};

use crate::world::{World, again, ended, failed, fire, instance, locking, minute, not_yet, overlapping, vouching};

#[tokio::test]
async fn an_attempt_that_was_set_aside_does_not_count() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        w.store.ask_stop(run, StopReason::Shutdown).await.unwrap();
        w.store.set_aside(me, run, true, minute(4)).await.unwrap();
        let row = w.row(run).await;
        assert_eq!((row.state, row.attempts, row.process, row.started_at), (RowState::Waiting, 0, None, None), "{}", w.name);
        let attempts = w.store.attempts(run).await.unwrap();
        assert_eq!((attempts[0].outcome, attempts[0].ended_at), (Some(OutcomeKind::Cancelled), Some(minute(4))), "{}", w.name);
        assert_eq!(w.close(me, run, RunEnd::Failed).await, CloseAnswer::Fenced, "{}: it is nobody's", w.name);
        w.store.retire_process(me).await.unwrap();
        // The next start goes on with it, under the same attempt number.
        let next = w.daemon().await;
        assert_eq!(w.store.leftover(Vec::new(), false).await.unwrap(), [], "{}", w.name);
        let left = w.store.leftover(Vec::new(), true).await.unwrap();
        assert_eq!(
            (left[0].run, left[0].process, left[0].running, left[0].attempts, left[0].stop),
            (run, None, false, 0, None),
            "{}",
            w.name
        );
        let answer = w.adopt(run, next, false, 5).await;
        assert_eq!(answer, AdoptAnswer::Adopted { generation: Generation(2), rivals: Vec::new() }, "{}", w.name);
        assert_eq!(w.start(next, run, 1, true).await, StartAnswer::Started, "{}", w.name);
        let attempts = w.store.attempts(run).await.unwrap();
        assert_eq!((attempts.len(), attempts[0].outcome, w.row(run).await.started_at), (1, None, Some(minute(1))), "{}", w.name);
    }
}

#[tokio::test]
async fn a_run_set_aside_between_two_attempts_keeps_those_it_had() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        w.postpone(me, run, 1, failed("503"), minute(9)).await;
        w.store.set_aside(me, run, true, minute(3)).await.unwrap();
        let row = w.row(run).await;
        assert_eq!((row.state, row.attempts, row.started_at), (RowState::Waiting, 1, Some(minute(1))), "{}", w.name);
        assert_eq!(row.text.as_deref(), Some("503"), "{}", w.name);
    }
}

#[tokio::test]
async fn a_run_that_waits_for_a_limit_goes_on_waiting_through_a_stop_and_an_adoption() {
    for w in World::each() {
        let (me, next, last) = (w.daemon().await, w.daemon().await, w.daemon().await);
        let run = w.running(me, fire(&instance("sync"), 1)).await;
        w.postpone(me, run, 1, not_yet(60), minute(60)).await;
        w.store.set_aside(me, run, true, minute(3)).await.unwrap();
        let wait = Some(NotYet { until: minute(60), why: "1000 calls are used up".into() });
        for (left, process) in [(None, next), (Some(next), last)] {
            let row = w.row(run).await;
            assert_eq!(
                (row.state, row.process, row.started_at),
                (RowState::NotYet { until: minute(60) }, left, Some(minute(1))),
                "{}",
                w.name
            );
            let left = w.store.leftover(left.into_iter().collect(), true).await.unwrap();
            assert_eq!((left[0].not_yet.clone(), left[0].attempts, left[0].waits), (wait.clone(), 1, 1), "{}", w.name);
            let answer = w.adopt(run, process, false, 5).await;
            assert!(matches!(answer, AdoptAnswer::Adopted { .. }), "{}: {answer:?}", w.name);
        }
        assert_eq!(w.start(last, run, 2, true).await, StartAnswer::Started, "{}", w.name);
        assert_eq!(w.state(run).await, RowState::Running, "{}", w.name);
    }
}

#[tokio::test]
async fn a_run_of_a_dead_process_is_adopted_once_and_its_old_process_is_shut_out() {
    for w in World::each() {
        let (dead, me, task) = (w.daemon().await, w.daemon().await, instance("sync"));
        let (run, old, _) = w.admit(dead, fire(&task, 1)).await;
        w.start(dead, run, 1, true).await;
        let left = w.store.leftover(vec![dead], false).await.unwrap();
        assert_eq!((left[0].run, left[0].process, left[0].once, left[0].running), (run, Some(dead), false, true), "{}", w.name);
        assert_eq!((left[0].attempts, left[0].generation, left[0].started_at), (1, Some(old), Some(minute(1))), "{}", w.name);
        assert_eq!((left[0].instance.as_str(), left[0].fire_at), ("sync", minute(1)), "{}", w.name);
        let AdoptAnswer::Adopted { generation, .. } = w.adopt(run, me, true, 5).await else { panic!("{}", w.name) };
        let row = w.row(run).await;
        assert_eq!(
            (row.state, row.attempts, row.generation, row.process),
            (RowState::Waiting, 1, Some(generation), Some(me)),
            "{}",
            w.name
        );
        assert_eq!(w.store.attempts(run).await.unwrap()[0].outcome, Some(OutcomeKind::Lost), "{}", w.name);
        assert!(old < generation && w.may_write("sync", run, generation).await && !w.may_write("sync", run, old).await, "{}", w.name);
        // The proof was wrong, or somebody else adopts it, too: nothing changes.
        assert_eq!(w.start(dead, run, 2, true).await, StartAnswer::Fenced, "{}", w.name);
        assert_eq!(w.close(dead, run, RunEnd::Succeeded).await, CloseAnswer::Fenced, "{}", w.name);
        w.postpone(dead, run, 1, failed("?"), minute(9)).await;
        w.store.set_aside(dead, run, true, minute(6)).await.unwrap();
        let third = w.daemon().await;
        assert_eq!(w.adopt(run, third, false, 7).await, AdoptAnswer::Gone, "{}", w.name);
        w.store.close_orphan(run, RunEnd::Lost, None, minute(7)).await.unwrap();
        assert_eq!(w.row(run).await.process, Some(me), "{}", w.name);
        assert_eq!(w.start(me, run, 2, true).await, StartAnswer::Started, "{}", w.name);
    }
}

#[tokio::test]
async fn the_run_of_a_living_process_is_no_orphan() {
    for w in World::each() {
        let (living, me, task) = (w.daemon().await, w.daemon().await, instance("sync"));
        let run = w.running(living, fire(&task, 1)).await;
        assert_eq!(w.adopt(run, me, true, 2).await, AdoptAnswer::Gone, "{}", w.name);
        w.store.close_orphan(run, RunEnd::Lost, None, minute(2)).await.unwrap();
        let row = w.row(run).await;
        assert_eq!((row.state, row.process), (RowState::Running, Some(living)), "{}", w.name);
        assert_eq!(w.store.leftover(vec![me], true).await.unwrap(), [], "{}", w.name);
    }
}

#[tokio::test]
async fn an_orphan_that_waited_for_older_runs_hears_of_them_when_it_is_adopted() {
    for w in World::each() {
        let (once, dead, me, task) = (w.once().await, w.daemon().await, w.daemon().await, instance("sync"));
        let older = w.running(once, fire(&task, 1)).await;
        let request = vouching(fire(&task, 2), &[(once, true)]);
        let (run, ..) = w.admit(dead, request).await;
        w.store.leftover(vec![dead], false).await.unwrap();
        let AdoptAnswer::Adopted { rivals, .. } = w.adopt(run, me, false, 3).await else { panic!("{}", w.name) };
        assert_eq!(rivals, [Rival { run: older, process: Some(once), told: true }], "{}", w.name);
        assert_eq!(w.close(once, older, RunEnd::Superseded).await, CloseAnswer::Closed { superseded_in_row: 1 }, "{}", w.name);
    }
}

#[tokio::test]
async fn a_run_that_waited_for_its_locks_cannot_be_adopted_without_them() {
    for w in World::each() {
        let (dead, me) = (w.daemon().await, w.daemon().await);
        let wait = jiff::SignedDuration::from_mins(1);
        let (one, two) = (locking("one", &["base"]), taskrun::core::task::Instance { lock_wait: wait, ..locking("two", &["base"]) });
        w.running(dead, fire(&one, 1)).await;
        let Judgement::LockWait { run, .. } = w.judge(dead, fire(&two, 2)).await else { panic!("{}", w.name) };
        let left = w.store.leftover(vec![dead], false).await.unwrap();
        assert_eq!((left.len(), left[1].run, left[1].generation), (2, run, None), "{}", w.name);
        assert_eq!(w.adopt(run, me, false, 3).await, AdoptAnswer::Gone, "{}", w.name);
        w.store.close_orphan(run, RunEnd::Lost, None, minute(3)).await.unwrap();
        assert_eq!(w.state(run).await, ended(RunEnd::Lost, None), "{}", w.name);
    }
}

#[tokio::test]
async fn an_orphan_that_waited_for_its_locks_waits_on_with_whoever_judges_it() {
    for w in World::each() {
        let (dead, living, me) = (w.daemon().await, w.daemon().await, w.daemon().await);
        let wait = jiff::SignedDuration::from_mins(1);
        let (one, two) = (locking("one", &["base"]), taskrun::core::task::Instance { lock_wait: wait, ..locking("two", &["base"]) });
        let holder = w.running(living, fire(&one, 1)).await;
        let Judgement::LockWait { run, .. } = w.judge(dead, vouching(fire(&two, 2), &[(living, true)])).await else { panic!("{}", w.name) };
        w.store.leftover(vec![dead], false).await.unwrap();
        let request = || vouching(again(fire(&two, 2), run, false), &[(living, true)]);
        assert_eq!(w.judge(me, request()).await, Judgement::LockWait { run, holder_hangs: false }, "{}", w.name);
        assert_eq!(w.row(run).await.process, Some(me), "{}", w.name);
        assert_eq!(w.judge(living, request()).await, Judgement::AlreadyJudged, "{}: it has an owner again", w.name);
        w.close(living, holder, RunEnd::Succeeded).await;
        assert!(matches!(w.judge(me, request()).await, Judgement::Admitted { run: admitted, .. } if admitted == run), "{}", w.name);
    }
}

#[tokio::test]
async fn a_closed_orphan_frees_its_locks_and_changes_nothing_any_more() {
    for w in World::each() {
        let (dead, me, one, two) = (w.once().await, w.daemon().await, locking("one", &["base"]), locking("two", &["base"]));
        let (run, generation, _) = w.admit(dead, fire(&one, 1)).await;
        w.start(dead, run, 1, true).await;
        w.postpone(dead, run, 1, failed("503"), minute(9)).await;
        assert!(w.store.leftover(vec![dead], false).await.unwrap()[0].once, "{}", w.name);
        w.store.close_orphan(run, RunEnd::Lost, None, minute(3)).await.unwrap();
        let row = w.row(run).await;
        assert_eq!((row.state, row.text.as_deref()), (ended(RunEnd::Lost, None), Some("503")), "{}: no attempt was running", w.name);
        assert!(!w.may_write("one", run, generation).await, "{}", w.name);
        assert!(matches!(w.judge(me, fire(&two, 2)).await, Judgement::Admitted { .. }), "{}", w.name);
        w.store.retire_process(dead).await.unwrap();
        assert_eq!(w.store.processes().await.unwrap().len(), 1, "{}", w.name);
    }
}

#[tokio::test]
async fn under_allow_an_orphan_that_is_closed_or_adopted_shuts_no_living_run_out() {
    for w in World::each() {
        let (dead, living, me, task) = (w.daemon().await, w.once().await, w.daemon().await, overlapping("sync", Overlap::Allow));
        let (alive, generation, _) = w.admit(living, fire(&task, 1)).await;
        w.start(living, alive, 1, false).await;
        let two = w.running(dead, vouching(fire(&task, 2), &[(living, true)])).await;
        let (three, old, _) = w.admit(dead, vouching(fire(&task, 3), &[(living, true)])).await;
        w.store.leftover(vec![dead], false).await.unwrap();
        w.store.close_orphan(two, RunEnd::Lost, None, minute(4)).await.unwrap();
        let AdoptAnswer::Adopted { generation: new, .. } = w.adopt(three, me, true, 4).await else { panic!("{}", w.name) };
        assert!(w.may_write("sync", alive, generation).await, "{}", w.name);
        assert!(
            w.may_write("sync", three, new).await && !w.may_write("sync", three, old).await,
            "{}: what it was before is shut out",
            w.name
        );
        assert_eq!(w.close(living, alive, RunEnd::Succeeded).await, CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
    }
}

#[tokio::test]
async fn an_orphan_may_be_closed_as_what_it_was_told_to_end_as() {
    for w in World::each() {
        let (dead, me, task) = (w.daemon().await, w.once().await, instance("sync"));
        let older = w.running(dead, fire(&task, 1)).await;
        let (newer, ..) = w.admit(me, vouching(fire(&task, 2), &[(dead, false)])).await;
        let left = w.store.leftover(vec![dead], false).await.unwrap();
        assert_eq!(left[0].stop, Some(StopReason::Superseded(newer)), "{}", w.name);
        w.store.close_orphan(older, RunEnd::Superseded, Some(newer), minute(3)).await.unwrap();
        assert_eq!(w.state(older).await, ended(RunEnd::Superseded, Some(newer)), "{}", w.name);
        assert_eq!(w.store.stop_requests(dead).await.unwrap(), [], "{}: nobody is left to be told", w.name);
    }
}

#[tokio::test]
async fn a_run_that_was_set_aside_keeps_its_named_locks_only_while_its_thread_may_be_at_work() {
    for w in World::each() {
        let (me, one, two) = (w.daemon().await, locking("one", &["base"]), locking("two", &["base"]));
        for (frees_locks, at) in [(false, 1), (true, 5)] {
            let run = w.running(me, fire(&one, at)).await;
            w.store.set_aside(me, run, frees_locks, minute(2)).await.unwrap();
            let answer = w.judge(me, fire(&two, at)).await;
            if let Judgement::Admitted { run, .. } = answer {
                w.close(me, run, RunEnd::Succeeded).await;
            }
            let busy = matches!(answer, Judgement::Skipped { reason: SkipReason::LockBusy, .. });
            assert_eq!(busy, !frees_locks, "{}: {answer:?}", w.name);
            // A newer start of the same instance has it in its way, but not its locks.
            let (newer, _, rivals) = w.admit(me, fire(&one, at + 2)).await;
            assert_eq!((rivals[0].run, rivals[0].process, rivals[0].told), (run, None, true), "{}", w.name);
            w.store.close_orphan(run, RunEnd::Superseded, None, minute(3)).await.unwrap();
            assert_eq!(w.state(run).await, ended(RunEnd::Superseded, None), "{}", w.name);
            w.close(me, newer, RunEnd::Succeeded).await;
        }
    }
}

#[tokio::test]
async fn a_run_that_was_set_aside_takes_its_named_locks_again_when_it_is_adopted() {
    for w in World::each() {
        let (me, next) = (w.daemon().await, w.daemon().await);
        let (one, two) = (locking("one", &["amazon", "base"]), locking("two", &["base"]));
        let run = w.running(me, fire(&one, 1)).await;
        w.store.set_aside(me, run, true, minute(2)).await.unwrap();
        let answer = w.store.adopt(run, next, Arc::new(one), false, minute(3)).await.unwrap();
        assert_eq!(answer, AdoptAnswer::Adopted { generation: Generation(2), rivals: Vec::new() }, "{}", w.name);
        let answer = w.judge(next, fire(&two, 2)).await;
        assert!(matches!(answer, Judgement::Skipped { reason: SkipReason::LockBusy, .. }), "{}: {answer:?}", w.name);
    }
}

#[tokio::test]
async fn a_run_that_was_set_aside_waits_for_whoever_has_its_named_locks_now_and_goes_on_with_its_attempts() {
    for w in World::each() {
        let (me, next) = (w.daemon().await, w.daemon().await);
        let (one, two) = (locking("one", &["amazon", "base"]), locking("two", &["base"]));
        let run = w.running(me, fire(&one, 1)).await;
        w.postpone(me, run, 1, failed("503"), minute(9)).await;
        w.store.set_aside(me, run, true, minute(2)).await.unwrap();
        let holder = w.running(next, fire(&two, 2)).await;
        let answer = w.store.adopt(run, next, Arc::new(one.clone()), false, minute(3)).await.unwrap();
        let row = w.row(run).await;
        assert_eq!((answer, row.generation, row.process, row.attempts), (AdoptAnswer::LockWait, None, Some(next), 1), "{}", w.name);
        let other = w.admit(next, fire(&locking("three", &["amazon"]), 3)).await.0;
        w.close(next, other, RunEnd::Succeeded).await;
        let waits = again(fire(&one, 1), run, false);
        assert_eq!(w.judge(next, waits.clone()).await, Judgement::LockWait { run, holder_hangs: false }, "{}: as long as it takes", w.name);
        w.close(next, holder, RunEnd::Succeeded).await;
        assert_eq!(w.admit(next, waits).await, (run, Generation(2), Vec::new()), "{}", w.name);
        assert_eq!(w.start(next, run, 2, true).await, StartAnswer::Started, "{}", w.name);
    }
}

#[tokio::test]
async fn a_run_that_waits_behind_one_that_was_set_aside_does_not_stand_in_its_way_one_beside_it_does() {
    for w in World::each() {
        for (overlap, wanted) in [(Overlap::Queue, true), (Overlap::Allow, false)] {
            let (me, next) = (w.daemon().await, w.daemon().await);
            let task = Instance { overlap, ..locking(overlap.word(), &[overlap.word()]) };
            let run = w.running(me, fire(&task, 1)).await;
            w.store.set_aside(me, run, true, minute(2)).await.unwrap();
            w.admit(next, fire(&task, 2)).await;
            let answer = w.store.adopt(run, next, Arc::new(task), false, minute(3)).await.unwrap();
            assert_eq!(matches!(answer, AdoptAnswer::Adopted { .. }), wanted, "{}: {overlap}: {answer:?}", w.name);
        }
    }
}
