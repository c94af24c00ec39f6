//! Parks: an account that is parked is not called.
use jiff::Timestamp;

use super::CallError;
use crate::{
    access::Caller,
    store::shop::{AccountKey, Park, ShopStore},
};

/// Asks whether the account may be called. Of several parks, the one that ends last is told.
pub(super) async fn ask(store: &dyn ShopStore, account: &AccountKey, caller: &Caller) -> Result<(), CallError> {
    let parks = store.parks(Some(account.clone()), caller.now()).await?;
    match parks.into_iter().max_by_key(|park| park.until.unwrap_or(Timestamp::MAX)) {
        Some(Park { account, cause, detail, until, .. }) => Err(CallError::Parked { account: account.account, cause, detail, until }),
        None => Ok(()),
    }
}
