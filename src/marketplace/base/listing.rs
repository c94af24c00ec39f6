//! Listing at BASE: an item first, then its pictures one by one, each under its number.
//!
//! BASE takes the same identifier twice and has no key against repeats, so an answer that was lost is looked for among the newest items. The search
//! is no help: it knows an item up to an hour late, and no identifiers.
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::{
    super::{
        CallError, http,
        shop::{Made, NewItem, Ready},
    },
    Shop,
    items::ShopItem,
};
use crate::{
    access::{Caller, Planned},
    clock::BoxFuture,
    shop::upload::Step,
    store::shop::AccountKey,
};

/// Pictures of an item.
const IMAGES_MAX: u8 = 20;
/// Items in one page: BASE gives no more.
const PAGE: usize = 100;
/// A shop with more items than a million is an endless answer.
const PAGES_MAX: usize = 10_000;
/// How far BASE's clock may be behind ours when it says when an item was last changed.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(10);

/// An item among the newest.
#[derive(Deserialize)]
struct Newest {
    #[serde(flatten)]
    item: ShopItem,
    /// When it was last changed, in seconds since 1970.
    #[serde(default)]
    modified: Option<i64>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Newest>,
}

#[derive(Deserialize)]
struct One {
    item: ShopItem,
}

impl From<ShopItem> for Made {
    fn from(item: ShopItem) -> Self {
        Self { item_id: item.item_id.to_string().into(), price: item.price, visible: item.visible == 1 }
    }
}

impl Shop {
    async fn ready_for(&self, caller: &Caller, step: Step, planned: Planned) -> Result<Option<Ready>, CallError> {
        if caller.access.permit(|| planned).is_none() {
            return Ok(None);
        }
        let prepare = async {
            // Given back where the rest can't be had.
            let place = if step == Step::Create { Some(self.adds.spend(caller).await?) } else { None };
            let access = self.prepare(caller).await?;
            if let Some(place) = place {
                place.used(caller);
            }
            Ok(access)
        };
        caller.cancel.run_until_cancelled(prepare).await.ok_or(CallError::Cancelled)?.map(|access| Some(Ready(access)))
    }

    async fn make(&self, caller: &Caller, Ready(access): Ready, item: &NewItem) -> Result<Made, CallError> {
        const WHAT: &str = "BASE's new item";
        let (price, stock) = (item.price.to_string(), item.stock.to_string());
        let form = [
            ("title", item.title.as_str()),
            ("detail", &item.description),
            ("price", &price),
            ("stock", &stock),
            ("visible", "1"),
            ("identifier", &item.sku),
        ];
        match self.send::<One>(caller, WHAT, &access, self.http.post(WHAT, "/1/items/add")?.form(&form)).await {
            Ok(One { item }) => Ok(item.into()),
            // It says nothing against other calls: what is there can still be sold, priced and hidden.
            Err(CallError::Refused { code, .. }) if code == "exceed_daily_limit" => match self.adds.exhaust(caller, None).await? {
                CallError::Limited { what, until, .. } => Err(CallError::Limited { what, until, said: false }),
                error => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn picture(&self, caller: &Caller, Ready(access): Ready, item_id: &str, (number, url): (u8, &str)) -> Result<(), CallError> {
        const WHAT: &str = "BASE's image of an item";
        let number = number.to_string();
        let form = [("item_id", item_id), ("image_no", &number), ("image_url", url)];
        self.send::<One>(caller, WHAT, &access, self.http.post(WHAT, "/1/items/add_image")?.form(&form)).await.map(drop)
    }

    /// Newest first, up to the first item that was not touched since: it was made before then, and so were all after it.
    async fn newest_with(&self, caller: &Caller, sku: &str, since: Timestamp) -> Result<Vec<Made>, CallError> {
        const WHAT: &str = "BASE's newest items";
        let since = since.saturating_sub(CLOCKS_DIFFER).unwrap_or(Timestamp::MIN).as_second();
        let mut found: Vec<Made> = Vec::new();
        for page in 0..PAGES_MAX {
            let query = [("order", "created"), ("sort", "desc"), ("limit", &PAGE.to_string()), ("offset", &(page * PAGE).to_string())];
            let Page { items } = http::read(caller, || async {
                let access = self.prepare(caller).await?;
                self.send(caller, WHAT, &access, self.http.get(WHAT, "/1/items")?.query(&query)).await
            })
            .await?;
            let is_last = items.len() < PAGE || items.iter().any(|newest| newest.modified.is_some_and(|modified| modified < since));
            let ours = items.into_iter().map(|newest| newest.item).filter(|item| item.identifier.as_deref() == Some(sku));
            for made in ours.map(Made::from) {
                // What is added meanwhile shifts the pages: an item may be seen twice.
                if found.iter().all(|known| known.item_id != made.item_id) {
                    found.push(made);
                }
            }
            if is_last {
                return Ok(found);
            }
        }
        Err(CallError::Unreadable { what: WHAT, status: 200, why: format!("it has no end after {PAGES_MAX} pages") })
    }

    async fn made(&self, caller: &Caller, item_id: &str) -> Result<Option<Made>, CallError> {
        let Ok(number) = item_id.parse() else { return Ok(None) };
        match self.item(caller, number).await {
            Ok(item) => Ok(Some(item.into())),
            Err(CallError::Refused { code, .. }) if code == "no_item" || code == "bad_item_id" => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl super::super::shop::Shop for Shop {
    fn key(&self) -> &AccountKey {
        self.key()
    }

    fn images_max(&self) -> u8 {
        IMAGES_MAX
    }

    fn full_until<'a>(&'a self, caller: &'a Caller, images: u8) -> BoxFuture<'a, Result<Option<Timestamp>, CallError>> {
        Box::pin(self.calls.full_until(caller, i64::from(images) + 1))
    }

    fn ready<'a>(&'a self, caller: &'a Caller, step: Step, planned: Planned) -> BoxFuture<'a, Result<Option<Ready>, CallError>> {
        Box::pin(self.ready_for(caller, step, planned))
    }

    fn create<'a>(&'a self, caller: &'a Caller, ready: Ready, item: &'a NewItem) -> BoxFuture<'a, Result<Made, CallError>> {
        Box::pin(self.make(caller, ready, item))
    }

    fn add_image<'a>(
        &'a self,
        caller: &'a Caller,
        ready: Ready,
        item_id: &'a str,
        image: (u8, &'a str),
    ) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(self.picture(caller, ready, item_id, image))
    }

    fn find<'a>(&'a self, caller: &'a Caller, sku: &'a str, since: Timestamp) -> BoxFuture<'a, Result<Vec<Made>, CallError>> {
        Box::pin(self.newest_with(caller, sku, since))
    }

    fn look<'a>(&'a self, caller: &'a Caller, item_id: &'a str) -> BoxFuture<'a, Result<Option<Made>, CallError>> {
        Box::pin(self.made(caller, item_id))
    }
}
