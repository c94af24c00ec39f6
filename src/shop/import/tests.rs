use super::*;

const ASIN: &str = "B0TEST0001";

fn accounts(usual: &[&str]) -> Accounts {
    let known = [("amazon_main", Platform::Amazon, true), ("shop_a", Platform::Base, true), ("shop_b", Platform::Base, true)];
    let known = known.into_iter().chain([("closed", Platform::Base, false)]);
    Accounts {
        known: known.map(|(name, platform, enabled)| (name.into(), (platform, enabled))).collect(),
        usual: usual.iter().map(|name| Arc::from(*name)).collect(),
    }
}

/// A row of `column=value` words, separated by `;`.
fn raw(line: u64, text: &str) -> Raw {
    let mut raw = Raw::new(line);
    for (column, value) in text.split(';').filter_map(|field| field.split_once('=')) {
        raw.set(Column::from_word(column).unwrap(), value);
    }
    raw
}

fn checked(text: &str) -> Result<(Row, Vec<Oddity>), Refusal> {
    Checker::new(accounts(&[])).check(&raw(2, text))
}

fn row(text: &str) -> Row {
    checked(text).unwrap().0
}

#[test]
fn a_wrong_value_is_named_with_its_column_and_why() {
    struct Case {
        row: &'static str,
        column: Column,
        value: &'static str,
        fault: Fault,
    }
    let case = |row, column, value, fault| Case { row, column, value, fault };
    let cases = [
        case("title=水筒", Column::Asin, "", Fault::Missing),
        case("asin=b0test0001", Column::Asin, "b0test0001", Fault::Asin),
        case("asin=B0TEST001", Column::Asin, "B0TEST001", Fault::Asin),
        case("asin=4.90E+12", Column::Asin, "4.90E+12", Fault::Asin),
        case("asin=B0TEST0001;title=水\u{7}筒", Column::Title, "水\u{7}筒", Fault::Control('\u{7}')),
        case("asin=B0TEST0001;title=水\n筒", Column::Title, "水\n筒", Fault::Control('\n')),
        case("asin=B0TEST0001;title=水\u{fffd}筒", Column::Title, "水\u{fffd}筒", Fault::Lost),
        case("asin=B0TEST0001;description=水\u{0}筒", Column::Description, "水\u{0}筒", Fault::Control('\0')),
        case("asin=B0TEST0001;category=A > > C", Column::Category, "A > > C", Fault::Category),
        case("asin=B0TEST0001;images=ftp://x/y.jpg", Column::Images, "ftp://x/y.jpg", Fault::Image("ftp://x/y.jpg".to_owned())),
        case("asin=B0TEST0001;images=https://x/y.jpg|", Column::Images, "https://x/y.jpg|", Fault::Image(String::new())),
        case("asin=B0TEST0001;images=https:///y", Column::Images, "https:///y", Fault::Image("https:///y".to_owned())),
        case("asin=B0TEST0001;item_id=11", Column::ItemId, "11", Fault::NoAccount),
        case("asin=B0TEST0001;price=1980", Column::Price, "1980", Fault::NoAccount),
        case("asin=B0TEST0001;account=closed", Column::Account, "closed", Fault::Disabled),
        case("asin=B0TEST0001;account=amazon_main", Column::Account, "amazon_main", Fault::NotAShop),
        case(
            "asin=B0TEST0001;account=shop_c",
            Column::Account,
            "shop_c",
            Fault::UnknownAccount("amazon_main, closed, shop_a, shop_b".to_owned()),
        ),
        case("asin=B0TEST0001;account=shop_a;platform=amazon", Column::Platform, "amazon", Fault::OtherPlatform(Platform::Base)),
        case("asin=B0TEST0001;account=shop_a;platform=yahoo", Column::Platform, "yahoo", Fault::UnknownPlatform),
        case("asin=B0TEST0001;account=shop_a;item_id=11a", Column::ItemId, "11a", Fault::ItemId),
        case("asin=B0TEST0001;account=shop_a;item_id=011", Column::ItemId, "011", Fault::ItemId),
        case("asin=B0TEST0001;account=shop_a;item_id=1.1E+08", Column::ItemId, "1.1E+08", Fault::ItemId),
        case("asin=B0TEST0001;account=shop_a;sku=A 1", Column::Sku, "A 1", Fault::Sku(100)),
        case("asin=B0TEST0001;account=shop_a;sku=水筒", Column::Sku, "水筒", Fault::Sku(100)),
        case("asin=B0TEST0001;account=shop_a;price=1980.5", Column::Price, "1980.5", Fault::Price),
        case("asin=B0TEST0001;account=shop_a;price=1,980", Column::Price, "1,980", Fault::Price),
        case("asin=B0TEST0001;account=shop_a;price=0", Column::Price, "0", Fault::Price),
        case("asin=B0TEST0001;account=shop_a;price=-5", Column::Price, "-5", Fault::Price),
        case("asin=B0TEST0001;account=shop_a;price=+5", Column::Price, "+5", Fault::Price),
        case("asin=B0TEST0001;account=shop_a;price=99999999999999999999", Column::Price, "99999999999999999999", Fault::Price),
        case("asin=B0TEST0001;account=shop_a;visible=yes", Column::Visible, "yes", Fault::Visible),
    ];
    for Case { row, column, value, fault } in cases {
        assert_eq!(checked(row), Err(Refusal::new(column, value, fault)), "{row}");
    }
    let long = "x".repeat(501);
    assert_eq!(checked(&format!("asin={ASIN};title={long}")).unwrap_err().fault, Fault::Long(500));
    let images = vec!["https://x/y.jpg"; 21].join("|");
    assert_eq!(checked(&format!("asin={ASIN};images={images}")).unwrap_err().fault, Fault::Images(21));
    let message = checked("asin=B0TEST0001;account=shop_a;price=1980.5").unwrap_err().to_string();
    assert_eq!(message, "price `1980.5`: a price is a whole number of yen above 0, in digits only");
}

