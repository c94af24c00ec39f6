//! The handler `update_env`: writes the settings of the store into an env file, whole or not at all, and only when they changed.
//!
//! The settings are read while the file's folder is held, so the last to write has read the newest: an older run can't bring back older values.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{AttemptContext, Handler, HandlerError, Report};
use crate::{
    access::Planned,
    clock::BoxFuture,
    config::keys::{Complaint, HandlerSpec, Key, Kind},
    core::value::{Params, Value},
    errors::chain,
    files::{Difference, FileError, Folder},
    shop::setting::{SettingName, env_line},
    store::shop::{Setting, ShopStore},
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "update_env",
    doc: "Writes the settings kept in the store into an env file.",
    params: &[
        Key { name: "path", kind: Kind::Path, required: true, doc: "The env file; its folder must be there." },
        Key {
            name: "only",
            kind: Kind::Checked(&Kind::List(&Kind::Text), complain_of_names),
            required: false,
            doc: "The settings that are written; all where it is not given.",
        },
        Key {
            name: "prefix",
            kind: Kind::Checked(&Kind::Text, complain_of_names),
            required: false,
            doc: "Stands before each name in the file, as in `RICHS_`; nothing where it is not given.",
        },
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

/// The first line of every file that this handler writes. One without it is somebody else's.
const HEADER: &str = "# Written by taskrun from `taskrun settings list`; changes made here are lost.";
/// Another process at the same file takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The handler.
#[derive(Debug)]
pub struct UpdateEnv {
    store: Arc<dyn ShopStore>,
}

/// What a file gains, loses and says otherwise, by name. Values are nobody's business.
#[derive(Debug, Default, PartialEq, Eq)]
struct Change {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

impl UpdateEnv {
    /// A handler that writes this store's settings.
    pub fn new(store: Arc<dyn ShopStore>) -> Self {
        Self { store }
    }

    async fn update(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let path = ctx.base_dir.join(ctx.params.text("path").unwrap_or_default());
        let folder = Arc::new(take(&path, ctx).await?);
        let settings =
            self.store.settings().await.map_err(|error| HandlerError::Transient { message: chain(&error), retry_after: None })?;
        let text = render(&settings, &ctx.params)?;
        let work = {
            let (folder, text, path) = (Arc::clone(&folder), text.clone(), path.clone());
            move || judge(&folder, &text, &path)
        };
        let (differs, change) = apart(work).await?;
        let change = match differs {
            Difference::None => {
                // What a killed run left beside it goes all the same.
                if ctx.access.fence().is_some() {
                    apart(move || folder.write(&text)).await?;
                }
                return Ok(Report { summary: format!("{} is up to date", path.display()) });
            }
            Difference::Mode => "its mode becomes 0600".to_owned(),
            Difference::Text => change.told(),
        };
        let planned = || Planned {
            kind: "env",
            target: path.display().to_string(),
            change: change.clone(),
            reason: "the settings are others".to_owned(),
        };
        if ctx.access.permit(planned).is_some() {
            apart(move || folder.write(&text)).await?;
        }
        Ok(Report { summary: format!("{}: {change}", path.display()) })
    }
}

impl Handler for UpdateEnv {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.update(ctx))
    }
}

impl Change {
    /// From one text to another.
    fn between(old: &str, new: &str) -> Self {
        let (old, new) = (assignments(old), assignments(new));
        let mut change = Self::default();
        for (name, line) in &new {
            match old.get(name) {
                None => change.added.push((*name).to_owned()),
                Some(before) if before != line => change.changed.push((*name).to_owned()),
                Some(_) => {}
            }
        }
        change.removed = old.keys().filter(|name| !new.contains_key(*name)).map(|name| (*name).to_owned()).collect();
        change
    }

    fn told(&self) -> String {
        let part = |names: &[String], what| (!names.is_empty()).then(|| format!("{what} {}", names.join(", ")));
        let parts: Vec<_> =
            [part(&self.added, "added"), part(&self.changed, "changed"), part(&self.removed, "removed")].into_iter().flatten().collect();
        if parts.is_empty() { "written anew".to_owned() } else { parts.join("; ") }
    }
}

/// The lines that set something, by name.
fn assignments(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| Some((line.split_once('=')?.0, line))).collect()
}

