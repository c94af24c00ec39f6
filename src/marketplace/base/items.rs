//! A shop's items: read by pages of a hundred, edited one by one.
use jiff::SignedDuration;
use serde::Deserialize;

use super::{
    super::{CallError, Written, http},
    Shop,
};
use crate::{
    access::{Caller, Planned},
    shop::{
        difference::{Edit, Shown},
        product::Asin,
    },
    store::shop::{Fate, Guarded, Intent, OpenIntent, settle_open},
};

/// Items in one page: BASE gives no more.
const PAGE: usize = 100;
/// A shop with more items than a million is an endless answer.
const PAGES_MAX: usize = 10_000;

/// An item as the shop has it.
#[derive(Clone, Debug, Deserialize)]
pub struct ShopItem {
    /// The shop's number of it.
    pub item_id: i64,
    /// In yen.
    pub price: i64,
    /// 1: buyers see it.
    pub visible: i64,
    /// How many the shop has to sell.
    pub stock: i64,
    /// Our own number of it.
    #[serde(default)]
    pub identifier: Option<String>,
}

impl ShopItem {
    /// How it stands there.
    pub fn shown(&self) -> Shown {
        Shown { price: self.price, visible: self.visible == 1, stock: self.stock }
    }
}

/// An item that is to be changed, and how it looks now.
#[derive(Clone, Debug)]
pub struct Target {
    /// The product.
    pub asin: Asin,
    /// The shop's number of it.
    pub item_id: i64,
    /// How it stands there.
    pub shown: Shown,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<ShopItem>,
}

#[derive(Deserialize)]
struct One {
    item: ShopItem,
}

impl Shop {
    /// Every item of the shop, hidden ones included.
    ///
    /// # Errors
    /// When a page can't be had.
    pub async fn items(&self, caller: &Caller) -> Result<Vec<ShopItem>, CallError> {
        const WHAT: &str = "BASE's list of items";
        let mut items = Vec::new();
        for page in 0..PAGES_MAX {
            // In the order of their making: what is added meanwhile comes last and shifts nothing.
            let query = [("order", "created"), ("sort", "asc"), ("limit", &PAGE.to_string()), ("offset", &(page * PAGE).to_string())];
            let found: Page = http::read(caller, || async {
                let access = self.prepare(caller).await?;
                self.send(caller, WHAT, &access, self.http.get(WHAT, "/1/items")?.query(&query)).await
            })
            .await?;
            let is_last = found.items.len() < PAGE;
            items.extend(found.items);
            if is_last {
                return Ok(items);
            }
        }
        Err(CallError::Unreadable { what: WHAT, status: 200, why: format!("it has no end after {PAGES_MAX} pages") })
    }

    /// One item.
    ///
    /// # Errors
    /// When it can't be had, or is not there.
    pub async fn item(&self, caller: &Caller, item_id: i64) -> Result<ShopItem, CallError> {
        const WHAT: &str = "BASE's item";
        // The path form only: as a query parameter the number is ignored.
        let path = format!("/1/items/detail/{item_id}");
        let one: One = http::read(caller, || async {
            let access = self.prepare(caller).await?;
            self.send(caller, WHAT, &access, self.http.get(WHAT, &path)?).await
        })
        .await?;
        Ok(one.item)
    }

    /// Changes an item, through the one door for writes. Where the answer was lost, the shop is asked whether it was done.
    ///
    /// # Errors
    /// When it was not done, or nobody knows.
    pub async fn edit(&self, caller: &Caller, target: &Target, edit: Edit, reason: String) -> Result<Written, CallError> {
        const WHAT: &str = "BASE's edit of an item";
        let form = form(target.item_id, edit);
        let intent = Intent { shop: self.key.clone(), asin: target.asin.clone(), item_id: target.item_id.to_string().into(), edit };
        let planned = self.planned(target, edit, reason);
        let prepare = || self.prepare(caller);
        let send = |access| {
            let request = self.http.post(WHAT, "/1/items/edit").map(|request| request.form(&form));
            async move { self.send::<One>(caller, WHAT, &access, request?).await.map(drop) }
        };
        let trace = http::EditTrace { store: self.store.as_ref(), intent: &intent };
        match http::write(caller, &trace, planned, prepare, send).await {
            Err(CallError::Uncertain { intent: id, cause }) => {
                let open = OpenIntent { id, intent };
                self.look_up(caller, target, open, cause).await
            }
            written => written,
        }
    }

    async fn look_up(&self, caller: &Caller, target: &Target, open: OpenIntent, cause: Box<CallError>) -> Result<Written, CallError> {
        let asked = cause.retry_after(caller.now()).unwrap_or(SignedDuration::ZERO);
        let is_soon = asked <= http::RETRY_AFTER_MAX;
        let has_waited = is_soon && caller.cancel.run_until_cancelled(caller.clock.sleep(asked)).await.is_some();
        let found = if has_waited { self.item(caller, target.item_id).await.ok() } else { None };
        let Some(item) = found else {
            // It stays open: the next run asks again before it writes.
            return Err(CallError::Uncertain { intent: open.id, cause });
        };
        let is_made = open.intent.edit.is_done(item.shown());
        self.settle(caller, &open, is_made).await?;
        if is_made { Ok(Written::Made) } else { Err(*cause) }
    }

    /// Writes down the fate of what earlier runs left open, from the items as they are now. How many there were.
    ///
    /// # Errors
    /// When the store fails, or the run is fenced.
    pub async fn settle_left_open(&self, caller: &Caller, find: impl Fn(i64) -> Option<Shown>) -> Result<usize, CallError> {
        let left_open = self.store.open_edits(self.key.clone()).await?;
        for open in &left_open {
            let is_made = open.intent.item_id.parse().ok().and_then(&find).is_some_and(|shown| open.intent.edit.is_done(shown));
            self.settle(caller, open, is_made).await?;
        }
        Ok(left_open.len())
    }

    async fn settle(&self, caller: &Caller, open: &OpenIntent, is_made: bool) -> Result<(), CallError> {
        let fate = if is_made { Fate::Made } else { Fate::NotMade };
        match settle_open(self.store.as_ref(), &caller.access, open, fate, caller.now()).await? {
            Guarded::Done(()) => Ok(()),
            Guarded::Fenced => Err(CallError::Fenced),
        }
    }

    fn planned(&self, target: &Target, edit: Edit, reason: String) -> Planned {
        let mut changes = Vec::new();
        if let Some(price) = edit.price {
            changes.push(format!("{} -> {price} yen", target.shown.price));
        }
        if let Some(visible) = edit.visible {
            changes.push(format!("{} -> {}", seen(target.shown.visible), seen(visible)));
        }
        if let Some(stock) = edit.stock {
            changes.push(format!("stock {} -> {stock}", target.shown.stock));
        }
        Planned {
            kind: edit.kind(),
            target: format!("{} item {} ({})", self.key.account, target.item_id, target.asin),
            change: changes.join(", "),
            reason,
        }
    }
}

fn seen(visible: bool) -> &'static str {
    if visible { "visible" } else { "hidden" }
}

fn form(item_id: i64, edit: Edit) -> Vec<(&'static str, String)> {
    let mut form = vec![("item_id", item_id.to_string())];
    form.extend(edit.price.map(|price| ("price", price.to_string())));
    form.extend(edit.visible.map(|visible| ("visible", i32::from(visible).to_string())));
    form.extend(edit.stock.map(|stock| ("stock", stock.to_string())));
    form
}
