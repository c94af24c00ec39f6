//! The handler `command`: runs a program, shows what it prints, and leaves nothing of it behind.
//!
//! A program that has to outlive its run (a daemon that it starts) must be started in a session of its own and without the marker:
//! `env -u TASKRUN_PROCESS setsid PROGRAM`.
use std::{
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use self::{output::Output, sweeper::Sweeper};
use super::{AttemptContext, Handler, HandlerError, Planned, Report};
use crate::{
    children::{self, Group},
    clock::BoxFuture,
    config::keys::{HandlerSpec, Key, Kind},
    core::value::{Params, Value},
    os,
    shop::setting::shell_word,
};

mod output;
mod sweeper;

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "command",
    doc: "Runs a program and shows what it prints in the log.",
    params: &[
        Key {
            name: "run",
            kind: Kind::Words("shell"),
            required: true,
            doc: "The program and its arguments, one element each; no shell sees them. With `shell: true` a script line, then its arguments `$1`... (none under Windows).",
        },
        Key {
            name: "shell",
            kind: Kind::Bool,
            required: false,
            doc: "Whether /bin/sh (cmd.exe under Windows) runs the first element of `run`; default false.",
        },
        Key {
            name: "env",
            kind: Kind::Map(&Kind::Text),
            required: false,
            doc: "Environment variables beside those of taskrun itself; TASKRUN_RUN, _TASK, _INSTANCE, _FIRE_AT and _ATTEMPT are set as well.",
        },
        Key { name: "cwd", kind: Kind::Path, required: false, doc: "The working directory; default: the folder of tasks.yaml." },
        Key {
            name: "output_cap",
            kind: Kind::Size,
            required: false,
            doc: "How much output of an attempt goes to the log: its beginning and its end (half, at most 512KiB); the rest is counted; default 32MiB.",
        },
    ],
    retries: 0,
    resumable: false,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

/// How long the pipes are read on after the program's end: somebody outside the group may hold them for ever.
const PIPE_LINGER: Duration = Duration::from_secs(1);

/// Output that goes to the log unless `output_cap` says otherwise: as much as the log files of an instance hold in the end.
const OUTPUT_CAP: u64 = 32 << 20;

/// Runs programs.
#[derive(Debug)]
pub struct Command {
    boot_id: String,
    sweeper: Sweeper,
}

impl Default for Command {
    fn default() -> Self {
        Self { boot_id: children::boot_id(), sweeper: Sweeper::default() }
    }
}

impl Handler for Command {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.attempt(ctx))
    }
}

impl Command {
    async fn attempt(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let invocation = Invocation::read(ctx)?;
        if ctx.access.permit(|| invocation.planned(ctx)).is_none() {
            return Ok(Report { summary: format!("would run {invocation}") });
        }
        if ctx.cancel.is_cancelled() {
            return Err(HandlerError::Cancelled);
        }
        let marker = children::marker(ctx.children.marker(), ctx.run, ctx.attempt);
        let mut group = invocation.spawn(ctx, marker)?;
        let mut output = Output::of(group.pipes(), invocation.output_cap);
        let exited = CancellationToken::new();
        let linger = async {
            exited.cancelled().await;
            sleep(PIPE_LINGER).await;
        };
        let drain = async {
            tokio::select! {
                () = output.drain(|| ctx.progress.touch()) => (),
                () = linger => (),
            }
        };
        let (end, ()) = tokio::join!(self.follow(ctx, group, &exited), drain);
        let last_words = output.finish();
        match end? {
            End::Stopped => Err(HandlerError::Cancelled),
            End::Exited(status) if status.success() => Ok(Report { summary: last_words.stdout }),
            End::Exited(status) => Err(HandlerError::Transient { message: failure(status, &last_words.stderr), retry_after: None }),
        }
    }

    /// Records the child, waits for its end or stops it, then ends whatever it left behind. `exited` fires when the program itself has ended.
    async fn follow(&self, ctx: &AttemptContext, mut group: Group, exited: &CancellationToken) -> Result<End, HandlerError> {
        let recorded = tokio::select! {
            biased;
            () = ctx.cancel.cancelled() => Ok(()),
            recorded = ctx.children.record(group.recorded(ctx.run, &self.boot_id)) => recorded,
        };
        if recorded.is_err() {
            group.kill();
        }
        let by_itself = tokio::select! {
            biased;
            status = group.wait() => Some(status),
            () = ctx.cancel.cancelled() => None,
        };
        let stopped = by_itself.is_none();
        let status = if let Some(status) = by_itself {
            status
        } else {
            group.ask();
            group.wait().await
        };
        exited.cancel();
        let marker = group.end(stopped).await;
        if !stopped {
            self.sweeper.sweep(marker);
        }
        recorded?;
        let status = status.map_err(|error| transient(format!("failed to wait for the program: {error}")))?;
        Ok(if stopped { End::Stopped } else { End::Exited(status) })
    }
}

/// How a program's life ended.
enum End {
    /// By itself.
    Exited(ExitStatus),
    /// After we asked it to.
    Stopped,
}

