//! The practice world by rule: which products there are, what they cost at an instant, who offers them. Nothing here is a table of known ids.
//!
//! The same ASIN and instant always give the same offers, so a run can be repeated and a test can say what must come out.
use super::{
    chat,
    state::{Account, Client, Item, Side, World},
};

/// Practice listings are spread over these two shops.
pub const SHOPS: [&str; 2] = ["base_account_1", "base_account_2"];
/// The practice shop at eBay. It has nothing until something is listed there.
pub const EBAY: &str = "ebay_account_1";
/// All that the practice applications may do for BASE's shops, and for eBay's.
pub(super) const SCOPES: &str = "read_users read_items write_items https://api.ebay.com/oauth/api_scope/sell.inventory";
/// The practice seller.
pub const SELLER: &str = "amazon_main";

const HOUR_MS: i64 = 3_600_000;
/// How long a cost stays the same.
const COST_PERIOD_MS: i64 = 36 * HOUR_MS;
/// How long a product stays available or not.
const STOCK_PERIOD_MS: i64 = 8 * HOUR_MS;
/// Shares in ten thousandths: never offered; without offers for a while; offered for a while only by those who don't count.
const NEVER: u64 = 200;
const SOLD_OUT: u64 = 170;
const UNFIT: u64 = 80;

/// What stands in for the keys of real marketplaces.
#[derive(Clone, Debug)]
pub struct Keys {
    pub lwa_client_id: &'static str,
    pub lwa_client_secret: &'static str,
    pub base_client_id: &'static str,
    pub base_client_secret: &'static str,
    pub base_redirect_uri: &'static str,
    /// The token of Chatwork, and a room.
    pub chatwork_token: &'static str,
    pub chatwork_room: &'static str,
    pub ebay_client_id: &'static str,
    pub ebay_client_secret: &'static str,
    /// Those that every practice has.
    pub accounts: Vec<KeyAccount>,
    /// For those who want to try eBay as well.
    pub ebay: KeyAccount,
}

/// An account that the practice keys open.
#[derive(Clone, Debug)]
pub struct KeyAccount {
    pub name: &'static str,
    /// `amazon`, `base` or `ebay`.
    pub platform: &'static str,
    pub refresh_token: &'static str,
}

/// The practice keys. They open nothing but the practice marketplace.
pub fn practice_keys() -> Keys {
    Keys {
        lwa_client_id: "amzn1.application-oa2-client.practice",
        lwa_client_secret: "amzn1.oa2-cs.v1.practice",
        base_client_id: "5a0d0b0c5a0d0b0c5a0d0b0c5a0d0b0c",
        base_client_secret: "5ec2e75ec2e75ec2e75ec2e75ec2e700",
        base_redirect_uri: "https://practice.example/callback",
        chatwork_token: "practice-chatwork-token",
        chatwork_room: "100000001",
        ebay_client_id: "Practice-Practice-SBX-0000",
        ebay_client_secret: "SBX-5ec2e75ec2e7-practice",
        ebay: KeyAccount { name: EBAY, platform: "ebay", refresh_token: "v^1.1#i^1#practice-ebay-account-1" },
        accounts: vec![
            KeyAccount { name: SELLER, platform: "amazon", refresh_token: "Atzr|practice-amazon-main" },
            KeyAccount { name: SHOPS[0], platform: "base", refresh_token: "b0000000000000000000000000000001" },
            KeyAccount { name: SHOPS[1], platform: "base", refresh_token: "b0000000000000000000000000000002" },
        ],
    }
}

/// A practice listing: what the owner of the shops has in the books.
#[derive(Clone, Debug)]
pub struct Seeded {
    pub asin: String,
    pub title: String,
    pub account: &'static str,
    pub item_id: i64,
    pub sku: String,
}

/// Up to so many products the world is small: the shops share some of them, so that a few show everything.
const SMALL: u32 = 1_000;
/// The shops that all this was made for had 9,767 and 1,005 products, and none in common.
const REAL: u64 = 10_772;
const REAL_SECOND: u64 = 1_005;

/// The listings of so many products. In a small world every fourth is in the second shop and every twentieth in both; a larger one is split as
/// the real shops were: of 10,772 the first has 9,767 and the second 1,005.
pub fn catalogue(items: u32) -> Vec<Seeded> {
    let shops = if items <= SMALL { shops_in_small } else { shops_in_large };
    (0..items).flat_map(|n| shops(n).iter().map(move |shop| listing(n, *shop))).collect()
}

