//! What is written down of a fire, an attempt, an end; and what people read of it.
use std::time::Duration;

use jiff::SignedDuration;
use taskrun::{
    core::{
        event::{CloseAnswer, JudgeRequest, Judgement, OutcomeKind, RunEnd, SkipReason, StartAnswer, StopReason},
        task::{Generation, Instance, RunId, Trigger},
    },
    store::{AttemptRow, ChildGroup, CloseRequest, HistoryFilter, InstanceSeen, Pause, RowState},
};

use crate::world::{World, by_hand, closing, ended, failed, fire, instance, minute, not_yet, skip, skips, succeeded, vouching};

#[tokio::test]
async fn a_fire_becomes_a_run_under_the_next_generation() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let (first, one, rivals) = w.admit(me, fire(&task, 1)).await;
        assert_eq!((one, rivals), (Generation(1), Vec::new()), "{}", w.name);
        let row = w.row(first).await;
        assert_eq!((row.state, row.fire_at, row.trigger), (RowState::Waiting, minute(1), Trigger::Schedule), "{}", w.name);
        assert_eq!((row.generation, row.attempts, row.process), (Some(one), 0, Some(me)), "{}", w.name);
        w.close(me, first, RunEnd::Succeeded).await;
        let (second, two, _) = w.admit(me, fire(&task, 2)).await;
        assert!(first < second && two == Generation(2), "{}", w.name);
    }
}

#[tokio::test]
async fn a_fire_time_is_judged_once_by_whoever_comes_first() {
    for w in World::each() {
        let (me, other, task) = (w.daemon().await, w.daemon().await, instance("sync"));
        w.running(me, fire(&task, 5)).await;
        for at in [5, 4] {
            assert_eq!(w.judge(other, vouching(fire(&task, at), &[(me, true)])).await, Judgement::AlreadyJudged, "{}", w.name);
        }
        assert_eq!(w.history().await.len(), 1, "{}", w.name);
        assert!(
            matches!(w.judge(me, by_hand(&task, 3)).await, Judgement::Admitted { .. }),
            "{}: a person may start it at any time",
            w.name
        );
    }
}

#[tokio::test]
async fn after_the_clock_was_set_back_nothing_that_ran_runs_again() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        w.register(&["sync"], true, 0).await;
        let run = w.running(me, fire(&task, 600)).await;
        w.close(me, run, RunEnd::Succeeded).await;
        w.store.lower_watermarks(minute(10)).await.unwrap();
        assert_eq!(w.watermark("sync").await, minute(10), "{}", w.name);
        assert!(matches!(w.judge(me, fire(&task, 20)).await, Judgement::Admitted { .. }), "{}", w.name);
        assert_eq!(w.judge(me, fire(&task, 600)).await, Judgement::AlreadyJudged, "{}", w.name);
        assert_eq!(w.watermark("sync").await, minute(600), "{}", w.name);
        let mark = &w.register(&["sync"], true, 0).await[0];
        assert_eq!(mark.last_end, minute(2), "{}: an end before the new time stays", w.name);
    }
}

#[tokio::test]
async fn equal_skips_that_follow_each_other_share_a_row() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let closed = |first, last| skip(first, last, SkipReason::OutsideHours, None);
        assert_eq!(w.judge(me, skips(&task, vec![closed(1, 3), closed(4, 4)])).await, Judgement::Recorded, "{}", w.name);
        w.judge(me, skips(&task, vec![closed(5, 9)])).await;
        let rows = w.history().await;
        let state = RowState::Skipped { reason: SkipReason::OutsideHours, count: 9, at_least: false, last_at: minute(9) };
        assert_eq!((rows.len(), rows[0].fire_at, rows[0].state.clone()), (1, minute(1), state), "{}", w.name);
        // Another reason, another detail, a run in between: each is a row of its own.
        w.judge(me, skips(&task, vec![skip(10, 10, SkipReason::Calendar, None), skip(11, 11, SkipReason::Calendar, Some("holiday"))]))
            .await;
        let run = w.running(me, fire(&task, 12)).await;
        w.close(me, run, RunEnd::Succeeded).await;
        w.judge(me, skips(&task, vec![skip(13, 13, SkipReason::Calendar, Some("holiday"))])).await;
        assert_eq!(w.history().await.len(), 5, "{}", w.name);
    }
}

