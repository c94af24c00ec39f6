//! Accounts' tokens, and whose turn it is to refresh them.
use std::sync::Arc;

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
    /// When the pair was got; `None`: the refresh token is the configured one, whose age nobody knows.
    pub refreshed_at: Option<Timestamp>,
    /// When a refresh of this pair was sent whose answer nobody has seen: the refresh token may be dead.
    pub sent_at: Option<Timestamp>,
    /// What the authorisation server said when it refused the refresh token for good. Nobody tries again until a person says so.
    pub refused: Option<Arc<str>>,
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
    /// Go on, with this; nobody else will until then. That a refresh is sent is written down already; [`Token::sent_at`] is that of the one before.
    Yours(Token),
    /// Somebody else has refreshed meanwhile.
    Renewed(Token),
    /// Somebody else is at it: by this holder. It may have died in the middle of it.
    Busy(Arc<str>),
    /// The last try failed; there is none before then.
    Resting(Timestamp),
    /// The refresh token was refused for good, with these words.
    Refused(Arc<str>),
}

/// Who wants to refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    /// What names the process among all.
    pub holder: Arc<str>,
    /// A holder that is proved dead: its claim counts for nothing.
    pub dead: Option<Arc<str>>,
    /// Now.
    pub at: Timestamp,
    /// When the claim is over at the latest.
    pub until: Timestamp,
}

/// Why a refresh gave no pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoPair {
    /// Nothing was sent, or it makes no difference.
    Nothing,
    /// No answer was read: the old refresh token may be dead. No other try before then.
    Lost(Timestamp),
    /// Refused, but not because of the token. No other try before then.
    Denied(Timestamp),
    /// The refresh token is no good, in the words of the server.
    Refused(Arc<str>),
}

/// The accounts' tokens.
///
/// Whoever gets a new pair ends the account's park for `login`, in the same transaction.
pub trait Tokens: Send + Sync + std::fmt::Debug {
    /// An account's tokens. A refresh token in the configuration is the first one, and when it is changed there, the first one again.
    fn token(&self, account: AccountKey, configured: Option<Secret>) -> Answer<Option<Token>>;
    /// Asks to be the one who refreshes, and writes down that a refresh is sent. `generation` is the pair that the caller knows.
    fn claim_refresh(&self, account: AccountKey, generation: i64, claimant: Claimant) -> Answer<Claim>;
    /// Keeps a new pair, durably, in place of pair `generation`, and ends the claim. False: that pair is no longer the newest.
    fn keep_token(&self, account: AccountKey, generation: i64, pair: TokenPair, at: Timestamp) -> Answer<bool>;
    /// Ends the claim without a new pair. A configured refresh token that was refused before it ever gave a pair makes way for the pair before it.
    fn end_refresh(&self, account: AccountKey, generation: i64, why: NoPair) -> Answer<()>;
    /// Keeps the pair that a person's login gave, whatever there was. `configured`: what the configuration holds meanwhile.
    fn log_in(&self, account: AccountKey, configured: Option<Secret>, pair: TokenPair, at: Timestamp) -> Answer<()>;
    /// Forgets that a refresh was refused or has to rest: a person wants another try.
    fn try_again(&self, account: AccountKey) -> Answer<()>;
}
