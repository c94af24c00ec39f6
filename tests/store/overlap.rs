//! Runs that meet: of the same instance, or over a named lock.
use taskrun::{
    core::{
        event::{CloseAnswer, Judgement, OutcomeKind, Rival, RunEnd, SkipReason, StartAnswer, StopReason},
        task::{Instance, Overlap, RunId},
    },
    store::{CloseRequest, RowState},
};

use crate::world::{World, again, by_hand, closing, ended, failed, fire, instance, locking, minute, overlapping, vouching};

#[tokio::test]
async fn the_newest_start_wins_also_against_another_process() {
    for w in World::each() {
        let (daemon, once, task) = (w.daemon().await, w.once().await, instance("sync"));
        let older = w.running(daemon, fire(&task, 1)).await;
        let (newer, generation, rivals) = w.admit(once, vouching(by_hand(&task, 1), &[(daemon, true)])).await;
        assert_eq!(rivals, [Rival { run: older, process: Some(daemon), told: true }], "{}", w.name);
        assert_eq!(w.store.stop_requests(daemon).await.unwrap(), [(older, Some(StopReason::Superseded(newer)))], "{}", w.name);
        assert_eq!(w.start(daemon, older, 2, true).await, StartAnswer::Stop(StopReason::Superseded(newer)), "{}", w.name);
        assert_eq!(
            w.store.still_open(vec![older, newer, RunId(999)]).await.unwrap(),
            [(older, Some(daemon)), (newer, Some(once))],
            "{}",
            w.name
        );
        let request = CloseRequest { by: Some(newer), ..closing(daemon, older, RunEnd::Superseded) };
        assert_eq!(w.store.close(request, minute(2)).await.unwrap(), CloseAnswer::Closed { superseded_in_row: 1 }, "{}", w.name);
        assert_eq!(w.state(older).await, ended(RunEnd::Superseded, Some(newer)), "{}", w.name);
        assert_eq!(w.start(once, newer, 1, true).await, StartAnswer::Started, "{}", w.name);
        assert!(w.may_write("sync", newer, generation).await, "{}", w.name);
        assert_eq!(w.store.stop_requests(daemon).await.unwrap(), [], "{}", w.name);
    }
}

#[tokio::test]
async fn a_superseded_run_may_still_write_while_it_ends() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let (older, generation, _) = w.admit(me, fire(&task, 1)).await;
        w.start(me, older, 1, true).await;
        w.admit(me, fire(&task, 2)).await;
        assert!(w.may_write("sync", older, generation).await, "{}: it finishes the item in hand", w.name);
        assert_eq!(w.close(me, older, RunEnd::Superseded).await, CloseAnswer::Closed { superseded_in_row: 1 }, "{}", w.name);
        assert!(!w.may_write("sync", older, generation).await, "{}: it is over", w.name);
    }
}

#[tokio::test]
async fn below_the_floor_a_run_changes_nothing() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let (older, old, _) = w.admit(me, fire(&task, 1)).await;
        w.start(me, older, 1, true).await;
        let (newer, new, _) = w.admit(me, fire(&task, 2)).await;
        assert_eq!(w.start(me, newer, 1, true).await, StartAnswer::Started, "{}", w.name);
        assert!(!w.may_write("sync", older, old).await && w.may_write("sync", newer, new).await, "{}", w.name);
        let before = w.row(older).await;
        assert_eq!(w.start(me, older, 2, true).await, StartAnswer::Fenced, "{}", w.name);
        assert_eq!(w.close(me, older, RunEnd::Succeeded).await, CloseAnswer::Fenced, "{}", w.name);
        w.store.set_aside(me, older, true, minute(3)).await.unwrap();
        assert_eq!(w.row(older).await, before, "{}", w.name);
    }
}

