//! Every handler there is. A new one is one file, one line in [`SPECS`] and one in [`build`].
use std::{collections::BTreeMap, sync::Arc};

use super::{
    Handler, backup, check_items, cleanup, command, delete_old_items, health_check, http_request,
    practice::{Name, Practised},
    refresh_tokens, sync_inventory, update_env, update_feed, update_items, upload_tick, validate_credentials, verify, watch_runs,
};
use crate::{
    config::{Config, StoreLocation, keys::HandlerSpec},
    marketplace::Market,
    outbound::{Outbound, SystemResolver},
    store::{inspect::Inspect, shop::ShopStore, upkeep::Upkeep},
};

/// What the configuration knows of the handlers.
pub const SPECS: &[HandlerSpec] = &[
    command::SPEC,
    sync_inventory::SPEC,
    upload_tick::SPEC,
    refresh_tokens::SPEC,
    validate_credentials::SPEC,
    cleanup::SPEC,
    delete_old_items::SPEC,
    backup::SPEC,
    http_request::SPEC,
    update_env::SPEC,
    check_items::SPEC,
    update_items::SPEC,
    watch_runs::SPEC,
    update_feed::SPEC,
    health_check::SPEC,
    verify::SPEC,
];

/// The handlers by name, ready to work under a configuration.
pub fn build(config: &Config, shop: &Arc<dyn ShopStore>, upkeep: &Arc<dyn Upkeep>) -> BTreeMap<Arc<str>, Arc<dyn Handler>> {
    let market = Arc::new(Market::connect(&config.marketplaces, &config.accounts, shop));
    let gate = config.publish.as_ref().map(|publish| Arc::clone(&publish.rules));
    let command: Arc<dyn Handler> = Arc::new(command::Command::default());
    let sync_inventory: Arc<dyn Handler> = Arc::new(sync_inventory::SyncInventory::new(Arc::clone(&market), Arc::clone(shop)).behind(gate));
    let upload_tick: Arc<dyn Handler> =
        Arc::new(upload_tick::UploadTick::new(config.publish.clone(), &config.accounts, Arc::clone(&market), Arc::clone(shop)));
    let update_feed: Arc<dyn Handler> = Arc::new(update_feed::UpdateFeed::new(Arc::clone(&market), Arc::clone(shop)));
    let refresh_tokens: Arc<dyn Handler> = Arc::new(refresh_tokens::RefreshTokens::new(Arc::clone(&market), Arc::clone(shop)));
    let validate_credentials: Arc<dyn Handler> =
        Arc::new(validate_credentials::ValidateCredentials::new(Arc::clone(&market), Arc::clone(shop)));
    let cleanup: Arc<dyn Handler> = Arc::new(cleanup::Cleanup::new(Arc::clone(upkeep), places(config)));
    let backup: Arc<dyn Handler> = Arc::new(backup::Backup::new(Arc::clone(upkeep), config.state_dir.join(backup::FOLDER)));
    let outbound = Outbound::new(config.http_hosts.clone(), Arc::new(SystemResolver));
    let update_env: Arc<dyn Handler> = Arc::new(update_env::UpdateEnv::new(Arc::clone(shop)));
    let check_items: Arc<dyn Handler> = Arc::new(check_items::CheckItems::new(&config.sources, Arc::clone(shop)));
    let update_items: Arc<dyn Handler> = Arc::new(update_items::UpdateItems::new(&config.sources, Arc::clone(shop)));
    let delete_old_items: Arc<dyn Handler> = Arc::new(delete_old_items::DeleteOldItems::new(Arc::clone(shop)));
    let watch_runs: Arc<dyn Handler> = Arc::new(watch_runs::WatchRuns::new(Arc::clone(shop)));
    let inspect: Arc<dyn Inspect> = Arc::<dyn Upkeep>::clone(upkeep);
    let http_request: Arc<dyn Handler> = Arc::new(http_request::HttpRequest::new(outbound.clone()));
    let health_check: Arc<dyn Handler> = Arc::new(health_check::HealthCheck::new(config, outbound, Arc::clone(shop), Arc::clone(&inspect)));
    let verify: Arc<dyn Handler> = Arc::new(verify::Verify::new(config, market, Arc::clone(shop), inspect));
    let handlers = [
        (command::SPEC.name, command),
        (sync_inventory::SPEC.name, sync_inventory),
        (upload_tick::SPEC.name, upload_tick),
        (refresh_tokens::SPEC.name, refresh_tokens),
        (validate_credentials::SPEC.name, validate_credentials),
        (cleanup::SPEC.name, cleanup),
        (backup::SPEC.name, backup),
        (delete_old_items::SPEC.name, delete_old_items),
        (http_request::SPEC.name, http_request),
        (update_env::SPEC.name, update_env),
        (check_items::SPEC.name, check_items),
        (update_items::SPEC.name, update_items),
        (watch_runs::SPEC.name, watch_runs),
        (update_feed::SPEC.name, update_feed),
        (health_check::SPEC.name, health_check),
        (verify::SPEC.name, verify),
    ];
    handlers.into_iter().map(|(name, handler)| (Arc::from(name), in_place(config, name, handler))).collect()
}

/// In practice, a handler that would change files which the configuration names changes others instead.
fn in_place(config: &Config, name: &str, handler: Arc<dyn Handler>) -> Arc<dyn Handler> {
    const ENV: &[Name] = &[Name::File("path")];
    const IMAGES: &[Name] = &[Name::Folder("images")];
    const COPIES: &[Name] = &[Name::Folder("dir")];
    const OLD_COPIES: &[Name] = &[Name::Within("backups", "dir")];
    let is_practice = config.http_hosts.is_none();
    let names = match name {
        _ if !is_practice => return handler,
        "update_env" => ENV,
        "delete_old_items" => IMAGES,
        "backup" => COPIES,
        "cleanup" => OLD_COPIES,
        _ => return handler,
    };
    Arc::new(Practised::new(handler, &config.state_dir, names))
}

/// Where a configuration's files grow old.
fn places(config: &Config) -> cleanup::files::Places {
    let StoreLocation::Sqlite(store) = &config.store;
    cleanup::files::Places {
        log_dir: config.log.dir.clone(),
        log_keep: config.log.keep,
        instances: config.instances.keys().map(ToString::to_string).collect(),
        state_dir: config.state_dir.clone(),
        store: store.clone(),
    }
}
