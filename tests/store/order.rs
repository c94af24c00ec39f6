//! Needs are judged on what the history says, and what follows a success is written down with it and answered once.
use taskrun::{
    core::{
        event::{Asked, CloseAnswer, JudgeRequest, Judgement, RunEnd, SkipReason},
        order::{FollowUp, FollowUpId, Need, NeedEnd},
        task::{Instance, ProcessId, RunId, Trigger},
    },
    store::{CloseRequest, RowState, upkeep::Old},
};

use crate::world::{World, again, by_hand, closing, ended, fire, instance, locking, minute};

fn needy(end: NeedEnd, minutes: Option<i64>) -> Instance {
    let need = Need { of: "sync".into(), end, max_age: minutes.map(jiff::SignedDuration::from_mins) };
    Instance { needs: vec![need], ..instance("upload") }
}

/// The fire of a follow-up.
fn following(target: &Instance, follow_up: &FollowUp) -> JudgeRequest {
    let asked = Some(Asked { fire_at: follow_up.at, trigger: Trigger::FollowUp });
    JudgeRequest { asked, follow_up: Some(follow_up.id), ..fire(target, 0) }
}

/// A run that ends in the second minute.
async fn ended_as(w: &World, process: ProcessId, at: i64, end: RunEnd) -> RunId {
    let run = w.running(process, fire(&instance("sync"), at)).await;
    w.close(process, run, end).await;
    run
}

/// A run of `sync` that succeeded in the second minute, and is followed by these.
async fn success(w: &World, process: ProcessId, at: i64, follow_ups: &[&str]) -> RunId {
    let run = w.running(process, fire(&instance("sync"), at)).await;
    let follow_ups = follow_ups.iter().map(|name| (*name).into()).collect();
    let request = CloseRequest { follow_ups, ..closing(process, run, RunEnd::Succeeded) };
    assert!(matches!(w.store.close(request, minute(2)).await.unwrap(), CloseAnswer::Closed { .. }), "{}", w.name);
    run
}

#[tokio::test]
async fn a_fire_whose_need_is_not_met_is_skipped_and_says_what_is_missing() {
    for w in World::each() {
        let me = w.daemon().await;
        let task = needy(NeedEnd::Succeeded, Some(60));
        let judge = |at: i64| w.store.judge(me, fire(&task, at), minute(at));
        let detail = |judgement: Judgement| match judgement {
            Judgement::Skipped { reason: SkipReason::NeedsUnmet, detail, .. } => detail.unwrap().to_string(),
            other => panic!("{}: {other:?}", w.name),
        };
        assert_eq!(detail(judge(1).await.unwrap()), "needs sync succeeded within 1h: sync has not ended yet", "{}", w.name);
        let failed = ended_as(&w, me, 1, RunEnd::Failed).await;
        let said = detail(judge(3).await.unwrap());
        assert_eq!(
            said,
            format!("needs sync succeeded within 1h: run {failed} of sync ended as failed at 2026-11-22T00:02:00Z"),
            "{}",
            w.name
        );
        ended_as(&w, me, 4, RunEnd::Succeeded).await;
        // What was superseded says nothing.
        ended_as(&w, me, 5, RunEnd::Superseded).await;
        let Judgement::Admitted { run, .. } = judge(62).await.unwrap() else { panic!("{}: the need is met", w.name) };
        w.close(me, run, RunEnd::Succeeded).await;
        assert!(detail(judge(63).await.unwrap()).contains("ended as succeeded at 2026-11-22T00:02:00Z"), "{}: it is too old", w.name);
        assert!(matches!(judge(64).await.unwrap(), Judgement::Skipped { .. }));
        let rows = w.history().await;
        assert!(matches!(rows[0].state, RowState::Skipped { reason: SkipReason::NeedsUnmet, count: 2, .. }), "{}: {:?}", w.name, rows[0]);
        let judgement = w.store.judge(me, by_hand(&task, 65), minute(65)).await.unwrap();
        assert!(matches!(judgement, Judgement::Admitted { .. }), "{}: a person may: {judgement:?}", w.name);
    }
}