#[tokio::test]
async fn a_takeover_ends_older_runs_and_tells_their_process() {
    for w in World::each() {
        let (hung, me, task) = (w.daemon().await, w.once().await, locking("sync", &["amazon"]));
        let (older, old, _) = w.admit(hung, fire(&task, 1)).await;
        w.start(hung, older, 1, true).await;
        let (newer, new, _) = w.admit(me, vouching(by_hand(&task, 2), &[(hung, false)])).await;
        w.store.take_over(newer, vec![older, RunId(999)], minute(3)).await.unwrap();
        assert_eq!(w.state(older).await, ended(RunEnd::Superseded, Some(newer)), "{}", w.name);
        assert_eq!(w.store.attempts(older).await.unwrap()[0].outcome, Some(OutcomeKind::Lost), "{}: nobody knows what it did", w.name);
        assert!(!w.may_write("sync", older, old).await && w.may_write("sync", newer, new).await, "{}", w.name);
        // The hung process wakes up: it hears that its run is closed, tries to close it, and has then heard.
        assert_eq!(w.store.stop_requests(hung).await.unwrap(), [(older, None)], "{}", w.name);
        assert_eq!(w.row(older).await.process, None, "{}", w.name);
        assert_eq!(w.close(hung, older, RunEnd::Succeeded).await, CloseAnswer::Fenced, "{}", w.name);
        assert_eq!(w.state(older).await, ended(RunEnd::Superseded, Some(newer)), "{}", w.name);
        assert_eq!(w.store.stop_requests(hung).await.unwrap(), [], "{}", w.name);
        assert_eq!(w.start(me, newer, 1, true).await, StartAnswer::Started, "{}", w.name);
    }
}

#[tokio::test]
async fn a_takeover_shuts_out_everything_older_whether_it_is_named_or_not() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, overlapping("sync", Overlap::Allow));
        let (older, old, _) = w.admit(me, fire(&task, 1)).await;
        let (newer, new, _) = w.admit(me, fire(&task, 2)).await;
        w.store.take_over(newer, Vec::new(), minute(3)).await.unwrap();
        assert!(!w.may_write("sync", older, old).await && w.may_write("sync", newer, new).await, "{}", w.name);
    }
}

#[tokio::test]
async fn a_takeover_touches_no_newer_run_and_no_other_instance() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, overlapping("sync", Overlap::Allow));
        let older = w.running(me, fire(&task, 1)).await;
        let newer = w.running(me, fire(&task, 2)).await;
        let other = w.running(me, fire(&instance("tick"), 3)).await;
        w.store.take_over(older, vec![newer, other, older], minute(4)).await.unwrap();
        for run in [older, newer, other] {
            assert_eq!(w.state(run).await, RowState::Running, "{}", w.name);
        }
        // A closed run takes nothing over.
        w.close(me, newer, RunEnd::Succeeded).await;
        w.store.take_over(newer, vec![older], minute(5)).await.unwrap();
        assert_eq!(w.state(older).await, RowState::Running, "{}", w.name);
    }
}

#[tokio::test]
async fn runs_superseded_in_a_row_are_counted_until_one_has_an_end_of_its_own() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        for at in 1..=3 {
            let (run, ..) = w.admit(me, fire(&task, at)).await;
            let answer = w.close(me, run, RunEnd::Superseded).await;
            assert_eq!(answer, CloseAnswer::Closed { superseded_in_row: u32::try_from(at).unwrap() }, "{}", w.name);
        }
        let (run, ..) = w.admit(me, fire(&task, 4)).await;
        assert_eq!(w.close(me, run, RunEnd::Failed).await, CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
    }
}

#[tokio::test]
async fn under_skip_the_older_run_counts() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, overlapping("sync", Overlap::Skip));
        let older = w.running(me, fire(&task, 1)).await;
        let answer = w.judge(me, fire(&task, 2)).await;
        assert!(matches!(answer, Judgement::Skipped { reason: SkipReason::Overlap, .. }), "{}: {answer:?}", w.name);
        assert_eq!(w.state(older).await, RowState::Running, "{}", w.name);
        w.close(me, older, RunEnd::Succeeded).await;
        assert!(matches!(w.judge(me, fire(&task, 3)).await, Judgement::Admitted { .. }), "{}", w.name);
    }
}

#[tokio::test]
async fn under_queue_one_waits_and_the_next_is_skipped() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, overlapping("sync", Overlap::Queue));
        let (older, old, _) = w.admit(me, fire(&task, 1)).await;
        w.start(me, older, 1, false).await;
        let (queued, _, rivals) = w.admit(me, fire(&task, 2)).await;
        assert_eq!(rivals, [Rival { run: older, process: Some(me), told: false }], "{}", w.name);
        assert!(matches!(w.judge(me, fire(&task, 3)).await, Judgement::Skipped { reason: SkipReason::Overlap, .. }), "{}", w.name);
        assert_eq!(w.store.stop_requests(me).await.unwrap(), [], "{}", w.name);
        assert!(w.may_write("sync", older, old).await, "{}: the floor stays", w.name);
        assert_eq!(w.close(me, older, RunEnd::Succeeded).await, CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
        assert_eq!(w.start(me, queued, 1, false).await, StartAnswer::Started, "{}", w.name);
    }
}

