//! The handlers' half in memory: the catalogue, the writes under way, tokens and quotas.
use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use jiff::Timestamp;

use super::MemoryStore;
use crate::{
    core::value::Secret,
    shop::{
        offer::Finding,
        product::{Asin, Listing, ListingState, Product},
        quota::{self, Place, Rule, Use},
    },
    store::{
        Answer, Fence,
        shop::{AccountKey, Claim, Fate, Guarded, Intent, IntentId, NewListing, OpenIntent, QuotaKey, ShopStore, Token, TokenPair},
    },
};

/// What a file would hold.
#[derive(Debug, Default)]
pub(super) struct ShopTables {
    products: BTreeMap<Asin, Product>,
    listings: BTreeMap<(AccountKey, Asin), Listing>,
    intents: BTreeMap<i64, Intent>,
    /// Numbers of intents are never given twice.
    last_intent: i64,
    tokens: BTreeMap<AccountKey, TokenRow>,
    /// What was taken, and the gap that the marketplace told.
    quotas: BTreeMap<QuotaKey, (Use, Option<i64>)>,
}

#[derive(Debug)]
struct TokenRow {
    token: Token,
    configured: Option<Secret>,
    claimed_until: Option<Timestamp>,
}

impl MemoryStore {
    fn shop_now<T: Send + 'static>(&self, work: impl FnOnce(&mut ShopTables) -> T) -> Answer<T> {
        let done = work(&mut self.shop.lock().unwrap_or_else(PoisonError::into_inner));
        Box::pin(std::future::ready(Ok(done)))
    }

    /// Writes, if the fence allows it; nothing comes between the question and the write.
    fn guarded<T: Send + 'static>(&self, fence: &Fence, work: impl FnOnce(&mut ShopTables) -> T) -> Answer<Guarded<T>> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if tables.may_write(fence) {
            self.shop_now(|shop| Guarded::Done(work(shop)))
        } else {
            Box::pin(std::future::ready(Ok(Guarded::Fenced)))
        }
    }
}

impl ShopStore for MemoryStore {
    fn listed_products(&self) -> Answer<Vec<Product>> {
        self.shop_now(|shop| {
            let listed = |asin: &Asin| shop.listings.values().any(|listing| listing.asin == *asin && listing.state == ListingState::Listed);
            let mut products: Vec<_> = shop.products.values().filter(|product| listed(&product.asin)).cloned().collect();
            products.sort_by_key(|product| product.stock.map(|stock| stock.fetched_at));
            products
        })
    }

    fn listings(&self, account: AccountKey) -> Answer<Vec<Listing>> {
        self.shop_now(|shop| {
            let listed = |((key, _), listing): &(&(AccountKey, Asin), &Listing)| *key == account && listing.state == ListingState::Listed;
            shop.listings.iter().filter(listed).map(|(_, listing)| listing.clone()).collect()
        })
    }

    fn add_listings(&self, listings: Vec<NewListing>, _at: Timestamp) -> Answer<usize> {
        self.shop_now(|shop| listings.into_iter().map(|new| usize::from(shop.add(new))).sum())
    }

    fn learn(&self, fence: Fence, findings: Vec<(Asin, Finding)>, at: Timestamp) -> Answer<Guarded<()>> {
        self.guarded(&fence, |shop| {
            for (asin, finding) in findings {
                if let Some(product) = shop.products.get_mut(&asin) {
                    product.learn(&finding, at);
                }
            }
        })
    }

    fn open_intent(&self, fence: Fence, intent: Intent, _at: Timestamp) -> Answer<Guarded<IntentId>> {
        self.guarded(&fence, |shop| {
            shop.last_intent += 1;
            shop.intents.insert(shop.last_intent, intent);
            IntentId(shop.last_intent)
        })
    }

    fn settle_intent(&self, fence: Fence, id: IntentId, fate: Fate, _at: Timestamp) -> Answer<Guarded<()>> {
        self.guarded(&fence, |shop| {
            let Some(Intent { shop: account, item_id, edit, .. }) = shop.intents.remove(&id.0).filter(|_| fate == Fate::Made) else {
                return;
            };
            let made =
                |((key, _), listing): &(&(AccountKey, Asin), &mut Listing)| *key == account && listing.item_id.as_ref() == Some(&item_id);
            if let Some((_, listing)) = shop.listings.iter_mut().find(made) {
                listing.price = edit.price.or(listing.price);
                listing.visible = edit.visible.or(listing.visible);
            }
        })
    }

