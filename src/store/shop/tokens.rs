//! Accounts' tokens, and whose turn it is to refresh them.
use jiff::Timestamp;

use super::AccountKey;
use crate::{core::value::Secret, store::Answer};

/// An account's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What calls carry; `None` until the first refresh.
    pub access: Option<Secret>,
    /// When the access token ends.
    pub expires_at: Option<Timestamp>,
    /// What the next pair is bought with.
    pub refresh: Secret,
    /// Counts the pairs.
    pub generation: i64,
}

/// A pair of tokens as an authorisation server gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenPair {
    /// What calls carry.
    pub access: Secret,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What the next pair is bought with; `None`: the same as before.
    pub refresh: Option<Secret>,
}

/// The answer to whoever wants to refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Go on, with this; nobody else will until then.
    Yours(Token),
    /// Somebody else has refreshed meanwhile.
    Renewed(Token),
    /// Somebody else is at it.
    Busy,
}

/// The accounts' tokens.
pub trait Tokens: Send + Sync + std::fmt::Debug {
    /// An account's tokens. A refresh token in the configuration is the first one, and when it is changed there, the first one again.
    fn token(&self, account: AccountKey, configured: Option<Secret>) -> Answer<Option<Token>>;
    /// Asks to be the one who refreshes, until `until` at most. `generation` is the pair that the caller knows.
    fn claim_refresh(&self, account: AccountKey, generation: i64, at: Timestamp, until: Timestamp) -> Answer<Claim>;
    /// Keeps a new pair, durably, in place of pair `generation`, and ends the claim. False: that pair is no longer the newest.
    fn keep_token(&self, account: AccountKey, generation: i64, pair: TokenPair) -> Answer<bool>;
    /// Ends the claim without a new pair.
    fn release_refresh(&self, account: AccountKey, generation: i64) -> Answer<()>;
}
