//! Settings: what a person sets for the programs around taskrun, and for its own worker counts.
use jiff::Timestamp;

use crate::{
    shop::setting::{SettingName, SettingValue},
    store::Answer,
};

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: SettingName,
    /// Its value.
    pub value: SettingValue,
    /// When it last became another.
    pub changed_at: Timestamp,
}

/// The settings. A person's word, so none of the writes carries a fence.
pub trait Settings: Send + Sync + std::fmt::Debug {
    /// The setting of this name, if it is set.
    fn setting(&self, name: SettingName) -> Answer<Option<Setting>>;
    /// All of them, by name.
    fn settings(&self) -> Answer<Vec<Setting>>;
    /// Sets all of these or none. Gives the names of those that were not so before.
    fn set_settings(&self, settings: Vec<(SettingName, SettingValue)>, at: Timestamp) -> Answer<Vec<SettingName>>;
    /// Forgets these. Gives the names of those that were set.
    fn unset_settings(&self, names: Vec<SettingName>) -> Answer<Vec<SettingName>>;
}