#[test]
fn a_sound_row_reads_as_it_is_meant() {
    let full = row(
        "asin= B0TEST0001 ;title=水筒;description=軽い\r\n丈夫;category=キッチン＞水筒>ステンレス;images=https://x/1.jpg | http://x/2.jpg;\
         account=shop_a;platform=BASE;item_id=11;sku=A-1;price=1980;visible=public",
    );
    assert_eq!(full.asin.as_str(), ASIN);
    assert_eq!(full.details.description.as_deref(), Some("軽い\n丈夫"));
    assert_eq!(full.details.category.as_deref(), Some("キッチン > 水筒 > ステンレス"));
    assert_eq!(full.details.images.unwrap(), ["https://x/1.jpg", "http://x/2.jpg"]);
    assert_eq!(full.details.brand, None, "what is blank is absent");
    let [placing] = full.listings.as_slice() else { panic!("one listing") };
    assert_eq!(
        (placing.item_id.as_deref(), placing.sku.as_deref(), placing.price, placing.visible),
        (Some("11"), Some("A-1"), Some(1980), Some(true))
    );
    let product = row("asin=B0TEST0001;title=水筒");
    assert_eq!(product.listings, [], "a product without a shop");
}

#[test]
fn rows_that_name_no_account_are_for_those_named_with_the_file() {
    let check = |text: &str| Checker::new(accounts(&["shop_a", "shop_b"])).check(&raw(2, text));
    let both = check("asin=B0TEST0001;title=水筒;price=1980").unwrap().0;
    let skus: Vec<_> = both.listings.iter().map(|placing| placing.sku_of(&both.asin)).collect();
    assert_eq!(skus.iter().map(|sku| &**sku).collect::<Vec<_>>(), ["shop_a-B0TEST0001", "shop_b-B0TEST0001"]);
    assert_eq!(check("asin=B0TEST0001;item_id=11").unwrap_err().fault, Fault::ManyAccounts, "an item is in one shop");
    assert_eq!(check("asin=B0TEST0001;account=shop_b;item_id=11").unwrap().0.listings.len(), 1);
}