#[tokio::test]
async fn after_the_clock_was_set_back_an_equal_skip_begins_a_new_row() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        w.judge(me, skips(&task, vec![skip(60, 60, SkipReason::Calendar, None)])).await;
        w.store.lower_watermarks(minute(10)).await.unwrap();
        w.judge(me, skips(&task, vec![skip(20, 20, SkipReason::Calendar, None)])).await;
        let fires: Vec<_> = w.history().await.into_iter().map(|row| row.fire_at).collect();
        assert_eq!(fires, [minute(20), minute(60)], "{}: a row's fires are in order", w.name);
    }
}

#[tokio::test]
async fn more_skips_than_were_counted_stay_more_than_were_counted() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let many = taskrun::core::event::Skip { at_least: true, ..skip(1, 1_000, SkipReason::Misfire, None) };
        w.judge(me, skips(&task, vec![many])).await;
        w.judge(me, skips(&task, vec![skip(1_001, 1_001, SkipReason::Misfire, None)])).await;
        let state = RowState::Skipped { reason: SkipReason::Misfire, count: 1_001, at_least: true, last_at: minute(1_001) };
        assert_eq!(w.history().await[0].state, state, "{}", w.name);
    }
}

#[tokio::test]
async fn a_start_by_hand_that_is_skipped_has_its_own_row() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        w.store.pause(Pause { name: "sync".to_owned(), until: None, reason: None, since: minute(0) }).await.unwrap();
        for request in [fire(&task, 1), by_hand(&task, 2), by_hand(&task, 2), fire(&task, 3), fire(&task, 4)] {
            assert!(matches!(w.judge(me, request).await, Judgement::Skipped { reason: SkipReason::Paused, .. }), "{}", w.name);
        }
        let counts: Vec<_> = w.history().await.into_iter().map(|row| (row.trigger, row.state)).collect();
        let skipped = |count, at| RowState::Skipped { reason: SkipReason::Paused, count, at_least: false, last_at: minute(at) };
        let (schedule, manual) = (Trigger::Schedule, Trigger::Manual);
        assert_eq!(
            counts,
            [(schedule, skipped(2, 4)), (manual, skipped(1, 2)), (manual, skipped(1, 2)), (schedule, skipped(1, 1))],
            "{}",
            w.name
        );
    }
}

#[tokio::test]
async fn fires_of_a_parked_account_are_skipped_until_it_is_free() {
    for w in World::each() {
        let (me, task, other) = (w.daemon().await, instance("sync@shop"), instance("sync@other"));
        w.park("shop", Some(10), "1000 calls are used up").await;
        w.park("elsewhere", None, "no token").await;
        let detail = "parked until 2026-11-22T00:10:00Z: 1000 calls are used up";
        for request in [fire(&task, 1), fire(&task, 2), by_hand(&task, 3)] {
            let Judgement::Skipped { reason, detail: said, .. } = w.judge(me, request).await else { panic!("{}", w.name) };
            assert_eq!((reason, said.as_deref()), (SkipReason::Parked, Some(detail)), "{}", w.name);
        }
        let counts: Vec<_> = w.history().await.into_iter().map(|row| (row.trigger, row.text)).collect();
        assert_eq!(counts, [(Trigger::Manual, Some(detail.to_owned())), (Trigger::Schedule, Some(detail.to_owned()))], "{}", w.name);
        let mender = Instance { parks: false, ..instance("refresh@shop") };
        for free in [other, mender, instance("sync")] {
            assert!(matches!(w.judge(me, fire(&free, 4)).await, Judgement::Admitted { .. }), "{}: {}", w.name, free.name);
        }
        let then = w.store.judge(me, fire(&task, 11), minute(10)).await.unwrap();
        assert!(matches!(then, Judgement::Admitted { .. }), "{}: it is free again", w.name);
        w.park("shop", None, "the shop refuses us").await;
        let judged = w.store.judge(me, fire(&task, 12), minute(900)).await.unwrap();
        assert!(matches!(judged, Judgement::Skipped { reason: SkipReason::Parked, .. }), "{}: a person has to see to it", w.name);
    }
}

