//! `taskrun service` as a person's own service, so that no test needs root: what it writes is real, and a stand-in for systemctl writes down what it was asked.
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::shop::{Done, Shop, TASKS};

/// A folder whose name is hard on whoever builds command lines, with a stand-in for systemctl.
struct Machine {
    shop: Shop,
    folder: PathBuf,
}

impl Machine {
    fn new() -> Self {
        let shop = Shop::new(TASKS);
        let folder = shop.file("50% of $it's, \"quoted\"");
        fs::create_dir(&folder).unwrap();
        fs::copy(shop.file("tasks.yaml"), folder.join("tasks.yaml")).unwrap();
        let bin = shop.file("bin");
        fs::create_dir(&bin).unwrap();
        script(&bin.join("systemctl"), "echo \"$*\" >> \"$CALLS\"\n[ \"$2\" != status ]\n");
        Self { shop, folder }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = self.shop.command(line);
        let mut path = self.shop.file("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        command.current_dir(&self.folder).env("PATH", path).env("CALLS", self.shop.file("calls"));
        command.env("XDG_CONFIG_HOME", self.shop.file("config"));
        command
    }

    fn run(&self, line: &str) -> Done {
        Done::of(self.command(line).output().unwrap())
    }

    /// What systemctl was asked since the last look.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.shop.file("calls")).unwrap_or_default();
        drop(fs::remove_file(self.shop.file("calls")));
        text.lines().map(ToOwned::to_owned).collect()
    }

    fn unit(&self) -> PathBuf {
        self.shop.file("config/systemd/user/taskrun.service")
    }
}

/// Written by another process: a program that this one has open for writing could be handed on to a child of another test, and is busy then.
fn script(path: &Path, text: &str) {
    let write = "printf '#!/bin/sh\\n%s' \"$2\" > \"$1\" && chmod 755 \"$1\"";
    assert!(Command::new("sh").args(["-c", write, "sh"]).arg(path).arg(text).status().unwrap().success());
}

/// Whether everybody may go through the folders above this one.
fn is_in_the_open(folder: &Path) -> bool {
    let open = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o001 != 0;
    folder.canonicalize().unwrap().ancestors().skip(1).all(open)
}

/// systemd's own opinion; where there is no systemd, nobody's.
fn verify(unit: &Path, arguments: &[&str]) {
    let Ok(output) = Command::new("systemd-analyze").args(arguments).arg(unit).output() else {
        eprintln!("there is no systemd-analyze here: its opinion is not asked");
        return;
    };
    let done = Done::of(output);
    assert_eq!((done.code, &*done.err), (0, ""), "{done:#?}");
}

#[test]
fn a_service_is_installed_once_and_taken_away_once() {
    let machine = Machine::new();
    machine.run("service install --user").ends(0).says(&["writes ", "is installed and runs", "enable-linger"]);
    let text = fs::read_to_string(machine.unit()).unwrap();
    assert_eq!(machine.calls(), ["--user daemon-reload", "--user enable --now taskrun.service"]);
    machine.run("service install --user").ends(0);
    assert_eq!(fs::read_to_string(machine.unit()).unwrap(), text);
    assert_eq!(machine.calls(), ["--user enable --now taskrun.service"], "a second time, nothing is written");
    machine.run("service install --user --state-dir elsewhere").ends(0);
    assert!(fs::read_to_string(machine.unit()).unwrap().contains("/elsewhere\" run\n"));
    assert_eq!(machine.calls(), ["--user daemon-reload", "--user try-restart taskrun.service", "--user enable --now taskrun.service"]);
    machine.run("service uninstall --user").ends(0).says(&["is gone"]);
    assert!(!machine.unit().exists());
    assert_eq!(machine.calls(), ["--user disable --now taskrun.service", "--user daemon-reload"]);
    machine.run("service uninstall --user").ends(0).says(&["is not installed"]);
    assert_eq!(machine.calls(), [""; 0]);
    assert!(machine.folder.join("tasks.yaml").exists());
}

