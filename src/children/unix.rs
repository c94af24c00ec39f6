//! Children under Unix: process groups and signals, and /proc for those who left their group. Where there is no /proc, groups are all we can end.
use std::{collections::BTreeSet, fs, io, os::unix::fs::MetadataExt, path::Path, process::ExitStatus, sync::Arc, time::Duration};

use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group, test_kill_process_group};
use tokio::{
    process::{Child, ChildStderr, ChildStdout, Command},
    time::sleep,
};

use super::{MARKER, Push};
use crate::{core::task::RunId, store::ChildGroup};

/// What whoever is left in the process group gets between SIGTERM and SIGKILL once the program itself has ended.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// How often we look whether a group is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// More environment than the kernel lets anybody have by default; what lies behind it is not looked at.
const ENVIRONMENT_MAX: usize = 4 << 20;

/// A script for the shell, with its arguments, as a program and its arguments; or why it can't be one, which no script is here.
pub fn script(line: &str, words: &[Arc<str>]) -> Result<(Arc<str>, Vec<Arc<str>>), &'static str> {
    Ok(("/bin/sh".into(), ["-c", line, "sh"].map(Arc::from).into_iter().chain(words.iter().cloned()).collect()))
}

/// A command over a program and its arguments.
pub fn command(program: &str, arguments: &[Arc<str>], _is_script: bool, cwd: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(arguments.iter().map(AsRef::<str>::as_ref)).current_dir(cwd);
    command
}

/// The process group of a running child. Dropped before its end, it is killed: an attempt that panics leaves nothing behind.
#[derive(Debug)]
pub struct Group {
    child: Child,
    pgid: u32,
    marker: String,
    over: bool,
}

impl Group {
    /// Starts the command as the leader of a group of its own.
    ///
    /// # Errors
    /// It can't be started.
    pub fn spawn(mut command: Command, marker: String) -> io::Result<Self> {
        let child = command.env(MARKER, &marker).process_group(0).spawn()?;
        // A child that nobody has waited for has its id; 0 is nobody's group.
        let pgid = child.id().unwrap_or(0);
        Ok(Self { child, pgid, marker, over: false })
    }

    /// The pipes that were asked for and not taken yet.
    pub fn pipes(&mut self) -> (Option<ChildStdout>, Option<ChildStderr>) {
        (self.child.stdout.take(), self.child.stderr.take())
    }

    /// What the store keeps of it.
    pub fn recorded(&self, run: RunId, boot_id: &str) -> ChildGroup {
        ChildGroup { run, pgid: self.pgid, start_time: start_time(self.pgid).unwrap_or(0), boot_id: boot_id.to_owned() }
    }

    /// Waits for the end of the child itself. May be dropped and called again.
    ///
    /// # Errors
    /// The system does not tell.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Asks the group, and who left it, to end.
    pub fn ask(&mut self) {
        push_group(self.pgid, Push::Ask);
        push_marked(&BTreeSet::from([self.marker.clone()]), Push::Ask);
    }

    /// Kills the group.
    pub fn kill(&mut self) {
        push_group(self.pgid, Push::Kill);
    }

    /// Ends what is left of the group, and with `all` also who left it; gives the marker back. The leader has ended by now.
    pub async fn end(mut self, all: bool) -> String {
        if push_group(self.pgid, Push::Ask) {
            let gone = async {
                while group_lives(self.pgid) {
                    sleep(LOOK_AGAIN).await;
                }
            };
            if tokio::time::timeout(LEFTOVER_GRACE, gone).await.is_err() {
                push_group(self.pgid, Push::Kill);
            }
        }
        let marker = BTreeSet::from([self.marker.clone()]);
        if all && !push_marked(&marker, Push::Ask).is_empty() {
            sleep(LEFTOVER_GRACE).await;
            push_marked(&marker, Push::Kill);
        }
        self.over = true;
        std::mem::take(&mut self.marker)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.kill();
        }
    }
}

/// What names this boot of the machine. Where the system does not tell, it is a text that only this process gives, so that nobody else believes
/// what this process recorded.
pub fn boot_id() -> String {
    match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(id) => id.trim().to_owned(),
        Err(_) => format!("process {}", std::process::id()),
    }
}

/// When a process started, in clock ticks since boot. `None`: there is no such process, or no /proc.
pub fn start_time(pid: u32) -> Option<u64> {
    Some(stat(pid)?.start_time)
}

