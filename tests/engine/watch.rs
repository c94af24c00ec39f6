//! The freeze check on a real engine: what hangs is replaced, what works is left alone, and nobody is told the same thing twice.
use std::sync::Mutex;

use taskrun::{
    handlers::watch_runs::WatchRuns,
    notify::{Event, Notice, Notifier},
};

use super::*;

/// Remembers what a person would hear.
#[derive(Debug, Default)]
struct Told(Mutex<Vec<Notice>>);

impl Notifier for Told {
    fn notify(&self, notice: Notice) {
        self.0.lock().unwrap().push(notice);
    }
}

impl Told {
    fn of(&self, event: Event) -> Vec<String> {
        self.0.lock().unwrap().iter().filter(|notice| notice.event == event).map(|notice| notice.text.clone()).collect()
    }
}

/// The task `watch` is the freeze check, the others do this work.
fn watched(house: &House, told: &Arc<Told>, work: Own) -> Own {
    let (watch, told) = (Arc::new(WatchRuns::new(house.store.clone())), Arc::clone(told));
    Own::new(move |ctx| {
        if ctx.instance.task.as_str() != "watch" {
            return (work.0)(ctx);
        }
        let (watch, ctx) = (Arc::clone(&watch), AttemptContext { notifier: told.clone(), ..ctx.clone() });
        Box::pin(async move { watch.run(&ctx).await })
    })
}

/// Runs the freeze check once, and says what it said.
async fn look(house: &House, running: &Running) -> String {
    let run = RunId(running.control.trigger("watch".to_owned(), false).await.unwrap()[0].run.unwrap());
    let ended = |row: &HistoryRow| row.run == run && matches!(row.state, RowState::Ended { .. });
    let row = house.wait_for_row("watch", "has looked", ended).await;
    assert_eq!(row.state, RowState::Ended { end: RunEnd::Succeeded, by: None }, "{row:?}");
    row.text.unwrap_or_default()
}

