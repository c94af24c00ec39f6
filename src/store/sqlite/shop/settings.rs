//! Settings: what a person sets for the programs around taskrun, and for its own worker counts.
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    SqliteStore,
    rows::{instant, unreadable, word},
};
use crate::{
    shop::setting::{SettingName, SettingValue},
    store::{
        Answer,
        shop::{Setting, Settings},
    },
};

impl Settings for SqliteStore {
    fn setting(&self, name: SettingName) -> Answer<Option<Setting>> {
        self.db.read("read a setting", move |conn| {
            conn.prepare_cached("SELECT * FROM settings WHERE name = ?1")?.query_row([name.as_str()], setting).optional()
        })
    }

    fn settings(&self) -> Answer<Vec<Setting>> {
        self.db.read("read the settings", |conn| {
            conn.prepare_cached("SELECT * FROM settings ORDER BY name")?.query_map([], setting)?.collect()
        })
    }

    fn set_settings(&self, settings: Vec<(SettingName, SettingValue)>, at: Timestamp) -> Answer<Vec<SettingName>> {
        self.db.write("keep settings", move |conn| set(conn, settings, at))
    }

    fn unset_settings(&self, names: Vec<SettingName>) -> Answer<Vec<SettingName>> {
        self.db.write("forget settings", move |conn| {
            let mut delete = conn.prepare_cached("DELETE FROM settings WHERE name = ?1")?;
            let mut forgotten = Vec::new();
            for name in names {
                if delete.execute([name.as_str()])? > 0 {
                    forgotten.push(name);
                }
            }
            Ok(forgotten)
        })
    }
}

fn set(conn: &Connection, settings: Vec<(SettingName, SettingValue)>, at: Timestamp) -> rusqlite::Result<Vec<SettingName>> {
    let mut write = conn.prepare_cached(
        "INSERT INTO settings (name, value, changed_at_ms) VALUES (?1, ?2, ?3)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value, changed_at_ms = excluded.changed_at_ms WHERE value <> excluded.value",
    )?;
    let mut changed = Vec::new();
    for (name, value) in settings {
        if write.execute(params![name.as_str(), value.expose(), at.as_millisecond()])? > 0 {
            changed.push(name);
        }
    }
    Ok(changed)
}

fn setting(row: &Row<'_>) -> rusqlite::Result<Setting> {
    let value: Box<str> = row.get("value")?;
    Ok(Setting {
        name: word(row, "name", SettingName::parse)?,
        value: SettingValue::parse(&value).map_err(|unfit| unreadable(row, "value", unfit.into()))?,
        changed_at: instant(row, "changed_at_ms")?,
    })
}
