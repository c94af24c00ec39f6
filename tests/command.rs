//! The handler `command`, with real processes: what they print, how they end, and that nothing of them is left.
#![cfg(test)]
#![cfg(unix)]
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use taskrun::{
    children::{boot_id, group_lives, kill_groups, start_time},
    clock::{BoxFuture, Clock, SystemClock},
    core::{
        task::{Backoff, CatchUp, Generation, Instance, OnLost, Overlap, RetryPolicy, RunId},
        timing::Timing,
        value::{Params, Value},
    },
    handlers::{Access, AttemptContext, Children, Handler, HandlerError, Plan, Progress, Report, command::Command},
    notify::LogNotifier,
    observe::log::{self, LogSettings},
    store::{ChildGroup, Fence},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// No test waits longer than this for anything.
const LIMIT: Duration = Duration::from_secs(20);

/// Remembers children in memory, or refuses to.
#[derive(Debug, Default)]
struct Remembered {
    marker: String,
    refuses: bool,
    groups: Mutex<Vec<ChildGroup>>,
}

impl Children for Remembered {
    fn record(&self, child: ChildGroup) -> BoxFuture<'_, Result<(), HandlerError>> {
        self.groups.lock().unwrap().push(child);
        let answer =
            if self.refuses { Err(HandlerError::Transient { message: "not recorded".to_owned(), retry_after: None }) } else { Ok(()) };
        Box::pin(std::future::ready(answer))
    }

    fn marker(&self) -> &str {
        &self.marker
    }
}

/// A folder, an attempt in it, and its log.
struct Bench {
    dir: TempDir,
    params: Params,
    children: Arc<Remembered>,
    cancel: CancellationToken,
    access: Access,
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn bench(run: &[&str]) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let mut params = Params::default();
    params.0.insert("run".into(), Value::List(run.iter().map(|word| text(word)).collect()));
    let marker = format!("test-{:x}", fastrand::u64(..));
    let fence = Fence { instance: "report".into(), run: RunId(7), generation: Generation(1) };
    Bench {
        dir,
        params,
        children: Arc::new(Remembered { marker, ..Remembered::default() }),
        cancel: CancellationToken::new(),
        access: Access::Live(fence),
    }
}

fn script(script: &str) -> Bench {
    bench(&["/bin/sh", "-c", script])
}

