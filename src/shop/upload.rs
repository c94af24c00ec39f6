//! The states of queued work and what leads from one to another; and what may enter the queue.
//!
//! ```text
//!            claim                  finish
//! pending ──────────► uploading ──────────────► success
//!    ▲  ▲                │ │ │ fail            ► failed     (a dead letter until a person tries it again or gives it up)
//!    │  └── put back ────┘ │ └ doubt           ► uncertain  (its fate is unknown: looked up, or left to a person)
//!    │                     └ question          ► review     (a person approves or refuses)
//!    └── release, approve, retry ── on_hold, review, uncertain, failed, cancelled
//! ```
use std::{fmt, sync::Arc};

use crate::core::task::words;

words! {
    /// What kind of work an item is.
    Work {
        /// A product is to be listed at a shop.
        Upload = "upload",
        /// A source is to be asked whether the item that backs a listing is still there.
        Check = "check",
        /// Another item is to be found for a listing whose own is gone.
        Replace = "replace",
    }
}

words! {
    /// Where an item stands.
    State {
        /// It waits for its time.
        Pending = "pending",
        /// A worker has it.
        Uploading = "uploading",
        /// It is done.
        Success = "success",
        /// It cannot be done, or was tried too often.
        Failed = "failed",
        /// Nobody knows whether it was done.
        Uncertain = "uncertain",
        /// A person has to look at it before it may go on.
        Review = "review",
        /// A person holds it back.
        OnHold = "on_hold",
        /// A person gave it up.
        Cancelled = "cancelled",
    }
}

impl State {
    /// Whether there is more to come. Only one such item may be there for a product and an account.
    pub fn is_open(self) -> bool {
        match self {
            Self::Pending | Self::Uploading | Self::Uncertain | Self::Review | Self::OnHold => true,
            Self::Success | Self::Failed | Self::Cancelled => false,
        }
    }
}

words! {
    /// What becomes of an item in a worker's hand.
    Act {
        /// All of its steps are done.
        Finish = "finish",
        /// Not now: it goes back, and is due again later.
        PutBack = "put back",
        /// It will not be tried again by itself.
        Fail = "fail",
        /// The answer was lost, and the marketplace does not tell.
        Doubt = "doubt",
        /// The rules want a person to decide.
        Question = "question",
    }
}

words! {
    /// What a person wants of an item.
    Order {
        /// Try it (again).
        Retry = "retried",
        /// Give it up.
        Cancel = "cancelled",
        /// Keep it back for a while.
        Hold = "held back",
        /// Let it go on after that.
        Release = "released",
        /// It may be listed.
        Approve = "approved",
        /// It may not.
        Refuse = "refused",
        /// Another time.
        Reschedule = "rescheduled",
    }
}

/// What a person's order comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obeyed {
    /// The item is in this state now.
    Now(State),
    /// A worker has it: the item comes to this state when the worker is done with it, unless it has succeeded by then.
    Later(State),
}

/// An order that an item's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is `{state}`, so it cannot be {order}")]
pub struct Illegal {
    pub state: State,
    pub order: Order,
}

/// The state of an item in hand after this. `wish`: what a person asked for meanwhile; it holds where the item would go on, and loses to what is final.
pub fn act(act: Act, wish: Option<State>) -> State {
    match act {
        Act::Finish => State::Success,
        Act::Fail => State::Failed,
        Act::Doubt => State::Uncertain,
        Act::PutBack => wish.unwrap_or(State::Pending),
        Act::Question => wish.unwrap_or(State::Review),
    }
}

/// What an order comes to.
///
/// # Errors
/// When the state does not allow it.
pub fn obey(state: State, order: Order) -> Result<Obeyed, Illegal> {
    use Order::{Approve, Cancel, Hold, Refuse, Release, Reschedule, Retry};
    use State::{Cancelled, Failed, OnHold, Pending, Review, Success, Uncertain, Uploading};
    match (state, order) {
        (Failed | Uncertain | Cancelled, Retry) | (OnHold, Release) | (Review, Approve) | (Pending, Reschedule) => Ok(Obeyed::Now(Pending)),
        (Pending | OnHold | Review | Uncertain | Failed, Cancel) | (Review, Refuse) => Ok(Obeyed::Now(Cancelled)),
        (Pending, Hold) | (OnHold, Reschedule) => Ok(Obeyed::Now(OnHold)),
        (Uploading, Cancel) => Ok(Obeyed::Later(Cancelled)),
        (Uploading, Hold) => Ok(Obeyed::Later(OnHold)),
        (Pending | Uploading | Success | Review | OnHold, Retry)
        | (Success | Cancelled, Cancel)
        | (Success | Failed | Uncertain | Review | OnHold | Cancelled, Hold)
        | (Pending | Uploading | Success | Failed | Uncertain | Review | Cancelled, Release)
        | (Pending | Uploading | Success | Failed | Uncertain | OnHold | Cancelled, Approve | Refuse)
        | (Uploading | Success | Failed | Uncertain | Review | Cancelled, Reschedule) => Err(Illegal { state, order }),
    }
}