#[tokio::test]
async fn skips_move_the_watermark_even_when_their_fire_was_judged_before() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        w.register(&["sync"], true, 0).await;
        w.judge(me, skips(&task, vec![skip(1, 5, SkipReason::Misfire, None)])).await;
        assert_eq!(w.watermark("sync").await, minute(5), "{}", w.name);
        // The fire is old, the skip new.
        let request = JudgeRequest { skips: vec![skip(6, 8, SkipReason::Calendar, None)], ..fire(&task, 4) };
        assert_eq!(w.judge(me, request).await, Judgement::AlreadyJudged, "{}", w.name);
        assert_eq!(w.watermark("sync").await, minute(8), "{}", w.name);
        assert_eq!(w.judge(me, fire(&task, 3)).await, Judgement::AlreadyJudged, "{}", w.name);
        assert_eq!(w.watermark("sync").await, minute(8), "{}: it never moves back", w.name);
        // Skips that were written before are not written again.
        let request = JudgeRequest { skips: vec![skip(6, 8, SkipReason::Calendar, None)], ..fire(&task, 9) };
        assert!(matches!(w.judge(me, request).await, Judgement::Admitted { .. }), "{}", w.name);
        assert_eq!(w.history().await.len(), 3, "{}", w.name);
    }
}

#[tokio::test]
async fn a_misfire_that_is_caught_up_may_lie_before_the_skips_of_the_same_request() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        w.register(&["sync"], true, 0).await;
        let request = JudgeRequest { skips: vec![skip(6, 8, SkipReason::OutsideHours, None)], ..fire(&task, 5) };
        assert!(matches!(w.judge(me, request).await, Judgement::Admitted { .. }), "{}", w.name);
        assert_eq!(w.watermark("sync").await, minute(8), "{}", w.name);
    }
}

#[tokio::test]
async fn an_attempt_is_written_down_from_its_beginning_to_its_end() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        assert_eq!(w.state(run).await, RowState::Running, "{}", w.name);
        w.postpone(me, run, 1, failed("503"), minute(7)).await;
        let row = w.row(run).await;
        assert_eq!((row.state, row.text.as_deref()), (RowState::Backoff { retry_at: minute(7) }, Some("503")), "{}", w.name);
        assert_eq!(w.start(me, run, 2, true).await, StartAnswer::Started, "{}", w.name);
        let request = CloseRequest { attempt: 2, outcome: Some(succeeded("240 items")), ..closing(me, run, RunEnd::Succeeded) };
        assert_eq!(w.store.close(request, minute(9)).await.unwrap(), CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
        let row = w.row(run).await;
        assert_eq!((row.state, row.text.as_deref()), (ended(RunEnd::Succeeded, None), Some("240 items")), "{}", w.name);
        assert_eq!((row.started_at, row.ended_at, row.process), (Some(minute(1)), Some(minute(9)), None), "{}", w.name);
        let attempt = |attempt, ended_at, outcome, text: &str| AttemptRow {
            run,
            attempt,
            started_at: minute(1),
            ended_at: Some(minute(ended_at)),
            outcome: Some(outcome),
            text: Some(text.to_owned()),
        };
        let attempts = [attempt(1, 2, OutcomeKind::Failed, "503"), attempt(2, 9, OutcomeKind::Succeeded, "240 items")];
        assert_eq!(w.store.attempts(run).await.unwrap(), attempts, "{}", w.name);
    }
}

#[tokio::test]
async fn a_wait_for_a_limit_is_written_down_and_counted_apart() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        w.postpone(me, run, 1, not_yet(60), minute(60)).await;
        let row = w.row(run).await;
        assert_eq!((row.state, row.attempts, row.waits), (RowState::NotYet { until: minute(60) }, 1, 1), "{}", w.name);
        assert_eq!(row.text.as_deref(), Some("1000 calls are used up"), "{}", w.name);
        let open = HistoryFilter { open: true, limit: 9, ..HistoryFilter::default() };
        assert_eq!(w.store.history(open).await.unwrap().len(), 1, "{}: it is open", w.name);
        w.start(me, run, 2, true).await;
        w.postpone(me, run, 2, failed("503"), minute(61)).await;
        let row = w.row(run).await;
        assert_eq!((row.state, row.attempts, row.waits), (RowState::Backoff { retry_at: minute(61) }, 2, 1), "{}", w.name);
        let outcomes: Vec<_> = w.store.attempts(run).await.unwrap().into_iter().map(|attempt| attempt.outcome).collect();
        assert_eq!(outcomes, [Some(OutcomeKind::NotYet), Some(OutcomeKind::Failed)], "{}", w.name);
    }
}