fn shops_in_small(n: u32) -> &'static [usize] {
    match (n % 20, n % 4) {
        (0, _) => &[0, 1],
        (_, 3) => &[1],
        _ => &[0],
    }
}

fn shops_in_large(n: u32) -> &'static [usize] {
    let before = |n: u64| n * REAL_SECOND / REAL;
    let n = u64::from(n);
    if before(n) < before(n + 1) { &[1] } else { &[0] }
}

fn listing(n: u32, shop: usize) -> Seeded {
    let asin = asin(n);
    let (account, letter, first) = if shop == 0 { (SHOPS[0], 'A', 1_000_001) } else { (SHOPS[1], 'B', 5_000_001) };
    Seeded { title: title(&asin), account, item_id: first + i64::from(n), sku: format!("{letter}-{asin}"), asin }
}

impl World {
    /// The practice world as its owner left it at `now_ms`: prices from some hours ago, sold-out products hidden, and some not yet noticed.
    pub fn practice(items: u32, now_ms: i64) -> Self {
        let keys = practice_keys();
        let client = |side, id: &str, secret: &str, redirect_uri: &str| Client {
            side,
            id: id.to_owned(),
            secret: secret.to_owned(),
            redirect_uri: redirect_uri.to_owned(),
            active: true,
        };
        let account = |key: &KeyAccount| {
            let (side, client) = match key.platform {
                "amazon" => (Side::Amazon, keys.lwa_client_id),
                "ebay" => (Side::Ebay, keys.ebay_client_id),
                _ => (Side::Base, keys.base_client_id),
            };
            Account {
                name: key.name.to_owned(),
                side,
                client: client.to_owned(),
                scopes: SCOPES.to_owned(),
                access: None,
                refresh: key.refresh_token.to_owned(),
            }
        };
        Self {
            clients: vec![
                client(Side::Amazon, keys.lwa_client_id, keys.lwa_client_secret, ""),
                client(Side::Base, keys.base_client_id, keys.base_client_secret, keys.base_redirect_uri),
                client(Side::Ebay, keys.ebay_client_id, keys.ebay_client_secret, ""),
                client(Side::Chat, chat::CHATWORK, keys.chatwork_token, ""),
            ],
            accounts: keys.accounts.iter().chain([&keys.ebay]).map(account).collect(),
            items: catalogue(items).into_iter().map(|seeded| at_the_shop(seeded, now_ms)).collect(),
        }
    }
}

fn at_the_shop(seeded: Seeded, now_ms: i64) -> Item {
    let asked = cost(&seeded.asin, now_ms - 9 * HOUR_MS) * 13 / 10;
    Item {
        item_id: seeded.item_id,
        account: seeded.account.to_owned(),
        detail: format!("{}です。", seeded.title),
        title: seeded.title,
        // What is too dear today was listed when it was cheaper.
        price: ((asked + 5) / 10 * 10).clamp(500, 99_800),
        stock: 1,
        visible: availability(&seeded.asin, now_ms) == Availability::Buyable || never_offered(&seeded.asin),
        identifier: Some(seeded.sku),
        modified: now_ms / 1000,
    }
}

