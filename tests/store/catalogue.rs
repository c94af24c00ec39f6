//! The catalogue: what an import puts there and what it leaves, and what people ask it.
use taskrun::{
    shop::{
        difference::Edit,
        import::{Change, Fault, Placing, Refusal, Row, Weight},
        offer::{Filter, Finding},
        product::{Asin, Dated, Details, ListingState, Platform, Stock},
    },
    store::{
        Fence,
        shop::{AccountKey, CatalogueEntry, CatalogueFilter, CostRow, DataAge, Fate, Guarded, Intent, PriceRow, ShopStore},
        sqlite::SqliteStore,
    },
};

use crate::world::{World, fire, instance, minute};

fn asin(n: u32) -> Asin {
    Asin::parse(&format!("B0TEST{n:04}")).unwrap()
}

fn account(name: &str) -> AccountKey {
    AccountKey { platform: Platform::Base, account: name.into() }
}

/// A product that nothing is known of.
fn bare(n: u32) -> Row {
    Row { line: 2, asin: asin(n), details: Details::default(), listings: Vec::new(), earlier: None }
}

fn named(n: u32, title: &str) -> Row {
    Row { details: Details { title: Some(title.to_owned()), ..Details::default() }, ..bare(n) }
}

fn placing(shop: &str) -> Placing {
    Placing { platform: Platform::Base, account: shop.into(), item_id: None, sku: None, price: None, visible: None }
}

fn item(shop: &str, item_id: &str) -> Placing {
    Placing { item_id: Some(item_id.into()), ..placing(shop) }
}

fn in_shops(row: Row, listings: Vec<Placing>) -> Row {
    Row { listings, ..row }
}

/// Everything that there is to say of a product.
fn full(n: u32) -> Row {
    let details = Details {
        title: Some("水筒".to_owned()),
        description: Some("軽い\n丈夫".to_owned()),
        brand: Some("象".to_owned()),
        category: Some("キッチン > 水筒".to_owned()),
        images: Some(vec!["https://x/1.jpg".to_owned(), "https://x/2.jpg".to_owned()]),
    };
    let listing = Placing { price: Some(1980), visible: Some(true), ..item("a", &n.to_string()) };
    Row { line: 2, asin: asin(n), details, listings: vec![listing], earlier: None }
}

async fn take(shop: &dyn ShopStore, row: Row, at: i64) -> Result<Weight, Refusal> {
    let weighed = shop.weigh(vec![row.clone()]).await.unwrap();
    let taken = shop.take_in(vec![row], minute(at)).await.unwrap();
    assert_eq!(weighed, taken, "what is told before is what is done");
    taken.into_iter().next().unwrap()
}

async fn entry(shop: &dyn ShopStore, n: u32) -> CatalogueEntry {
    shop.product(asin(n), 10).await.unwrap().unwrap()
}

async fn fence(w: &World) -> Fence {
    let me = w.daemon().await;
    let (run, generation, _) = w.admit(me, fire(&instance("sync"), 1)).await;
    Fence { instance: "sync".into(), run, generation }
}

#[tokio::test]
async fn acceptance_11_a_partial_update_keeps_what_it_does_not_name() {
    let w = World::sqlite();
    let (shop, fence) = (w.shop(), fence(&w).await);
    take(&*shop, full(1), 0).await.unwrap();
    shop.learn(fence, vec![(asin(1), Finding::Ok { cost: 1500 })], minute(5)).await.unwrap();
    let before = entry(&*shop, 1).await;
    assert_eq!(take(&*shop, bare(1), 10).await, Ok(Weight::default()));
    assert_eq!(take(&*shop, in_shops(bare(1), vec![placing("a")]), 11).await, Ok(Weight::default()));
    assert_eq!(entry(&*shop, 1).await, before, "nothing was named, so nothing changed");

    let brand = Row { details: Details { brand: Some("虎".to_owned()), ..Details::default() }, ..bare(1) };
    assert_eq!(take(&*shop, brand, 20).await, Ok(Weight { change: Change::Replaces, ..Weight::default() }));
    let mut wanted = before;
    wanted.details.brand = Some(Dated { value: "虎".to_owned(), fetched_at: minute(20) });
    wanted.updated_at = Some(minute(20));
    assert_eq!(entry(&*shop, 1).await, wanted, "created_at, the other values and their dates are as they were");
    assert_eq!(wanted.created_at, minute(0));
}

