//! Accounts that are not to be called: until when, and why.
use std::sync::Arc;

use jiff::Timestamp;

use super::AccountKey;
use crate::{core::task::words, store::Answer};

words! {
    /// Why an account is not called.
    Parked {
        /// It has used up what it is allowed for the hour or the day.
        Limited = "limited",
        /// The marketplace refuses it.
        Restricted = "restricted",
        /// Its credentials are no good; a person has to authorise taskrun anew.
        Login = "login",
        /// A person wanted it so.
        Paused = "paused",
    }
}

/// That an account is not to be called. There is at most one for each cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Park {
    /// The account.
    pub account: AccountKey,
    /// Why, in a word.
    pub cause: Parked,
    /// Why, in a sentence for a person.
    pub detail: Arc<str>,
    /// Since when.
    pub since: Timestamp,
    /// Until when; `None`: until a person says so.
    pub until: Option<Timestamp>,
}

/// The parks.
pub trait Parks: Send + Sync + std::fmt::Debug {
    /// Parks an account, or changes until when. True: it was not parked for that cause.
    fn park(&self, park: Park) -> Answer<bool>;
    /// Ends the parks of an account: that of one cause, or all. How many were in force.
    fn unpark(&self, account: AccountKey, cause: Option<Parked>, at: Timestamp) -> Answer<usize>;
    /// The parks in force, by account; of all accounts, or of one.
    fn parks(&self, account: Option<AccountKey>, at: Timestamp) -> Answer<Vec<Park>>;
}
