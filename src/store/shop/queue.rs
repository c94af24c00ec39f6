//! The queue: durable work, one item after the other for each account. Its states are [`crate::shop::upload`]'s.
use std::{ops::Range, sync::Arc};

use jiff::Timestamp;

use super::{AccountKey, Guarded};
use crate::{
    core::task::{Generation, RunId},
    shop::{
        gate::Publish,
        product::{Asin, Platform},
        spread::{Lane, Pace, Rhythm},
        upload::{Act, Illegal, ItemId, Obeyed, Order, Refusal, State, Step, Work},
    },
    store::{Answer, Fence},
};

/// An item of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its number.
    pub id: ItemId,
    /// What is to be done.
    pub work: Work,
    /// For whom.
    pub account: AccountKey,
    /// With what: an upload's is an ASIN.
    pub subject: Arc<str>,
    /// Where it stands.
    pub state: State,
    /// 1 to 20; of items that were scheduled for the same time the higher one comes first.
    pub priority: u8,
    /// When it is due.
    pub scheduled_at: Timestamp,
    /// It was put back and is not due before then.
    pub retry_at: Option<Timestamp>,
    /// How often a worker took it, less those times that do not count.
    pub attempts: u32,
    /// Who has it.
    pub lease: Option<Lease>,
    /// What a person wants of it once its worker is done with it.
    pub wish: Option<State>,
    /// The marketplace's number of what was made.
    pub item_id: Option<Arc<str>>,
    /// A person has looked at it and let it go on.
    pub approved: bool,
    /// Why it failed, was put back or waits for a person, the last time.
    pub error: Option<ItemError>,
    /// When it entered.
    pub created_at: Timestamp,
    /// When it was over.
    pub ended_at: Option<Timestamp>,
}

/// A worker's hold on an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The run.
    pub run: RunId,
    /// Its generation.
    pub generation: Generation,
    /// Until then nobody else takes it, unless that run is over or shut out.
    pub until: Timestamp,
}

/// What went wrong with an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemError {
    /// For programs, and to tell apart by: `bad_item_id`. Not empty.
    pub code: Arc<str>,
    /// For people.
    pub text: Arc<str>,
}

/// How far a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepState {
    /// Which.
    pub step: Step,
    /// When a worker began with it.
    pub begun_at: Timestamp,
    /// When it was known to be done. `None`: it may have been done.
    pub done_at: Option<Timestamp>,
}

/// An account that items may be given to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Whose.
    pub account: Arc<str>,
    /// Its days, hours and cap.
    pub lane: Lane,
    /// Why it gets nothing, where it does not.
    pub closed: Option<Arc<str>>,
}

/// Which products are to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These.
    Named(Vec<Asin>),
    /// The first so many of the catalogue that are neither live nor queued.
    Pending {
        /// How many.
        limit: usize,
        /// Also what a person cancelled, and what failed.
        again: bool,
    },
}

/// Products to be queued for upload.
#[derive(Clone, Debug)]
pub struct AddRequest {
    /// Where.
    pub platform: Platform,
    /// The accounts there; each product goes to one of them. Closed ones get nothing.
    pub targets: Vec<Target>,
    /// The one account it is to be, whatever others have.
    pub only: Option<Arc<str>>,
    /// Which products.
    pub wanted: Wanted,
    /// 1 to 20.
    pub priority: u8,
    /// How the times are found.
    pub pace: Pace,
    /// Not before then.
    pub from: Timestamp,
    /// What may be listed at all; `None`: nobody says, and nothing is judged here.
    pub publish: Option<Publish>,
    /// Only say what would be done.
    pub dry: bool,
}

/// A product that entered the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// Its item; `None` where it was only asked what would be done.
    pub id: Option<ItemId>,
    /// The product.
    pub asin: Asin,
    /// The account.
    pub account: Arc<str>,
    /// When it is due.
    pub at: Timestamp,
    /// Why it waits for a person first, where it does.
    pub review: Option<Arc<str>>,
}