/// What names this process among all of this machine, for [`is_gone`].
pub fn this_process() -> Arc<str> {
    name_of(std::process::id()).into()
}

/// Whether the process of that name is proved to have ended. One of another boot or of another container may live, for all we know.
pub fn is_gone(name: &str) -> bool {
    let Some(pid) = name.rsplit_once(' ').and_then(|(rest, _)| rest.rsplit_once(' ')?.1.parse().ok()) else { return false };
    let known = |name: &str| name.rsplit_once(' ').and_then(|(rest, _)| Some(rest.rsplit_once(' ')?.0.to_owned()));
    let has_ended = || stat(pid).is_none_or(|stat| stat.ended) || name_of(pid) != name;
    has_proc() && known(name) == known(&name_of(pid)) && has_ended()
}

/// Boot, container, number and start of a process.
fn name_of(pid: u32) -> String {
    let container = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    format!("{} {} {pid} {}", boot_id(), container.display(), start_time(pid).unwrap_or(0))
}

/// Sends a signal to every member of a process group. False: it has none.
pub fn push_group(pgid: u32, push: Push) -> bool {
    let Some(pgid) = group(pgid) else { return false };
    match push {
        Push::Ask => kill_process_group(pgid, Signal::TERM).is_ok() && kill_process_group(pgid, Signal::CONT).is_ok(),
        Push::Kill => kill_process_group(pgid, Signal::KILL).is_ok(),
    }
}

/// Whether a process group has a living member. One that ended and that nobody waits for does not live, though the kernel counts it.
pub fn group_lives(pgid: u32) -> bool {
    let counted = group(pgid).is_some_and(|pgid| test_kill_process_group(pgid).is_ok());
    let lives = |pid: u32| stat(pid).is_some_and(|stat| stat.pgid == pgid && !stat.ended);
    counted && (lives(pgid) || !has_proc() || pids().into_iter().any(lives))
}

/// Kills the recorded groups that still are what was recorded: the same boot, and the leader with the same start time or, where the leader is
/// gone, a member with its run's marker. Gives back how many lived until then.
pub fn kill_groups(groups: &[ChildGroup]) -> usize {
    let boot_id = boot_id();
    let ours = |child: &&ChildGroup| child.boot_id == boot_id && is_still(child) && group_lives(child.pgid);
    groups.iter().filter(ours).filter(|child| push_group(child.pgid, Push::Kill)).count()
}

/// Whether the group with this number is still the one that was recorded. A number is not given out again while a group has it.
fn is_still(child: &ChildGroup) -> bool {
    match stat(child.pgid) {
        Some(leader) => leader.start_time == child.start_time,
        None if has_proc() => pids().into_iter().any(|pid| {
            let member = stat(pid).is_some_and(|stat| stat.pgid == child.pgid && stat.start_time >= child.start_time);
            member && marker_of(pid).is_some_and(|marker| marker.split(':').nth(1) == Some(child.run.to_string().as_str()))
        }),
        None => true,
    }
}

/// Kills every process that carries this marker, or one that begins with it and a colon; never ourselves. Gives back how many.
pub fn kill_marked(marker: &str) -> usize {
    let below = format!("{marker}:");
    push_each(Push::Kill, |carried| carried == marker || carried.starts_with(&below)).len()
}

/// Sends a signal to every process that carries one of these markers. Gives back the markers that were found.
pub fn push_marked(markers: &BTreeSet<String>, push: Push) -> BTreeSet<String> {
    push_each(push, |carried| markers.contains(carried)).into_iter().collect()
}

/// Sends a signal to every process of this user whose marker is wanted. Gives back the marker of each that was there to get it.
fn push_each(push: Push, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for pid in pids() {
        let Some(marker) = marker_of(pid).filter(|marker| wanted(marker)) else { continue };
        let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { continue };
        let sent = match push {
            Push::Ask => kill_process(target, Signal::TERM).and_then(|()| kill_process(target, Signal::CONT)),
            Push::Kill => kill_process(target, Signal::KILL),
        };
        if sent.is_ok() {
            found.push(marker);
        }
    }
    found
}

fn has_proc() -> bool {
    Path::new("/proc/self/stat").exists()
}

/// The processes of this user but for ourselves; none where there is no /proc.
fn pids() -> Vec<u32> {
    let (me, user) = (std::process::id(), geteuid().as_raw());
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pid = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let mine = |pid: &u32| *pid != me && fs::metadata(format!("/proc/{pid}")).is_ok_and(|meta| meta.uid() == user);
    entries.flatten().filter_map(pid).filter(mine).collect()
}