/// The most urgent item has this.
pub const PRIORITY_MAX: u8 = 20;
/// What an item has unless somebody says otherwise; 1 is low, 10 high, 20 urgent.
pub const PRIORITY: u8 = 5;

/// How many items BASE lets a shop list on one day: an account's cap where the file names none.
pub const DAILY_LIMIT: u32 = 1000;
/// When items are listed, where no task says it.
pub const HOURS: &str = "06:00-23:00";

/// What is known of a product that is to be queued, as far as it matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// `None`: it is not in the catalogue.
    pub product: Option<Complete>,
    /// The shops it is or was meant for; each account at most once.
    pub past: Vec<Past>,
}

/// Which parts of a product there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Complete {
    pub title: bool,
    pub cost: bool,
    pub images: bool,
}

/// What is known of a product at one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    pub account: Arc<str>,
    /// The shop's number of it, if it is there.
    pub item_id: Option<Arc<str>>,
    /// There is a listing to be; it belongs to this account.
    pub is_meant: bool,
    /// The newest of its items in the queue: its number, its state, and whether a listing may have been made that nobody knows of.
    pub last: Option<(i64, State, bool)>,
}

/// Why a product is not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("it is not in the catalogue")]
    Unknown,
    #[error("it has no title")]
    NoTitle,
    #[error("its cost is not known")]
    NoCost,
    #[error("it has too few images")]
    NoImages,
    #[error("the rules forbid it: {why}")]
    Prohibited { why: Arc<str> },
    #[error("it is at {account} already, as item {item_id}")]
    Live { account: Arc<str>, item_id: Arc<str> },
    #[error("it is in the queue of {account} already: item {id} is `{state}`")]
    Queued { account: Arc<str>, id: i64, state: State },
    #[error("it may be at {account} already: the fate of item {id} is unknown; `taskrun queue retry {id}` looks it up")]
    Unsettled { account: Arc<str>, id: i64 },
    #[error("it was cancelled before (item {id}); `--again` brings it back")]
    Cancelled { id: i64 },
    #[error("it failed before (item {id}); `taskrun queue retry {id}` tries it again")]
    Failed { id: i64 },
    #[error("no account has room for it within a year")]
    Full,
    #[error("its account is not served: {why}")]
    Closed { why: Arc<str> },
}

impl Refusal {
    /// The word for it in JSON and in totals.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NoTitle => "no_title",
            Self::NoCost => "no_cost",
            Self::NoImages => "no_images",
            Self::Prohibited { .. } => "prohibited",
            Self::Live { .. } => "live",
            Self::Queued { .. } => "queued",
            Self::Unsettled { .. } => "unsettled",
            Self::Cancelled { .. } => "cancelled",
            Self::Failed { .. } => "failed",
            Self::Full => "full",
            Self::Closed { .. } => "closed",
        }
    }

    /// Whether what was asked for is so already.
    pub fn is_so_already(&self) -> bool {
        match self {
            Self::Live { .. } | Self::Queued { .. } => true,
            Self::Unknown
            | Self::NoTitle
            | Self::NoCost
            | Self::NoImages
            | Self::Prohibited { .. }
            | Self::Unsettled { .. }
            | Self::Cancelled { .. }
            | Self::Failed { .. }
            | Self::Full
            | Self::Closed { .. } => false,
        }
    }
}

/// Whether a product may enter the queue. `only`: the one account it is wanted at; otherwise one account is enough. `scan`: nobody named it, so what a
/// person cancelled stays cancelled, and what failed waits for a person.
///
/// # Errors
/// The first reason why not.
pub fn admit(candidate: &Candidate, only: Option<&str>, scan: bool) -> Result<(), Refusal> {
    let past = || candidate.past.iter().filter(|past| only.is_none_or(|only| only == &*past.account));
    past().try_for_each(is_free_at)?;
    if scan {
        let newest = past().filter_map(|past| past.last).max_by_key(|(id, ..)| *id);
        match newest {
            Some((id, State::Cancelled, _)) => return Err(Refusal::Cancelled { id }),
            Some((id, State::Failed, _)) => return Err(Refusal::Failed { id }),
            Some((_, State::Pending | State::Uploading | State::Success | State::Uncertain | State::Review | State::OnHold, _)) | None => {}
        }
    }
    let product = candidate.product.ok_or(Refusal::Unknown)?;
    let lacks = [(product.title, Refusal::NoTitle), (product.cost, Refusal::NoCost), (product.images, Refusal::NoImages)];
    lacks.into_iter().find(|(there, _)| !there).map_or(Ok(()), |(_, refusal)| Err(refusal))
}

/// Whether a product is neither at any of these accounts nor queued for one.
///
/// # Errors
/// The first reason why not.
pub fn is_free(past: &[Past]) -> Result<(), Refusal> {
    past.iter().try_for_each(is_free_at)
}

