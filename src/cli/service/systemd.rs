//! The service as a unit of systemd: the machine's, or a person's own.
use std::{
    io,
    os::unix::fs::MetadataExt as _,
    path::{Component, Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
};

use tokio::process::Command;

use super::{
    super::{
        exit::{Exit, Failure},
        place::Place,
    },
    InstallArgs, UninstallArgs, Which,
    notify_socket::NotifySocket,
    person::{Person, Right},
    unit::{HEAD, Unit},
};
use crate::{
    config::{Config, system_env},
    engine::supervisor::{Nobody, Supervisor},
    shop::setting::shell_word,
};

pub(super) const EXAMPLES: &str = "Examples:\n  \
    taskrun service install --dry-run      show what would be done\n  \
    sudo taskrun service install           for the whole machine\n  \
    taskrun service install --user         for yourself, without root\n  \
    taskrun service status";
pub(super) const INSTALL_EXAMPLES: &str =
    "Examples:\n  taskrun service install --dry-run\n  sudo taskrun service install --run-as shop\n  taskrun service install --user";

/// Where the machine's own units are; a unit here goes before the package's of the same name.
const UNITS: &str = "/etc/systemd/system";
/// Where packages put theirs.
const PACKAGED: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];
/// There as long as systemd runs the machine.
const BOOTED: &str = "/run/systemd/system";
/// The user where tasks.yaml is root's: a service needs no root.
const USER: &str = "taskrun";
/// Where a program belongs to the system, not to whoever runs a service: it isn't written to.
const SYSTEMS: [&str; 3] = ["/etc", "/usr", "/opt"];

/// One thing to do.
#[derive(Debug)]
enum Step {
    Write { path: PathBuf, text: String },
    Remove(PathBuf),
    Run(Vec<String>),
}

impl Step {
    fn systemctl(which: &Which, words: &[&str]) -> Self {
        let user = which.user.then_some("--user");
        Self::Run(["systemctl"].into_iter().chain(user).chain(words.iter().copied()).map(ToOwned::to_owned).collect())
    }
}

pub(super) async fn install(args: InstallArgs, place: &Place) -> Result<Exit, Failure> {
    let config = place.load_without_secrets()?;
    let unit = unit(&args, &config, place)?;
    let text = unit.text().map_err(|error| Failure::usage(error.to_string()))?;
    let (path, name) = (unit_file(&args.which)?, unit_name(&args.which));
    let there = ours(&path)?;
    let packaged = !args.which.user && there.is_none() && packaged(&name)?.as_deref() == Some(&*text);
    let mut steps = Vec::new();
    if let Some(user) = &unit.run_as {
        for folder in unit.unmanaged().filter(|folder| !folder.exists()) {
            let words = ["install", "-d", "-o", user, "-m", "0750", &folder.to_string_lossy()];
            steps.push(Step::Run(words.map(ToOwned::to_owned).to_vec()));
        }
    }
    if !packaged && there.as_deref() != Some(&*text) {
        steps.push(Step::Write { path: path.clone(), text: text.clone() });
        steps.extend(booted(&args.which).then(|| Step::systemctl(&args.which, &["daemon-reload"])));
        // One that runs already goes on with the unit before; `enable --now` would not start it again.
        let restart = there.is_some().then(|| Step::systemctl(&args.which, &["try-restart", &name]));
        steps.extend(restart.filter(|_| booted(&args.which)));
    }
    let now: &[&str] = if booted(&args.which) { &["enable", "--now", &name] } else { &["enable", &name] };
    steps.push(Step::systemctl(&args.which, now));
    if args.dry_run {
        place.screen.data(&text)?;
    }
    warn_of_closed_doors(&unit, place);
    perform(steps, args.dry_run, place).await?;
    if args.dry_run {
        return Ok(Exit::Done);
    }
    let begins =
        if booted(&args.which) { "and runs" } else { "; systemd does not run here, so it begins with the next start of the machine" };
    place.screen.say(&format!("{name} is installed {begins}"));
    if args.which.user {
        place.screen.say("it ends when you log out, unless `loginctl enable-linger` was said once");
    }
    Ok(Exit::Done)
}

pub(super) async fn uninstall(args: UninstallArgs, place: &Place) -> Result<Exit, Failure> {
    let (path, name) = (unit_file(&args.which)?, unit_name(&args.which));
    if ours(&path)?.is_none() {
        if !args.which.user && packaged(&name)?.is_some() {
            return Err(Failure::usage(format!("{name} came with a package, which takes it away again"))
                .advise("`apt remove taskrun`; or `systemctl disable --now taskrun`, which leaves it in place"));
        }
        place.screen.say(&format!("{name} is not installed"));
        return Ok(Exit::Done);
    }
    let disable: &[&str] = if booted(&args.which) { &["disable", "--now", &name] } else { &["disable", &name] };
    let mut steps = vec![Step::systemctl(&args.which, disable), Step::Remove(path.clone())];
    steps.extend(booted(&args.which).then(|| Step::systemctl(&args.which, &["daemon-reload"])));
    let refused = take_away(steps, args.dry_run, place).await?;
    if args.dry_run {
        return Ok(Exit::Done);
    }
    let link = wanted_by(&path, &args.which);
    if link.is_symlink() {
        perform(vec![Step::Remove(link)], false, place).await?;
    }
    place.screen.say(&format!("{name} is gone; tasks.yaml and its state are as they were"));
    if refused.is_empty() {
        return Ok(Exit::Done);
    }
    let user = if args.which.user { " --user" } else { "" };
    Err(Failure::told(Exit::Failed, format!("the unit is removed, but systemd was not told: {}", refused.join("; "))).advise(format!(
        "what runs of it goes on: `taskrun stop` ends it; and once systemd answers, `systemctl{user} daemon-reload` makes it forget the unit"
    )))
}