#[test]
fn without_a_session_to_ask_in_the_unit_is_taken_away_all_the_same() {
    let machine = Machine::new();
    machine.run("service install --user").ends(0);
    let link = machine.unit().with_file_name("default.target.wants").join("taskrun.service");
    fs::create_dir(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(machine.unit(), &link).unwrap();
    script(&machine.shop.file("bin/systemctl"), "echo 'Failed to connect to bus: No medium found' >&2; exit 1\n");
    let parts = [
        "No medium found",
        "is gone",
        "`systemctl --user disable --now taskrun.service` failed",
        "`systemctl --user daemon-reload` failed",
        "`taskrun stop` ends it",
    ];
    machine.run("service uninstall --user").ends(1).says(&parts);
    assert!(!machine.unit().exists() && !link.is_symlink());
    machine.run("service uninstall --user").ends(0).says(&["is not installed"]);
}

#[test]
fn a_unit_that_stays_does_not_hide_what_systemd_refused() {
    let machine = Machine::new();
    machine.run("service install --user").ends(0);
    let unit = "\"$XDG_CONFIG_HOME/systemd/user/taskrun.service\"";
    script(&machine.shop.file("bin/systemctl"), &format!("rm {unit} && mkdir {unit}; exit 1\n"));
    let parts = ["failed to remove `", "`systemctl --user disable --now taskrun.service` failed"];
    machine.run("service uninstall --user").ends(1).says(&parts);
}

#[test]
fn a_service_user_who_meets_a_closed_door_is_warned_of() {
    let machine = Machine::new();
    if !is_in_the_open(machine.shop.path()) {
        eprintln!("not everybody may enter the folders above {}: doors further down are not tried", machine.shop.path().display());
        return;
    }
    fs::set_permissions(machine.shop.path(), fs::Permissions::from_mode(0o711)).unwrap();
    let file = machine.folder.join("tasks.yaml");
    let install = || machine.run("service install --dry-run --run-as daemon").ends(0);
    let unread = |done: &Done| done.err.contains("`daemon`, can't read") && done.err.contains("= help: ");
    assert!(!unread(&install()), "all may read it");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let done = install().says(&["tasks.yaml` has mode 600", "`sudo chown daemon '"]);
    assert!(unread(&done), "{done:#?}");
    fs::set_permissions(&machine.folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(unread(&install().says(&["has mode 700", "/etc/taskrun", "chmod o+x '", "$it'\\''s, "])));
    // A program in a folder of its owner alone, as in /root/.cargo/bin.
    let own = machine.shop.file("ann's own");
    fs::create_dir(&own).unwrap();
    // Not by this process, which could hand the open file on to another test's child.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_taskrun")).arg(own.join("taskrun")).status().unwrap().success());
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    let output = Command::new(own.join("taskrun"))
        .args(["service", "install", "--dry-run", "--run-as", "daemon"])
        .current_dir(&machine.folder)
        .output();
    Done::of(output.unwrap()).ends(0).says(&["`daemon`, can't run `", "has mode 700", "/ann'\\''s own/taskrun' /usr/local/bin/taskrun`"]);
    assert!(!machine.run("service install --user --dry-run").ends(0).err.contains("warning"), "your own service is you");
}

#[test]
fn a_unit_of_somebody_else_is_neither_replaced_nor_taken_away() {
    let machine = Machine::new();
    fs::create_dir_all(machine.unit().parent().unwrap()).unwrap();
    for theirs in ["[Service]\nExecStart=/usr/sbin/nginx\n", ""] {
        fs::write(machine.unit(), theirs).unwrap();
        for line in ["service install --user", "service uninstall --user", "service install --user --dry-run"] {
            machine.run(line).ends(2).says(&["is not one of taskrun's", "--name"]);
        }
        assert_eq!(fs::read_to_string(machine.unit()).unwrap(), theirs);
    }
    assert_eq!(machine.calls(), [""; 0]);
}

#[test]
fn every_folder_that_is_written_to_is_made_for_the_services_user() {
    let machine = Machine::new();
    let done = machine.run("service install --dry-run --run-as daemon").ends(0);
    assert!(done.err.contains("-o daemon -m 0750") && done.err.contains("/state'`"), "{done:#?}");
    let done = machine.run("service install --dry-run --run-as daemon --state-dir ../beside/state").ends(0);
    let writable = done.out.lines().find(|line| line.starts_with("ReadWritePaths=")).unwrap();
    assert!(writable.contains("/beside/state") && !writable.contains(".."), "{done:#?}");
}

#[test]
fn what_would_be_done_is_shown_and_not_done() {
    let machine = Machine::new();
    let done = machine.run("service install --user --dry-run").ends(0).says(&["would write ", "would run `systemctl --user enable --now"]);
    assert!(done.out.starts_with("# taskrun as a service") && done.out.ends_with("WantedBy=default.target\n"), "{done:#?}");
    assert!(!machine.unit().exists());
    machine.run("service install --user").ends(0);
    assert_eq!(fs::read_to_string(machine.unit()).unwrap(), done.out);
    machine.calls();
    machine.run("service uninstall --user --dry-run").ends(0).says(&["would remove "]);
    assert!(machine.unit().exists());
    assert_eq!(machine.calls(), [""; 0]);
}

#[test]
fn systemd_reads_the_unit_as_it_was_meant_and_finds_its_doors_shut() {
    let machine = Machine::new();
    let unit = machine.shop.file("taskrun.service");
    let done = machine.run("service install --dry-run --run-as daemon").ends(0);
    fs::write(&unit, &done.out).unwrap();
    verify(&unit, &["verify", "--man=no"]);
    // 1.5 at most, of 10.
    verify(&unit, &["security", "--offline=true", "--threshold=15"]);
}

#[test]
fn start_and_stop_are_systemds_and_its_no_is_told() {
    let machine = Machine::new();
    machine.run("service start --user --name shop-2").ends(0);
    machine.run("service stop").ends(0);
    machine.run("service status --user").ends(3);
    assert_eq!(machine.calls(), ["--user start shop-2.service", "stop taskrun.service", "--user status --no-pager taskrun.service"]);
    script(&machine.shop.file("bin/systemctl"), "echo no such unit >&2; exit 5\n");
    machine.run("service start --user").ends(1).says(&["no such unit", "`systemctl --user start taskrun.service` failed", "journalctl"]);
}

#[test]
fn where_systemd_is_not_people_are_told_what_to_do() {
    let machine = Machine::new();
    let output = machine.command("service start --user").env("PATH", machine.shop.path()).output().unwrap();
    Done::of(output).ends(2).says(&["there is no `systemctl` here", "`taskrun run` in the foreground"]);
}

#[test]
fn a_user_that_is_not_there_is_no_service_user() {
    let machine = Machine::new();
    machine.run("service install --dry-run --run-as nobody-at-all").ends(2).says(&["there is no user `nobody-at-all`", "useradd --system"]);
}