#[test]
fn a_row_that_repeats_or_contradicts_an_earlier_one_is_refused_and_names_its_line() {
    let mut checker = Checker::new(accounts(&[]));
    let mut check = |line, text: &str| checker.check(&raw(line, text)).map(drop);
    let refused = |column, value: &str, fault| Err(Refusal::new(column, value, fault));
    check(2, "asin=B0TEST0001;title=水筒;account=shop_a;item_id=11;sku=A-1").unwrap();
    check(3, "asin=B0TEST0001;title=水筒;brand=象;account=shop_b;item_id=11;sku=A-1").unwrap();
    check(4, "asin=B0TEST0001;description=軽い").unwrap();
    assert_eq!(check(5, "asin=B0TEST0001;account=shop_a"), refused(Column::Asin, ASIN, Fault::Twice(2)));
    assert_eq!(check(6, "asin=B0TEST0001"), refused(Column::Asin, ASIN, Fault::Twice(4)));
    assert_eq!(check(7, "asin=B0TEST0002;account=shop_a;item_id=11"), refused(Column::ItemId, "11", Fault::Twice(2)));
    assert_eq!(check(8, "asin=B0TEST0002;account=shop_b;sku=A-1"), refused(Column::Sku, "A-1", Fault::Twice(3)));
    check(9, "asin=B0TEST0002;title=鍋;account=shop_b;sku=A-2").unwrap();
    check(10, "asin=B0TEST0002").unwrap();
    assert_eq!(
        check(11, "asin=B0TEST0002;title=釜;account=shop_a;sku=A-3"),
        refused(Column::Title, "釜", Fault::Contradicts(9)),
        "or a second import would change it again"
    );
    check(12, "asin=B0TEST0003;account=shop_a;sku=A-3").unwrap();
}

#[test]
fn a_character_that_base_refuses_is_odd_only_where_base_would_see_it() {
    let odd = |text: &str| checked(text).unwrap().1;
    assert_eq!(odd("asin=B0TEST0001;title=水筒🎁;account=shop_a"), [Oddity::FourBytes(Column::Title, '🎁')]);
    assert_eq!(odd("asin=B0TEST0001;title=水筒🎁"), []);
    assert_eq!(odd("asin=B0TEST0001;title=水筒★;account=shop_a"), []);
}

const LISTED: &str = "asin=B0TEST0001;title=水筒;account=shop_a;item_id=11;sku=A-1;price=1980;visible=true";

/// The catalogue after a row was taken in.
fn known(text: &str) -> Known {
    let row = row(text);
    let now = |placing: &Placing| ListingNow {
        state: if placing.item_id.is_some() { ListingState::Listed } else { ListingState::Pending },
        item_id: placing.item_id.clone(),
        sku: placing.sku_of(&row.asin),
        price: placing.price,
        visible: placing.visible,
    };
    let listings = row.listings.iter().map(|placing| KnownListing { now: Some(now(placing)), ..KnownListing::default() }).collect();
    Known { details: Some(row.details), listings }
}

fn nothing(text: &str) -> Known {
    Known::nothing(&row(text))
}

#[test]
fn what_a_row_would_do_is_what_it_says_beyond_what_is_known() {
    let adds = Weight { adds: true, ..Weight::default() };
    let fills = Weight { change: Change::Fills, ..Weight::default() };
    let replaces = Weight { change: Change::Replaces, ..Weight::default() };
    let cases = [
        (LISTED, nothing(LISTED), adds),
        (LISTED, known(LISTED), Weight::default()),
        ("asin=B0TEST0001", nothing("asin=B0TEST0001"), Weight { adds: true, untitled: true, ..Weight::default() }),
        ("asin=B0TEST0001", known(LISTED), Weight::default()),
        ("asin=B0TEST0001;brand=象", known(LISTED), fills),
        ("asin=B0TEST0001;title=鍋", known(LISTED), replaces),
        ("asin=B0TEST0001;account=shop_a", known(LISTED), Weight::default()),
        ("asin=B0TEST0001;account=shop_a;price=2000", known(LISTED), replaces),
        ("asin=B0TEST0001;account=shop_a;visible=false", known(LISTED), replaces),
        ("asin=B0TEST0001;account=shop_a;item_id=11", known("asin=B0TEST0001;title=水筒;account=shop_a"), fills),
    ];
    for (text, known, weight) in cases {
        assert_eq!(weigh(&row(text), &known), Ok(weight), "{text}");
    }
}

