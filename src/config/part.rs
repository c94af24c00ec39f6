//! Parts of a configuration that are read by themselves: a parameter from the command line, and where a file with faults keeps its state.
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{
    LoadOptions, StoreLocation, check,
    fault::{Fault, Faults, quote},
    file,
    keys::{HandlerSpec, ROOT},
    read::Reader,
    store_in, tree,
};
use crate::core::value::Params;

/// Reads `KEY=VALUE`s as they would be read if they stood under `with`, in a file that has these accounts.
///
/// # Errors
/// All that is wrong with them; the places are those in lines of `KEY: VALUE`.
pub fn settings<'n>(
    settings: &[String],
    spec: &HandlerSpec,
    accounts: impl IntoIterator<Item = &'n str>,
    options: &LoadOptions<'_>,
) -> Result<Params, Faults> {
    if settings.is_empty() {
        // A text without a key is no table.
        return Ok(Params::default());
    }
    let path = PathBuf::from("--set");
    let mut text = String::new();
    for setting in settings {
        let Some((key, value)) = setting.split_once('=').filter(|(key, _)| !key.trim().is_empty()) else {
            let fault = Fault::whole(format!("{} is no setting", quote(setting))).hint("write it like `batch_size=1`");
            return Err(Faults::settle(path, setting.as_str().into(), None, vec![fault]));
        };
        _ = writeln!(text, "{}: {value}", key.trim());
    }
    let mut faults = Vec::new();
    let tree = tree::parse(&text, &mut faults).map_err(|fault| Faults::settle(path.clone(), text.as_str().into(), None, vec![*fault]))?;
    let mut reader = Reader::new(options, faults);
    reader.accounts = accounts.into_iter().map(ToOwned::to_owned).collect();
    let top = 0..0;
    let params = reader.open_table(&tree.root, &top).map(|table| {
        for entry in table.entries() {
            let known = || spec.params.iter().map(|param| param.name);
            if known().any(|name| *name == *entry.key.text) {
                continue;
            }
            match whole_table(&entry.key.text, spec) {
                Some(hint) => reader.fault(&entry.key.span, format!("there is no parameter {}", quote(&entry.key.text)), hint),
                None => reader.unknown(&entry.key.span, "parameter", &entry.key.text, known()),
            }
        }
        reader.plain(table, &[spec.params])
    });
    match params {
        Some(params) if reader.faults.is_empty() => Ok(params),
        _ => Err(Faults::settle(path, text.into(), Some(&tree), reader.faults)),
    }
}

/// How a key of a table is set, where that was meant by `pricing.markup` or by `markup`.
fn whole_table(key: &str, spec: &HandlerSpec) -> Option<String> {
    let (table, name) = key.split_once('.').unwrap_or(("", key));
    let found = spec.params.iter().find(|param| (table.is_empty() || param.name == table) && param.holds(name))?.name;
    Some(format!("`{name}` belongs under `{found}`, which is set as a whole: `--set '{found}={{{name}: …}}'`"))
}

/// The state folder and the store of a file, whatever else is wrong with it: a daemon may run under what it was before.
pub fn whereabouts(path: &Path, options: &LoadOptions<'_>) -> (PathBuf, StoreLocation) {
    let base_dir = check::folder(path);
    let read = || {
        let text = file::read(path).ok()?;
        let tree = tree::parse(&text, &mut Vec::new()).ok()?;
        let mut reader = Reader::new(options, Vec::new());
        let top = 0..0;
        let table = reader.open_table(&tree.root, &top)?;
        let plain = reader.plain(table, &[ROOT]);
        Some(check::whereabouts(&mut reader, table, &plain, &base_dir))
    };
    let (state_dir, store) = read().unwrap_or_else(|| (base_dir.join(check::STATE_DIR), None));
    let store = store.unwrap_or_else(|| StoreLocation::Sqlite(store_in(&state_dir)));
    (state_dir, store)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;
    use crate::{
        config::{
            Secrets,
            keys::{Key, Kind},
        },
        core::value::Value,
    };

    const MARKUP: Key = Key { name: "markup", kind: Kind::Int(1, 9), required: false, doc: "How much." };
    const SPEC: HandlerSpec = HandlerSpec {
        name: "upload_tick",
        doc: "Uploads.",
        params: &[
            Key { name: "batch_size", kind: Kind::Int(1, 100), required: true, doc: "How many." },
            Key { name: "spacing", kind: Kind::Duration(true), required: false, doc: "How far apart." },
            Key { name: "source", kind: Kind::Account, required: false, doc: "Whose." },
            Key { name: "pricing", kind: Kind::Table(&[MARKUP]), required: false, doc: "How dear." },
        ],
        retries: 3,
        resumable: true,
        parks: true,
        needs: &[],
        eager_in_practice: false,
    };

    fn options(env: &dyn Fn(&str) -> Option<String>) -> LoadOptions<'_> {
        LoadOptions { handlers: &[], practice: false, secrets: Secrets::NotNeeded, env, now: jiff::Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_setting_is_read_as_if_it_stood_in_the_file() {
        let options = options(&|_| None);
        let read = |text: &str| settings(&[text.to_owned()], &SPEC, ["amazon_main"], &options);
        assert_eq!(settings(&[], &SPEC, [], &options).unwrap(), Params::default());
        assert_eq!(read("batch_size=5").unwrap().int("batch_size"), Some(5));
        assert_eq!(read("spacing=2s").unwrap().get("spacing"), Some(&Value::Duration(SignedDuration::from_secs(2))));
        assert_eq!(read("source=amazon_main").unwrap().text("source"), Some("amazon_main"));
        for wrong in ["source=nobody", "batch_size=many", "batch_size=0", "batchsize=5", "batch_size", "spacing=["] {
            assert_eq!(read(wrong).unwrap_err().len(), 1, "{wrong}");
        }
    }

    #[test]
    fn a_key_of_a_table_is_set_with_its_whole_table() {
        let read = |text: &str| settings(&[text.to_owned()], &SPEC, [], &options(&|_| None));
        for part in ["pricing.markup=2", "markup=2"] {
            let faults = read(part).unwrap_err().to_string();
            assert!(faults.contains("--set 'pricing={markup: …}'"), "{faults}");
        }
        assert_eq!(read("pricing={markup: 2}").unwrap().table("pricing").unwrap().int("markup"), Some(2));
    }

    #[test]
    fn all_settings_are_judged_at_once() {
        let wrong = ["batch_size=many", "spacing=2s", "source=nobody"].map(ToOwned::to_owned);
        let faults = settings(&wrong, &SPEC, ["amazon_main"], &options(&|_| None)).unwrap_err();
        assert_eq!(faults.iter().map(|fault| fault.line).collect::<Vec<_>>(), [1, 3], "{faults}");
    }

    #[test]
    fn a_broken_file_still_says_where_its_state_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tasks.yaml");
        let options = options(&|_| None);
        for (text, dir) in [("state_dir: elsewhere\ntasks: 5\n", "elsewhere"), ("tasks: [", "state")] {
            std::fs::write(&path, text).unwrap();
            let (state_dir, store) = whereabouts(&path, &options);
            assert_eq!(state_dir, folder.path().join(dir));
            assert_eq!(store, StoreLocation::Sqlite(state_dir.join("taskrun.db")));
        }
    }
}
