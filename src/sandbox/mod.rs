//! The practice marketplace: Amazon's, BASE's and eBay's protocols from the other side, with state and a ledger of their own.
//!
//! It names nothing else of ours and shares no code with the clients, so that a mistake in one cannot hide in the other. What it has answered
//! survives `kill -9`. It answers any product by rule ([`seed`]), never by a table.
use std::{collections::BTreeMap, fmt, fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

mod amazon;
mod base;
mod basic;
mod chat;
pub mod control;
mod ebay;
mod faults;
mod front;
mod ledger;
mod operation;
pub mod plan;
mod practice;
pub mod seed;
mod source;
mod state;
mod summary;
mod wire;

pub use faults::{Fault, FaultKind, Force, Redirect, RetryAfter};
pub use operation::Operation;
pub use plan::{FaultPlan, PlanError};
use practice::Practice;
pub use seed::practice_keys;
pub use source::item_of;
pub use state::{Account, Client, Entry, FeedFate, Item, Offer, SellerFeed, SellerListing, Side, World};
use state::{Count, Filter};

/// The marketplace's clock: milliseconds UTC.
pub type Now = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The state's file.
const FILE: &str = "sandbox.db";
/// Amazon's and BASE's access tokens live an hour.
const ACCESS_LIVES_MS: i64 = 3_600_000;

/// How to start it.
#[derive(Clone)]
pub struct SandboxOptions {
    /// Where its state is; created where missing. A folder that has some goes on from there.
    pub dir: PathBuf,
    /// Port 0: any free one.
    pub listen: SocketAddr,
    /// Products of a new practice world; at least 1.
    pub items: u32,
    /// The clock.
    pub now: Now,
}

impl fmt::Debug for SandboxOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SandboxOptions")
            .field("dir", &self.dir)
            .field("listen", &self.listen)
            .field("items", &self.items)
            .finish_non_exhaustive()
    }
}

/// Why it did not start.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The folder or its files.
    #[error("failed to open the practice marketplace's folder `{path}`")]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// The state.
    #[error("failed to open the practice marketplace's state in `{path}`")]
    State {
        path: PathBuf,
        #[source]
        source: rusqlite::Error,
    },
    /// The address.
    #[error("the practice marketplace can't listen on {addr}")]
    Listen {
        addr: SocketAddr,
        #[source]
        source: io::Error,
    },
}

/// A practice marketplace that runs.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Stops it when cancelled.
    pub shutdown: CancellationToken,
    practice: Arc<Practice>,
    served: JoinHandle<io::Result<()>>,
}

/// Starts it with the practice world.
///
/// # Errors
/// When the folder, the state or the address can't be had.
pub async fn start(options: SandboxOptions) -> Result<Running, SandboxError> {
    let world = World::practice(options.items.max(1), (options.now)());
    start_with(options, world).await
}

/// Starts it with this world, which a folder that has state already does not take in.
///
/// # Errors
/// When the folder, the state or the address can't be had.
pub async fn start_with(options: SandboxOptions, world: World) -> Result<Running, SandboxError> {
    let SandboxOptions { dir, listen, now, .. } = options;
    let folder = |source| SandboxError::Folder { path: dir.clone(), source };
    fs::create_dir_all(&dir).map_err(folder)?;
    let ledger = ledger::File::open(&dir).map_err(folder)?;
    let unread = |source| SandboxError::State { path: dir.join(FILE), source };
    let state = state::State::open(&dir.join(FILE), &world, now()).map_err(unread)?;
    let shutdown = CancellationToken::new();
    let practice = Arc::new(Practice::new(state, ledger, now, shutdown.clone()).map_err(unread)?);
    let listener = TcpListener::bind(listen).await.map_err(|source| SandboxError::Listen { addr: listen, source })?;
    let addr = listener.local_addr().map_err(|source| SandboxError::Listen { addr: listen, source })?;
    let service = front::router(&practice).into_make_service_with_connect_info::<wire::Line>();
    let server = axum::serve(wire::Door(listener), service).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    Ok(Running { addr, shutdown, practice, served: tokio::spawn(server.into_future()) })
}

impl Running {
    /// The address as an endpoint for all sides.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops it and waits until it has.
    ///
    /// # Errors
    /// What the listener met.
    pub async fn stop(self) -> io::Result<()> {
        self.shutdown.cancel();
        self.served.await.map_err(io::Error::other)?
    }

    /// Every request so far, oldest first.
    pub fn ledger(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        note_failure(self.practice.state.visit(&Filter::default(), |entry| {
            entries.push(entry);
            true
        }));
        entries
    }

    /// What `GET /sandbox/summary` answers.
    pub fn summary(&self) -> Value {
        summary::of(&self.practice).unwrap_or_default()
    }

    /// Makes some requests go wrong.
    pub fn inject(&self, fault: Fault) {
        self.practice.faults.add(fault.into());
    }