#[test]
fn a_row_that_would_break_what_is_known_is_refused() {
    let refused = |text: &str, known: Known, column, value: &str, fault| {
        assert_eq!(weigh(&row(text), &known), Err(Refusal::new(column, value, fault)), "{text}");
    };
    let other = Asin::parse("B0TEST0009").unwrap();
    let taken = |listing: KnownListing| Known { details: None, listings: vec![listing] };
    refused(
        LISTED,
        taken(KnownListing { item_of: Some(other.clone()), ..KnownListing::default() }),
        Column::ItemId,
        "11",
        Fault::ItemTaken(other.clone()),
    );
    refused(
        LISTED,
        taken(KnownListing { sku_of: Some(other.clone()), ..KnownListing::default() }),
        Column::Sku,
        "A-1",
        Fault::SkuTaken(other.clone()),
    );
    let usual = "asin=B0TEST0001;title=水筒;account=shop_a";
    let clash = taken(KnownListing { sku_of: Some(other.clone()), ..KnownListing::default() });
    refused(usual, clash, Column::Sku, "shop_a-B0TEST0001", Fault::SkuTaken(other));
    refused("asin=B0TEST0001;account=shop_a;item_id=12", known(LISTED), Column::ItemId, "12", Fault::OtherItem("11".into()));
    refused("asin=B0TEST0001;account=shop_a;sku=B-1", known(LISTED), Column::Sku, "B-1", Fault::OtherSku("A-1".into()));
    refused("asin=B0TEST0001;account=shop_a", nothing(LISTED), Column::Title, "", Fault::NoTitle);
}

#[test]
fn a_look_ahead_counts_with_what_earlier_rows_say() {
    let mut checker = Checker::new(accounts(&[]));
    let mut ahead = |line, text: &str, known: Known| {
        let row = checker.check(&raw(line, text)).unwrap().0;
        weigh(&row, &known.after_earlier_rows(&row))
    };
    let both = Known { listings: Vec::new(), ..known(LISTED) };
    assert!(ahead(2, "asin=B0TEST0001;title=鍋", both.clone()).unwrap().change == Change::Replaces);
    let shop_b = Known { listings: known(LISTED).listings, ..both };
    let repeated = ahead(3, "asin=B0TEST0001;title=鍋;account=shop_a", shop_b.clone());
    assert_eq!(repeated, Ok(Weight::default()), "line 2 has replaced it by then");
    assert!(ahead(4, "asin=B0TEST0001;brand=象;account=shop_b", shop_b).unwrap().change == Change::Fills);
    ahead(5, "asin=B0TEST0002;title=釜", Known::default()).unwrap();
    let new = Known { details: None, listings: vec![KnownListing::default()] };
    let listing = ahead(6, "asin=B0TEST0002;account=shop_a", new);
    assert_eq!(listing, Ok(Weight { adds: true, ..Weight::default() }), "line 5 has its title");
}

#[test]
fn what_was_taken_out_of_the_books_is_not_brought_back() {
    for state in [ListingState::Delisted, ListingState::Deleted] {
        let mut gone = known(LISTED);
        gone.listings[0].now.as_mut().unwrap().state = state;
        assert_eq!(weigh(&row(LISTED), &gone), Ok(Weight::default()), "the same file again");
        assert_eq!(weigh(&row("asin=B0TEST0001;account=shop_a;price=5"), &gone), Ok(Weight::default()));
        let again = row("asin=B0TEST0001;account=shop_a;item_id=12");
        assert_eq!(weigh(&again, &gone).unwrap_err().fault, Fault::Gone(state));
    }
}