#[tokio::test]
async fn a_need_that_is_met_no_longer_ends_a_wait_for_named_locks() {
    for w in World::each() {
        let me = w.daemon().await;
        ended_as(&w, me, 1, RunEnd::Succeeded).await;
        let holder = w.running(me, fire(&locking("prices", &["base"]), 1)).await;
        let lock_wait = jiff::SignedDuration::from_hours(2);
        let task = Instance { locks: vec!["base".into()], lock_wait, ..needy(NeedEnd::Succeeded, Some(60)) };
        let Judgement::LockWait { run, .. } = w.judge(me, fire(&task, 3)).await else { panic!("{}: it waits", w.name) };
        w.close(me, holder, RunEnd::Succeeded).await;
        let judgement = w.store.judge(me, again(fire(&task, 3), run, false), minute(100)).await.unwrap();
        assert!(matches!(judgement, Judgement::Skipped { reason: SkipReason::NeedsUnmet, .. }), "{}: {judgement:?}", w.name);
    }
}

#[tokio::test]
async fn a_success_asks_for_each_of_its_follow_ups_once_and_no_other_end_does() {
    for w in World::each() {
        let me = w.daemon().await;
        let cause = success(&w, me, 1, &["upload", "mail"]).await;
        ended_as(&w, me, 2, RunEnd::Failed).await;
        let again = CloseRequest { follow_ups: vec!["upload".into()], ..closing(me, cause, RunEnd::Succeeded) };
        assert_eq!(w.store.close(again, minute(3)).await.unwrap(), CloseAnswer::Fenced, "{}: it is closed", w.name);
        let waiting = w.store.follow_ups().await.unwrap();
        let wanted = [(1, "upload"), (2, "mail")];
        let wanted = wanted.map(|(id, name)| FollowUp { id: FollowUpId(id), instance: name.into(), cause, at: minute(2) });
        assert_eq!(waiting, wanted, "{}", w.name);

        let upload = instance("upload");
        let (run, ..) = w.admit(me, following(&upload, &waiting[0])).await;
        let row = w.row(run).await;
        assert_eq!((row.trigger, row.cause, row.fire_at), (Trigger::FollowUp, Some(cause), minute(2)), "{}", w.name);
        assert_eq!(w.judge(me, following(&upload, &waiting[0])).await, Judgement::AlreadyJudged, "{}: it has its answer", w.name);

        let refused = JudgeRequest { refused: Some(SkipReason::Disabled), ..following(&instance("mail"), &waiting[1]) };
        let judgement = w.judge(me, refused).await;
        let Judgement::Skipped { run, reason: SkipReason::Disabled, .. } = judgement else { panic!("{}: {judgement:?}", w.name) };
        assert_eq!(w.row(run).await.cause, Some(cause), "{}", w.name);
        assert_eq!(w.store.follow_ups().await.unwrap(), [], "{}", w.name);
    }
}

#[tokio::test]
async fn a_follow_up_that_waits_for_named_locks_has_its_row_and_one_nobody_is_to_start_goes() {
    for w in World::each() {
        let me = w.daemon().await;
        w.running(me, fire(&locking("prices", &["base"]), 1)).await;
        let cause = success(&w, me, 1, &["upload", "gone"]).await;
        let waiting = w.store.follow_ups().await.unwrap();
        let upload = Instance { lock_wait: jiff::SignedDuration::from_mins(5), ..locking("upload", &["base"]) };
        let Judgement::LockWait { run, .. } = w.judge(me, following(&upload, &waiting[0])).await else { panic!("{}: it waits", w.name) };
        assert_eq!((w.row(run).await.cause, w.state(run).await), (Some(cause), RowState::Waiting), "{}", w.name);
        w.store.drop_follow_up(waiting[1].id).await.unwrap();
        assert_eq!(w.store.follow_ups().await.unwrap(), [], "{}", w.name);
    }
}

#[tokio::test]
async fn the_last_end_of_an_instance_is_kept_however_many_skips_and_superseded_runs_follow() {
    let w = World::sqlite();
    let me = w.daemon().await;
    let run = ended_as(&w, me, 1, RunEnd::Succeeded).await;
    ended_as(&w, me, 2, RunEnd::Superseded).await;
    ended_as(&w, me, 3, RunEnd::Superseded).await;
    assert_eq!(w.upkeep().prune(Old::History, minute(60), 0, false).await.unwrap().rows, 1);
    let last = w.store.last_runs(vec!["sync".into(), "mail".into()]).await.unwrap();
    assert_eq!(last.iter().map(|last| (last.run, last.end)).collect::<Vec<_>>(), [(run, RunEnd::Succeeded)]);
    assert_eq!(w.state(run).await, ended(RunEnd::Succeeded, None));
}