/// What became of products that were to be queued.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddReport {
    /// Those that entered, in the order in which they were named or entered the catalogue.
    pub added: Vec<Added>,
    /// Those that did not, with the reason. A scan leaves out what is live or queued.
    pub refused: Vec<(Asin, Refusal)>,
    /// The scan stopped at its limit: there may be more.
    pub more: bool,
}

/// An account's daily cap at this time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cap {
    /// The day in the account's zone, by [`crate::shop::spread::day_of`].
    pub day: Range<Timestamp>,
    /// How many listings it may make; `None`: any number.
    pub limit: Option<u32>,
}

/// A worker's request for work.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// What kind.
    pub work: Work,
    /// For which account.
    pub account: AccountKey,
    /// At most this many items.
    pub limit: usize,
    /// Until when they are this run's at least.
    pub lease_until: Timestamp,
    /// The cap.
    pub cap: Cap,
}

/// Items for a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// In the order in which they are to be worked on.
    pub items: Vec<Claimed>,
    /// More is due, and has to wait for the next day of the cap.
    pub capped: bool,
}

/// An item that is a worker's now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// The item.
    pub item: Item,
    /// How far it is.
    pub steps: Vec<StepState>,
    /// Another worker, or an earlier attempt of this run, left it in the middle.
    pub left_open: bool,
}

impl Claimed {
    /// Since when nobody knows whether its listing was made: the marketplace has to be asked before it is made (again).
    pub fn unknown_since(&self) -> Option<Timestamp> {
        self.steps.iter().find(|state| state.step == Step::Create && state.done_at.is_none()).map(|state| state.begun_at)
    }

    /// Whether a step is done.
    pub fn has_done(&self, step: Step) -> bool {
        self.steps.iter().any(|state| state.step == step && state.done_at.is_some())
    }
}

/// A step that a worker is about to make.
#[derive(Clone, Debug)]
pub struct NextStep {
    /// Of which item.
    pub item: ItemId,
    /// Which.
    pub step: Step,
    /// The cap, for a new listing.
    pub cap: Cap,
    /// Until when the item is this run's at least.
    pub lease_until: Timestamp,
}

/// The answer to a worker that wants to begin a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Go on; it is written down.
    Go,
    /// It is done already.
    Done,
    /// It was begun then and its fate is unknown: look it up, then say [`Queue::finish_step`] or [`Queue::withdraw_step`].
    Open(Timestamp),
    /// A person does not want it any more: put it back.
    Unwanted,
    /// The day's cap is full: put it back.
    Capped,
    /// The item is not this run's any more: leave it alone.
    NotYours,
}

/// How a worker is done with an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All of it is done; the listing stands in the catalogue as this.
    Finished {
        /// In yen.
        price: i64,
        /// Whether people see it.
        visible: bool,
    },
    /// It is due again then.
    PutBack {
        /// When.
        until: Timestamp,
        /// Whether this attempt counts: a limit, a park or an orderly stop does not.
        counts: bool,
        /// Why, where something went wrong.
        error: Option<ItemError>,
    },
    /// It will not be tried again by itself.
    Failed(ItemError),
    /// Nobody knows whether it was made.
    Doubtful(ItemError),
    /// A person has to decide.
    Questionable(ItemError),
}

impl Settled {
    /// What it does to the state.
    pub fn act(&self) -> Act {
        match self {
            Self::Finished { .. } => Act::Finish,
            Self::PutBack { .. } => Act::PutBack,
            Self::Failed(_) => Act::Fail,
            Self::Doubtful(_) => Act::Doubt,
            Self::Questionable(_) => Act::Question,
        }
    }
}

/// Which items a person means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// These.
    Ids(Vec<ItemId>),
    /// All in a state.
    Every {
        /// The state.
        state: State,
        /// Of this account.
        account: Option<AccountKey>,
        /// Whose last error has this code.
        code: Option<Arc<str>>,
    },
}

/// Why an order was not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disobeyed {
    /// There is none.
    #[error("there is no such item")]
    Missing,
    /// Its state does not allow it.
    #[error(transparent)]
    Illegal(Illegal),
    /// The same product is open for the same account in another item.
    #[error("item {0} is open for the same product and account")]
    Twin(ItemId),
}