    fn open_intents(&self, account: AccountKey) -> Answer<Vec<OpenIntent>> {
        self.shop_now(|shop| {
            let of_shop = shop.intents.iter().filter(|(_, intent)| intent.shop == account);
            of_shop.map(|(id, intent)| OpenIntent { id: IntentId(*id), intent: intent.clone() }).collect()
        })
    }

    fn token(&self, account: AccountKey, configured: Option<Secret>) -> Answer<Option<Token>> {
        self.shop_now(|shop| {
            if let Some(first) = configured {
                shop.configure(&account, first);
            }
            shop.tokens.get(&account).map(|row| row.token.clone())
        })
    }

    fn claim_refresh(&self, account: AccountKey, generation: i64, at: Timestamp, until: Timestamp) -> Answer<Claim> {
        self.shop_now(|shop| {
            let Some(row) = shop.tokens.get_mut(&account) else { return Claim::Busy };
            if row.token.generation != generation {
                return Claim::Renewed(row.token.clone());
            }
            // A claim that lies much further ahead than this one was made before the clock was set back.
            let is_taken = |claimed: Timestamp| at < claimed && claimed.duration_since(until) <= until.duration_since(at);
            if row.claimed_until.is_some_and(is_taken) {
                return Claim::Busy;
            }
            row.claimed_until = Some(until);
            Claim::Yours(row.token.clone())
        })
    }

    fn keep_token(&self, account: AccountKey, generation: i64, pair: TokenPair) -> Answer<bool> {
        self.shop_now(|shop| {
            let Some(row) = shop.tokens.get_mut(&account).filter(|row| row.token.generation == generation) else { return false };
            let refresh = pair.refresh.unwrap_or_else(|| row.token.refresh.clone());
            let generation = generation.saturating_add(1);
            row.token = Token { access: Some(pair.access), expires_at: Some(pair.expires_at), refresh, generation };
            row.claimed_until = None;
            true
        })
    }

    fn release_refresh(&self, account: AccountKey, generation: i64) -> Answer<()> {
        self.shop_now(|shop| {
            if let Some(row) = shop.tokens.get_mut(&account).filter(|row| row.token.generation == generation) {
                row.claimed_until = None;
            }
        })
    }

    fn take_place(&self, key: QuotaKey, rule: Rule, at: Timestamp, latest: Timestamp) -> Answer<Place> {
        self.shop_now(|shop| {
            let (used, told_ms) = shop.quotas.entry(key).or_default();
            let (place, after) = quota::take(rule.at_interval(*told_ms), *used, at.as_millisecond(), latest.as_millisecond());
            *used = after;
            place
        })
    }

    fn exhaust(&self, key: QuotaKey, rule: Rule, at: Timestamp) -> Answer<()> {
        self.shop_now(|shop| {
            let (used, told_ms) = shop.quotas.entry(key).or_default();
            *used = quota::exhaust(rule.at_interval(*told_ms), *used, at.as_millisecond());
        })
    }

    fn learn_interval(&self, key: QuotaKey, interval_ms: i64) -> Answer<()> {
        self.shop_now(|shop| shop.quotas.entry(key).or_default().1 = Some(interval_ms))
    }
}

impl ShopTables {
    /// Takes in a listing and its product; false: something of it is there already.
    fn add(&mut self, new: NewListing) -> bool {
        let NewListing { asin, shop, item_id, sku, .. } = new;
        self.products.entry(asin.clone()).or_insert_with(|| Product { asin: asin.clone(), cost: None, stock: None });
        let same = |((key, _), listing): (&(AccountKey, Asin), &Listing)| {
            *key == shop && (listing.asin == asin || listing.sku == sku || (item_id.is_some() && listing.item_id == item_id))
        };
        if self.listings.iter().any(same) {
            return false;
        }
        let state = if item_id.is_some() { ListingState::Listed } else { ListingState::Pending };
        let (platform, account) = (shop.platform, Arc::clone(&shop.account));
        let listing = Listing { asin: asin.clone(), platform, account, item_id, sku, price: None, visible: None, state };
        self.listings.insert((shop, asin), listing);
        true
    }

    /// A token that a person changed in the configuration replaces the pair; the same one again does not.
    fn configure(&mut self, account: &AccountKey, first: Secret) {
        let generation = match self.tokens.get(account) {
            Some(row) if row.configured.as_ref() == Some(&first) => return,
            Some(row) => row.token.generation.saturating_add(1),
            None => 0,
        };
        let token = Token { access: None, expires_at: None, refresh: first.clone(), generation };
        self.tokens.insert(account.clone(), TokenRow { token, configured: Some(first), claimed_until: None });
    }
}
