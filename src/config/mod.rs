//! tasks.yaml: text to checked values. No async, no store, no handlers: what they need to know of it comes in as tables.
//!
//! The way of a file: `file` reads it, `tree` gives every value its place, `read` turns values into Rust's, `remote`, `timing` and `task` check what they
//! mean, `check` puts the whole together. Nobody stops at the first fault.
use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use crate::core::task::{InstanceSet, words};

mod agree;
pub mod amount;
mod check;
pub mod env;
pub mod fault;
mod file;
mod http;
pub mod keys;
mod lint;
pub mod notify;
mod order;
pub mod outside;
mod part;
mod publish;
mod read;
mod remote;
mod task;
mod timing;
mod tree;

pub use crate::{
    core::value::Secret,
    shop::{currency::Rate, gate::Publish, product::Platform, quota::PerPurpose},
};
pub use env::system_env;
pub use fault::{Fault, Faults};
use keys::HandlerSpec;
pub use part::{settings, whereabouts};

/// How a file is to be read.
#[derive(Clone, Copy)]
pub struct LoadOptions<'a> {
    /// The handlers there are, with their parameters.
    pub handlers: &'static [HandlerSpec],
    /// With `--sandbox`: marketplaces, accounts and variables of the real world may be absent. What is absent is left out or empty.
    pub practice: bool,
    pub secrets: Secrets,
    /// The environment: [`system_env`] but in tests.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Schedules that never fire from now on are faults.
    pub now: Timestamp,
}

impl fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("practice", &self.practice)
            .field("secrets", &self.secrets)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// Whether the secrets are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secrets {
    /// A variable that is not set, or a secret's file that cannot be read, is a fault.
    Required,
    /// `list`, `next`, `history` and `logs` work without: what is not set is empty, and no secret's file is opened.
    NotNeeded,
}

/// A checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file, as it was named.
    pub path: PathBuf,
    /// Its folder: what relative paths are relative to.
    pub base_dir: PathBuf,
    pub timezone: TimeZone,
    /// The zone's IANA name.
    pub timezone_name: Arc<str>,
    pub store: StoreLocation,
    pub state_dir: PathBuf,
    pub log: LogConfig,
    /// Where the dashboard and the API listen; `None`: nowhere but on the local socket.
    pub http: Option<HttpConfig>,
    pub marketplaces: Marketplaces,
    /// By name.
    pub accounts: BTreeMap<Arc<str>, Account>,
    /// Where goods come from, by name.
    pub sources: BTreeMap<Arc<str>, Source>,
    /// What may be listed at all; `None`: the file says nothing of it, and nothing is listed.
    pub publish: Option<Publish>,
    /// The hosts that `http_request` and `health_check` may call; `None`: practice, where nobody outside is called.
    pub http_hosts: Option<Arc<[outside::AllowedHost]>>,
    /// Who is told what.
    pub notify: notify::Notify,
    /// What stood in the file as `${API_KEY}`, `${DB_PASSWORD}` and the like, wherever it stood.
    pub secrets: Vec<Secret>,
    /// How many runs may go on at once.
    pub max_running: usize,
    /// How long runs may take to stop when taskrun stops.
    pub shutdown_grace: SignedDuration,
    /// Reload when the file changes.
    pub watch: bool,
    pub instances: InstanceSet,
    /// What is odd, though it can be run.
    pub warnings: Faults,
}

impl Config {
    /// Moves all that taskrun keeps into another folder: `--state-dir`, and practice, which must never mix with the real thing.
    pub fn keep_state_in(&mut self, dir: PathBuf) {
        self.store = StoreLocation::Sqlite(store_in(&dir));
        self.state_dir = dir;
    }
}

/// The store's file in a state folder, where tasks.yaml names no other.
pub fn store_in(state_dir: &Path) -> PathBuf {
    state_dir.join("taskrun.db")
}

/// Where runs are written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreLocation {
    /// One file, by its path.
    Sqlite(PathBuf),
}

/// Where the log goes and how it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub dir: PathBuf,
    pub level: LogLevel,
    pub format: LogFormat,
    /// A file that reaches this many bytes is rotated.
    pub max_size: u64,
    /// How many rotated files are kept.
    pub keep: usize,
    /// Write to the terminal too.
    pub console: bool,
}

/// Where the dashboard and the API listen, and who may come in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    pub listen: SocketAddr,
    /// What changes have to carry; `None`: what stands in a file in the state folder.
    pub token: Option<Secret>,
    pub tls: Option<TlsFiles>,
    /// Names under which it is reached, besides its address and `localhost`; lower case, without a port.
    pub allowed_hosts: Vec<String>,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain in PEM.
    pub cert: PathBuf,
    /// The private key in PEM.
    pub key: PathBuf,
}