/// The marker in a process's environment. One that ended has none.
fn marker_of(pid: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let value =
        |entry: &[u8]| entry.strip_prefix(MARKER.as_bytes())?.strip_prefix(b"=").map(|value| String::from_utf8_lossy(value).into_owned());
    environment.get(..environment.len().min(ENVIRONMENT_MAX))?.split(|byte| *byte == 0).find_map(value)
}

/// What we read of /proc/PID/stat.
struct Stat {
    /// It is a zombie: ended, and not waited for.
    ended: bool,
    pgid: u32,
    start_time: u64,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The second field is the program's name in parentheses, and may itself hold spaces and parentheses. State is the first one behind it.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        ended: matches!(*fields.first()?, "Z" | "X"),
        pgid: fields.get(2)?.parse().ok()?,
        start_time: fields.get(19)?.parse().ok()?,
    })
}

/// A process group's number as the kernel wants it. 0 and 1 would mean ourselves or everybody.
fn group(pgid: u32) -> Option<Pid> {
    i32::try_from(pgid).ok().filter(|pgid| *pgid > 1).and_then(Pid::from_raw)
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::process::CommandExt,
        process::{Child, Command},
    };

    use super::{super::marker, *};

    /// Sleeps once it is a program of its own: just started, it still has no environment to be found by.
    fn sleeper(marker: &str) -> Child {
        let child = Command::new("sleep").arg("60").env(MARKER, marker).process_group(0).spawn().unwrap();
        let came_to_be = (0..1_000_000).any(|_| {
            std::thread::yield_now();
            marker_of(child.id()).is_some()
        });
        assert!(came_to_be);
        child
    }

    fn group_of(child: &Child) -> ChildGroup {
        ChildGroup { run: RunId(7), pgid: child.id(), start_time: start_time(child.id()).unwrap(), boot_id: boot_id() }
    }

    #[test]
    fn a_recorded_group_is_killed() {
        let mut child = sleeper(&marker("children-1", RunId(7), 1));
        assert_eq!(kill_groups(&[group_of(&child)]), 1);
        assert!(!child.wait().unwrap().success());
    }

    #[test]
    fn a_process_is_gone_when_it_has_ended_here_and_now() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let name = name_of(child.id());
        assert!(!is_gone(&name) && !is_gone(&this_process()));
        let (rest, start) = name.rsplit_once(' ').unwrap();
        assert!(is_gone(&format!("{rest} {}", start.parse::<u64>().unwrap() + 1)), "another process has its number");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&name));
        assert!(!is_gone(&name.replace(&boot_id(), "other")), "it may live on another machine");
        assert!(!is_gone("") && !is_gone("nonsense"));
    }

    #[test]
    fn a_group_of_another_start_or_boot_is_left_alone() {
        let mut child = sleeper(&marker("children-2", RunId(7), 1));
        let other_start = ChildGroup { start_time: 1, ..group_of(&child) };
        let other_boot = ChildGroup { boot_id: "other".to_owned(), ..group_of(&child) };
        assert_eq!(kill_groups(&[other_start, other_boot]), 0);
        assert_eq!(child.try_wait().unwrap(), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn members_of_a_group_whose_leader_is_gone_are_killed_if_they_carry_the_marker() {
        let mut leader = Command::new("sh")
            .args(["-c", "sleep 60 & exec sleep 0.1"])
            .env(MARKER, marker("children-3", RunId(7), 1))
            .process_group(0)
            .spawn()
            .unwrap();
        let recorded = group_of(&leader);
        leader.wait().unwrap();
        assert!(group_lives(recorded.pgid));
        assert_eq!(kill_groups(&[ChildGroup { run: RunId(8), ..recorded.clone() }]), 0, "another run's");
        assert_eq!(kill_groups(&[recorded]), 1);
    }

    #[test]
    fn a_marker_names_its_own_and_no_longer_one() {
        let mut ours = sleeper(&marker("children-4", RunId(1), 1));
        let mut other = sleeper(&marker("children-44", RunId(1), 1));
        assert_eq!(kill_marked("children-4"), 1);
        ours.wait().unwrap();
        assert_eq!(other.try_wait().unwrap(), None);
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn we_never_push_ourselves_or_everybody() {
        assert!(!push_group(0, Push::Kill));
        assert!(!push_group(1, Push::Kill));
        assert!(!push_group(u32::MAX, Push::Kill));
    }
}