#[tokio::test]
async fn an_attempt_that_is_not_the_running_one_cannot_be_postponed() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        w.postpone(me, run, 2, failed("?"), minute(7)).await;
        assert_eq!(w.state(run).await, RowState::Running, "{}", w.name);
        w.postpone(me, run, 1, failed("503"), minute(7)).await;
        w.postpone(me, run, 1, failed("again"), minute(8)).await;
        assert_eq!(w.row(run).await.text.as_deref(), Some("503"), "{}", w.name);
    }
}

#[tokio::test]
async fn a_closed_run_cannot_be_started_postponed_closed_or_set_aside() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        w.close(me, run, RunEnd::Failed).await;
        let before = w.row(run).await;
        assert_eq!(w.start(me, run, 2, true).await, StartAnswer::Fenced, "{}", w.name);
        assert_eq!(w.close(me, run, RunEnd::Succeeded).await, CloseAnswer::Fenced, "{}", w.name);
        w.postpone(me, run, 1, failed("?"), minute(7)).await;
        w.store.set_aside(me, run, true, minute(3)).await.unwrap();
        assert!(!w.store.ask_stop(run, StopReason::Cancelled).await.unwrap(), "{}", w.name);
        assert_eq!(w.row(run).await, before, "{}", w.name);
    }
}

#[tokio::test]
async fn an_instance_that_is_new_back_or_changed_has_missed_nothing() {
    for w in World::each() {
        let marks = w.register(&["sync", "tick@shop"], true, 10).await;
        assert!(marks.iter().all(|mark| mark.watermark == minute(10) && mark.last_end == minute(10)), "{}", w.name);
        assert_eq!(w.register(&["sync"], true, 20).await[0].watermark, minute(10), "{}: unchanged", w.name);
        let back = w.register(&["sync", "tick@shop"], true, 30).await;
        assert_eq!([back[0].watermark, back[1].watermark], [minute(10), minute(30)], "{}: it was absent", w.name);
        let changed = InstanceSeen { name: "sync".into(), schedule: "every: 3h".to_owned() };
        let marks = w.store.register_instances(vec![changed.clone()], false, minute(40)).await.unwrap();
        assert_eq!((marks[0].watermark, marks[0].last_end), (minute(40), minute(10)), "{}", w.name);
        let marks = w.store.register_instances(vec![changed], true, minute(50)).await.unwrap();
        assert_eq!(marks[0].watermark, minute(40), "{}", w.name);
        // Not named without `all` is not absent.
        assert_eq!(w.register(&["tick@shop"], false, 60).await[0].watermark, minute(60), "{}: absent since the last one", w.name);
        w.register(&["other"], false, 70).await;
        assert_eq!(w.register(&["tick@shop"], false, 80).await[0].watermark, minute(60), "{}", w.name);
    }
}

#[tokio::test]
async fn the_end_of_a_run_is_remembered_for_its_instance() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        w.register(&["sync"], true, 0).await;
        let run = w.running(me, fire(&task, 1)).await;
        w.store.close(closing(me, run, RunEnd::Failed), minute(77)).await.unwrap();
        assert_eq!(w.register(&["sync"], true, 90).await[0].last_end, minute(77), "{}", w.name);
    }
}

