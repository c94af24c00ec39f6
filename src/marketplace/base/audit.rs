//! A shop's items page by page with their pictures, for a look that compares and changes nothing.
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    super::{CallError, http},
    Shop,
    items::ShopItem,
};
use crate::{access::Caller, shop::drift::Seen};

/// Items in one page: BASE gives no more.
pub const PAGE: usize = 100;

#[derive(Deserialize)]
struct Pictured {
    #[serde(flatten)]
    item: ShopItem,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Pictured>,
}

impl From<Pictured> for Seen {
    fn from(Pictured { item, rest }: Pictured) -> Self {
        let is_picture = |(name, value): &(&String, &Value)| name.starts_with("img") && name.ends_with("_origin") && value.is_string();
        Self {
            item_id: item.item_id.to_string().into(),
            price: item.price,
            visible: item.visible == 1,
            images: u32::try_from(rest.iter().filter(is_picture).count()).unwrap_or(u32::MAX),
            sku: item.identifier.filter(|sku| !sku.is_empty()).map(Arc::from),
        }
    }
}

impl Shop {
    /// A page of the shop's items, counted from 0, in the order of their making, hidden ones included. One with fewer than [`PAGE`] is the last.
    ///
    /// # Errors
    /// When it can't be had.
    pub async fn page(&self, caller: &Caller, page: usize) -> Result<Vec<Seen>, CallError> {
        const WHAT: &str = "BASE's list of items";
        let offset = page.saturating_mul(PAGE).to_string();
        let query = [
            ("order", "created"),
            ("sort", "asc"),
            ("limit", &PAGE.to_string()),
            ("offset", &offset),
            ("max_image_no", "20"),
            ("image_size", "origin"),
        ];
        let found: Page = http::read(caller, || async {
            let access = self.prepare(caller).await?;
            self.send(caller, WHAT, &access, self.http.get(WHAT, "/1/items")?.query(&query)).await
        })
        .await?;
        Ok(found.items.into_iter().map(Seen::from).collect())
    }
}