#[tokio::test]
async fn under_allow_the_end_of_one_run_shuts_no_other_out() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, overlapping("sync", Overlap::Allow));
        let (one, generation, _) = w.admit(me, fire(&task, 1)).await;
        w.start(me, one, 1, false).await;
        let (two, second, rivals) = w.admit(me, fire(&task, 2)).await;
        assert_eq!(rivals, [], "{}", w.name);
        w.start(me, two, 1, false).await;
        // The newer one did not stop and was given up.
        let request = CloseRequest { raise_floor: true, ..closing(me, two, RunEnd::TimedOut) };
        assert_eq!(w.store.close(request, minute(3)).await.unwrap(), CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
        assert!(w.may_write("sync", one, generation).await && !w.may_write("sync", two, second).await, "{}", w.name);
        assert_eq!(w.close(me, one, RunEnd::Succeeded).await, CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
    }
}

#[tokio::test]
async fn a_run_that_is_given_up_is_shut_out_and_its_successor_is_not() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let (stuck, old, _) = w.admit(me, fire(&task, 1)).await;
        w.start(me, stuck, 1, true).await;
        let (newer, new, _) = w.admit(me, fire(&task, 2)).await;
        let request = CloseRequest { raise_floor: true, by: Some(newer), ..closing(me, stuck, RunEnd::Superseded) };
        w.store.close(request, minute(3)).await.unwrap();
        assert!(!w.may_write("sync", stuck, old).await, "{}", w.name);
        assert_eq!(w.start(me, newer, 1, true).await, StartAnswer::Started, "{}", w.name);
        assert!(w.may_write("sync", newer, new).await, "{}", w.name);
        assert_eq!(w.close(me, newer, RunEnd::Succeeded).await, CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
        assert!(matches!(w.judge(me, fire(&task, 3)).await, Judgement::Admitted { .. }), "{}", w.name);
    }
}

#[tokio::test]
async fn before_a_foreign_process_was_looked_at_nothing_is_written() {
    for w in World::each() {
        let (daemon, once, task) = (w.daemon().await, w.once().await, locking("sync", &["amazon"]));
        w.register(&["sync", "tick"], true, 0).await;
        let older = w.running(daemon, fire(&task, 1)).await;
        let before = w.history().await;
        let skips = vec![crate::world::skip(2, 3, SkipReason::Calendar, None)];
        for task in [&task, &locking("tick", &["amazon"])] {
            let request = taskrun::core::event::JudgeRequest { skips: skips.clone(), ..fire(task, 4) };
            assert_eq!(w.judge(once, request).await, Judgement::Suspect(vec![daemon]), "{}", w.name);
            assert_eq!(w.watermark(task.name.as_str()).await, minute(i64::from(task.name.as_str() == "sync")), "{}", w.name);
        }
        assert_eq!((w.history().await, w.store.stop_requests(daemon).await.unwrap()), (before, Vec::new()), "{}", w.name);
        assert_eq!(w.state(older).await, RowState::Running, "{}", w.name);
    }
}

#[tokio::test]
async fn a_named_lock_has_one_holder_and_is_free_when_its_run_ends() {
    for w in World::each() {
        let (me, one, two) = (w.daemon().await, locking("one", &["amazon", "base"]), locking("two", &["base"]));
        let holder = w.running(me, fire(&one, 1)).await;
        let answer = w.judge(me, fire(&two, 1)).await;
        let Judgement::Skipped { reason: SkipReason::LockBusy, detail: Some(detail), .. } = answer else { panic!("{answer:?}") };
        assert_eq!(&*detail, format!("lock `base` is held by run {holder} of one"), "{}", w.name);
        w.postpone(me, holder, 1, failed("503"), minute(5)).await;
        assert!(matches!(w.judge(me, fire(&two, 2)).await, Judgement::Skipped { .. }), "{}: held between two attempts, too", w.name);
        w.close(me, holder, RunEnd::Failed).await;
        assert!(matches!(w.judge(me, fire(&two, 3)).await, Judgement::Admitted { .. }), "{}", w.name);
    }
}

