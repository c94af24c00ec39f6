//! Listing at eBay: an item under our own number, then an offer of it, then the offer published. Pictures go with the item.
//!
//! An item has one offer at a marketplace and an offer one listing, so each of the three can be made again: the item replaces itself, the offer is
//! looked up before it is made, and after a refusal, too. What counts as listed is an offer that is published, and its number is the item's: it is
//! what later changes name.
use jiff::Timestamp;
use reqwest::RequestBuilder;
use serde::Deserialize;
use serde_json::json;

use super::{
    super::{
        CallError, http,
        shop::{Made, NewItem, Ready},
        token::Access,
    },
    Shop, body, errors,
};
use crate::{
    access::{Caller, Planned},
    clock::BoxFuture,
    shop::{
        currency::{amount, read_amount},
        upload::Step,
    },
    store::shop::AccountKey,
};

/// Calls of a listing: the item, the search for an offer, the offer, its price, its publishing.
const CALLS: i64 = 5;
/// Pictures of an item; not confirmed.
const IMAGES_MAX: usize = 24;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offer {
    #[serde(rename = "offerId")]
    id: String,
    #[serde(default)]
    marketplace_id: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    pricing_summary: Pricing,
}

#[derive(Default, Deserialize)]
struct Pricing {
    price: Option<Price>,
}

#[derive(Deserialize)]
struct Price {
    value: String,
    currency: String,
}

#[derive(Deserialize)]
struct Offers {
    #[serde(default)]
    offers: Vec<Offer>,
}

#[derive(Deserialize)]
struct NewOffer {
    #[serde(rename = "offerId")]
    id: String,
}

#[derive(Deserialize)]
struct Updates {
    responses: Vec<Update>,
}

#[derive(Deserialize)]
struct Update {
    #[serde(rename = "statusCode")]
    status: u16,
}

impl Offer {
    fn is_published(&self) -> bool {
        self.status == "PUBLISHED"
    }
}

/// A path with our number of an item at its end.
fn item_path(sku: &str) -> String {
    format!("/sell/inventory/v1/inventory_item/{}", http::path_part(sku))
}