/// All steps, as far as they go: what systemd refuses (there may be no session to ask in) keeps nobody from taking the rest away. Gives what was refused.
async fn take_away(steps: Vec<Step>, dry: bool, place: &Place) -> Result<Vec<String>, Failure> {
    let mut refused = Vec::new();
    for step in steps {
        let asks = matches!(step, Step::Run(_));
        match perform(vec![step], dry, place).await {
            Err(failure) if asks => refused.push(failure.to_string()),
            Err(failure) if !refused.is_empty() => {
                let told = Failure::told(failure.exit(), format!("{failure}; and before that, {}", refused.join("; ")));
                return Err(if let Some(advice) = failure.advice() { told.advise(advice) } else { told });
            }
            done => done?,
        }
    }
    Ok(refused)
}

/// The link by which systemd starts a unit of ours.
fn wanted_by(unit: &Path, which: &Which) -> PathBuf {
    let target = if which.user { "default.target.wants" } else { "multi-user.target.wants" };
    unit.with_file_name(target).join(unit_name(which))
}

/// The service's user has to read the one and run the other; whoever installs it may do more than that user.
fn warn_of_closed_doors(unit: &Unit, place: &Place) {
    let Some(name) = &unit.run_as else { return };
    let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let Some(person) = Person::named(name, &text("/etc/passwd"), &text("/etc/group")) else { return };
    for (path, right, does) in [(&unit.config, Right::Read, "read"), (&unit.exe, Right::Enter, "run")] {
        let Ok(Some(barrier)) = person.barrier(path, right) else { continue };
        let (at, mode, path) = (barrier.path.display(), barrier.mode, path.display());
        let (at_word, word) = (shell_word(&at.to_string()), shell_word(&path.to_string()));
        let advice = match right {
            Right::Enter => format!("`sudo install -m 755 {word} /usr/local/bin/taskrun`, then install the service with that one"),
            Right::Read if barrier.path.is_dir() => {
                format!("move it where that user may go, /etc/taskrun for one; or `sudo chmod o+x {at_word}`")
            }
            Right::Read => format!("`sudo chown {name} {word}`, or `--run-as` its owner"),
        };
        place.screen.warning(&format!("the service's user, `{name}`, can't {does} `{path}`: `{at}` has mode {mode:o}"), &advice);
    }
}

pub(super) async fn start(which: Which, place: &Place) -> Result<Exit, Failure> {
    perform(vec![Step::systemctl(&which, &["start", &unit_name(&which)])], false, place).await?;
    Ok(Exit::Done)
}

pub(super) async fn stop(which: Which, place: &Place) -> Result<Exit, Failure> {
    perform(vec![Step::systemctl(&which, &["stop", &unit_name(&which)])], false, place).await?;
    Ok(Exit::Done)
}

/// What systemd says of it, as it says it. A service that doesn't run is a daemon that doesn't answer.
pub(super) async fn status(which: Which, _place: &Place) -> Result<Exit, Failure> {
    let Step::Run(words) = Step::systemctl(&which, &["status", "--no-pager", &unit_name(&which)]) else { return Ok(Exit::Done) };
    Ok(if call(&words).await?.success() { Exit::Done } else { Exit::NoDaemon })
}

/// systemd, where it started this process and wants to hear of it.
pub(super) fn supervisor() -> Arc<dyn Supervisor> {
    match NotifySocket::of(&system_env, std::process::id()) {
        Some(socket) => Arc::new(socket),
        None => Arc::new(Nobody),
    }
}

/// The unit for the configuration at hand.
fn unit(args: &InstallArgs, config: &Config, place: &Place) -> Result<Unit, Failure> {
    let exe = std::env::current_exe().map_err(|error| Failure::because(Exit::Failed, "failed to find the path of this program", &error))?;
    let file = std::path::absolute(&config.path)?;
    let folder = file.parent().unwrap_or(Path::new("/")).to_owned();
    let mut writable = vec![straight(&config.state_dir), straight(&config.log.dir)];
    writable.extend(Some(folder).filter(|folder| !SYSTEMS.iter().any(|place| folder.starts_with(place))));
    for folder in &args.writable {
        writable.push(straight(&std::path::absolute(folder)?));
    }
    let run_as = if args.which.user { None } else { Some(user(args, &file)?) };
    Ok(Unit { exe, config: file, state_dir: place.state_dir()?, run_as, writable })
}

