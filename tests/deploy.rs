//! What `deploy/` ships is right: the package's tasks.yaml is one that taskrun takes, and what names a path or a user names the same one.
#![cfg(test)]
use std::fs;

#[test]
fn the_packages_tasks_are_sound_and_keep_to_the_services_folders() {
    let file = "deploy/debian/tasks.yaml";
    let binary = std::process::Command::new(env!("CARGO_BIN_EXE_taskrun")).args(["check", file]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&binary.stdout), format!("{file}: ok, 3 tasks, 3 instances\n"));
    let (tasks, unit) = (fs::read_to_string(file).unwrap(), fs::read_to_string("deploy/systemd/taskrun.service").unwrap());
    let (users, folders) =
        (fs::read_to_string("deploy/sysusers.d/taskrun.conf").unwrap(), fs::read_to_string("deploy/tmpfiles.d/taskrun.conf").unwrap());
    assert!(tasks.contains("state_dir: /var/lib/taskrun\n") && unit.contains("\nStateDirectory=taskrun\n"));
    assert!(tasks.contains("dir: /var/log/taskrun ") && unit.contains("\nLogsDirectory=taskrun\n"));
    assert!(unit.contains("\nUser=taskrun\n") && users.contains("\nu taskrun "));
    assert!(folders.contains("\nd /var/lib/taskrun 0750 taskrun ") && folders.contains("\nd /var/log/taskrun 0750 taskrun "));
    for folder in ["/var/lib/taskrun", "/var/log/taskrun"] {
        assert!(fs::read_to_string("deploy/debian/postinst").unwrap().contains(folder), "{folder}");
    }
}

#[test]
fn whatever_names_a_version_names_this_one() {
    let version = env!("CARGO_PKG_VERSION");
    for (file, names) in [
        ("deploy/docker/compose.yaml", format!("image: taskrun:{version}\n")),
        ("docs/quickstart/docker.md", format!("FROM taskrun:{version}`")),
        ("docs/quickstart/docker.ja.md", format!("FROM taskrun:{version}`")),
        ("docs/quickstart/linux.md", format!("taskrun_{version}-1_amd64.deb\n")),
        ("docs/quickstart/linux.md", format!("taskrun-{version}-x86_64-linux-musl.tar.gz\n")),
        ("docs/quickstart/linux.ja.md", format!("taskrun_{version}-1_amd64.deb\n")),
        ("docs/quickstart/linux.ja.md", format!("taskrun-{version}-x86_64-linux-musl.tar.gz`")),
    ] {
        assert!(fs::read_to_string(file).unwrap().contains(&names), "{file} does not say {names:?}");
    }
}

#[test]
fn a_version_without_an_entry_in_the_changelog_is_not_released() {
    let manifest = fs::read_to_string("Cargo.toml").unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"')).unwrap();
    let changelog = fs::read_to_string("CHANGELOG.md").unwrap();
    assert!(changelog.lines().any(|line| line.starts_with(&format!("## {version} "))), "CHANGELOG.md has no entry for {version}");
}
