//! A shop's items held against the books: page by page, so that a run that has to wait goes on where it was.
use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;

use crate::{
    errors::chain,
    handlers::{AttemptContext, HandlerError},
    marketplace::{
        CallError, Concern,
        base::{PAGE, Shop},
        shop::Shop as _,
    },
    shop::{
        drift::{self, Books, Compared, Drift, Kind, Seen},
        product::{Asin, Listing},
        quota::Purpose,
    },
    store::{
        StoreError,
        inspect::Inspect,
        shop::{Park, ShopStore},
    },
};

/// A shop with more pages is an endless answer.
const PAGES_MAX: usize = 10_000;
/// Listings that the shop's list lacks and that are looked up one by one. More of them at once look like a fault of the list.
const LOOKS_MAX: usize = 100;

/// How far a shop was read.
#[derive(Clone, Debug, Default)]
pub(super) struct Audit {
    /// The books as they were before the first page.
    before: Option<Vec<Listing>>,
    next_page: usize,
    is_read: bool,
    items: BTreeMap<Arc<str>, Seen>,
    compared: Option<Compared>,
    /// Of the missing ones, those that were looked up.
    looked_up: usize,
    is_done: bool,
}

impl Audit {
    pub(super) fn is_done(&self) -> bool {
        self.is_done
    }

    pub(super) fn items(&self) -> usize {
        self.items.len()
    }

    pub(super) fn into_drifts(self) -> Vec<Drift> {
        self.compared.map(|compared| compared.drifts).unwrap_or_default()
    }

    /// What was not looked up, in words.
    pub(super) fn unsure(&self, account: &str) -> Option<String> {
        let missing = self.compared.as_ref()?.missing.len().checked_sub(LOOKS_MAX).filter(|rest| 0 < *rest)?;
        Some(format!("{account}: {missing} more listings are not in the shop's list, and were not looked up"))
    }
}

/// A shop that could not be read to its end.
#[derive(Clone, Debug)]
pub(super) struct Left {
    pub(super) account: Arc<str>,
    pub(super) why: String,
    /// Another attempt may read it.
    pub(super) is_passing: bool,
    /// Not before then.
    pub(super) until: Option<Timestamp>,
}

impl Left {
    /// What an error leaves.
    ///
    /// # Errors
    /// What ends the whole run.
    pub(super) fn of(account: &Arc<str>, error: &CallError, park: Option<&Park>, now: Timestamp) -> Result<Self, HandlerError> {
        match error {
            CallError::Cancelled => return Err(HandlerError::Cancelled),
            CallError::Fenced => return Err(HandlerError::Fenced),
            CallError::Store(error) => return Err(HandlerError::Transient { message: chain(error), retry_after: None }),
            _ => {}
        }
        let asked = error.retry_after(now).and_then(|after| now.checked_add(after).ok());
        let until = park.map_or(asked, |park| park.until);
        let is_passing = error.is_passing() || park.is_some_and(|park| park.until.is_some());
        let until = until.filter(|_| error.concern() == Concern::Account);
        Ok(Self { account: Arc::clone(account), why: format!("not all of it was read: {}", chain(error)), is_passing, until })
    }
}

/// Reads a shop on from where it was left, compares, and looks up what its list lacks.
pub(super) async fn read(
    ctx: &AttemptContext,
    shop: &Shop,
    store: &dyn ShopStore,
    inspect: &dyn Inspect,
    audit: &mut Audit,
) -> Result<(), CallError> {
    if audit.is_done {
        return Ok(());
    }
    // Its calls come out of what is kept for people, and out of what nobody has in reserve: a sync never waits for them.
    let caller = ctx.caller(Purpose::Manual);
    if audit.before.is_none() {
        audit.before = Some(store.listings(shop.key().clone()).await?);
    }
    while !audit.is_read {
        if PAGES_MAX <= audit.next_page {
            return Err(CallError::Unreadable {
                what: "BASE's list of items",
                status: 200,
                why: format!("it has no end after {PAGES_MAX} pages"),
            });
        }
        if ctx.cancel.is_cancelled() {
            return Err(CallError::Cancelled);
        }
        let page = shop.page(&caller, audit.next_page).await?;
        audit.is_read = page.len() < PAGE;
        audit.next_page += 1;
        audit.items.extend(page.into_iter().map(|seen| (Arc::clone(&seen.item_id), seen)));
    }
    if audit.compared.is_none() {
        let before = audit.before.clone().unwrap_or_default();
        let books = books(shop, store, inspect, before).await?;
        audit.compared = Some(drift::compare(&shop.key().account, &books, &audit.items));
    }
    let missing: Vec<(Asin, Arc<str>)> =
        audit.compared.as_ref().map(|compared| compared.missing.iter().take(LOOKS_MAX).cloned().collect()).unwrap_or_default();
    for (asin, item_id) in missing.into_iter().skip(audit.looked_up) {
        let is_gone = shop.look(&caller, &item_id).await?.is_none();
        audit.looked_up += 1;
        if let Some(compared) = audit.compared.as_mut().filter(|_| is_gone) {
            compared.drifts.push(gone(&shop.key().account, &asin, &item_id));
        }
    }
    audit.is_done = true;
    Ok(())
}

/// The books after the shop was read: first what is under way, so that whatever ended meanwhile shows as a change of its listing.
async fn books(shop: &Shop, store: &dyn ShopStore, inspect: &dyn Inspect, before: Vec<Listing>) -> Result<Books, StoreError> {
    let key = shop.key();
    let in_motion = store.open_edits(key.clone()).await?.into_iter().map(|open| open.intent.item_id).collect();
    let marks = inspect.upload_marks(key.clone()).await?;
    let after = store.listings(key.clone()).await?;
    Ok(Books { before, after, marks, in_motion })
}

fn gone(account: &Arc<str>, asin: &Asin, item_id: &str) -> Drift {
    Drift {
        kind: Kind::Gone,
        account: Arc::clone(account),
        subject: format!("item {item_id} ({asin})"),
        detail: "it is listed in the books, and the shop does not have it".to_owned(),
        mend: format!("taskrun once sync_inventory takes it out of the books; taskrun queue add {asin} --account {account} lists it again"),
    }
}