impl Shop {
    /// The offer of an item at our marketplace, published or not.
    pub(super) async fn find_offer(&self, caller: &Caller, access: &Access, sku: &str) -> Result<Option<Offer>, CallError> {
        const WHAT: &str = "eBay's offers of an item";
        let marketplace = &self.terms.marketplace_id;
        let request = self.http.get(WHAT, "/sell/inventory/v1/offer")?.query(&[("sku", sku), ("marketplace_id", marketplace)]);
        match self.send(caller, WHAT, access, request).await {
            Ok(answer) => {
                let Offers { offers } = body(WHAT, &answer)?;
                Ok(offers.into_iter().find(|offer| offer.marketplace_id == *marketplace))
            }
            // That is how it says that there is none.
            Err(error) if errors::is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn offer_of(&self, caller: &Caller, sku: &str) -> Result<Option<Offer>, CallError> {
        http::read(caller, || async {
            let access = self.prepare(caller).await?;
            self.find_offer(caller, &access, sku).await
        })
        .await
    }

    async fn ready_for(&self, caller: &Caller, planned: Planned) -> Result<Option<Ready>, CallError> {
        if caller.access.permit(|| planned).is_none() {
            return Ok(None);
        }
        caller.cancel.run_until_cancelled(self.prepare(caller)).await.ok_or(CallError::Cancelled)?.map(|access| Some(Ready(access)))
    }

    async fn make(&self, caller: &Caller, Ready(access): Ready, item: &NewItem) -> Result<Made, CallError> {
        self.put_item(caller, &access, item).await?;
        let price = amount(self.terms.rate.cents(item.price));
        let offer = match self.offer_of(caller, &item.sku).await? {
            Some(offer) if offer.is_published() => return Ok(self.made(offer)),
            Some(offer) => {
                if offer.pricing_summary.price.as_ref().is_none_or(|known| known.value != price || known.currency != self.terms.currency) {
                    self.set_price(caller, &item.sku, &offer.id, &price).await?;
                }
                offer.id
            }
            None => self.create_offer(caller, item, &price).await?,
        };
        match self.publish(caller, &offer).await {
            Ok(()) => Ok(Made { item_id: offer.into(), price: item.price, visible: true }),
            // Somebody else may have been faster, or an answer lost.
            Err(error @ CallError::Refused { .. }) => match self.offer_of(caller, &item.sku).await? {
                Some(offer) if offer.is_published() => Ok(self.made(offer)),
                Some(_) | None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn put_item(&self, caller: &Caller, access: &Access, item: &NewItem) -> Result<(), CallError> {
        const WHAT: &str = "eBay's new item";
        let images: Vec<_> = item.images.iter().take(IMAGES_MAX).collect();
        let whole = json!({
            "availability": { "shipToLocationAvailability": { "quantity": item.stock } },
            "condition": "NEW",
            "product": { "title": item.title, "description": item.description, "imageUrls": images },
        });
        let request = self.spoken(self.http.put(WHAT, &item_path(&item.sku))?).json(&whole);
        self.send(caller, WHAT, access, request).await.map(drop)
    }

    async fn create_offer(&self, caller: &Caller, item: &NewItem, price: &str) -> Result<String, CallError> {
        const WHAT: &str = "eBay's new offer";
        let terms = &self.terms;
        let offer = json!({
            "sku": &*item.sku, "marketplaceId": terms.marketplace_id, "format": "FIXED_PRICE", "availableQuantity": item.stock,
            "categoryId": terms.category_id, "merchantLocationKey": terms.location, "listingDescription": item.description,
            "listingPolicies": {
                "fulfillmentPolicyId": terms.fulfillment_policy, "paymentPolicyId": terms.payment_policy, "returnPolicyId": terms.return_policy,
            },
            "pricingSummary": { "price": { "value": price, "currency": terms.currency } },
        });
        let access = self.prepare(caller).await?;
        let request = self.spoken(self.http.post(WHAT, "/sell/inventory/v1/offer")?).json(&offer);
        match self.send(caller, WHAT, &access, request).await {
            Ok(answer) => body::<NewOffer>(WHAT, &answer).map(|offer| offer.id),
            // A second one is refused; the first may have been made by a request whose answer was lost.
            Err(error @ CallError::Refused { .. }) => match self.offer_of(caller, &item.sku).await? {
                Some(offer) => Ok(offer.id),
                None => Err(error),
            },
            Err(error) => Err(error),
        }
    }

    async fn set_price(&self, caller: &Caller, sku: &str, offer_id: &str, price: &str) -> Result<(), CallError> {
        const WHAT: &str = "eBay's price of an offer";
        let change = json!({ "offerId": offer_id, "price": { "value": price, "currency": self.terms.currency } });
        let access = self.prepare(caller).await?;
        let request = self.http.post(WHAT, "/sell/inventory/v1/bulk_update_price_quantity")?;
        let request = request.json(&json!({ "requests": [{ "sku": sku, "offers": [change] }] }));
        let answer = self.send(caller, WHAT, &access, request).await?;
        let Updates { responses } = body(WHAT, &answer)?;
        match responses.iter().find(|update| update.status != 200) {
            None => Ok(()),
            Some(Update { status }) => {
                let text = "the price could not be set".to_owned();
                Err(CallError::Refused { what: WHAT, status: *status, code: status.to_string(), text, item: true })
            }
        }
    }

    async fn publish(&self, caller: &Caller, offer_id: &str) -> Result<(), CallError> {
        const WHAT: &str = "eBay's publishing of an offer";
        let access = self.prepare(caller).await?;
        let request = self.http.post(WHAT, &format!("/sell/inventory/v1/offer/{offer_id}/publish"))?;
        self.send(caller, WHAT, &access, request).await.map(drop)
    }

    async fn look_up(&self, caller: &Caller, offer_id: &str) -> Result<Option<Made>, CallError> {
        const WHAT: &str = "eBay's offer";
        if offer_id.is_empty() || !offer_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Ok(None);
        }
        let found = http::read(caller, || async {
            let access = self.prepare(caller).await?;
            self.send(caller, WHAT, &access, self.http.get(WHAT, &format!("/sell/inventory/v1/offer/{offer_id}"))?).await
        });
        match found.await {
            Ok(answer) => Ok(Some(self.made(body(WHAT, &answer)?))),
            Err(error) if errors::is_missing(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The price is ours again to within a cent.
    fn made(&self, offer: Offer) -> Made {
        let cents = offer.pricing_summary.price.as_ref().and_then(|price| read_amount(&price.value)).unwrap_or(0);
        Made { visible: offer.is_published(), price: self.terms.rate.yen(cents), item_id: offer.id.into() }
    }

    /// eBay wants to be told the language.
    fn spoken(&self, request: RequestBuilder) -> RequestBuilder {
        request.header("content-language", &self.terms.language)
    }
}

impl super::super::shop::Shop for Shop {
    fn key(&self) -> &AccountKey {
        self.key()
    }

    fn images_max(&self) -> u8 {
        0
    }

    fn full_until<'a>(&'a self, caller: &'a Caller, _images: u8) -> BoxFuture<'a, Result<Option<Timestamp>, CallError>> {
        Box::pin(self.calls.full_until(caller, CALLS))
    }

    fn ready<'a>(&'a self, caller: &'a Caller, _step: Step, planned: Planned) -> BoxFuture<'a, Result<Option<Ready>, CallError>> {
        Box::pin(self.ready_for(caller, planned))
    }

    fn create<'a>(&'a self, caller: &'a Caller, ready: Ready, item: &'a NewItem) -> BoxFuture<'a, Result<Made, CallError>> {
        Box::pin(self.make(caller, ready, item))
    }

    /// There is nothing to do: the pictures went with the item.
    fn add_image<'a>(
        &'a self,
        _caller: &'a Caller,
        _ready: Ready,
        _item_id: &'a str,
        _image: (u8, &'a str),
    ) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async { Ok(()) })
    }

    /// One at most, whenever it was made: an offer that is not published is no listing yet.
    fn find<'a>(&'a self, caller: &'a Caller, sku: &'a str, _since: Timestamp) -> BoxFuture<'a, Result<Vec<Made>, CallError>> {
        Box::pin(async move {
            let offer = self.offer_of(caller, sku).await?.filter(Offer::is_published);
            Ok(offer.map(|offer| self.made(offer)).into_iter().collect())
        })
    }

    fn look<'a>(&'a self, caller: &'a Caller, item_id: &'a str) -> BoxFuture<'a, Result<Option<Made>, CallError>> {
        Box::pin(self.look_up(caller, item_id))
    }
}