impl Bench {
    fn with(mut self, key: &str, value: Value) -> Self {
        self.params.0.insert(key.into(), value);
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn instance() -> Instance {
        let zero = SignedDuration::ZERO;
        let timing = Timing {
            schedules: Vec::new(),
            zone: TimeZone::UTC,
            zone_name: "UTC".into(),
            hours: None,
            calendar: None,
            defer: false,
            splay: zero,
        };
        Instance {
            name: "report".into(),
            task: "report".into(),
            account: None,
            handler: "command".into(),
            enabled: true,
            timing,
            catch_up: CatchUp::Latest,
            start_deadline: None,
            overlap: Overlap::LastWins,
            locks: Vec::new(),
            lock_wait: zero,
            retries: RetryPolicy { max: 0, delay: zero, backoff: Backoff::Fixed, max_delay: zero, jitter: 0.0 },
            timeout: None,
            deadline: None,
            grace: zero,
            takeover: zero,
            on_lost: OnLost::Close,
            resumable: false,
            parks: true,
            needs: Vec::new(),
            after_success: Vec::new(),
            with: Params::default(),
        }
    }

    fn context(&self) -> AttemptContext {
        AttemptContext {
            run: RunId(7),
            attempt: 2,
            generation: Some(Generation(1)),
            instance: Arc::new(Self::instance()),
            params: self.params.clone(),
            fire_at: Timestamp::UNIX_EPOCH,
            closes_at: None,
            cancel: self.cancel.clone(),
            progress: Progress::default(),
            clock: SystemClock::start(),
            access: self.access.clone(),
            base_dir: self.dir.path().to_owned(),
            children: self.children.clone(),
            notifier: Arc::new(LogNotifier),
            overseer: Arc::new(taskrun::handlers::overseer::Nobody),
        }
    }

    /// Starts the attempt on a thread of its own, as the engine does.
    fn start(&self) -> tokio::task::JoinHandle<Result<Report, HandlerError>> {
        let ctx = self.context();
        let settings = LogSettings { dir: Some(self.path("logs")), console: false, max_size: 100_000_000, ..LogSettings::default() };
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            let (subscriber, _guard) = log::start(settings, ctx.clock.clone());
            tracing::subscriber::with_default(subscriber, || {
                log::attempt_span(&ctx.instance.name, ctx.run, ctx.attempt)
                    .in_scope(|| runtime.block_on(async { Command::default().run(&ctx).await }))
            })
        })
    }

    async fn run(&self) -> Result<Report, HandlerError> {
        tokio::time::timeout(LIMIT, self.start()).await.expect("the attempt takes too long").unwrap()
    }

    /// What the log shows at a level, without the times.
    fn logged(&self, level: &str) -> Vec<String> {
        let marker = format!("[{level}] report#7: ");
        let log = fs::read_to_string(self.path("logs/report.log")).unwrap_or_default();
        log.lines().filter_map(|line| Some(line.split_once(&marker)?.1.to_owned())).collect()
    }

    fn group(&self) -> ChildGroup {
        self.children.groups.lock().unwrap().first().unwrap().clone()
    }

    /// The pid that a script wrote into a file.
    async fn pid(&self, name: &str) -> u32 {
        let path = self.path(name);
        until(|| fs::read_to_string(&path).is_ok_and(|pid| pid.ends_with('\n'))).await;
        self.read(name).trim().parse().unwrap()
    }
}

async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, waiting).await.expect("what was waited for did not come");
}

