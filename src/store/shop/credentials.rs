//! What was found when accounts' credentials were looked at.
use jiff::Timestamp;

use super::AccountKey;
use crate::{core::task::words, store::Answer};

words! {
    /// What a look at an account's credentials found.
    Verdict {
        /// They work.
        Valid = "valid",
        /// They work, and the seller does not sell at the configured marketplace.
        Inactive = "inactive",
        /// They work, and some of the seller's listings are suspended.
        Suspended = "suspended",
        /// They don't open all that taskrun needs.
        Scope = "scope",
        /// The account is refused: it is restricted, or taskrun is not let in any more.
        Denied = "denied",
        /// The authorisation has ended: a person has to log in.
        Revoked = "revoked",
        /// The application's own key is no good: none of its accounts can work.
        Application = "application",
    }
}

/// What the last look found. One that could not tell leaves what was found before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialCheck {
    /// The account.
    pub account: AccountKey,
    /// What was found.
    pub verdict: Verdict,
    /// The same in a sentence.
    pub detail: String,
    /// Since when it is so.
    pub since: Timestamp,
    /// When it was last looked at.
    pub checked_at: Timestamp,
}

/// The verdicts.
pub trait Credentials: Send + Sync + std::fmt::Debug {
    /// Keeps what was found. What was found before, if anything was.
    fn keep_verdict(&self, account: AccountKey, verdict: Verdict, detail: String, at: Timestamp) -> Answer<Option<Verdict>>;
    /// What was found last, by account.
    fn verdicts(&self) -> Answer<Vec<CredentialCheck>>;
}