fn is_free_at(past: &Past) -> Result<(), Refusal> {
    let account = || Arc::clone(&past.account);
    if let Some((id, state, unsettled)) = past.last {
        if state.is_open() {
            return Err(Refusal::Queued { account: account(), id, state });
        }
        if unsettled {
            return Err(Refusal::Unsettled { account: account(), id });
        }
    }
    past.item_id.as_ref().map_or(Ok(()), |item_id| Err(Refusal::Live { account: account(), item_id: Arc::clone(item_id) }))
}

/// The number of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub i64);

impl fmt::Display for ItemId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A part of an item's work that is done once, whatever dies when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The listing itself.
    Create,
    /// The image of this number, from 1.
    Image(u8),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(account: &str, last: Option<(i64, State, bool)>) -> Past {
        Past { account: account.into(), item_id: None, is_meant: false, last }
    }

    fn whole(past: Vec<Past>) -> Candidate {
        Candidate { product: Some(Complete { title: true, cost: true, images: true }), past }
    }

    #[test]
    fn every_order_leads_where_it_says_or_is_refused() {
        let table = [
            (Order::Retry, "failed uncertain cancelled", State::Pending),
            (Order::Cancel, "pending on_hold review uncertain failed", State::Cancelled),
            (Order::Hold, "pending", State::OnHold),
            (Order::Release, "on_hold", State::Pending),
            (Order::Approve, "review", State::Pending),
            (Order::Refuse, "review", State::Cancelled),
        ];
        for (order, from, to) in table {
            for state in State::ALL {
                let expected = match (*state, order) {
                    (State::Uploading, Order::Cancel | Order::Hold) => Ok(Obeyed::Later(to)),
                    (state, order) if from.split(' ').any(|word| word == state.word()) && order == order => Ok(Obeyed::Now(to)),
                    (state, order) => Err(Illegal { state, order }),
                };
                assert_eq!(obey(*state, order), expected, "{state} {order}");
            }
        }
        let movable: Vec<&State> = State::ALL.iter().filter(|state| obey(**state, Order::Reschedule) == Ok(Obeyed::Now(**state))).collect();
        assert_eq!(movable, [&State::Pending, &State::OnHold]);
    }

    #[test]
    fn an_order_given_meanwhile_holds_unless_the_end_is_final() {
        let wish = Some(State::Cancelled);
        assert_eq!(
            Act::ALL.iter().map(|what| act(*what, wish)).collect::<Vec<_>>(),
            [State::Success, State::Cancelled, State::Failed, State::Uncertain, State::Cancelled]
        );
        assert_eq!(
            Act::ALL.iter().map(|what| act(*what, None)).collect::<Vec<_>>(),
            [State::Success, State::Pending, State::Failed, State::Uncertain, State::Review]
        );
    }

    #[test]
    fn nothing_incomplete_enters_and_the_reason_is_named() {
        let lacking = |product| admit(&Candidate { product, past: Vec::new() }, None, false);
        assert_eq!(lacking(None), Err(Refusal::Unknown));
        assert_eq!(lacking(Some(Complete { cost: true, images: true, title: false })), Err(Refusal::NoTitle));
        assert_eq!(lacking(Some(Complete { title: true, images: true, cost: false })), Err(Refusal::NoCost));
        assert_eq!(lacking(Some(Complete { title: true, cost: true, images: false })), Err(Refusal::NoImages));
        assert_eq!(admit(&whole(Vec::new()), None, true), Ok(()));
    }

    #[test]
    fn what_is_live_or_open_anywhere_enters_again_only_for_another_account() {
        let live = Past { item_id: Some("501".into()), ..past("a", None) };
        assert!(matches!(admit(&whole(vec![live.clone()]), None, false), Err(Refusal::Live { .. })));
        assert!(matches!(admit(&whole(vec![live.clone()]), Some("a"), false), Err(Refusal::Live { .. })));
        assert_eq!(admit(&whole(vec![live]), Some("b"), false), Ok(()));
        for state in State::ALL.iter().filter(|state| state.is_open()) {
            let refused = Refusal::Queued { account: "a".into(), id: 7, state: *state };
            assert_eq!(admit(&whole(vec![past("a", Some((7, *state, false)))]), None, false), Err(refused));
        }
    }

    #[test]
    fn a_scan_leaves_what_was_cancelled_or_failed_and_a_person_may_name_it() {
        for (state, refused) in [(State::Cancelled, Refusal::Cancelled { id: 7 }), (State::Failed, Refusal::Failed { id: 7 })] {
            let candidate = whole(vec![past("a", Some((7, state, false))), past("b", Some((3, State::Success, false)))]);
            assert_eq!(admit(&candidate, None, true), Err(refused));
            assert_eq!(admit(&candidate, None, false), Ok(()));
        }
        assert_eq!(
            admit(&whole(vec![past("a", Some((7, State::Success, false)))]), None, true),
            Ok(()),
            "what was listed once may be again"
        );
    }

    #[test]
    fn what_may_have_been_listed_is_looked_up_before_it_is_queued_anew() {
        let refused = Refusal::Unsettled { account: "a".into(), id: 7 };
        assert_eq!(admit(&whole(vec![past("a", Some((7, State::Cancelled, true)))]), None, false), Err(refused));
    }
}