#[tokio::test]
async fn a_start_that_may_wait_for_a_lock_has_its_row_and_harms_nobody() {
    for w in World::each() {
        let me = w.daemon().await;
        let (one, two) =
            (locking("one", &["base"]), Instance { lock_wait: jiff::SignedDuration::from_mins(1), ..locking("two", &["base"]) });
        w.register(&["two"], true, 0).await;
        let holder = w.running(me, fire(&one, 1)).await;
        let Judgement::LockWait { run, holder_hangs: false } = w.judge(me, fire(&two, 2)).await else { panic!("{}", w.name) };
        let row = w.row(run).await;
        assert_eq!((row.state, row.generation, row.process), (RowState::Waiting, None, Some(me)), "{}", w.name);
        assert_eq!(w.watermark("two").await, minute(2), "{}: its fire is judged", w.name);
        assert_eq!(w.start(me, run, 1, true).await, StartAnswer::Fenced, "{}: without its locks it cannot start", w.name);
        let request = || again(fire(&two, 2), run, false);
        assert_eq!(w.judge(me, request()).await, Judgement::LockWait { run, holder_hangs: false }, "{}", w.name);
        w.close(me, holder, RunEnd::Succeeded).await;
        let (admitted, generation, _) = w.admit(me, request()).await;
        assert_eq!((admitted, w.row(run).await.generation), (run, Some(generation)), "{}", w.name);
        assert_eq!(w.judge(me, request()).await, Judgement::AlreadyJudged, "{}: it waits no more", w.name);
        assert_eq!(w.history().await.len(), 2, "{}", w.name);
    }
}

#[tokio::test]
async fn a_wait_for_a_lock_that_was_in_vain_becomes_a_skip() {
    for w in World::each() {
        let me = w.daemon().await;
        let (one, two) =
            (locking("one", &["base"]), Instance { lock_wait: jiff::SignedDuration::from_mins(1), ..locking("two", &["base"]) });
        w.running(me, fire(&one, 1)).await;
        let Judgement::LockWait { run, .. } = w.judge(me, fire(&two, 2)).await else { panic!("{}", w.name) };
        let answer = w.judge(me, again(fire(&two, 2), run, true)).await;
        assert!(
            matches!(answer, Judgement::Skipped { run: skipped, reason: SkipReason::LockBusy, .. } if skipped == run),
            "{}: {answer:?}",
            w.name
        );
        let state = RowState::Skipped { reason: SkipReason::LockBusy, count: 1, at_least: false, last_at: minute(2) };
        let row = w.row(run).await;
        assert_eq!((row.state, row.process), (state, None), "{}", w.name);
        assert_eq!(w.store.still_open(vec![run]).await.unwrap(), [], "{}", w.name);
        assert_eq!(w.judge(me, again(fire(&two, 2), run, true)).await, Judgement::AlreadyJudged, "{}", w.name);
    }
}

