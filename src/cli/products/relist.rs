//! `taskrun products relist`: puts back what a sync took out of the books.
use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
    },
    shop::product::ListingState,
    store::shop::{AccountKey, Catalogue as _, Delistings as _},
};

/// Put a listing back that a sync took out of the books, as the shop did not know its item
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun products relist B0TEST0001 --account base_account_1")]
pub(super) struct Args {
    #[arg(value_name = "ASIN")]
    asin: String,
    /// Only at this shop
    #[arg(long, value_name = "ACCOUNT")]
    account: Option<String>,
}

pub(super) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let asin = super::named(&args.asin)?;
    let mut put_back = Vec::new();
    if let Some(store) = place.existing_store().await? {
        let listings = store.product(asin.clone(), 0).await?.map(|entry| entry.listings).unwrap_or_default();
        let is_meant = |account: &str| args.account.as_ref().is_none_or(|wanted| wanted == account);
        for listing in listings.into_iter().filter(|listing| listing.state == ListingState::Delisted && is_meant(&listing.account)) {
            let shop = AccountKey { platform: listing.platform, account: listing.account };
            if store.undo_delist(shop.clone(), asin.clone()).await? {
                put_back.push(shop.account.to_string());
            }
        }
    }
    if put_back.is_empty() {
        let at = args.account.map_or_else(String::new, |account| format!(" at {account}"));
        return Err(Failure::usage(format!("no listing of {asin}{at} was taken out of the books"))
            .advise(format!("`taskrun products show {asin}` shows its listings")));
    }
    place.screen.data(&format!("{asin} is listed again at {}; the next sync looks at it\n", put_back.join(" and ")))?;
    Ok(Exit::Done)
}
