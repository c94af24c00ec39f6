//! Settings: set together, dated by their last change, kept over a restart, and private.
use std::sync::Arc;

use taskrun::{
    shop::setting::{SettingName, SettingValue},
    store::{shop::Settings as _, sqlite::SqliteStore},
};

use crate::world::minute;

fn name(text: &str) -> SettingName {
    SettingName::parse(text).unwrap()
}

fn pair(of: &str, value: &str) -> (SettingName, SettingValue) {
    (name(of), SettingValue::parse(value).unwrap())
}

#[tokio::test]
async fn settings_are_dated_by_their_last_change_and_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    let store = Arc::new(SqliteStore::open(&path).unwrap());
    assert_eq!(store.set_settings(vec![pair("B", "2"), pair("A", "1")], minute(1)).await.unwrap(), [name("B"), name("A")]);
    assert_eq!(store.set_settings(vec![pair("B", "2"), pair("A", "x")], minute(2)).await.unwrap(), [name("A")]);
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    let found: Vec<_> =
        store.settings().await.unwrap().into_iter().map(|one| (one.name, one.value.expose().to_owned(), one.changed_at)).collect();
    assert_eq!(found, [(name("A"), "x".to_owned(), minute(2)), (name("B"), "2".to_owned(), minute(1))]);
    assert_eq!(store.setting(name("B")).await.unwrap().unwrap().value.expose(), "2");
    assert_eq!(store.unset_settings(vec![name("B"), name("C")]).await.unwrap(), [name("B")]);
    assert_eq!(store.setting(name("B")).await.unwrap(), None);
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
}