#[tokio::test]
async fn the_same_rows_again_change_nothing() {
    let w = World::sqlite();
    let shop = w.shop();
    let rows = || vec![full(1), bare(2), in_shops(named(3, "鍋"), vec![placing("a"), placing("b")])];
    let adds = |row: &Result<Weight, Refusal>| row.as_ref().is_ok_and(|weight| weight.adds);
    assert!(shop.take_in(rows(), minute(0)).await.unwrap().iter().all(adds));
    let before = [entry(&*shop, 1).await, entry(&*shop, 2).await, entry(&*shop, 3).await];
    let again = shop.take_in(rows(), minute(9)).await.unwrap();
    let untitled = Weight { untitled: true, ..Weight::default() };
    assert_eq!(again, [Ok(Weight::default()), Ok(untitled), Ok(Weight::default())]);
    assert_eq!([entry(&*shop, 1).await, entry(&*shop, 2).await, entry(&*shop, 3).await], before);
}

#[tokio::test]
async fn acceptance_09_a_product_in_two_shops_has_two_listings_and_two_skus() {
    let w = World::sqlite();
    let shop = w.shop();
    take(&*shop, in_shops(named(1, "水筒"), vec![placing("a"), placing("b")]), 0).await.unwrap();
    let listings = entry(&*shop, 1).await.listings;
    let seen: Vec<_> = listings.iter().map(|listing| (&*listing.account, &*listing.sku, listing.state)).collect();
    assert_eq!(seen, [("a", "a-B0TEST0001", ListingState::Pending), ("b", "b-B0TEST0001", ListingState::Pending)]);
}

#[tokio::test]
async fn a_row_that_clashes_is_refused_whole_and_the_others_are_taken() {
    let w = World::sqlite();
    let shop = w.shop();
    take(&*shop, in_shops(named(1, "水筒"), vec![Placing { sku: Some("A-1".into()), ..item("a", "11") }]), 0).await.unwrap();
    let same_item = in_shops(named(2, "鍋"), vec![placing("b"), item("a", "11")]);
    let same_sku = in_shops(named(3, "釜"), vec![Placing { sku: Some("A-1".into()), ..placing("a") }]);
    let untitled = in_shops(bare(4), vec![placing("a")]);
    let sound = in_shops(named(5, "椀"), vec![item("a", "15")]);
    let taken = shop.take_in(vec![same_item, same_sku, untitled, sound], minute(1)).await.unwrap();
    let faults: Vec<_> = taken.into_iter().map(|row| row.map(|weight| weight.adds).map_err(|refusal| refusal.fault)).collect();
    assert_eq!(faults, [Err(Fault::ItemTaken(asin(1))), Err(Fault::SkuTaken(asin(1))), Err(Fault::NoTitle), Ok(true)]);
    assert_eq!(shop.product(asin(2), 1).await.unwrap(), None, "not even its product, nor its listing in the other shop");
    assert_eq!(shop.count_products().await.unwrap(), 2);
}

#[tokio::test]
async fn a_pending_listing_becomes_a_listed_one_by_its_number_at_the_shop() {
    let w = World::sqlite();
    let shop = w.shop();
    take(&*shop, in_shops(named(1, "水筒"), vec![placing("a")]), 0).await.unwrap();
    assert_eq!(shop.listings(account("a")).await.unwrap(), []);
    take(&*shop, in_shops(bare(1), vec![item("a", "11")]), 1).await.unwrap();
    let listed = shop.listings(account("a")).await.unwrap();
    assert_eq!((listed[0].item_id.as_deref(), &*listed[0].sku), (Some("11"), "a-B0TEST0001"));
    let other = take(&*shop, in_shops(bare(1), vec![item("a", "12")]), 2).await;
    assert_eq!(other.unwrap_err().fault, Fault::OtherItem("11".into()));
}

