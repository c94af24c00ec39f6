//! Where what we know and what is so have come apart: found by a nightly look, mended by a person's word.
//!
//! An error is never drift: what could not be read is not compared, and what changed while it was read is left to the next look.
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::product::{Asin, Listing, ListingState};
use crate::core::task::words;

words! {
    /// What has come apart.
    Kind {
        /// An upload is done, and the books have no live listing of it.
        Unlisted = "unlisted",
        /// A listing is to be made, and nothing in the queue will make it.
        Unqueued = "unqueued",
        /// An item is in a worker's hand, and that worker is gone.
        Stuck = "stuck",
        /// A listing may have been made that nobody knows of.
        OpenCreate = "open_create",
        /// An edit may have been made, and nobody has looked for a day.
        OpenEdit = "open_edit",
        /// Work for a product that the catalogue does not have.
        UnknownProduct = "unknown_product",
        /// Work or listings of an account that the file does not name.
        UnknownAccount = "unknown_account",
        /// A listing at Amazon whose source nobody asks, or of which Amazon was not told.
        Supply = "supply",
        /// Listed in the books, and not at the shop.
        Gone = "gone",
        /// At the shop, and not in the books.
        Stranger = "stranger",
        /// At the shop more than once under one of our numbers.
        Double = "double",
        /// Our number of it is another at the shop.
        Sku = "sku",
        /// The shop asks another price than we wrote last.
        Price = "price",
        /// The shop shows it, or hides it, otherwise than we wrote last.
        Visibility = "visibility",
        /// The shop has fewer pictures of it than were sent.
        Images = "images",
    }
}

/// Something that has come apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Drift {
    pub kind: Kind,
    /// Whose.
    pub account: Arc<str>,
    /// What: an item of the queue, a product, an item of the shop.
    pub subject: String,
    /// What was seen, and what should be.
    pub detail: String,
    /// What would mend it: a command, or what a person does at the shop.
    pub mend: String,
}

/// An item as the shop has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The shop's number of it.
    pub item_id: Arc<str>,
    /// Our own number of it.
    pub sku: Option<Arc<str>>,
    /// In yen.
    pub price: i64,
    pub visible: bool,
    pub images: u32,
}

/// What the queue knows of a product at a shop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Pictures that were sent by the upload that succeeded; 0: none is known of.
    pub images: u32,
    /// There is open work for it: it may change at any moment.
    pub is_open: bool,
}

/// The books on a shop, as they were before it was read and after.
#[derive(Clone, Debug, Default)]
pub struct Books {
    pub before: Vec<Listing>,
    pub after: Vec<Listing>,
    pub marks: BTreeMap<Asin, Mark>,
    /// The shop's numbers of items with an edit under way.
    pub in_motion: BTreeSet<Arc<str>>,
}

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub drifts: Vec<Drift>,
    /// Listings that the shop's list lacks: its number of each. To be looked up one by one before they count as gone.
    pub missing: Vec<(Asin, Arc<str>)>,
}

/// Holds a shop's items against the books.
pub fn compare(account: &Arc<str>, books: &Books, items: &BTreeMap<Arc<str>, Seen>) -> Compared {
    let before: BTreeMap<&Asin, &Listing> = books.before.iter().map(|listing| (&listing.asin, listing)).collect();
    let is_settled = |listing: &Listing| {
        let is_moving = listing.item_id.as_ref().is_some_and(|item| books.in_motion.contains(item));
        let is_worked_on = books.marks.get(&listing.asin).is_some_and(|mark| mark.is_open);
        before.get(&listing.asin) == Some(&listing) && !is_moving && !is_worked_on
    };
    let mut found = Compared::default();
    for listing in books.after.iter().filter(|listing| listing.state == ListingState::Listed && is_settled(listing)) {
        let Some(item_id) = &listing.item_id else { continue };
        match items.get(item_id) {
            Some(seen) => {
                let mark = books.marks.get(&listing.asin).copied().unwrap_or_default();
                found.drifts.extend(differences(account, listing, seen, mark));
            }
            None => found.missing.push((listing.asin.clone(), Arc::clone(item_id))),
        }
    }
    found.drifts.extend(strangers(account, books, items));
    found.drifts.extend(doubles(account, books, items));
    found
}

