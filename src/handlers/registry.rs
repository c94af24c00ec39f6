//! Every handler there is. A new one is one file, one line in [`SPECS`] and one in [`build`].
use std::{collections::BTreeMap, sync::Arc};

use super::{Handler, command};
use crate::{
    config::{Config, keys::HandlerSpec},
    store::shop::ShopStore,
};

/// What the configuration knows of the handlers.
pub const SPECS: &[HandlerSpec] = &[command::SPEC];

/// The handlers by name, ready to work under a configuration.
pub fn build(_config: &Config, _shop: &Arc<dyn ShopStore>) -> BTreeMap<Arc<str>, Arc<dyn Handler>> {
    let command: Arc<dyn Handler> = Arc::new(command::Command::default());
    [(Arc::from(command::SPEC.name), command)].into()
}
