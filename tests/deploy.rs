//! What `deploy/` ships is right: the package's tasks.yaml is one that taskrun takes, and what names a path or a user names the same one.
#![cfg(test)]
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

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

#[test]
fn what_the_sources_take_in_is_there_when_the_image_is_built() {
    let (file, ignored) =
        (fs::read_to_string("deploy/docker/Dockerfile").unwrap(), fs::read_to_string("deploy/docker/Dockerfile.dockerignore").unwrap());
    let copied = |path: &str| file.lines().any(|line| line.split(' ').next() == Some("COPY") && line.split(' ').any(|word| word == path));
    let outside: Vec<String> = taken_in(Path::new("src")).into_iter().filter(|path| !path.starts_with("src/")).collect();
    assert!(!outside.is_empty(), "`init` writes the shipped tasks.yaml");
    for path in outside {
        assert!(copied(&path), "the Dockerfile's first stage has no {path}, which the sources include");
        assert!(ignored.lines().any(|line| line == format!("!{path}")), "Dockerfile.dockerignore keeps {path} out");
    }
}

/// The files that `include_str!` and `include_bytes!` name, but for those of tests.
fn taken_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    let mut found: Vec<String> = folders.iter().flat_map(|folder| taken_in(folder)).collect();
    for file in files.iter().filter(|file| file.extension().is_some_and(|end| end == "rs") && !file.ends_with("tests.rs")) {
        let text = fs::read_to_string(file).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let named = ["include_str!(\"", "include_bytes!(\""].iter().flat_map(|word| code.split(word).skip(1));
        found.extend(named.map(|rest| straight(&folder.join(rest.split('"').next().unwrap()))));
    }
    found
}

/// A path without `..`.
fn straight(path: &Path) -> String {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => _ = parts.pop(),
            part => parts.push(part.as_os_str().to_str().unwrap()),
        }
    }
    parts.join("/")
}
