//! A seller's listings and feeds at Amazon, by hand.
use axum::{
    Json,
    body::Bytes,
    extract::{Query, State, rejection::QueryRejection},
};
use serde_json::json;

use super::{OfShop, Shared, Told, account, done, read, wrong};
use crate::sandbox::{amazon, seed, state::SellerListing};

pub(super) async fn look(State(practice): Shared, query: Result<Query<OfShop>, QueryRejection>) -> Told {
    let Query(OfShop { account: name, .. }) = query.or_else(wrong)?;
    account(&practice, &name)?;
    amazon::feeds::settle(&practice, &name);
    let (listings, feeds) = (practice.state.seller_listings(&name)?, practice.state.seller_feeds(&name)?);
    Ok(Json(json!({ "seller_id": seed::seller_id(&name), "listings": listings, "feeds": feeds })))
}

pub(super) async fn put(State(practice): Shared, query: Result<Query<OfShop>, QueryRejection>, body: Bytes) -> Told {
    let Query(OfShop { account: name, .. }) = query.or_else(wrong)?;
    account(&practice, &name)?;
    for listing in read::<Vec<SellerListing>>(&body)? {
        practice.state.put_seller_listing(&name, &listing, practice.now_ms())?;
    }
    Ok(done())
}
