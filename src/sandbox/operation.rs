//! What can be asked of the marketplace, by name: the words that fault plans, the ledger and the summary share.
use super::state::Side;

/// One operation of one of the sides.
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
    /// `createFeedDocument`.
    FeedDocument,
    /// The upload of a feed's document, at an address of its own.
    FeedUpload,
    /// `createFeed`.
    CreateFeed,
    /// `getFeed`.
    GetFeed,
    /// `getFeeds`.
    GetFeeds,
    /// `getFeedDocument`.
    FeedResult,
    /// The download of a feed's result, at an address of its own.
    FeedDownload,
    /// `patchListingsItem`.
    PatchListing,
    /// `getListingsItem`.
    GetListing,
    /// `deleteListingsItem`.
    DeleteListing,
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
    /// eBay's tokens.
    EbayToken,
    /// An item put in its place, whole.
    PutItem,
    GetItem,
    DeleteItem,
    CreateOffer,
    FindOffers,
    GetOffer,
    DeleteOffer,
    Publish,
    Withdraw,
    /// Prices and stocks of many.
    Bulk,
    /// A message to a room of Chatwork.
    ChatworkMessage,
    ChatworkMe,
    /// A webhook.
    Hook,
}

/// Each with its word and its path, of which one `*` stands for anything. Of those that share a path, each is asked for by a method of its own, which
/// stands before it.
const ALL: [(Operation, &str, &str); 40] = [
    (Operation::Lwa, "lwa", "/auth/o2/token"),
    (Operation::Offers, "offers", "/batches/products/pricing/v0/itemOffers"),
    (Operation::ItemOffers, "item_offers", "/products/pricing/v0/items/*"),
    (Operation::Sellers, "sellers", "/sellers/v1/marketplaceParticipations"),
    (Operation::FeedDocument, "feed_document", "POST /feeds/2021-06-30/documents"),
    (Operation::FeedUpload, "feed_upload", "PUT /feed-documents/*"),
    (Operation::CreateFeed, "create_feed", "POST /feeds/2021-06-30/feeds"),
    (Operation::GetFeed, "get_feed", "GET /feeds/2021-06-30/feeds/*"),
    (Operation::GetFeeds, "get_feeds", "GET /feeds/2021-06-30/feeds"),
    (Operation::FeedResult, "feed_result", "GET /feeds/2021-06-30/documents/*"),
    (Operation::FeedDownload, "feed_download", "GET /feed-documents/*"),
    (Operation::PatchListing, "patch_listing", "PATCH /listings/2021-08-01/items/*"),
    (Operation::GetListing, "get_listing", "GET /listings/2021-08-01/items/*"),
    (Operation::DeleteListing, "delete_listing", "DELETE /listings/2021-08-01/items/*"),
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
    (Operation::EbayToken, "ebay_token", "/identity/v1/oauth2/token"),
    (Operation::PutItem, "put_item", "PUT /sell/inventory/v1/inventory_item/*"),
    (Operation::GetItem, "get_item", "GET /sell/inventory/v1/inventory_item/*"),
    (Operation::DeleteItem, "delete_item", "DELETE /sell/inventory/v1/inventory_item/*"),
    (Operation::CreateOffer, "create_offer", "POST /sell/inventory/v1/offer"),
    (Operation::FindOffers, "find_offers", "GET /sell/inventory/v1/offer"),
    (Operation::GetOffer, "get_offer", "GET /sell/inventory/v1/offer/*"),
    (Operation::DeleteOffer, "delete_offer", "DELETE /sell/inventory/v1/offer/*"),
    (Operation::Publish, "publish", "POST /sell/inventory/v1/offer/*/publish"),
    (Operation::Withdraw, "withdraw", "POST /sell/inventory/v1/offer/*/withdraw"),
    (Operation::Bulk, "bulk", "/sell/inventory/v1/bulk_update_price_quantity"),
    (Operation::ChatworkMessage, "chatwork_message", "/v2/rooms/*/messages"),
    (Operation::ChatworkMe, "chatwork_me", "/v2/me"),
    (Operation::Hook, "hook", "/hook/*"),
];

impl Operation {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        ALL.iter().map(|(operation, ..)| *operation)
    }

    /// The one that a method and a path ask for.
    pub fn of(method: &str, path: &str) -> Option<Self> {
        let is = |pattern: &str| {
            let (wanted, pattern) = pattern.split_once(' ').unwrap_or((method, pattern));
            wanted == method
                && pattern.split_once('*').map_or(path == pattern, |(start, end)| path.starts_with(start) && path.ends_with(end))
        };
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
        match self {
            Self::Lwa
            | Self::Offers
            | Self::ItemOffers
            | Self::Sellers
            | Self::FeedDocument
            | Self::FeedUpload
            | Self::CreateFeed
            | Self::GetFeed
            | Self::GetFeeds
            | Self::FeedResult
            | Self::FeedDownload
            | Self::PatchListing
            | Self::GetListing
            | Self::DeleteListing => Side::Amazon,
            Self::Authorize
            | Self::Token
            | Self::Me
            | Self::Items
            | Self::Search
            | Self::Detail
            | Self::Add
            | Self::Edit
            | Self::Delete
            | Self::AddImage
            | Self::DeleteImage
            | Self::EditStock => Side::Base,
            Self::EbayToken
            | Self::PutItem
            | Self::GetItem
            | Self::DeleteItem
            | Self::CreateOffer
            | Self::FindOffers
            | Self::GetOffer
            | Self::DeleteOffer
            | Self::Publish
            | Self::Withdraw
            | Self::Bulk => Side::Ebay,
            Self::ChatworkMessage | Self::ChatworkMe | Self::Hook => Side::Chat,
        }
    }

    /// It is there to change something that buyers see.
    pub fn writes(self) -> bool {
        use Operation as O;
        let of_base = matches!(self, O::Add | O::Edit | O::Delete | O::AddImage | O::DeleteImage | O::EditStock);
        let of_amazon = matches!(self, O::CreateFeed | O::PatchListing | O::DeleteListing);
        of_amazon
            || of_base
            || matches!(self, O::PutItem | O::DeleteItem | O::CreateOffer | O::DeleteOffer | O::Publish | O::Withdraw | O::Bulk)
    }
}