#[tokio::test]
async fn a_waiting_start_that_was_told_to_stop_is_not_admitted() {
    for w in World::each() {
        let me = w.daemon().await;
        let (one, two) =
            (locking("one", &["base"]), Instance { lock_wait: jiff::SignedDuration::from_mins(1), ..locking("two", &["base"]) });
        let holder = w.running(me, fire(&one, 1)).await;
        let Judgement::LockWait { run, .. } = w.judge(me, fire(&two, 2)).await else { panic!("{}", w.name) };
        w.store.ask_stop(run, StopReason::Cancelled).await.unwrap();
        w.close(me, holder, RunEnd::Succeeded).await;
        let answer = w.judge(me, again(fire(&two, 2), run, true)).await;
        assert_eq!(answer, Judgement::LockWait { run, holder_hangs: false }, "{}", w.name);
        assert_eq!(w.close(me, run, RunEnd::Cancelled).await, CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
        assert_eq!(w.judge(me, again(fire(&two, 2), run, true)).await, Judgement::AlreadyJudged, "{}", w.name);
    }
}

#[tokio::test]
async fn of_two_processes_that_wait_for_a_lock_the_newer_start_counts() {
    for w in World::each() {
        let (daemon, one, two) = (w.daemon().await, w.once().await, w.once().await);
        let wait = jiff::SignedDuration::from_mins(1);
        let (other, task) = (locking("other", &["base"]), Instance { lock_wait: wait, ..locking("sync", &["base"]) });
        let holder = w.running(daemon, fire(&other, 1)).await;
        let ask = || vouching(by_hand(&task, 2), &[(daemon, true), (one, true), (two, true)]);
        let Judgement::LockWait { run: older, .. } = w.judge(one, ask()).await else { panic!("{}", w.name) };
        let Judgement::LockWait { run: newer, .. } = w.judge(two, ask()).await else { panic!("{}", w.name) };
        w.close(daemon, holder, RunEnd::Succeeded).await;
        let answer = w.judge(one, again(ask(), older, false)).await;
        assert!(matches!(answer, Judgement::Skipped { reason: SkipReason::Overlap, .. }), "{}: {answer:?}", w.name);
        assert_eq!(w.admit(two, again(ask(), newer, false)).await.0, newer, "{}", w.name);
    }
}

#[tokio::test]
async fn behind_a_queued_start_that_waits_for_a_lock_nobody_queues() {
    for w in World::each() {
        let (me, other) = (w.daemon().await, locking("other", &["base"]));
        let queue = Instance { lock_wait: jiff::SignedDuration::from_mins(1), overlap: Overlap::Queue, ..locking("sync", &["base"]) };
        let holder = w.running(me, fire(&other, 1)).await;
        let Judgement::LockWait { run, .. } = w.judge(me, fire(&queue, 2)).await else { panic!("{}", w.name) };
        // Were it let in, each of the two would wait for the other's end.
        let second = w.judge(me, fire(&queue, 3)).await;
        assert!(matches!(second, Judgement::Skipped { reason: SkipReason::Overlap, .. }), "{}: {second:?}", w.name);
        w.close(me, holder, RunEnd::Succeeded).await;
        assert_eq!(w.admit(me, again(fire(&queue, 2), run, false)).await.2, [], "{}", w.name);
    }
}

#[tokio::test]
async fn only_its_own_process_may_judge_a_waiting_start_again() {
    for w in World::each() {
        let (me, other) = (w.daemon().await, w.once().await);
        let (one, two) =
            (locking("one", &["base"]), Instance { lock_wait: jiff::SignedDuration::from_mins(1), ..locking("two", &["base"]) });
        w.running(me, fire(&one, 1)).await;
        let Judgement::LockWait { run, .. } = w.judge(me, fire(&two, 2)).await else { panic!("{}", w.name) };
        assert_eq!(w.judge(other, again(fire(&two, 2), run, true)).await, Judgement::AlreadyJudged, "{}", w.name);
        assert_eq!(w.state(run).await, RowState::Waiting, "{}", w.name);
    }
}

#[tokio::test]
async fn a_lock_passes_to_the_newcomer_but_is_not_free_while_the_older_run_has_it() {
    for w in World::each() {
        let (me, one, two) = (w.daemon().await, locking("one", &["base"]), locking("two", &["base"]));
        let older = w.running(me, fire(&one, 1)).await;
        let (newer, ..) = w.admit(me, fire(&one, 2)).await;
        let busy = |answer: &Judgement| matches!(answer, Judgement::Skipped { reason: SkipReason::LockBusy, .. });
        assert!(busy(&w.judge(me, fire(&two, 2)).await), "{}", w.name);
        w.close(me, older, RunEnd::Superseded).await;
        assert!(busy(&w.judge(me, fire(&two, 3)).await), "{}: the newcomer has it", w.name);
        w.close(me, newer, RunEnd::Succeeded).await;
        assert!(matches!(w.judge(me, fire(&two, 4)).await, Judgement::Admitted { .. }), "{}", w.name);
    }
}

#[tokio::test]
async fn a_newcomer_that_never_began_gives_the_lock_back_to_the_older_run() {
    for w in World::each() {
        let (me, one, two) = (w.daemon().await, locking("one", &["base"]), locking("two", &["base"]));
        let older = w.running(me, fire(&one, 1)).await;
        let (newer, ..) = w.admit(me, fire(&one, 2)).await;
        w.close(me, newer, RunEnd::Cancelled).await;
        let busy = w.judge(me, fire(&two, 3)).await;
        assert!(matches!(busy, Judgement::Skipped { reason: SkipReason::LockBusy, .. }), "{}: {busy:?}", w.name);
        w.close(me, older, RunEnd::Superseded).await;
        assert!(matches!(w.judge(me, fire(&two, 4)).await, Judgement::Admitted { .. }), "{}", w.name);
    }
}

#[tokio::test]
async fn the_lock_of_a_hung_holder_is_broken_only_after_its_run_is_shut_out() {
    for w in World::each() {
        let (hung, me, one, two) = (w.daemon().await, w.once().await, locking("one", &["base"]), locking("two", &["base"]));
        let (holder, generation, _) = w.admit(hung, fire(&one, 1)).await;
        w.start(hung, holder, 1, true).await;
        let request = vouching(by_hand(&two, 2), &[(hung, false)]);
        let Judgement::LockWait { run, holder_hangs: true } = w.judge(me, request.clone()).await else { panic!("{}", w.name) };
        assert!(w.may_write("one", holder, generation).await, "{}", w.name);
        let (admitted, ..) = w.admit(me, again(request, run, true)).await;
        assert_eq!(admitted, run, "{}", w.name);
        assert!(!w.may_write("one", holder, generation).await, "{}", w.name);
        assert_eq!(w.state(holder).await, ended(RunEnd::Lost, None), "{}", w.name);
        assert_eq!(w.store.stop_requests(hung).await.unwrap(), [(holder, None)], "{}", w.name);
        assert_eq!(w.close(hung, holder, RunEnd::Succeeded).await, CloseAnswer::Fenced, "{}", w.name);
        let answer = w.judge(hung, vouching(fire(&one, 3), &[(me, true)])).await;
        assert!(matches!(answer, Judgement::Skipped { reason: SkipReason::LockBusy, .. }), "{}: {answer:?}", w.name);
    }
}

#[tokio::test]
async fn the_first_reason_to_stop_counts_unless_it_is_a_shutdown() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        let told = || async { w.store.stop_requests(me).await.unwrap() };
        assert_eq!(told().await, [], "{}", w.name);
        for (reason, counts) in [
            (StopReason::Shutdown, StopReason::Shutdown),
            (StopReason::Cancelled, StopReason::Cancelled),
            (StopReason::Deadline, StopReason::Cancelled),
            (StopReason::Superseded(RunId(9)), StopReason::Cancelled),
        ] {
            assert!(w.store.ask_stop(run, reason).await.unwrap(), "{}", w.name);
            assert_eq!(told().await, [(run, Some(counts))], "{}", w.name);
        }
        for reason in [StopReason::Superseded(RunId(7)), StopReason::Deadline, StopReason::Fenced] {
            w.close(me, run, RunEnd::Cancelled).await;
            let (run, ..) = w.admit(me, by_hand(&instance(&format!("other-{}", reason.to_string().len())), 2)).await;
            w.store.ask_stop(run, reason).await.unwrap();
            assert_eq!(told().await, [(run, Some(reason))], "{}: every reason can be read back", w.name);
            w.close(me, run, RunEnd::Cancelled).await;
        }
    }
}