/// A process that ended and that nobody has waited for does not live.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn message(result: Result<Report, HandlerError>) -> String {
    match result.unwrap_err() {
        HandlerError::Transient { message, .. } => format!("transient: {message}"),
        HandlerError::Permanent { message } => format!("permanent: {message}"),
        HandlerError::NotYet { message, .. } => format!("not yet: {message}"),
        HandlerError::Cancelled => "cancelled".to_owned(),
        HandlerError::Fenced => "fenced".to_owned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn output_goes_to_the_log_and_its_last_line_is_the_summary() {
    let bench = script("echo one; echo 三脚; echo trouble >&2; printf 'no line feed'");
    assert_eq!(bench.run().await.unwrap().summary, "no line feed");
    assert_eq!(bench.logged("INFO"), ["one", "三脚", "no line feed"]);
    assert_eq!(bench.logged("WARN"), ["trouble"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_is_in_the_log_before_the_program_ends() {
    let bench = script("echo early; while [ ! -e go ]; do sleep 0.01; done");
    let running = bench.start();
    until(|| bench.logged("INFO") == ["early"]).await;
    fs::write(bench.path("go"), "").unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn acceptance_01_ten_megabytes_of_broken_shift_jis_and_emoji_on_both_pipes_are_complete() {
    let mut data = Vec::new();
    while data.len() < 10 << 20 {
        // Shift-JIS text, half characters, bytes that are wrong in every encoding, and emoji in UTF-8.
        data.extend(b"\x8eO\x8br 1.2m \x83J\x83\x81\x83\x89\x97p \xff\xfe\x80 \x82");
        data.extend((0..fastrand::usize(..120)).map(|_| fastrand::u8(0x80..)));
        data.extend(format!(" 😀👨‍👩‍👧 {}\n", data.len()).as_bytes());
    }
    let bench = script("cat data & cat data >&2; wait");
    fs::write(bench.path("data"), &data).unwrap();
    bench.run().await.unwrap();
    let expected: Vec<String> = String::from_utf8_lossy(&data).lines().map(escaped).collect();
    for level in ["INFO", "WARN"] {
        let logged = bench.logged(level);
        assert_eq!(logged.len(), expected.len(), "lines at {level}");
        assert!(logged == expected, "a line at {level} was changed");
    }
}

/// As the log writes what would end a line, move the cursor or turn the text around.
fn escaped(line: &str) -> String {
    line.chars()
        .map(|c| {
            if (c.is_control() && c != '\t') || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                c.escape_default().to_string()
            } else {
                c.to_string()
            }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_without_end_is_shown_in_pieces_and_loses_nothing() {
    let bench = script("cat data");
    let line = "脚".repeat(100_000);
    fs::write(bench.path("data"), &line).unwrap();
    bench.run().await.unwrap();
    let pieces = bench.logged("INFO");
    assert_eq!(pieces.len(), 5);
    assert!(pieces.concat() == line, "a character was cut");
}

#[tokio::test(flavor = "multi_thread")]
async fn output_over_its_cap_keeps_beginning_and_end() {
    let bench = script("i=0; while [ $i -lt 10000 ]; do echo line $i; i=$((i+1)); done").with("output_cap", Value::Size(1_000));
    assert_eq!(bench.run().await.unwrap().summary, "line 9999");
    let lines = bench.logged("INFO");
    assert_eq!((lines.first().unwrap().as_str(), lines.last().unwrap().as_str()), ("line 0", "line 9999"));
    let shown: usize = lines.iter().map(|line| line.len() + 1).sum();
    assert!((900..=1_000).contains(&shown), "{shown} bytes");
    let whole: usize = (0..10_000).map(|i| format!("line {i}\n").len()).sum();
    assert!(bench.logged("WARN").contains(&format!("{} bytes of output were left out here (`output_cap`)", whole - shown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_output_is_capped_drained_and_can_be_stopped() {
    let bench = script("echo $$ > pid; while :; do cat block; done").with("output_cap", Value::Size(100_000));
    fs::write(bench.path("block"), "x".repeat(99_999) + "\n").unwrap();
    let running = bench.start();
    until(|| bench.logged("WARN").len() == 1).await;
    // It is never held up: what it prints beyond the cap is read and counted.
    let pid = bench.pid("pid").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(lives(pid));
    bench.cancel.cancel();
    assert_eq!(message(running.await.unwrap()), "cancelled");
    let left_out: u64 = bench.logged("WARN").last().unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(left_out > 1_000_000, "only {left_out} bytes were read");
    assert!(fs::metadata(bench.path("logs/report.log")).unwrap().len() < 200_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_arguments_full_of_metacharacters_arrive_byte_by_byte() {
    let odd = "$(reboot) `reboot` ; & | < > * ? [a] {a,b} ~ # ! ' \" \\ \n \t \u{1} 三脚 %s -n --";
    let characters: Vec<char> = odd.chars().collect();
    let arguments: Vec<String> =
        (0..100).map(|_| (0..fastrand::usize(..30)).map(|_| characters[fastrand::usize(..characters.len())]).collect()).collect();
    let mut run = vec!["/bin/sh", "-c", "for argument; do printf '%s\\0' \"$argument\"; done > got", "sh"];
    run.extend(arguments.iter().map(String::as_str));
    let bench = bench(&run);
    bench.run().await.unwrap();
    assert_eq!(bench.read("got"), arguments.join("\0") + "\0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_runs_a_script_line_when_asked() {
    let bench = bench(&["echo $1 | tr a-z A-Z", "hello"]).with("shell", Value::Bool(true));
    assert_eq!(bench.run().await.unwrap().summary, "HELLO");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_is_ours_and_the_tasks_and_says_which_run_it_is() {
    let env = [("GREETING", "おはよう"), ("TASKRUN_RUN", "forged"), ("NOTIFY_SOCKET", "their.own")];
    let env = Params(env.into_iter().map(|(name, value)| (name.into(), text(value))).collect());
    let bench = script("echo \"$GREETING $NOTIFY_SOCKET $TASKRUN_RUN $TASKRUN_TASK $TASKRUN_INSTANCE $TASKRUN_FIRE_AT $TASKRUN_ATTEMPT $TASKRUN_PROCESS\"; test -n \"$PATH\"; cat")
        .with("env", Value::Table(env));
    let expected = format!("おはよう their.own 7 report report 1970-01-01T00:00:00Z 2 {}:7:2", bench.children.marker);
    assert_eq!(bench.run().await.unwrap().summary, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn relative_paths_are_beside_the_file_or_in_cwd() {
    let write = |path: &Path| {
        fs::write(path, "#!/bin/sh\npwd\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let beside = bench(&["./where.sh"]);
    write(&beside.path("where.sh"));
    assert_eq!(beside.run().await.unwrap().summary, beside.dir.path().canonicalize().unwrap().to_str().unwrap());
    let below = bench(&["./where.sh"]).with("cwd", text("sub"));
    fs::create_dir(below.path("sub")).unwrap();
    write(&below.path("sub/where.sh"));
    assert!(below.run().await.unwrap().summary.ends_with("/sub"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_names_the_exit_status_and_the_last_words() {
    assert_eq!(message(script("echo fine; echo 'no such shop' >&2; exit 3").run().await), "transient: exit status 3: no such shop");
    assert_eq!(message(script("exit 4").run().await), "transient: exit status 4");
    assert_eq!(message(script("kill -KILL $$").run().await), "transient: killed by signal 9 (SIGKILL)");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why_and_what_to_do() {
    let refused =
        |message: String, part: &str| assert!(message.starts_with("permanent: failed to start `") && message.contains(part), "{message}");
    refused(message(bench(&["no-such-program"]).run().await), "no folder in PATH has it");
    refused(message(bench(&["./no-such-program"]).run().await), "there is no such file");
    refused(message(bench(&["echo hello"]).run().await), "`shell: true`");
    refused(message(bench(&["true"]).with("cwd", text("missing")).run().await), "the working directory");
    refused(message(bench(&["true", "a\0b"]).run().await), "a zero byte");
    let file = bench(&["./report"]);
    fs::write(file.path("report"), "#!/no/such/interpreter\n").unwrap();
    refused(message(file.run().await), "chmod +x");
    fs::set_permissions(file.path("report"), fs::Permissions::from_mode(0o755)).unwrap();
    refused(message(file.run().await), "interpreter");
    assert_eq!(message(bench(&[]).run().await), "permanent: `run` is empty: it needs a program");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_starts_nothing_and_notes_what_it_would_have_started() {
    let plan = Plan::default();
    let mut bench = bench(&["touch", "it's here"]);
    bench.access = Access::Dry(plan.clone());
    bench.run().await.unwrap();
    assert!(!bench.path("it's here").exists());
    let planned = plan.planned();
    let [only] = planned.as_slice() else { panic!("{planned:?}") };
    assert_eq!((only.kind, only.target.as_str()), ("command", "report"));
    assert_eq!(only.change, format!("run `touch 'it'\\''s here'` in {}", bench.dir.path().display()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_child_is_recorded_as_the_kernel_knows_it() {
    let bench = script("while [ ! -e go ]; do sleep 0.01; done");
    let running = bench.start();
    until(|| !bench.children.groups.lock().unwrap().is_empty()).await;
    let group = bench.group();
    assert_eq!((group.run, Some(group.start_time), &group.boot_id), (RunId(7), start_time(group.pgid), &boot_id()));
    fs::write(bench.path("go"), "").unwrap();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_could_not_be_recorded_is_killed() {
    let mut bench = script("sleep 60");
    bench.children = Arc::new(Remembered { refuses: true, marker: bench.children.marker.clone(), ..Remembered::default() });
    assert_eq!(message(bench.run().await), "transient: not recorded");
    assert!(!group_lives(bench.group().pgid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_told_to_stop_may_finish() {
    let bench = script("trap 'echo bye; exit 0' TERM; echo $$ > pid; while :; do sleep 0.01; done");
    let running = bench.start();
    bench.pid("pid").await;
    bench.cancel.cancel();
    assert_eq!(message(running.await.unwrap()), "cancelled");
    assert_eq!(bench.logged("INFO"), ["bye"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_ignores_sigterm_ends_when_its_group_is_killed() {
    let bench = script("trap '' TERM; echo $$ > pid; sleep 60");
    let running = bench.start();
    let pid = bench.pid("pid").await;
    bench.cancel.cancel();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(lives(pid) && !running.is_finished());
    assert_eq!(kill_groups(&[bench.group()]), 1);
    assert_eq!(message(tokio::time::timeout(Duration::from_secs(3), running).await.unwrap().unwrap()), "cancelled");
    until(|| !group_lives(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_program_hears_that_it_is_to_end() {
    let bench = script("echo $$ > pid; kill -STOP $$; sleep 60");
    let running = bench.start();
    bench.pid("pid").await;
    bench.cancel.cancel();
    assert_eq!(message(tokio::time::timeout(LIMIT, running).await.unwrap().unwrap()), "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grandchild_in_the_group_ends_with_its_run_even_if_it_ignores_sigterm() {
    let bench = script("(trap '' TERM; exec sleep 60) & echo $! > pid; echo done");
    let clock = SystemClock::start();
    assert_eq!(bench.run().await.unwrap().summary, "done");
    assert!(clock.now().uptime < SignedDuration::from_secs(3), "the grandchild held the pipes");
    let pid = bench.pid("pid").await;
    until(|| !lives(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grandchild_that_left_the_group_is_found_by_its_marker() {
    // It holds the pipes as well, and ignores SIGTERM.
    let bench = script("setsid sh -c 'trap \"\" TERM; echo $$ > pid; exec sleep 60' & while [ ! -s pid ]; do sleep 0.01; done; echo done");
    let clock = SystemClock::start();
    assert_eq!(bench.run().await.unwrap().summary, "done");
    assert!(clock.now().uptime < SignedDuration::from_secs(3), "the grandchild held the pipes");
    let pid = bench.pid("pid").await;
    assert_ne!(pid, bench.group().pgid);
    until(|| !lives(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_program_takes_those_who_left_its_group_with_it() {
    let bench = script("setsid sh -c 'trap \"\" TERM; echo $$ > pid; exec sleep 60' & sleep 60");
    let running = bench.start();
    let pid = bench.pid("pid").await;
    bench.cancel.cancel();
    assert_eq!(message(running.await.unwrap()), "cancelled");
    until(|| !lives(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_left_behind_is_told_from_its_retry() {
    let first = script("setsid sh -c 'echo $$ > pid; exec sleep 60' & while [ ! -s pid ]; do sleep 0.01; done");
    first.run().await.unwrap();
    let left = first.pid("pid").await;
    let mut ctx = first.context();
    ctx.attempt += 1;
    ctx.params.0.insert("run".into(), Value::List(vec![text("sleep"), text("1")]));
    Command::default().run(&ctx).await.unwrap();
    until(|| !lives(left)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_dropped_leaves_nothing() {
    let bench = script("echo $$ > pid; sleep 60");
    let ctx = bench.context();
    let attempt = tokio::spawn(async move { Command::default().run(&ctx).await });
    let pid = bench.pid("pid").await;
    attempt.abort();
    until(|| !lives(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_has_no_input_to_wait_for() {
    assert_eq!(script("cat; echo end").run().await.unwrap().summary, "end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written_fails_no_program() {
    let bench = script("echo hello");
    fs::write(bench.path("logs"), "a file where the folder should be").unwrap();
    assert_eq!(bench.run().await.unwrap().summary, "hello");
}
