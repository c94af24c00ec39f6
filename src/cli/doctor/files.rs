//! The files: who can read and write them, whose they are, and whether the store is whole and of our version.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::Finding;
use crate::{
    cli::{
        exit::Exit,
        place::{self, State},
        text,
    },
    config::Config,
    errors::chain,
    http::TOKEN_FILE,
    os,
    store::{StoreError, sqlite},
};

/// Files of variables that people put beside tasks.yaml: the service reads the first.
const ENV_FILES: [&str; 2] = ["taskrun.env", ".env"];

pub(super) fn look(state: &State, config: Option<&Config>, file: &Path) -> Vec<Finding> {
    let beside = |name: &&str| file.with_file_name(name);
    let secret: Vec<PathBuf> = ENV_FILES.iter().map(beside).chain([state.dir.join(TOKEN_FILE), state.store.clone()]).collect();
    let mut findings: Vec<Finding> = secret.iter().filter_map(|path| open_to_others(path)).collect();
    let folders = [Some(&state.dir), config.map(|config| &config.log.dir)];
    findings.extend(folders.into_iter().flatten().filter_map(|folder| unwritable(folder)));
    findings.extend(anybodys(&state.dir));
    if findings.is_empty() {
        let kept = match secret.iter().filter(|path| path.exists()).count() {
            0 => "no file of secrets yet".to_owned(),
            count => format!("{} of secrets, readable by their owner alone", text::counted(count, "file")),
        };
        findings.push(Finding::ok("files", format!("{kept}; state and logs can be written")));
    }
    findings
}

/// A file with secrets that others can read or write.
fn open_to_others(path: &Path) -> Option<Finding> {
    os::open_to_others(path).map(|mode| {
        Finding::bad("files", format!("others can get at `{}` (mode {mode:03o})", path.display()))
            .because("there are secrets in it: logins, tokens, what was sold")
            .advise(format!("chmod 600 '{}'", path.display()))
    })
}

/// A state folder in which others can put another file in a file's place. A group may have nobody else in it.
fn anybodys(folder: &Path) -> Option<Finding> {
    const STICKY: u32 = 0o1000;
    let mode = os::open_to_others(folder).filter(|mode| mode & STICKY == 0)?;
    let (finding, who): (fn(_, String) -> _, _) = match (mode & 0o002, mode & 0o020) {
        (0, 0) => return None,
        (0, _) => (Finding::warning, "its group"),
        (_, _) => (Finding::bad, "everybody"),
    };
    Some(
        finding("files", format!("{who} can write into `{}` (mode {mode:03o})", folder.display()))
            .because("who can may put another store in the store's place")
            .advise(format!("chmod go-w '{}'", folder.display())),
    )
}

/// A folder that can't be written, or made.
fn unwritable(folder: &Path) -> Option<Finding> {
    let there = folder.ancestors().find(|folder| folder.as_os_str().is_empty() || folder.exists())?;
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    let error = os::writable(there).err()?;
    Some(
        Finding::bad("files", format!("`{}` can't be written: {error}", folder.display()))
            .because("runs are written down before they begin, so nothing would run")
            .advise("run taskrun as the user whose folder it is, or give it to that user: `sudo chown -R USER FOLDER`"),
    )
}

/// Looks at the store without changing it; opens it where that changes nothing, for those who look further.
pub(super) async fn store(state: &State, findings: &mut Vec<Finding>) -> Option<Arc<sqlite::SqliteStore>> {
    let path = state.store.clone();
    let shown = path.display().to_string();
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => {
            findings.push(Finding::note("store", format!("`{shown}` is not there yet: the first start makes it")));
            return None;
        }
        Err(error) => {
            let found = Finding::bad("store", format!("nobody can tell whether `{shown}` is there: {error}")).ends(Exit::Store);
            findings.push(found.advise("look as the user that taskrun runs as, or as root"));
            return None;
        }
    }
    if let Some(owner) = os::other_owner(&path) {
        let why = "what this user writes there, that user's taskrun could not read";
        let found = format!("`{shown}` belongs to the user with the number {owner}");
        findings
            .push(Finding::warning("store", found).because(why).advise(format!("look as that user: `sudo -u '#{owner}' taskrun doctor`")));
        return None;
    }
    let inspected = tokio::task::spawn_blocking(move || sqlite::inspect(&path)).await;
    let schema = match inspected {
        Ok(Ok(schema)) => schema,
        Ok(Err(error)) => {
            findings.push(ill(&error));
            return None;
        }
        Err(error) => {
            findings.push(Finding::bad("store", format!("looking at `{shown}` went wrong: {error}")).ends(Exit::Store));
            return None;
        }
    };
    let newest = sqlite::newest_schema();
    if schema < newest {
        let found = format!("`{shown}` is whole; it has schema {schema}, and the next start brings it to {newest}");
        let why = "an older taskrun will not open it any more";
        findings.push(Finding::note("store", found).because(why).advise("`taskrun backup` before you update, if you may want to go back"));
        return None;
    }
    findings.push(Finding::ok("store", format!("`{shown}` is whole, schema {schema}")));
    place::open(&state.store).await.ok()
}

fn ill(error: &StoreError) -> Finding {
    let advice = match error {
        StoreError::Newer { .. } => "install that newer taskrun again, or `taskrun restore` a backup from before",
        StoreError::Foreign { .. } => "name another file under `store:`",
        StoreError::Network { .. } | StoreError::NoWal { .. } => "put `state_dir` on a disk of this machine",
        StoreError::Damaged { .. } => "`taskrun stop`, keep the file, and `taskrun restore` the newest backup in `state/backups`",
        _ => "is the disk full, read-only or failing, and this the right user?",
    };
    Finding::bad("store", chain(error))
        .because("every run and every item to be listed is written down there")
        .advise(advice)
        .ends(Exit::Store)
}