#[tokio::test]
async fn each_price_and_cost_leaves_a_row_when_it_changes_and_only_then() {
    let w = World::sqlite();
    let (shop, fence) = (w.shop(), fence(&w).await);
    take(&*shop, full(1), 0).await.unwrap();
    let learn = async |finding, at| shop.learn(fence.clone(), vec![(asin(1), finding)], minute(at)).await.unwrap();
    learn(Finding::Ok { cost: 1500 }, 1).await;
    learn(Finding::Ok { cost: 1500 }, 2).await;
    learn(Finding::Filtered(Filter::Slow), 3).await;
    learn(Finding::Ok { cost: 1600 }, 4).await;
    let write = async |edit, fate, at| {
        let intent = Intent { shop: account("a"), asin: asin(1), item_id: "1".into(), edit };
        let Guarded::Done(id) = shop.open_intent(fence.clone(), intent, minute(at)).await.unwrap() else { panic!("fenced") };
        shop.settle_intent(fence.clone(), id, fate, minute(at)).await.unwrap();
    };
    let price = |price| Edit { price: Some(price), ..Edit::default() };
    write(price(2080), Fate::Made, 5).await;
    write(price(2080), Fate::Made, 6).await;
    write(price(9999), Fate::NotMade, 7).await;
    write(Edit { visible: Some(false), ..Edit::default() }, Fate::Made, 8).await;
    let entry = entry(&*shop, 1).await;
    let cost = |old, new, at| CostRow { old, new, at: minute(at) };
    assert_eq!(entry.costs, [cost(Some(1500), 1600, 4), cost(None, 1500, 1)]);
    let imported = PriceRow { shop: account("a"), old: None, new: 1980, cost: None, reason: "import".to_owned(), run: None, at: minute(0) };
    let [written, first] = entry.prices.as_slice() else { panic!("{:#?}", entry.prices) };
    assert_eq!(*first, imported);
    assert_eq!(
        (written.old, written.new, written.cost, written.run, written.at),
        (Some(1980), 2080, Some(1600), Some(fence.run), minute(5))
    );
    assert_eq!(
        (entry.listings[0].price, entry.listings[0].visible, entry.listings[0].written_at),
        (Some(2080), Some(false), Some(minute(8)))
    );
}