/// A path without `..`: systemd takes none, and what lies below what is told by it.
fn straight(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut straight, part| {
        match part {
            Component::ParentDir => _ = straight.pop(),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => straight.push(part),
        }
        straight
    })
}

/// Who it runs as: who is named, or the owner of tasks.yaml, or `taskrun` for root's.
fn user(args: &InstallArgs, file: &Path) -> Result<String, Failure> {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let owner = std::fs::metadata(file).map_or(0, |file| file.uid());
    let wanted = match &args.run_as {
        Some(user) => user.clone(),
        None if owner == 0 => USER.to_owned(),
        None => {
            return name_of(&users, owner)
                .ok_or_else(|| Failure::usage(format!("the owner of `{}`, user {owner}, has no name", file.display())));
        }
    };
    if users.lines().any(|line| line.split(':').next() == Some(&*wanted)) {
        return Ok(wanted);
    }
    Err(Failure::usage(format!("there is no user `{wanted}` for the service to run as"))
        .advise(format!("`useradd --system --home-dir /var/lib/taskrun {wanted}`, or name another with `--run-as USER`")))
}

fn name_of(users: &str, id: u32) -> Option<String> {
    let id = id.to_string();
    users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find_map(|fields| match fields.as_slice() {
        [name, _, uid, ..] if **uid == *id => Some((*name).to_owned()),
        _ => None,
    })
}

fn unit_name(which: &Which) -> String {
    format!("{}.service", which.name)
}

fn unit_file(which: &Which) -> Result<PathBuf, Failure> {
    if !which.user {
        return Ok(Path::new(UNITS).join(unit_name(which)));
    }
    let named = |name: &str| system_env(name).filter(|value| value.starts_with('/')).map(PathBuf::from);
    let folder = named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")));
    let folder = folder.ok_or_else(|| Failure::usage("neither $XDG_CONFIG_HOME nor $HOME says where your units are"))?;
    Ok(folder.join("systemd/user").join(unit_name(which)))
}

/// The unit that a package brought.
fn packaged(name: &str) -> Result<Option<String>, Failure> {
    PACKAGED.iter().find_map(|folder| read(&Path::new(folder).join(name)).transpose()).transpose()
}

/// The unit that `install` wrote here; somebody else's of that name is not touched.
fn ours(path: &Path) -> Result<Option<String>, Failure> {
    match read(path)? {
        Some(text) if !text.starts_with(HEAD) => Err(Failure::usage(format!("`{}` is not one of taskrun's", path.display()))
            .advise("take another name with `--name`; or, if nobody needs it, remove it first")),
        found => Ok(found),
    }
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::because(Exit::Failed, format!("failed to read `{}`", path.display()), &error)),
    }
}

/// Whether there is a manager that can start something now. A person's own is asked in any case.
fn booted(which: &Which) -> bool {
    which.user || Path::new(BOOTED).exists()
}

async fn perform(steps: Vec<Step>, dry: bool, place: &Place) -> Result<(), Failure> {
    for step in steps {
        let (does, would) = match &step {
            Step::Write { path, .. } => (format!("writes {}", path.display()), format!("would write {}", path.display())),
            Step::Remove(path) => (format!("removes {}", path.display()), format!("would remove {}", path.display())),
            Step::Run(words) => {
                let line = words.iter().map(|word| shell_word(word)).collect::<Vec<_>>().join(" ");
                (format!("runs `{line}`"), format!("would run `{line}`"))
            }
        };
        place.screen.say(if dry { &would } else { &does });
        if !dry {
            done(step).await?;
        }
    }
    Ok(())
}

async fn done(step: Step) -> Result<(), Failure> {
    match step {
        Step::Write { path, text } => {
            let written = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| replace(&path, &text));
            written.map_err(|error| denied("write", &path, &error))
        }
        Step::Remove(path) => std::fs::remove_file(&path).map_err(|error| denied("remove", &path, &error)),
        Step::Run(words) => {
            let status = call(&words).await?;
            if status.success() {
                return Ok(());
            }
            Err(Failure::told(Exit::Failed, format!("`{}` failed: {status}", words.join(" ")))
                .advise("what it says above is the reason; `journalctl -u taskrun -n 50` (your own: `journalctl --user -u taskrun`) has the service's words"))
        }
    }
}

/// As a whole or not at all: systemd may read it at any time.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("service.new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}

fn denied(what: &str, path: &Path, error: &io::Error) -> Failure {
    let failure = Failure::because(Exit::Failed, format!("failed to {what} `{}`", path.display()), error);
    if error.kind() == io::ErrorKind::PermissionDenied {
        return failure.advise("the machine's services are root's: `sudo taskrun service ...`, or your own with `--user`");
    }
    failure
}

async fn call(words: &[String]) -> Result<ExitStatus, Failure> {
    let (program, rest) = words.split_first().map_or(("", words), |(program, rest)| (program.as_str(), rest));
    Command::new(program).args(rest).status().await.map_err(|error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Failure::usage(format!("there is no `{program}` here: this machine is not run by systemd"))
                .advise("let its own service manager, or a container, run `taskrun run` in the foreground");
        }
        Failure::because(Exit::Failed, format!("failed to run `{program}`"), &error)
    })
}
