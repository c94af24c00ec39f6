//! The text of a systemd unit for taskrun. `deploy/systemd/taskrun.service` is this text for the places where the package puts things; a test holds them together.
use std::path::{Path, PathBuf};

/// What differs between one machine's unit and another's. All paths are absolute.
#[derive(Clone, Debug)]
pub(super) struct Unit {
    /// The program.
    pub(super) exe: PathBuf,
    /// The tasks.yaml.
    pub(super) config: PathBuf,
    /// The state folder, where the command line names one.
    pub(super) state_dir: Option<PathBuf>,
    /// The user; `None` in a person's own service manager, which can't change users and shuts fewer doors.
    pub(super) run_as: Option<String>,
    /// Folders that are written to.
    pub(super) writable: Vec<PathBuf>,
}

/// A path that no unit can hold.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("systemd can't be given the path {0:?}: it has control characters or is not UTF-8")]
pub(super) struct Unwritable(PathBuf);

/// Folders that systemd makes itself, owned by the service's user: where they begin, and how it calls them.
const MANAGED: [(&str, &str); 2] = [("/var/lib", "StateDirectory"), ("/var/log", "LogsDirectory")];
/// What `ProtectHome=yes` hides.
const HOMES: [&str; 3] = ["/home", "/root", "/run/user"];
/// What `PrivateTmp=yes` hides.
const TEMPORARY: [&str; 2] = ["/tmp", "/var/tmp"];

/// What the system's manager can shut and a person's own can't: file systems, devices, users.
const DOORS: &str = "\
CapabilityBoundingSet=
PrivateDevices=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RemoveIPC=yes
";

/// What both can.
const SYSTEM_CALLS: &str = "\
LockPersonality=yes
NoNewPrivileges=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077
";

/// How each of these units begins, so that it is known again.
pub(super) const HEAD: &str = "# taskrun as a service";

impl Unit {
    /// The unit's text.
    ///
    /// # Errors
    /// A path has characters that a unit can't hold.
    pub(super) fn text(&self) -> Result<String, Unwritable> {
        let network =
            if self.run_as.is_some() { "Wants=network-online.target\nAfter=network-online.target time-sync.target\n" } else { "" };
        let (user, reader) = if self.run_as.is_some() { ("", "root") } else { ("--user ", "you") };
        let target = if self.run_as.is_some() { "multi-user.target" } else { "default.target" };
        Ok(format!(
            "\
{HEAD}: `taskrun service install --dry-run` prints this file.
# What you change goes into `systemctl {user}edit taskrun`, which no update touches.
[Unit]
Description=taskrun, the jobs of the back office
{network}# A crash is answered by a start, however many there were.
StartLimitIntervalSec=0

[Service]
# It says itself when it serves, that its engine moves (else it is killed and started again), when it reloads and when it stops.
Type=notify
WatchdogSec=30s
{identity}# The values of ${{NAME}} in tasks.yaml, a NAME=VALUE a line, readable by {reader} alone.
EnvironmentFile=-{environment}
ExecStart={program} run
# Fails, and changes nothing, where tasks.yaml has faults.
ExecReload={program} reload
Restart=on-failure
RestartSec=2s
# Wrong usage or a faulty tasks.yaml: starting again would not help.
RestartPreventExitStatus=2
TimeoutStartSec=5min
# taskrun ends its runs and their programs itself, and asks for more time where `shutdown_grace` is longer.
TimeoutStopSec=90s
KillMode=mixed

# What it may write to, and what it can't reach. A task that needs more: `systemctl {user}edit taskrun`.
{folders}{doors}{SYSTEM_CALLS}
[Install]
WantedBy={target}
",
            identity = self.run_as.as_ref().map(|user| format!("User={user}\n")).unwrap_or_default(),
            environment = pattern(&self.environment_file())?,
            program = self.program()?,
            folders = if self.run_as.is_some() { self.folders()? } else { String::new() },
            doors = if self.run_as.is_some() { DOORS } else { "" },
        ))
    }

    /// Where the values of `${NAME}` are looked for: beside tasks.yaml.
    pub(super) fn environment_file(&self) -> PathBuf {
        self.config.with_file_name("taskrun.env")
    }

    /// Folders that are written to and that systemd doesn't make, the outer before the inner.
    pub(super) fn unmanaged(&self) -> impl Iterator<Item = &Path> {
        let mut folders: Vec<&Path> = self.writable.iter().map(PathBuf::as_path).filter(|path| managed(path).is_none()).collect();
        folders.sort_unstable();
        folders.dedup();
        folders.into_iter()
    }

    /// The outermost of them: what is below may be written to, too.
    fn own_folders(&self) -> impl Iterator<Item = &Path> {
        let outermost = |path: &&Path| !self.writable.iter().any(|other| *path != other && path.starts_with(other));
        self.unmanaged().filter(outermost)
    }

    fn program(&self) -> Result<String, Unwritable> {
        let mut words = vec![word(&self.exe)?, "-c".to_owned(), argument(&self.config)?];
        if let Some(dir) = &self.state_dir {
            words.extend(["--state-dir".to_owned(), argument(dir)?]);
        }
        Ok(words.join(" "))
    }

