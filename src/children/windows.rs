//! Children under Windows: each run's are in a job object. The kernel ends it as a whole when we say so, and when this process is gone, however it
//! went: what a dead taskrun left behind is nothing.
use std::{collections::BTreeSet, io, path::Path, process::ExitStatus, sync::Arc};

use process_wrap::tokio::{ChildWrapper, CommandWrap, CreationFlags, JobObject, KillOnDrop};
use tokio::process::{ChildStderr, ChildStdout, Command};
use windows::Win32::System::Threading::CREATE_NO_WINDOW;

use super::{MARKER, Push};
use crate::{core::task::RunId, store::ChildGroup};

/// A script line for cmd.exe, as a program and its arguments; or why it can't be one.
pub fn script(line: &str, words: &[Arc<str>]) -> Result<(Arc<str>, Vec<Arc<str>>), &'static str> {
    if !words.is_empty() {
        return Err("a script line has no arguments under Windows; write them into it");
    }
    // What YAML leaves behind a block is no second line.
    let line = line.trim_end();
    if line.contains(['\r', '\n']) {
        return Err(
            "cmd.exe would run the first line of the script alone; join its lines by ` && `, or put them into a .bat file and run that",
        );
    }
    Ok(("cmd.exe".into(), ["/d", "/s", "/c", line].map(Arc::from).to_vec()))
}

/// A command over a program and its arguments. Those of a script line go as they are: cmd.exe has its own way to quote. A program that is named
/// by a path is looked for from the working directory, as under Unix.
pub fn command(program: &str, arguments: &[Arc<str>], is_script: bool, cwd: &Path) -> Command {
    let by_path = Path::new(program).components().nth(1).is_some();
    let mut command = if by_path { Command::new(cwd.join(program)) } else { Command::new(program) };
    match arguments.split_last() {
        Some((line, flags)) if is_script => command.args(flags.iter().map(AsRef::<str>::as_ref)).raw_arg(format!("\"{line}\"")),
        _ => command.args(arguments.iter().map(AsRef::<str>::as_ref)),
    };
    command.current_dir(cwd);
    command
}

/// A running child with all its descendants. Dropped before its end, they are killed: an attempt that panics leaves nothing behind.
#[derive(Debug)]
pub struct Group {
    child: Box<dyn ChildWrapper>,
    pid: u32,
    marker: String,
}

impl Group {
    /// Starts the command in a job of its own. It belongs to the job before its first instruction, and has no window.
    ///
    /// # Errors
    /// It can't be started.
    pub fn spawn(mut command: Command, marker: String) -> io::Result<Self> {
        command.env(MARKER, &marker);
        let mut command = CommandWrap::from(command);
        let child = command.wrap(CreationFlags(CREATE_NO_WINDOW)).wrap(KillOnDrop).wrap(JobObject).spawn()?;
        let pid = child.id().unwrap_or(0);
        Ok(Self { child, pid, marker })
    }

    /// The pipes that were asked for and not taken yet.
    pub fn pipes(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout().take(), self.child.stderr().take())
    }

    /// What the store keeps of it. Nobody will have to look for it: the job ends with this process.
    pub fn recorded(&self, run: RunId, boot_id: &str) -> ChildGroup {
        ChildGroup { run, pgid: self.pid, start_time: 0, boot_id: boot_id.to_owned() }
    }

    /// Waits for the end of the child itself. May be dropped and called again.
    ///
    /// # Errors
    /// The system does not tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        // The job's own wait is for all the descendants.
        self.child.inner_mut().wait().await
    }

    /// Ends all: programs of Windows hear nothing else.
    pub fn ask(&mut self) {
        self.kill();
    }

    /// Ends all.
    pub fn kill(&mut self) {
        if let Err(error) = self.child.start_kill() {
            tracing::debug!(%error, "a job could not be ended");
        }
    }

    /// Ends what is left; gives the marker back. The child itself has ended by now.
    pub async fn end(mut self, _all: bool) -> String {
        self.kill();
        std::mem::take(&mut self.marker)
    }
}

/// A text that only this process gives: what others recorded is nothing that we could kill.
pub fn boot_id() -> String {
    format!("process {}", std::process::id())
}

/// What names this process among all of this machine.
pub fn this_process() -> Arc<str> {
    boot_id().into()
}

/// Whether the process of that name is proved to have ended: nobody proves it here but the locks of the process records.
pub fn is_gone(_name: &str) -> bool {
    false
}

/// Kills recorded groups: the system did when their taskrun ended.
pub fn kill_groups(_groups: &[ChildGroup]) -> usize {
    0
}

/// Kills whoever carries a marker: nobody leaves a job.
pub fn kill_marked(_marker: &str) -> usize {
    0
}

/// Tells whoever carries one of these markers to end: nobody leaves a job.
pub fn push_marked(_markers: &BTreeSet<String>, _push: Push) -> BTreeSet<String> {
    BTreeSet::new()
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use super::*;

    fn started(line: &str) -> Group {
        let (program, arguments) = script(line, &[]).unwrap();
        let mut command = command(&program, &arguments, true, Path::new("."));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        Group::spawn(command, "children-1:7:1".to_owned()).unwrap()
    }

    async fn printed(group: &mut Group) -> String {
        let mut text = String::new();
        let (Some(mut pipe), _) = group.pipes() else { return text };
        tokio::io::AsyncReadExt::read_to_string(&mut pipe, &mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_script_line_reaches_cmd_as_it_was_written() {
        let mut group = started(r#"echo "a b" & echo %TASKRUN_PROCESS%"#);
        let text = printed(&mut group).await;
        assert!(text.contains("\"a b\"") && text.contains("children-1:7:1"), "{text}");
        assert!(group.wait().await.unwrap().success());
    }

    #[tokio::test]
    async fn a_script_of_which_cmd_would_run_the_first_line_alone_is_refused() {
        for script_of_lines in ["echo one\necho two", "echo one\r\necho two\r\n"] {
            assert!(script(script_of_lines, &[]).unwrap_err().contains(".bat"));
        }
        assert!(script("echo", &["word".into()]).is_err());
        let text = printed(&mut started("echo one& echo two\n")).await;
        assert_eq!(text.lines().collect::<Vec<_>>(), ["one", "two"], "a line feed at the end makes no second line");
    }
}