words! {
    /// The least important lines that are written.
    LogLevel { Error = "error", Warn = "warn", Info = "info", Debug = "debug", Trace = "trace" }
}

words! {
    /// How a line of the log looks.
    LogFormat { Text = "text", Json = "json" }
}

/// The marketplaces that are configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marketplaces {
    pub amazon: Option<Amazon>,
    pub base: Option<Base>,
    pub ebay: Option<Ebay>,
}

/// Amazon's Selling Partner API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amazon {
    pub marketplace_id: String,
    pub client_id: String,
    pub client_secret: Secret,
    /// Without a slash at its end.
    pub endpoint: String,
    /// Login with Amazon; without a slash at its end.
    pub lwa_endpoint: String,
}

/// BASE's shop API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    pub client_id: String,
    pub client_secret: Secret,
    pub redirect_uri: Option<String>,
    /// Without a slash at its end.
    pub endpoint: String,
    /// What a shop's calls are limited to.
    pub calls: CallLimits,
}

/// eBay's Inventory API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ebay {
    pub client_id: String,
    pub client_secret: Secret,
    /// Without a slash at its end.
    pub endpoint: String,
    /// What every listing there says.
    pub terms: EbayTerms,
}

/// What every listing at eBay says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EbayTerms {
    /// `EBAY_US`.
    pub marketplace_id: String,
    /// Of titles and descriptions, as in `en-US`.
    pub language: String,
    /// Three letters.
    pub currency: &'static str,
    /// What a unit of the currency costs.
    pub rate: Rate,
    /// eBay's numbers: the category of all items, where they lie, and the three policies.
    pub category_id: String,
    pub location: String,
    pub fulfillment_policy: String,
    pub payment_policy: String,
    pub return_policy: String,
}

/// How many calls a shop may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// In a clock hour.
    pub per_hour: i64,
    /// On a day in Japan.
    pub per_day: i64,
    /// Shares that are kept for a purpose, in millionths. Together less than all.
    pub reserve: PerPurpose,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self { per_hour: 5_000, per_day: 100_000, reserve: PerPurpose { sync: 400_000, upload: 200_000, manual: 50_000 } }
    }
}

/// A seller or a shop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub platform: Platform,
    /// `false`: its instances fire by hand only, and handlers that serve all accounts leave it out.
    pub enabled: bool,
    /// The first refresh token; later ones are kept in the store.
    pub refresh_token: Option<Secret>,
    /// The proxy for its calls, with its password if it has one; if it can't be reached, they fail.
    pub proxy: Option<Secret>,
    /// The seller's number at Amazon.
    pub seller_id: Option<Arc<str>>,
    /// How many items may be listed on one day.
    pub daily_limit: Option<u32>,
    /// How many calls it may get in a clock hour; the marketplace's number where it is not given.
    pub calls_per_hour: Option<i64>,
    /// How many calls it may get on a day in Japan; the marketplace's number where it is not given.
    pub calls_per_day: Option<i64>,
}

/// Where goods come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Without a slash at its end.
    pub endpoint: String,
    /// The time between two calls, in milliseconds; at least 1.
    pub interval_ms: i64,
    /// Sent with each call.
    pub token: Option<Secret>,
    /// The proxy for its calls; if it can't be reached, they fail.
    pub proxy: Option<Secret>,
}

/// Reads and checks a file.
///
/// # Errors
/// Every fault of the file, in the order of their places.
pub fn load(path: &Path, options: &LoadOptions<'_>) -> Result<Config, Faults> {
    match file::read(path) {
        Ok(text) => read(&text, path, options),
        Err(error) => {
            let (fault, text) = *error;
            Err(Faults::settle(path.to_owned(), text.into(), None, vec![fault]))
        }
    }
}

/// Checks a text as if it stood in the file `path`.
///
/// # Errors
/// Every fault of the text, in the order of their places.
pub fn read(text: &str, path: &Path, options: &LoadOptions<'_>) -> Result<Config, Faults> {
    let mut faults = Vec::new();
    let tree = match tree::parse(text, &mut faults) {
        Ok(tree) => tree,
        Err(fault) => {
            faults.push(*fault);
            return Err(Faults::settle(path.to_owned(), text.into(), None, faults));
        }
    };
    check::config(text, path, options, &tree, faults)
}