fn differences(account: &Arc<str>, listing: &Listing, seen: &Seen, mark: Mark) -> Vec<Drift> {
    let subject = || format!("item {} ({})", seen.item_id, listing.asin);
    let drift =
        |kind, detail: String, mend: &str| Drift { kind, account: Arc::clone(account), subject: subject(), detail, mend: mend.to_owned() };
    let sync = "taskrun once sync_inventory";
    let mut found = Vec::new();
    if let Some(price) = listing.price.filter(|price| *price != seen.price) {
        found.push(drift(Kind::Price, format!("the shop asks {} yen, and {price} was written", seen.price), sync));
    }
    if listing.visible.is_some_and(|visible| visible != seen.visible) {
        let word = |visible| if visible { "visible" } else { "hidden" };
        found.push(drift(
            Kind::Visibility,
            format!("it is {} at the shop, and was left {}", word(seen.visible), word(!seen.visible)),
            sync,
        ));
    }
    if seen.sku.as_ref() != Some(&listing.sku) {
        let theirs = seen.sku.as_deref().unwrap_or("none");
        let detail = format!("its number is {theirs} at the shop, and {} in the books", listing.sku);
        found.push(drift(Kind::Sku, detail, "put the number of the books in at the shop, by hand"));
    }
    if seen.images < mark.images {
        let detail = format!("the shop has {} of the {} pictures that were sent", seen.images, mark.images);
        found.push(drift(Kind::Images, detail, "add the pictures at the shop by hand, or delete the item there and queue it again"));
    }
    found
}

/// What the shop has and the books don't know.
fn strangers(account: &Arc<str>, books: &Books, items: &BTreeMap<Arc<str>, Seen>) -> Vec<Drift> {
    let all = || books.before.iter().chain(&books.after);
    let live: BTreeSet<&Arc<str>> =
        all().filter(|listing| listing.state == ListingState::Listed).filter_map(|listing| listing.item_id.as_ref()).collect();
    let by_sku: BTreeMap<&Arc<str>, &Listing> = all().map(|listing| (&listing.sku, listing)).collect();
    let by_item: BTreeMap<&Arc<str>, &Listing> = all().filter_map(|listing| Some((listing.item_id.as_ref()?, listing))).collect();
    let judge = |seen: &Seen| {
        let known = by_item.get(&seen.item_id).or_else(|| by_sku.get(seen.sku.as_ref()?)).copied();
        if known.is_some_and(|listing| books.marks.get(&listing.asin).is_some_and(|mark| mark.is_open)) {
            return None;
        }
        let (detail, mend) = match known {
            // More than one under a number is told as such.
            Some(listing) if listing.state == ListingState::Listed => return None,
            Some(listing) => (
                format!("the shop has it, and in the books {} is {}", listing.asin, listing.state),
                format!("taskrun products relist {} --account {account}, or delete it at the shop", listing.asin),
            ),
            None => (
                seen.sku
                    .as_ref()
                    .map_or_else(|| "the shop has it without a number of ours".to_owned(), |sku| format!("the shop has it as {sku}")),
                "taskrun products import with its item_id, or delete it at the shop".to_owned(),
            ),
        };
        Some(Drift { kind: Kind::Stranger, account: Arc::clone(account), subject: format!("item {}", seen.item_id), detail, mend })
    };
    items.values().filter(|seen| !live.contains(&seen.item_id)).filter_map(judge).collect()
}

