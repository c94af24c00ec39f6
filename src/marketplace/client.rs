//! An account's client, whatever its platform: what all of them can do.
use jiff::SignedDuration;

use super::{
    CallError, Market,
    amazon::{Seller, Standing},
    base::Shop,
    ebay,
};
use crate::{access::Caller, core::value::Secret, shop::product::Platform, store::shop::AccountKey};

/// BASE's refresh tokens live 30 days. Each refresh gives a new one.
const BASE_REFRESH_LIVES: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long a platform's refresh tokens live after each renewal; `None`: a renewal changes nothing about that.
pub fn refresh_lives(platform: Platform) -> Option<SignedDuration> {
    match platform {
        Platform::Amazon | Platform::Ebay => None,
        Platform::Base => Some(BASE_REFRESH_LIVES),
    }
}

/// The client of an account.
#[derive(Clone, Copy, Debug)]
pub enum Client<'m> {
    /// A seller at Amazon.
    Seller(&'m Seller),
    /// A shop at BASE.
    Shop(&'m Shop),
    /// A shop at eBay.
    Ebay(&'m ebay::Shop),
}

impl Market {
    /// The clients of all accounts that are enabled and whose marketplace is configured; or only this account's.
    pub fn clients(&self, account: Option<&str>) -> Vec<Client<'_>> {
        let all = self.sellers.values().map(Client::Seller).chain(self.shops.values().map(Client::Shop));
        let all = all.chain(self.ebay.values().map(Client::Ebay));
        all.filter(|client| account.is_none_or(|account| *client.key().account == *account)).collect()
    }
}

impl<'m> Client<'m> {
    /// Whose it is.
    pub fn key(&self) -> &'m AccountKey {
        match self {
            Self::Seller(seller) => seller.key(),
            Self::Shop(shop) => shop.key(),
            Self::Ebay(shop) => shop.key(),
        }
    }

    /// Gets new tokens, however long the old ones would last. Not stopped by parks.
    ///
    /// # Errors
    /// When there are no new ones. The old ones go on as long as they last.
    pub async fn renew_tokens(&self, caller: &Caller) -> Result<(), CallError> {
        match self {
            Self::Seller(seller) => seller.renew_tokens(caller).await,
            Self::Shop(shop) => shop.renew_tokens(caller).await,
            Self::Ebay(shop) => shop.renew_tokens(caller).await,
        }
    }

    /// Looks whether the credentials work. Not stopped by parks.
    ///
    /// # Errors
    /// When they don't, or it can't be told.
    pub async fn check(&self, caller: &Caller) -> Result<Standing, CallError> {
        match self {
            Self::Seller(seller) => seller.check(caller).await,
            Self::Shop(shop) => shop.check(caller).await.map(|()| Standing::Good),
            Self::Ebay(shop) => shop.check(caller).await.map(|()| Standing::Good),
        }
    }

    /// Redeems what a person's login gave (BASE's code, or the refresh token that Amazon or eBay showed), and keeps the tokens.
    ///
    /// # Errors
    /// When it is refused, or no answer comes.
    pub async fn log_in(&self, caller: &Caller, given: Secret) -> Result<(), CallError> {
        match self {
            Self::Seller(seller) => seller.log_in(caller, given).await,
            Self::Shop(shop) => shop.log_in(caller, given).await,
            Self::Ebay(shop) => shop.log_in(caller, given).await,
        }
    }
}