#[tokio::test]
async fn a_pause_holds_until_it_ends_for_an_instance_or_for_a_whole_task() {
    for w in World::each() {
        let (me, one, two) = (w.daemon().await, instance("tick@one"), instance("tick@two"));
        let pause = |name: &str, until| Pause { name: name.to_owned(), until, reason: Some("stocktaking".to_owned()), since: minute(0) };
        w.store.pause(pause("tick@one", Some(minute(10)))).await.unwrap();
        let judge = |task, fire_at, at| w.store.judge(me, fire(task, fire_at), minute(at));
        let skipped = judge(&one, 1, 9).await.unwrap();
        let Judgement::Skipped { reason: SkipReason::Paused, detail: Some(detail), .. } = skipped else { panic!("{skipped:?}") };
        assert!(detail.contains("stocktaking"), "{}: {detail}", w.name);
        assert!(matches!(judge(&two, 1, 9).await.unwrap(), Judgement::Admitted { .. }), "{}", w.name);
        assert!(matches!(judge(&one, 2, 10).await.unwrap(), Judgement::Admitted { .. }), "{}: the pause is over", w.name);
        w.store.pause(pause("tick", None)).await.unwrap();
        for task in [&one, &two] {
            assert!(matches!(judge(task, 3, 11).await.unwrap(), Judgement::Skipped { .. }), "{}", w.name);
        }
        assert_eq!(w.store.pauses().await.unwrap(), [pause("tick", None), pause("tick@one", Some(minute(10)))], "{}", w.name);
        assert!(w.store.resume("tick".to_owned()).await.unwrap(), "{}", w.name);
        assert!(!w.store.resume("tick".to_owned()).await.unwrap(), "{}", w.name);
        assert!(matches!(judge(&two, 4, 12).await.unwrap(), Judgement::Admitted { .. }), "{}", w.name);
    }
}

#[tokio::test]
async fn a_dry_run_stands_in_the_history_and_disturbs_nothing() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        w.register(&["sync"], true, 0).await;
        let run = w.running(me, fire(&task, 1)).await;
        let dry = w.store.record_dry("sync".into(), RunEnd::Succeeded, Some("3 prices".to_owned()), minute(2), minute(3)).await.unwrap();
        let row = w.row(dry).await;
        assert_eq!((row.dry, row.generation, row.trigger), (true, None, Trigger::Manual), "{}", w.name);
        assert_eq!((row.started_at, row.ended_at, row.text.as_deref()), (Some(minute(2)), Some(minute(3)), Some("3 prices")), "{}", w.name);
        assert_eq!(w.state(run).await, RowState::Running, "{}", w.name);
        assert_eq!(w.watermark("sync").await, minute(1), "{}", w.name);
        w.close(me, run, RunEnd::Succeeded).await;
        assert_eq!(w.store.last_ends().await.unwrap(), [w.row(run).await], "{}", w.name);
    }
}

#[tokio::test]
async fn the_history_is_filtered_newest_first_and_bounded() {
    for w in World::each() {
        let (me, one, two) = (w.daemon().await, instance("tick@one"), instance("tick@two"));
        let good = w.running(me, fire(&one, 1)).await;
        w.close(me, good, RunEnd::Succeeded).await;
        let bad = w.running(me, fire(&two, 2)).await;
        w.close(me, bad, RunEnd::TimedOut).await;
        w.judge(me, skips(&instance("other"), vec![skip(3, 8, SkipReason::Calendar, None)])).await;
        let open = w.running(me, fire(&one, 9)).await;
        let ask = |filter: HistoryFilter| {
            let rows = w.store.history(HistoryFilter { limit: if filter.limit == 0 { 50 } else { filter.limit }, ..filter });
            async { rows.await.unwrap().into_iter().map(|row| row.run).collect::<Vec<RunId>>() }
        };
        let named = |name: &str| HistoryFilter { name: Some(name.to_owned()), ..HistoryFilter::default() };
        let all = ask(HistoryFilter::default()).await;
        assert_eq!((all.len(), all[0], all[3]), (4, open, good), "{}", w.name);
        assert_eq!(ask(named("tick")).await, [open, bad, good], "{}", w.name);
        assert_eq!(ask(named("tick@one")).await, [open, good], "{}", w.name);
        assert_eq!(ask(named("tic")).await, [], "{}", w.name);
        assert_eq!(ask(HistoryFilter { failed: true, ..named("tick") }).await, [bad], "{}", w.name);
        assert_eq!(ask(HistoryFilter { failed: true, ..HistoryFilter::default() }).await, [bad], "{}", w.name);
        assert_eq!(ask(HistoryFilter { open: true, ..HistoryFilter::default() }).await, [open], "{}", w.name);
        assert_eq!(ask(HistoryFilter { open: true, ..named("other") }).await, [], "{}", w.name);
        assert_eq!(ask(HistoryFilter { open: true, failed: true, ..named("tick@one") }).await, [], "{}", w.name);
        let since = HistoryFilter { since: Some(minute(8)), ..HistoryFilter::default() };
        assert_eq!(ask(since).await, [open, all[1]], "{}: a row of skips counts by its last", w.name);
        assert_eq!(ask(HistoryFilter { limit: 1, ..named("tick") }).await, [open], "{}", w.name);
        assert_eq!(w.store.row(RunId(999)).await.unwrap(), None, "{}", w.name);
        let last: Vec<RunId> = w.store.last_ends().await.unwrap().into_iter().map(|row| row.run).collect();
        assert_eq!(last, [all[1], good, bad], "{}: by instance", w.name);
    }
}