fn failure(status: ExitStatus, last_line: &str) -> String {
    // Only a program killed by a signal has no code; the text is then `signal: 9 (SIGKILL)`.
    let end = status
        .code()
        .map_or_else(|| format!("killed by {}", status.to_string().replacen("signal:", "signal", 1)), |code| format!("exit status {code}"));
    if last_line.is_empty() { end } else { format!("{end}: {last_line}") }
}

fn transient(message: String) -> HandlerError {
    HandlerError::Transient { message, retry_after: None }
}

/// What is run, read from the parameters.
struct Invocation {
    program: Arc<str>,
    arguments: Vec<Arc<str>>,
    is_script: bool,
    environment: Vec<(Arc<str>, Arc<str>)>,
    cwd: PathBuf,
    output_cap: u64,
}

impl Invocation {
    fn read(ctx: &AttemptContext) -> Result<Self, HandlerError> {
        let params = &ctx.params;
        let mut words = words(params).into_iter();
        let Some(first) = words.next() else { return Err(permanent("`run` is empty: it needs a program".to_owned())) };
        let is_script = params.bool("shell").unwrap_or(false);
        let words: Vec<_> = words.collect();
        let (program, arguments) =
            if is_script { children::script(&first, &words).map_err(|why| permanent(why.to_owned()))? } else { (first, words) };
        let environment = params.table("env").into_iter().flat_map(|env| &env.0).filter_map(|(name, value)| match value {
            Value::Text(value) => Some((name.clone(), value.clone())),
            Value::Bool(_)
            | Value::Int(_)
            | Value::Decimal(_)
            | Value::Veiled(_)
            | Value::Duration(_)
            | Value::Size(_)
            | Value::List(_)
            | Value::Table(_) => None,
        });
        Ok(Self {
            program,
            arguments,
            is_script,
            environment: environment.collect(),
            cwd: params.text("cwd").map_or_else(|| ctx.base_dir.clone(), |cwd| ctx.base_dir.join(cwd)),
            output_cap: params.size("output_cap").unwrap_or(OUTPUT_CAP),
        })
    }

    fn planned(&self, ctx: &AttemptContext) -> Planned {
        let reason = format!("the task fires at {}", ctx.fire_at);
        Planned { kind: "command", target: ctx.instance.name.to_string(), change: format!("run {self}"), reason }
    }

    fn spawn(&self, ctx: &AttemptContext, marker: String) -> Result<Group, HandlerError> {
        let mut command = children::command(&self.program, &self.arguments, self.is_script, &self.cwd);
        command
            .env_remove("NOTIFY_SOCKET") // whoever looks after us is none of theirs
            .envs(self.environment.iter().map(|(name, value)| (&**name, &**value)))
            .env("TASKRUN_RUN", ctx.run.to_string())
            .env("TASKRUN_TASK", ctx.instance.task.as_str())
            .env("TASKRUN_INSTANCE", ctx.instance.name.as_str())
            .env("TASKRUN_FIRE_AT", ctx.fire_at.to_string())
            .env("TASKRUN_ATTEMPT", ctx.attempt.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Group::spawn(command, marker).map_err(|error| self.refused(&error))
    }

    /// Why the program could not be started, and what to do.
    fn refused(&self, error: &io::Error) -> HandlerError {
        let (program, cwd) = (&self.program, self.cwd.display());
        let named_by_path = Path::new(&**program).components().nth(1).is_some();
        let why = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory if !self.cwd.is_dir() => {
                format!("the working directory `{cwd}` is not there or may not be entered")
            }
            io::ErrorKind::NotFound if program.contains(char::is_whitespace) => {
                "no program has that name; write each argument as an element of its own, or set `shell: true`".to_owned()
            }
            io::ErrorKind::NotFound if !named_by_path => {
                "no folder in PATH has it; write its whole path, or set PATH under `env` (a service's PATH is often shorter than yours)"
                    .to_owned()
            }
            io::ErrorKind::NotFound if self.cwd.join(&**program).exists() => {
                "the interpreter in its first line (`#!`) is not there".to_owned()
            }
            io::ErrorKind::NotFound => format!("there is no such file (looked at from `{cwd}`)"),
            io::ErrorKind::PermissionDenied => "it is not executable for this user; `chmod +x` it".to_owned(),
            io::ErrorKind::InvalidInput => "the program, an argument or a variable holds a zero byte".to_owned(),
            io::ErrorKind::ArgumentListTooLong => "its arguments and environment are too long".to_owned(),
            _ if os::is_no_program(error) => "it is neither a program for this machine nor a script with a `#!` line".to_owned(),
            _ => return transient(format!("failed to start `{program}`: {error}")),
        };
        permanent(format!("failed to start `{program}`: {why}"))
    }
}

/// The words of `run`; the configuration turns a single text into a list of one.
fn words(params: &Params) -> Vec<Arc<str>> {
    let text = |value: &Value| if let Value::Text(text) = value { Some(text.clone()) } else { None };
    params.list("run").iter().filter_map(text).collect()
}

fn permanent(message: String) -> HandlerError {
    HandlerError::Permanent { message }
}

impl std::fmt::Display for Invocation {
    /// The command line as one would type it in a shell.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}", shell_word(&self.program))?;
        for argument in &self.arguments {
            write!(f, " {}", shell_word(argument))?;
        }
        write!(f, "` in {}", self.cwd.display())
    }
}