#[tokio::test]
async fn products_are_found_by_shop_state_stock_and_age() {
    let w = World::sqlite();
    let (shop, fence) = (w.shop(), fence(&w).await);
    let rows = vec![
        in_shops(named(1, "水筒"), vec![item("a", "11")]),
        in_shops(named(2, "鍋"), vec![item("a", "12"), placing("b")]),
        in_shops(named(3, "釜"), vec![item("b", "13")]),
        named(4, "椀"),
    ];
    shop.take_in(rows, minute(0)).await.unwrap();
    shop.learn(fence.clone(), vec![(asin(2), Finding::NoOffer)], minute(30)).await.unwrap();
    shop.learn(fence, vec![(asin(1), Finding::Ok { cost: 1500 }), (asin(4), Finding::NoOffer)], minute(10)).await.unwrap();
    let all = || CatalogueFilter { limit: 10, ..CatalogueFilter::default() };
    let found = async |filter| {
        let rows = shop.products(filter).await.unwrap();
        rows.iter().map(|row| row.product.asin.as_str().trim_start_matches("B0TEST000").to_owned()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found(all()).await, "1 2 3 4");
    assert_eq!(found(CatalogueFilter { limit: 2, ..all() }).await, "1 2");
    assert_eq!(found(CatalogueFilter { account: Some(account("b")), ..all() }).await, "2 3");
    assert_eq!(found(CatalogueFilter { account: Some(account("b")), limit: 1, ..all() }).await, "2", "by ASIN, not by state");
    assert_eq!(found(CatalogueFilter { state: Some(ListingState::Listed), limit: 2, ..all() }).await, "1 2");
    assert_eq!(found(CatalogueFilter { state: Some(ListingState::Pending), ..all() }).await, "2");
    assert_eq!(found(CatalogueFilter { account: Some(account("a")), state: Some(ListingState::Pending), ..all() }).await, "");
    assert_eq!(found(CatalogueFilter { stock: Some(Stock::NoOffer), ..all() }).await, "2 4");
    assert_eq!(found(CatalogueFilter { older_than: Some(minute(20)), ..all() }).await, "3 1 4", "oldest first, never fetched before all");
    let every = CatalogueFilter {
        account: Some(account("a")),
        state: Some(ListingState::Listed),
        stock: Some(Stock::InStock),
        older_than: Some(minute(11)),
        limit: 10,
    };
    assert_eq!(found(every).await, "1");
    let row = shop.products(all()).await.unwrap().remove(1);
    let listings: Vec<_> = row.listings.iter().map(|listing| (&*listing.account, listing.state)).collect();
    assert_eq!(listings, [("a", ListingState::Listed), ("b", ListingState::Pending)]);
}

#[tokio::test]
async fn the_datas_age_is_that_of_the_oldest_product_that_is_listed() {
    let w = World::sqlite();
    let (shop, fence) = (w.shop(), fence(&w).await);
    assert_eq!(shop.data_age(minute(20)).await.unwrap(), DataAge::default());
    let listed = |n: u32| in_shops(named(n, "水筒"), vec![item("a", &n.to_string()), item("b", &n.to_string())]);
    let rows = vec![listed(1), listed(2), listed(3), in_shops(named(4, "鍋"), vec![placing("a")]), named(5, "釜")];
    shop.take_in(rows, minute(0)).await.unwrap();
    let learn = async |n, at| shop.learn(fence.clone(), vec![(asin(n), Finding::NoOffer)], minute(at)).await.unwrap();
    learn(4, 1).await;
    learn(5, 1).await;
    learn(1, 10).await;
    learn(2, 30).await;
    let age = DataAge { listed: 3, never: 1, older: 2, oldest: Some(minute(10)) };
    assert_eq!(shop.data_age(minute(20)).await.unwrap(), age, "what is not listed does not count");
    learn(3, 31).await;
    let age = DataAge { listed: 3, never: 0, older: 0, oldest: Some(minute(10)) };
    assert_eq!(shop.data_age(minute(10)).await.unwrap(), age, "as old as that is not older");
}

#[test]
fn a_listing_keeps_to_its_states_and_to_its_product() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    drop(SqliteStore::open(&path).unwrap());
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute_batch("INSERT INTO products (asin, created_at_ms) VALUES ('B0TEST0001', 0), ('B0TEST0002', 0)").unwrap();
    let insert = |columns: &str| {
        conn.execute_batch(&format!(
            "INSERT INTO listings (asin, platform, account, item_id, sku, state, created_at_ms) VALUES ({columns}, 0)"
        ))
    };
    insert("'B0TEST0001', 'base', 'a', '11', 'S', 'listed'").unwrap();
    insert("'B0TEST0001', 'base', 'b', '11', 'S', 'listed'").unwrap();
    for wrong in [
        "'B0TEST0001', 'base', 'a', '12', 'T', 'listed'",
        "'B0TEST0002', 'base', 'a', '11', 'T', 'listed'",
        "'B0TEST0002', 'base', 'a', '12', 'S', 'listed'",
        "'B0TEST0002', 'base', 'a', NULL, 'T', 'listed'",
        "'B0TEST0002', 'base', 'a', '12', 'T', 'active'",
        "'B0TEST0002', 'BASE', 'a', '12', 'T', 'listed'",
        "'B0TEST0003', 'base', 'a', '12', 'T', 'listed'",
    ] {
        assert!(insert(wrong).is_err(), "{wrong}");
    }
    let half = "UPDATE products SET brand = '象' WHERE asin = 'B0TEST0001'";
    assert!(conn.execute_batch(half).is_err(), "a value has a date");
    assert!(conn.execute_batch("UPDATE products SET title = '水筒' WHERE asin = 'B0TEST0001'").is_err());
}