#[tokio::test]
async fn instants_are_kept_to_the_millisecond() {
    for w in World::each() {
        let fine = SignedDuration::try_from(Duration::from_nanos(1_234_567)).unwrap();
        let process = w.store.register_process(1, false, "daemon".to_owned(), minute(0) + fine).await.unwrap();
        let kept = minute(0) + SignedDuration::from_millis(1);
        assert_eq!(w.store.processes().await.unwrap()[0].started_at, kept, "{}", w.name);
        let mut request = by_hand(&instance("sync"), 0);
        request.asked.as_mut().unwrap().fire_at += fine;
        let (run, ..) = w.admit(process, request).await;
        assert_eq!(w.row(run).await.fire_at, kept, "{}", w.name);
    }
}

#[tokio::test]
async fn a_process_is_retired_when_it_has_no_open_run_and_its_children_with_it() {
    for w in World::each() {
        let (me, other, task) = (w.daemon().await, w.once().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        let child = ChildGroup { run, pgid: 4_037, start_time: u64::MAX - 1, boot_id: "b007".to_owned() };
        w.store.record_child(child.clone()).await.unwrap();
        w.store.record_child(child.clone()).await.unwrap();
        assert_eq!(w.store.children(vec![me], Vec::new()).await.unwrap(), *std::slice::from_ref(&child), "{}", w.name);
        assert_eq!(w.store.children(vec![other], vec![run]).await.unwrap(), [child], "{}", w.name);
        w.store.retire_process(me).await.unwrap();
        assert_eq!(w.store.processes().await.unwrap().len(), 2, "{}: its run is open", w.name);
        w.close(me, run, RunEnd::Succeeded).await;
        w.store.retire_process(me).await.unwrap();
        assert_eq!(w.store.processes().await.unwrap().into_iter().map(|row| row.id).collect::<Vec<_>>(), [other], "{}", w.name);
        assert_eq!(w.store.children(vec![me], vec![run]).await.unwrap(), [], "{}", w.name);
        let next = w.daemon().await;
        assert!(other < next, "{}: no number is given twice", w.name);
    }
}

#[tokio::test]
async fn the_children_of_a_run_can_be_forgotten() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let run = w.running(me, fire(&task, 1)).await;
        for pgid in [7, 8] {
            w.store.record_child(ChildGroup { run, pgid, start_time: 1, boot_id: "b007".to_owned() }).await.unwrap();
        }
        assert_eq!(w.store.children(Vec::new(), vec![run]).await.unwrap().len(), 2, "{}", w.name);
        w.store.forget_children(run).await.unwrap();
        assert_eq!(w.store.children(vec![me], vec![run]).await.unwrap(), [], "{}", w.name);
    }
}

#[tokio::test]
async fn what_is_called_first_happens_first_whoever_is_awaited_first() {
    for w in World::each() {
        let (me, task) = (w.daemon().await, instance("sync"));
        let (run, ..) = w.admit(me, fire(&task, 1)).await;
        let start = w.store.start(me, run, 1, true, minute(1));
        let close = w.store.close(closing(me, run, RunEnd::Succeeded), minute(2));
        let late = w.store.start(me, run, 2, true, minute(3));
        assert_eq!(late.await.unwrap(), StartAnswer::Fenced, "{}", w.name);
        assert_eq!(close.await.unwrap(), CloseAnswer::Closed { superseded_in_row: 0 }, "{}", w.name);
        assert_eq!(start.await.unwrap(), StartAnswer::Started, "{}", w.name);
    }
}
