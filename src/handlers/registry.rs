//! Every handler there is. A new one is one file, one line in [`SPECS`] and one in [`build`].
use std::{collections::BTreeMap, sync::Arc};

use super::{Handler, command, sync_inventory};
use crate::{
    config::{Config, keys::HandlerSpec},
    marketplace::Market,
    store::shop::ShopStore,
};

/// What the configuration knows of the handlers.
pub const SPECS: &[HandlerSpec] = &[command::SPEC, sync_inventory::SPEC];

/// The handlers by name, ready to work under a configuration.
pub fn build(config: &Config, shop: &Arc<dyn ShopStore>) -> BTreeMap<Arc<str>, Arc<dyn Handler>> {
    let market = Arc::new(Market::connect(&config.marketplaces, &config.accounts, shop));
    let command: Arc<dyn Handler> = Arc::new(command::Command::default());
    let sync_inventory: Arc<dyn Handler> = Arc::new(sync_inventory::SyncInventory::new(market, Arc::clone(shop)));
    [(Arc::from(command::SPEC.name), command), (Arc::from(sync_inventory::SPEC.name), sync_inventory)].into()
}
