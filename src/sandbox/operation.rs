//! What can be asked of the marketplace, by name: the words that fault plans, the ledger and the summary share.
use super::state::Side;

/// One operation of either side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Amazon's login.
    Lwa,
    /// `getItemOffersBatch`.
    Offers,
    /// `getItemOffers`, one product a call.
    ItemOffers,
    /// `getMarketplaceParticipations`.
    Sellers,
    /// BASE's page on which a person lets an application in.
    Authorize,
    /// BASE's tokens.
    Token,
    Me,
    Items,
    Search,
    Detail,
    Add,
    Edit,
    Delete,
    AddImage,
    DeleteImage,
    EditStock,
}

/// Each with its word and its path; a path that ends in `*` stands for all that begin so.
const ALL: [(Operation, &str, &str); 16] = [
    (Operation::Lwa, "lwa", "/auth/o2/token"),
    (Operation::Offers, "offers", "/batches/products/pricing/v0/itemOffers"),
    (Operation::ItemOffers, "item_offers", "/products/pricing/v0/items/*"),
    (Operation::Sellers, "sellers", "/sellers/v1/marketplaceParticipations"),
    (Operation::Authorize, "authorize", "/1/oauth/authorize"),
    (Operation::Token, "token", "/1/oauth/token"),
    (Operation::Me, "me", "/1/users/me"),
    (Operation::Items, "items", "/1/items"),
    (Operation::Search, "search", "/1/items/search"),
    (Operation::Detail, "detail", "/1/items/detail/*"),
    (Operation::Add, "add", "/1/items/add"),
    (Operation::Edit, "edit", "/1/items/edit"),
    (Operation::Delete, "delete", "/1/items/delete"),
    (Operation::AddImage, "add_image", "/1/items/add_image"),
    (Operation::DeleteImage, "delete_image", "/1/items/delete_image"),
    (Operation::EditStock, "edit_stock", "/1/items/edit_stock"),
];

impl Operation {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(operation, ..)| *operation)
    }

    /// The one that a path asks for.
    pub fn of(path: &str) -> Option<Self> {
        let is = |pattern: &str| pattern.strip_suffix('*').map_or(path == pattern, |start| path.starts_with(start));
        ALL.iter().find(|(.., pattern)| is(pattern)).map(|(operation, ..)| *operation)
    }

    /// The one that a word names.
    pub fn parse(word: &str) -> Option<Self> {
        ALL.iter().find(|(_, name, _)| *name == word).map(|(operation, ..)| *operation)
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        ALL.iter().find(|(operation, ..)| *operation == self).map_or("", |(_, name, _)| name)
    }

    /// Whose protocol it belongs to.
    pub fn side(self) -> Side {
        if matches!(self, Self::Lwa | Self::Offers | Self::ItemOffers | Self::Sellers) { Side::Amazon } else { Side::Base }
    }

    /// It is there to change something that buyers see.
    pub fn writes(self) -> bool {
        matches!(self, Self::Add | Self::Edit | Self::Delete | Self::AddImage | Self::DeleteImage | Self::EditStock)
    }
}