    fn folders(&self) -> Result<String, Unwritable> {
        let made = self.writable.iter().filter_map(|path| managed(path));
        let mut lines: Vec<String> = made.map(|(kind, folder)| format!("{kind}={folder}\n{kind}Mode=0750\n")).collect();
        let own = self.own_folders().map(word).collect::<Result<Vec<_>, _>>()?;
        if !own.is_empty() {
            lines.push(format!("ReadWritePaths={}\n", own.join(" ")));
        }
        let homes = if self.touches(&HOMES) { "read-only" } else { "yes" };
        let temporary = if self.touches(&TEMPORARY) { "no" } else { "yes" };
        lines.push(format!("ProtectHome={homes}\nPrivateTmp={temporary}\n"));
        Ok(lines.concat())
    }

    fn touches(&self, places: &[&str]) -> bool {
        let mut paths = [&self.exe, &self.config].into_iter().chain(&self.state_dir).chain(&self.writable);
        paths.any(|path| places.iter().any(|place| path.starts_with(place)))
    }
}

/// How systemd names a folder that it makes itself.
fn managed(path: &Path) -> Option<(&'static str, &str)> {
    MANAGED.into_iter().find_map(|(place, kind)| {
        let below = path.strip_prefix(place).ok()?.to_str()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_/".contains(c);
        (!below.is_empty() && below.chars().all(plain)).then_some((kind, below))
    })
}

/// A path where systemd takes the rest of the line as it stands.
fn line(path: &Path) -> Result<String, Unwritable> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    text.map(|text| text.replace('%', "%%")).ok_or_else(|| Unwritable(path.to_owned()))
}

/// A path as a pattern that only it fits: systemd looks for environment files by pattern, and passes over what it does not find.
fn pattern(path: &Path) -> Result<String, Unwritable> {
    let special = |c: char| "\\*?[".contains(c);
    Ok(line(path)?.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect())
}

/// A path as one word of a list.
fn word(path: &Path) -> Result<String, Unwritable> {
    let text = line(path)?;
    let plain = |c: char| c.is_alphanumeric() || "/._-+:@%".contains(c);
    if text.chars().all(plain) {
        return Ok(text);
    }
    Ok(format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")))
}

/// A path as an argument of a command, where `$` would name a variable.
fn argument(path: &Path) -> Result<String, Unwritable> {
    word(path).map(|word| word.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packaged() -> Unit {
        Unit {
            exe: "/usr/bin/taskrun".into(),
            config: "/etc/taskrun/tasks.yaml".into(),
            state_dir: None,
            run_as: Some("taskrun".to_owned()),
            writable: vec!["/var/lib/taskrun".into(), "/var/log/taskrun".into()],
        }
    }

    fn line_of<'a>(text: &'a str, key: &str) -> &'a str {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).unwrap_or("")
    }

    #[test]
    fn the_shipped_unit_is_the_one_for_the_package() {
        let shipped = include_str!("../../../deploy/systemd/taskrun.service");
        let text = packaged().text().unwrap();
        assert!(text == shipped, "deploy/systemd/taskrun.service has to be:\n{text}");
    }

    #[test]
    fn a_path_is_the_same_path_after_systemd_has_read_it() {
        let unit = Unit { config: r#"/srv/50% of "it"/a\b $HOME/tasks.yaml"#.into(), exe: "/opt/task run/100%".into(), ..packaged() };
        let text = unit.text().unwrap();
        assert_eq!(line_of(&text, "ExecStart"), r#""/opt/task run/100%%" -c "/srv/50%% of \"it\"/a\\b $$HOME/tasks.yaml" run"#);
        assert_eq!(line_of(&text, "EnvironmentFile"), r#"-/srv/50%% of "it"/a\\b $HOME/taskrun.env"#);
        let unit = Unit { config: "/srv/店/tasks.yaml".into(), ..packaged() };
        assert!(unit.text().unwrap().contains(" -c /srv/店/tasks.yaml run\n"));
    }

    #[test]
    fn a_path_with_a_line_feed_is_refused() {
        let config = PathBuf::from("/srv/a\nExecStart=/bin/evil/tasks.yaml");
        let unit = Unit { config: config.clone(), ..packaged() };
        assert_eq!(unit.text(), Err(Unwritable(config.with_file_name("taskrun.env"))));
    }

    #[test]
    fn what_is_used_is_not_hidden() {
        let text = Unit { writable: vec!["/home/ken/shop".into(), "/home/ken/shop/state".into()], ..packaged() }.text().unwrap();
        assert_eq!((line_of(&text, "ReadWritePaths"), line_of(&text, "ProtectHome")), ("/home/ken/shop", "read-only"));
        assert_eq!(line_of(&text, "PrivateTmp"), "yes");
        let text = Unit { config: "/tmp/shop/tasks.yaml".into(), ..packaged() }.text().unwrap();
        assert_eq!((line_of(&text, "PrivateTmp"), line_of(&text, "ProtectHome")), ("no", "yes"));
    }

    #[test]
    fn a_persons_own_service_asks_for_nothing_that_only_root_can_give() {
        let text = Unit { run_as: None, ..packaged() }.text().unwrap();
        for key in ["User", "ProtectSystem", "StateDirectory", "PrivateTmp", "Wants", "CapabilityBoundingSet"] {
            assert_eq!(line_of(&text, key), "", "{key}");
        }
        assert_eq!((line_of(&text, "NoNewPrivileges"), line_of(&text, "WantedBy")), ("yes", "default.target"));
    }
}