/// What the shop has more than once under one number.
fn doubles(account: &Arc<str>, books: &Books, items: &BTreeMap<Arc<str>, Seen>) -> Vec<Drift> {
    let mut by_sku: BTreeMap<&Arc<str>, Vec<&Arc<str>>> = BTreeMap::new();
    for seen in items.values() {
        if let Some(sku) = seen.sku.as_ref().filter(|sku| !sku.is_empty()) {
            by_sku.entry(sku).or_default().push(&seen.item_id);
        }
    }
    let ours: BTreeMap<&Arc<str>, &Arc<str>> =
        books.after.iter().filter_map(|listing| Some((&listing.sku, listing.item_id.as_ref()?))).collect();
    let tell = |(sku, found): (&Arc<str>, Vec<&Arc<str>>)| {
        let list = found.iter().map(|item| &***item).collect::<Vec<_>>().join(", ");
        let mend = match ours.get(sku) {
            Some(known) => format!("delete all of them at the shop but {known}, which is the one in the books"),
            None => "delete all of them at the shop but one".to_owned(),
        };
        Drift {
            kind: Kind::Double,
            account: Arc::clone(account),
            subject: sku.to_string(),
            detail: format!("the shop has it as items {list}"),
            mend,
        }
    };
    by_sku.into_iter().filter(|(_, found)| 1 < found.len()).map(tell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::product::Platform;

    fn listing(n: u32, state: ListingState) -> Listing {
        Listing {
            asin: asin(n),
            platform: Platform::Base,
            account: "a".into(),
            item_id: Some(n.to_string().into()),
            sku: format!("sku-{n}").into(),
            price: Some(1000),
            visible: Some(true),
            written_at: None,
            state,
        }
    }

    fn asin(n: u32) -> Asin {
        Asin::parse(&format!("B0DRFT{n:04}")).unwrap()
    }

    fn seen(n: u32) -> Seen {
        Seen { item_id: n.to_string().into(), sku: Some(format!("sku-{n}").into()), price: 1000, visible: true, images: 2 }
    }

    fn books(listings: Vec<Listing>) -> Books {
        Books { before: listings.clone(), after: listings, ..Books::default() }
    }

    fn held(books: &Books, items: &[Seen]) -> (Vec<Kind>, usize) {
        let items = items.iter().map(|seen| (Arc::clone(&seen.item_id), seen.clone())).collect();
        let found = compare(&"a".into(), books, &items);
        (found.drifts.iter().map(|drift| drift.kind).collect(), found.missing.len())
    }

    #[test]
    fn each_kind_is_found_and_what_agrees_is_not() {
        let good = || books(vec![listing(1, ListingState::Listed)]);
        assert_eq!(held(&good(), &[seen(1)]), (vec![], 0));
        assert_eq!(held(&good(), &[Seen { price: 999, ..seen(1) }]), (vec![Kind::Price], 0));
        assert_eq!(held(&good(), &[Seen { visible: false, ..seen(1) }]), (vec![Kind::Visibility], 0));
        assert_eq!(held(&good(), &[Seen { sku: None, ..seen(1) }]), (vec![Kind::Sku], 0));
        assert_eq!(held(&good(), &[]), (vec![], 1), "what the list lacks is looked up first");
        assert_eq!(held(&good(), &[seen(1), seen(2)]), (vec![Kind::Stranger], 0));
        let twin = Seen { item_id: "9".into(), ..seen(1) };
        assert_eq!(held(&good(), &[seen(1), twin]), (vec![Kind::Double], 0));
        let marks = BTreeMap::from([(asin(1), Mark { images: 3, is_open: false })]);
        assert_eq!(held(&Books { marks, ..good() }, &[seen(1)]), (vec![Kind::Images], 0));
        assert_eq!(held(&books(vec![listing(1, ListingState::Delisted)]), &[seen(1)]), (vec![Kind::Stranger], 0));
    }

    #[test]
    fn what_moves_while_it_is_read_is_left_to_the_next_look() {
        let wrong = [Seen { price: 1, visible: false, ..seen(1) }];
        let good = || books(vec![listing(1, ListingState::Listed)]);
        let edited = Books { before: vec![Listing { price: Some(1), ..listing(1, ListingState::Listed) }], ..good() };
        assert_eq!(held(&edited, &wrong), (vec![], 0));
        assert_eq!(held(&Books { in_motion: BTreeSet::from(["1".into()]), ..good() }, &wrong), (vec![], 0));
        let uploaded = Books { before: Vec::new(), ..good() };
        assert_eq!(held(&uploaded, &wrong), (vec![], 0));
        assert_eq!(
            held(&Books { after: vec![Listing { state: ListingState::Delisted, ..listing(1, ListingState::Listed) }], ..good() }, &wrong),
            (vec![], 0)
        );
        let marks = BTreeMap::from([(asin(1), Mark { images: 0, is_open: true })]);
        let pending = Listing { item_id: None, ..listing(1, ListingState::Pending) };
        assert_eq!(held(&Books { marks, ..books(vec![pending]) }, &[seen(1)]), (vec![], 0), "it is being listed");
    }
}