/// What became of an order for an item.
pub type Ordered = (ItemId, Result<Obeyed, Disobeyed>);

/// What of an account's waiting items was given another time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Whose.
    pub account: AccountKey,
    /// How many.
    pub items: usize,
    /// The time of the last one.
    pub last: Option<Timestamp>,
}

/// Which items are wanted.
#[derive(Clone, Debug, Default)]
pub struct ItemFilter {
    /// Only in this state: pending ones in the order in which they will be taken, others newest first. All states: newest first.
    pub state: Option<State>,
    /// Only of this account.
    pub account: Option<AccountKey>,
    /// Only those whose time has come, in the order in which they will be taken within their account.
    pub due_at: Option<Timestamp>,
    /// At most this many.
    pub limit: usize,
}

/// How many items of an account are in a state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Whose.
    pub account: AccountKey,
    /// The state.
    pub state: State,
    /// How many.
    pub items: u32,
}

/// How an account stands today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Today {
    /// How many items count for the day's cap.
    pub counted: u32,
    /// How many are due now.
    pub due: u32,
    /// The time of the oldest of these.
    pub oldest: Option<Timestamp>,
}

/// The queue.
///
/// What workers write carries their run's fence and is refused for an item that is not that run's (any more). People's orders carry none; an item in
/// the hand of a living worker is only marked.
pub trait Queue: Send + Sync + std::fmt::Debug {
    /// Queues products: all of them in one transaction, each at most once, incomplete ones not at all. What has no listing yet gets one that is
    /// pending.
    fn add_uploads(&self, request: AddRequest, at: Timestamp) -> Answer<AddReport>;

    /// Takes items that are due, in the order of scheduled time, priority (high first) and number: first what was left in the middle, by a run that
    /// is over or shut out, by a lease that has ended, or by an earlier attempt of this run. So claim only with empty hands.
    /// New listings count for the cap from here on; what has its listing already is taken even when the cap is full.
    fn claim_items(&self, fence: Fence, request: ClaimRequest, at: Timestamp) -> Answer<Guarded<Batch>>;
    /// Writes down that a step is about to be made, and extends the lease. An image may be begun again; a listing whose fate is unknown may not.
    fn begin_step(&self, fence: Fence, next: NextStep, at: Timestamp) -> Answer<Guarded<Begun>>;
    /// Writes down that a step is done. `item_id`: what the marketplace calls the new listing. False: the item is not this run's any more.
    fn finish_step(&self, fence: Fence, item: ItemId, step: Step, item_id: Option<Arc<str>>, at: Timestamp) -> Answer<Guarded<bool>>;
    /// The step was not made: the marketplace refused it, or does not know of it. A listing no longer counts for the cap. False: not this run's.
    fn withdraw_step(&self, fence: Fence, item: ItemId, step: Step) -> Answer<Guarded<bool>>;
    /// Ends the work on an item, together with what that means for its listing. `None`: the item is not this run's any more.
    fn settle_item(&self, fence: Fence, item: ItemId, how: Settled, at: Timestamp) -> Answer<Guarded<Option<State>>>;

    /// Follows a person's order for items, each for itself.
    fn order_items(&self, which: Which, order: Order, at: Timestamp) -> Answer<Vec<Ordered>>;
    /// Gives the waiting items of accounts other times, in the order in which they would be taken.
    fn reschedule(&self, moves: Vec<(AccountKey, Rhythm)>) -> Answer<Vec<Moved>>;

    /// Items as a filter wants them.
    fn items(&self, work: Work, filter: ItemFilter) -> Answer<Vec<Item>>;
    /// One item and its steps.
    fn item(&self, id: ItemId) -> Answer<Option<(Item, Vec<StepState>)>>;
    /// How many items there are, by account and state.
    fn item_counts(&self, work: Work) -> Answer<Vec<Count>>;
    /// How an account stands on a day, and now.
    fn today(&self, work: Work, account: AccountKey, day: Range<Timestamp>, at: Timestamp) -> Answer<Today>;
}