/// Looks again and again until it says so.
async fn look_until(house: &House, running: &Running, words: &str) -> String {
    let since = Instant::now();
    loop {
        let said = look(house, running).await;
        if said.contains(words) {
            return said;
        }
        assert!(since.elapsed() < LIMIT, "waited in vain for `{words}`: {said}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Hangs until it is told to stop.
fn hang(ctx: &AttemptContext) -> BoxFuture<'_, Result<Report, HandlerError>> {
    Box::pin(async {
        ctx.cancel.cancelled().await;
        Err(HandlerError::Cancelled)
    })
}

/// Counts up for as long as it is not told to stop.
fn count(ctx: &AttemptContext) -> BoxFuture<'_, Result<Report, HandlerError>> {
    Box::pin(async {
        for done in 1.. {
            ctx.progress.set_done(done);
            if ctx.cancel.run_until_cancelled(tokio::time::sleep(Duration::from_millis(100))).await.is_none() {
                break;
            }
        }
        Err(HandlerError::Cancelled)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_hangs_is_replaced_within_its_limit_and_one_that_makes_progress_is_left_alone() {
    let (house, told) = (House::new(), Arc::new(Told::default()));
    let hung = AtomicBool::new(false);
    let work = Own::new(move |ctx| match ctx.instance.task.as_str() {
        "stuck" if !hung.swap(true, Ordering::SeqCst) => hang(ctx),
        "stuck" => done(),
        _ => count(ctx),
    });
    let tasks = "tasks:
  stuck: { handler: own, schedule: '@start', grace: 1s }
  busy: { handler: own, schedule: '@start' }
  watch: { handler: watch_runs, with: { no_progress: 3s, repair: true } }
";
    let running = house.start(tasks, watched(&house, &told, work)).await;
    let since = Instant::now();
    let first = house.wait_for_row("stuck", "runs", |row| row.state == RowState::Running).await;
    house.wait_for_row("busy", "runs", |row| row.state == RowState::Running).await;
    assert!(look(&house, &running).await.starts_with("all well: 2 open runs"), "nothing is wrong yet");
    let said = look_until(&house, &running, "was started again").await;
    let took = since.elapsed();
    println!("found and replaced after {took:?}: {said}");
    assert!(Duration::from_secs(3) <= took && took < Duration::from_secs(9), "{took:?}");
    assert!(said.contains(&format!("run {} of stuck has made no progress for 3s", first.run)) && !said.contains("busy"), "{said}");
    house.wait_for_end("stuck", RunEnd::Succeeded).await;
    let rows = house.rows("stuck").await;
    assert_eq!(rows[0].state, RowState::Ended { end: RunEnd::Cancelled, by: None });
    assert_eq!((house.rows("busy").await.len(), &house.rows("busy").await[0].state), (1, &RowState::Running));
    assert_eq!(told.of(Event::Frozen).len(), 1, "{told:?}");
    let status = running.control.status().await.unwrap();
    assert!(status.runs.iter().all(|run| run.still_s.is_some_and(|still| still < 3.0)), "{:?}", status.runs);
    assert!(running.stop().await.in_time);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_freezes_again_and_again_is_repaired_as_often_as_it_may_and_then_left_to_a_person() {
    let (house, told) = (House::new(), Arc::new(Told::default()));
    let tasks = "tasks:
  stuck: { handler: own, schedule: '@start' }
  watch: { handler: watch_runs, with: { no_progress: 1s, repair: true, max_repairs: 2 } }
";
    let running = house.start(tasks, watched(&house, &told, Own::new(hang))).await;
    house.wait_for_row("stuck", "runs", |row| row.state == RowState::Running).await;
    look_until(&house, &running, "stuck is left to a person").await;
    look_until(&house, &running, "stuck is left to a person").await;
    let rows = house.rows("stuck").await;
    assert_eq!(rows.len(), 3, "the first, and two repairs: {rows:?}");
    assert_eq!(rows[2].state, RowState::Running);
    assert_eq!(told.of(Event::Frozen).len(), 3, "each of them once: {told:?}");
    assert!(running.stop().await.in_time);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_never_succeeds_is_told_of_once_until_that_changes() {
    let (house, told) = (House::new(), Arc::new(Told::default()));
    let tasks = "tasks:
  sync: { handler: own }
  left: { handler: own }
  watch: { handler: watch_runs, with: { success_within: { sync: 1s, left: 1s, watch: 1s }, ignore: [left] } }
";
    let running = house.start(tasks, watched(&house, &told, Own::new(|_| done()))).await;
    look_until(&house, &running, "sync has not succeeded since taskrun started").await;
    for _ in 0..3 {
        look(&house, &running).await;
    }
    assert_eq!(told.of(Event::Overdue).len(), 1, "{told:?}");
    running.control.trigger("sync".to_owned(), false).await.unwrap();
    house.wait_for_end("sync", RunEnd::Succeeded).await;
    let said = look_until(&house, &running, "sync last succeeded at").await;
    assert!(!said.contains("left") && !said.contains("watch"), "{said}");
    assert_eq!(told.of(Event::Overdue).len(), 2, "{told:?}");
    assert_eq!(house.rows("sync").await.len(), 1, "without `repair` nothing is started");
    assert!(running.stop().await.in_time);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_overdue_and_does_not_run_is_started() {
    let (house, told) = (House::new(), Arc::new(Told::default()));
    let tasks = "tasks:
  sync: { handler: own }
  watch: { handler: watch_runs, with: { success_within: { sync: 1s }, repair: true } }
";
    let running = house.start(tasks, watched(&house, &told, Own::new(|_| done()))).await;
    look_until(&house, &running, "sync was started again as run").await;
    house.wait_for_end("sync", RunEnd::Succeeded).await;
    assert!(running.stop().await.in_time);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_a_source_whose_worker_stopped_are_told_of_and_those_that_wait_are_not() {
    let (house, told) = (House::new(), Arc::new(Told::default()));
    let running = house.start("tasks:\n  watch: { handler: watch_runs }\n", watched(&house, &told, Own::new(hang))).await;
    let store = rusqlite::Connection::open(house.dir.path().join("taskrun.db")).unwrap();
    let job = "INSERT INTO queue (kind, platform, account, subject, state, priority, scheduled_at_ms, run, generation, lease_until_ms, created_at_ms)
               VALUES ('check', 'mercari', 'amazon_main', ?1, ?2, 5, 0, ?3, ?3, ?3, 0)";
    store.execute(job, rusqlite::params!["SKU-1", "pending", None::<i64>]).unwrap();
    assert!(look(&house, &running).await.starts_with("all well"), "it waits for its turn");
    store.execute(job, rusqlite::params!["SKU-2", "uploading", Some(1)]).unwrap();
    let said = look(&house, &running).await;
    assert!(said.contains("1 items of mercari (check) are in nobody's hands"), "{said}");
    assert_eq!(told.of(Event::Frozen).len(), 1, "{told:?}");
    assert!(running.stop().await.in_time);
}