/// The number of the n-th product: looks like Amazon's, and no two are the same.
pub fn asin(n: u32) -> String {
    const DIGITS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    // Eight digits of base 36; the factor shares no divisor with 36, so the product visits each number once.
    let mut rest = (u128::from(n) + 1) * 1_597_334_677_081 % 36_u128.pow(8);
    let mut text = *b"B000000000";
    for place in text.iter_mut().skip(2).rev() {
        *place = usize::try_from(rest % 36).ok().and_then(|digit| DIGITS.get(digit)).copied().unwrap_or(b'0');
        rest /= 36;
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The merchant token of a seller: which letters it has depends on the account's name alone.
pub fn seller_id(account: &str) -> String {
    format!("A{:013X}", roll(account, 71) >> 12)
}

fn title(asin: &str) -> String {
    const STYLES: [&str; 8] = ["北欧風", "和風", "業務用", "折りたたみ式", "軽量", "抗菌", "名入れ可", "防水"];
    const THINGS: [&str; 12] = [
        "マグカップ",
        "弁当箱",
        "水筒",
        "卓上ライト",
        "収納ボックス",
        "レインコート",
        "まな板",
        "文房具セット",
        "トートバッグ",
        "目覚まし時計",
        "ペットベッド",
        "工具箱",
    ];
    const COLOURS: [&str; 6] = ["ホワイト", "ブラック", "ネイビー", "ベージュ", "グリーン", "さくら色"];
    let pick = |words: &[&'static str], salt| {
        let index = roll(asin, salt) % u64::try_from(words.len()).unwrap_or(1);
        usize::try_from(index).ok().and_then(|index| words.get(index)).copied().unwrap_or_default()
    };
    format!("{} {} {}", pick(&STYLES, 11), pick(&THINGS, 12), pick(&COLOURS, 13))
}

/// Whether a product can be bought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// At least one offer that everybody would take.
    Buyable,
    /// Offers, but slow ones or with paid shipping.
    Unfit,
    /// No offer.
    Nothing,
}

/// Whether a product can be bought at an instant.
pub fn availability(asin: &str, now_ms: i64) -> Availability {
    if never_offered(asin) {
        return Availability::Nothing;
    }
    match roll(asin, epoch(asin, now_ms, STOCK_PERIOD_MS, 21)) % 10_000 {
        share if share < SOLD_OUT => Availability::Nothing,
        share if share < SOLD_OUT + UNFIT => Availability::Unfit,
        _ => Availability::Buyable,
    }
}

fn never_offered(asin: &str) -> bool {
    roll(asin, 31) % 10_000 < NEVER
}

/// The lowest price of a buyable offer at an instant, in yen.
pub fn cost(asin: &str, now_ms: i64) -> i64 {
    let (low, high) = match roll(asin, 41) % 1000 {
        0..=4 => (80_000, 120_000),
        5..=99 => (15_000, 60_000),
        100..=399 => (3_000, 15_000),
        _ => (400, 3_000),
    };
    let usual = low + spread(roll(asin, 42), high - low);
    let percent = 92 + spread(roll(asin, epoch(asin, now_ms, COST_PERIOD_MS, 43)), 17);
    usual * percent / 100
}

/// The number of the period that an instant lies in; each product's periods begin at times of their own.
fn epoch(asin: &str, now_ms: i64, period_ms: i64, salt: u64) -> u64 {
    let phase = spread(roll(asin, salt), period_ms);
    let number = (now_ms + phase).div_euclid(period_ms);
    salt << 48 | u64::try_from(number).unwrap_or(0)
}

fn spread(roll: u64, below: i64) -> i64 {
    i64::try_from(roll % u64::try_from(below).unwrap_or(1).max(1)).unwrap_or(0)
}

/// A number that depends on the text and the salt alone (FNV-1a, then the finisher of `SplitMix64`).
pub(super) fn roll(text: &str, salt: u64) -> u64 {
    let mut hash = salt ^ 0xcbf2_9ce4_8422_2325;
    for byte in text.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const NOW: i64 = 1_774_828_800_000;

    #[test]
    fn no_two_products_have_the_same_number() {
        let asins: BTreeSet<_> = (0..20_000).map(asin).collect();
        assert_eq!(asins.len(), 20_000);
        assert!(asins.iter().all(|asin| asin.len() == 10 && asin.starts_with("B0")));
    }

    #[test]
    fn the_shops_of_10772_products_are_as_large_as_the_real_ones() {
        let listings = catalogue(10_772);
        let of = |shop| listings.iter().filter(|listing| listing.account == shop).count();
        assert_eq!(SHOPS.map(of), [9_767, 1_005]);
        let asins: BTreeSet<_> = listings.iter().map(|listing| &listing.asin).collect();
        assert_eq!(asins.len(), 10_772);
        let small = catalogue(240);
        assert_eq!(small.len(), 252, "a small world has some in both");
    }

    #[test]
    fn each_third_hour_changes_some_things_and_never_many() {
        let asins: Vec<_> = (0..2_400).map(asin).collect();
        for n in 0..20 {
            let (before, after) = (NOW + n * 3 * HOUR_MS, NOW + (n + 1) * 3 * HOUR_MS);
            let count = |differs: &dyn Fn(&str) -> bool| asins.iter().filter(|asin| differs(asin)).count();
            let prices = count(&|asin| cost(asin, before) != cost(asin, after));
            let gone =
                count(&|asin| availability(asin, before) == Availability::Buyable && availability(asin, after) != Availability::Buyable);
            assert!((60..500).contains(&prices), "{prices} prices");
            assert!((5..60).contains(&gone), "{gone} gone");
        }
    }

    #[test]
    fn a_new_practice_shop_hides_fewer_than_a_brake_would_stop() {
        for start in 0..50 {
            let now = NOW + start * 7 * HOUR_MS;
            let world = World::practice(240, now);
            let visible = world.items.iter().filter(|item| item.visible).count();
            let gone = catalogue(240).iter().filter(|item| never_offered(&item.asin)).count();
            assert!(gone > 0 && gone * 20 < visible, "{gone} of {visible}");
        }
    }
}