    /// Makes requests go wrong by a plan.
    pub fn plan(&self, plan: &FaultPlan) {
        self.practice.faults.plan(plan);
    }

    /// Nothing goes wrong any more.
    pub fn clear_faults(&self) {
        self.practice.faults.clear();
    }

    /// Has a product offered otherwise than by rule; `None`: by rule again.
    pub fn force(&self, asin: &str, force: Option<Force>) {
        note_failure(self.practice.force([(asin.to_owned(), force)]));
    }

    /// Changes the rate of the offers batch, in calls per second.
    pub fn set_offers_rate(&self, rate: f64) {
        self.set_rate(Operation::Offers, rate, 1.0);
    }

    /// Changes the rate of one of Amazon's operations, in calls per second, and its burst, in calls.
    pub fn set_rate(&self, operation: Operation, rate: f64, burst: f64) {
        note_failure(self.practice.set_rate(operation, rate, Some(burst)).map(drop));
    }

    /// Says how an item of a source stands, or with `*` all of its items: `on_sale`, `sold`, `ended`, `missing`; `rule`: as the rule has it.
    pub fn set_source_item(&self, source: &str, id: &str, status: &str) {
        note_failure(self.practice.state.set(&format!("item:{source}/{id}"), status));
    }

    /// The items of a shop.
    pub fn items(&self, account: &str) -> Vec<Item> {
        self.practice.state.items(account, "item_id", i64::MAX, 0).unwrap_or_default()
    }

    /// The offers of a shop at eBay; one with a listing is seen by buyers.
    pub fn offers(&self, account: &str) -> Vec<Offer> {
        self.practice.state.offers(account, None).unwrap_or_default()
    }

    /// A seller's listings that were touched, deleted ones included; all others are as by rule.
    pub fn seller_listings(&self, account: &str) -> Vec<SellerListing> {
        amazon::feeds::settle(&self.practice, account);
        self.practice.state.seller_listings(account).unwrap_or_default()
    }

    /// Sets a seller's listing, as its owner's hand would.
    pub fn put_seller_listing(&self, account: &str, listing: &SellerListing) {
        note_failure(self.practice.state.put_seller_listing(account, listing, self.practice.now_ms()));
    }

    /// A seller's feeds, oldest first.
    pub fn seller_feeds(&self, account: &str) -> Vec<SellerFeed> {
        amazon::feeds::settle(&self.practice, account);
        self.practice.state.seller_feeds(account).unwrap_or_default()
    }

    /// A feed that another program of the seller's hands in, and that takes a day.
    pub fn put_seller_feed(&self, account: &str) {
        note_failure(amazon::feeds::put_foreign(&self.practice, account));
    }

    /// The images of a shop's items, by item and number.
    pub fn images(&self, account: &str) -> BTreeMap<i64, BTreeMap<i64, String>> {
        self.practice.state.all_images(account).unwrap_or_default()
    }

    /// Changes an item as its owner's hand would, or adds it.
    pub fn put_item(&self, item: &Item) {
        note_failure(self.practice.state.put_item(item));
    }

    /// Deletes an item as its owner's hand would.
    pub fn remove_item(&self, item_id: i64) {
        note_failure(self.practice.state.remove_item(item_id).map(drop));
    }

    /// Says that a shop has made so many calls in this period (an hour or a day, in milliseconds).
    pub fn set_calls(&self, account: &str, length_ms: i64, count: i64) {
        let what = if length_ms == base::HOUR_MS { Count::Hour } else { Count::Day };
        self.set_count(account, what, count);
    }

    /// Says that a shop has added so many items today.
    pub fn set_adds(&self, account: &str, count: i64) {
        self.set_count(account, Count::Adds, count);
    }

    fn set_count(&self, account: &str, what: Count, count: i64) {
        let began_ms = self.practice.began(account, what);
        note_failure(self.practice.state.set_count(account, what, began_ms, count));
    }

    /// Sets one of an account's switches; [`control`] has them.
    pub fn set_switch(&self, account: &str, switch: control::Switch) {
        note_failure(self.practice.switch(account, &switch));
    }

    /// An account's refresh tokens work no more.
    pub fn revoke(&self, account: &str) {
        note_failure(self.practice.state.revoke(account).map(drop));
    }

    /// An account's access tokens end now.
    pub fn expire(&self, account: &str) {
        note_failure(self.practice.state.expire(account, self.practice.now_ms()).map(drop));
    }
}

fn note_failure(done: rusqlite::Result<()>) {
    if let Err(error) = done {
        tracing::error!(%error, "the practice marketplace's state can't be written");
    }
}

/// What a handler tells the ledger about a request.
#[derive(Clone, Debug, Default)]
struct Noted {
    account: String,
    detail: String,
}

/// An answer, and what the ledger shall say about it.
fn reply(status: StatusCode, body: &Value, noted: Noted) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    response.extensions_mut().insert(noted);
    response
}