/// What must be done to the file. It is refused if somebody else wrote it.
fn judge(folder: &Folder, text: &str, path: &Path) -> Result<(Difference, Change), FileError> {
    let old = folder.read()?.unwrap_or_default();
    if !old.is_empty() && !old.starts_with(HEADER) {
        let why = "was not written by taskrun: keep its values with `taskrun settings set`, move it away, and run this again";
        return Err(FileError::Refused { path: path.to_owned(), why });
    }
    Ok((folder.differs(text)?, Change::between(&old, text)))
}

/// The file's new text.
fn render(settings: &[Setting], params: &Params) -> Result<String, HandlerError> {
    let only: Option<Vec<&str>> = params.get("only").map(|_| texts(params.list("only")).collect());
    let prefix = params.text("prefix").unwrap_or_default();
    let mut text = format!("{HEADER}\n");
    for setting in settings.iter().filter(|setting| only.as_ref().is_none_or(|only| only.contains(&setting.name.as_str()))) {
        let name = SettingName::parse(&format!("{prefix}{}", setting.name))
            .ok_or_else(|| HandlerError::Permanent { message: format!("{prefix}{} is too long a name: shorten `prefix`", setting.name) })?;
        text.push_str(&env_line(&name, &setting.value));
        text.push('\n');
    }
    Ok(text)
}

/// Takes the file's folder, as soon as whoever has it is done.
async fn take(path: &Path, ctx: &AttemptContext) -> Result<Folder, HandlerError> {
    let mut waited = Duration::ZERO;
    loop {
        let file: PathBuf = path.to_owned();
        if let Some(folder) = apart(move || Folder::take(&file)).await? {
            return Ok(folder);
        }
        if ctx.cancel.is_cancelled() {
            return Err(HandlerError::Cancelled);
        }
        if PATIENCE <= waited {
            let message = format!("somebody holds the folder of `{}`", path.display());
            return Err(HandlerError::Transient { message, retry_after: None });
        }
        waited = waited.saturating_add(LOOK_AGAIN);
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Works with files off the async threads.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, FileError> + Send + 'static) -> Result<T, HandlerError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) if error.needs_a_person() => Err(HandlerError::Permanent { message: chain(&error) }),
        Ok(Err(error)) => Err(HandlerError::Transient { message: chain(&error), retry_after: None }),
        Err(_) => Err(HandlerError::Cancelled),
    }
}

fn texts(values: &[Value]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(|value| if let Value::Text(text) = value { Some(&**text) } else { None })
}

/// Names that can't be a setting's.
fn complain_of_names(value: &Value) -> Vec<Complaint> {
    let judge = |at: String, text: &str| {
        SettingName::parse(text).is_none().then(|| Complaint {
            at,
            message: format!("`{text}` can't be a setting's name"),
            hint: "upper-case letters, digits and `_`, a letter first".to_owned(),
        })
    };
    match value {
        Value::List(names) => texts(names).enumerate().filter_map(|(nth, text)| judge(nth.to_string(), text)).collect(),
        Value::Text(text) => judge(String::new(), text).into_iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_by_names() {
        let change = Change::between("# x=1\nA=1\nB=2\nC=3\n", "# y\nA=1\nB='2 '\nD=\n");
        assert_eq!(change.told(), "added D; changed B; removed C");
        assert_eq!(Change::default().told(), "written anew");
    }

    #[test]
    fn only_names_that_can_be_set_may_be_asked_for() {
        let list = Value::List(vec![Value::Text("A".into()), Value::Text("b".into())]);
        let complaints: Vec<_> = complain_of_names(&list).into_iter().map(|complaint| complaint.at).collect();
        assert_eq!(complaints, ["1"]);
        assert_eq!(complain_of_names(&Value::Text("RICHS_".into())), []);
    }
}