#[tokio::test]
async fn a_fire_of_after_is_not_due_while_a_run_is_open_elsewhere_or_ended_since() {
    for w in World::each() {
        let (daemon, once, task) = (w.daemon().await, w.once().await, instance("loop"));
        w.register(&["loop"], true, 0).await;
        let run = w.running(once, by_hand(&task, 1)).await;
        let counted =
            |ended: i64| vouching(taskrun::core::event::JudgeRequest { ended_at: Some(minute(ended)), ..fire(&task, 5) }, &[(once, true)]);
        assert_eq!(w.judge(daemon, counted(0)).await, Judgement::NotYet { last_end: None }, "{}: it is open", w.name);
        w.close(once, run, RunEnd::Succeeded).await;
        let Judgement::NotYet { last_end: Some(end) } = w.judge(daemon, counted(0)).await else { panic!("{}", w.name) };
        assert_eq!(Some(end), w.row(run).await.ended_at, "{}", w.name);
        assert!(w.watermark("loop").await < minute(5), "{}: nothing was written", w.name);
        let again = taskrun::core::event::JudgeRequest { ended_at: Some(end), ..counted(0) };
        assert!(matches!(w.judge(daemon, again).await, Judgement::Admitted { .. }), "{}: it counts from that end", w.name);
    }
}
