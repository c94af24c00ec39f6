//! `taskrun products`: what people and scripts see of the catalogue.
use std::{fs, io::Write as _, path::Path, process::Stdio};

use crate::shop::{Done, Shop};

const TASKS: &str = r#"
timezone: Asia/Tokyo
marketplaces:
  amazon: { region: fe, marketplace_id: A1VC38T7YXB528, client_id: "${ID}", client_secret: "${SECRET}" }
  base: { client_id: "${ID}", client_secret: "${SECRET}", redirect_uri: "https://example.com/callback" }
accounts:
  amazon_main: { platform: amazon }
  shop_a: { platform: base }
  shop_b: { platform: base }
  closed: { platform: base, enabled: false }
tasks:
  hello: { handler: command, with: { run: [echo, hello] } }
"#;

const PRODUCTS: &str = "\
asin,title,account,item_id,price
B0TEST0001,水筒,shop_a,11,1980
B0TEST0001,水筒,shop_b,11,2080
B0TEST0002,\"鍋, 大\",shop_a,,
";

fn shop(products: &str) -> Shop {
    let shop = Shop::new(TASKS);
    fs::write(shop.file("products.csv"), products).unwrap();
    shop
}

fn import(shop: &Shop, products: &str) -> Done {
    fs::write(shop.file("products.csv"), products).unwrap();
    shop.run("products import products.csv")
}

/// As many products, the first `changed` of them with another title.
fn many(products: u32, changed: u32) -> String {
    let row = |n: u32| format!("B0TEST{n:04},{}{n}\n", if n < changed { "鍋" } else { "水筒" });
    std::iter::once("asin,title\n".to_owned()).chain((0..products).map(row)).collect()
}

fn products(shop: &Shop) -> usize {
    shop.run("products list --limit 1000000 --json").ends(0).json().as_array().unwrap().len()
}

#[test]
fn an_import_says_what_it_took_and_a_second_one_that_nothing_is_new() {
    let shop = shop(PRODUCTS);
    assert_eq!(shop.run("products import products.csv").ends(0).out, "products.csv: 3 new, 0 changed, 0 unchanged, 0 refused\n");
    let listed = shop.run("products list").ends(0).out;
    let lines: Vec<&str> = listed.lines().collect();
    assert_eq!(lines[0], "# asin      cost  stock  fetched  listings                                title");
    assert_eq!(lines[1], "B0TEST0001  -     -      never    shop_a listed 1980, shop_b listed 2080  水筒");
    assert_eq!(lines[2], "B0TEST0002  -     -      never    shop_a pending                          鍋, 大");
    let again = shop.run("products import products.csv").ends(0).out;
    assert_eq!(again, "products.csv: nothing new: 0 new, 0 changed, 3 unchanged, 0 refused\n");
    assert_eq!(shop.run("products list").ends(0).out, listed);
}

#[test]
fn each_row_that_is_refused_says_where_and_why_and_the_others_are_in() {
    let shop = shop("");
    let rows = "asin,title,account,item_id,price,platform\r\n\
        b0test0001,水筒,shop_a,11,1980,\r\n\
        B0TEST0002,鍋,shop_c,12,1980,\r\n\
        \r\n\
        B0TEST0003,\"釜\r\n\",closed,13,1980,\r\n\
        B0TEST0004,椀,shop_a,14,19.8,\r\n\
        B0TEST0005,箸,shop_a,15,1980,base\r\n\
        B0TEST0005,箸,shop_a,15,1980,base\r\n\
        B0TEST0006,皿,shop_a,15,1980,base\r\n\
        B0TEST0007,盆\r\n\
        B0TEST0008,盆,amazon_main,18,1980,\r\n\
        B0TEST0009,\"盆\"x,shop_a,19,1980,\r\n\
        B0TEST0010,,shop_a,,,\r\n";
    let done = import(&shop, rows).ends(1);
    let expected = "\
line 2: asin `b0test0001`: an ASIN is ten capital letters and digits
line 3: account `shop_c`: tasks.yaml has no such account; it has amazon_main, closed, shop_a, shop_b
line 5: account `closed`: the account is disabled in tasks.yaml
line 7: price `19.8`: a price is a whole number of yen above 0, in digits only
line 9: asin `B0TEST0005`: line 8 has it already
line 10: item_id `15`: line 8 has it already
line 11: `B0TEST0007`: 2 fields where the header has 6
line 12: account `amazon_main`: offers are read there, nothing is listed by us
line 13: `B0TEST0009`: a field goes on after its closing quote; a quote within quotes is written twice
line 14: title: what is to be listed needs a title, and none is known
products.csv: 1 new, 0 changed, 0 unchanged, 10 refused
";
    assert_eq!(done.out, expected);
    assert_eq!(products(&shop), 1);
    let json = shop.run("products import products.csv --json").ends(1).json();
    assert_eq!((&json["rows"], &json["unchanged"], &json["refused"]), (&11.into(), &1.into(), &10.into()));
    let first =
        serde_json::json!({"line": 2, "column": "asin", "value": "b0test0001", "reason": "an ASIN is ten capital letters and digits"});
    assert_eq!(json["refusals"][0], first);
}

#[test]
fn a_dry_run_says_the_same_and_writes_nothing() {
    let shop = shop(PRODUCTS);
    let dry = shop.run("products import products.csv --dry-run").ends(0);
    assert_eq!(dry.out, "products.csv: would be 3 new, 0 changed, 0 unchanged, 0 refused; nothing was written\n");
    assert!(!shop.file("state").exists(), "not even a store");
    shop.run("products import products.csv").ends(0);
    let changed = PRODUCTS.replace("1980", "1990").replace("水筒", "b") + "b0test,x,,,\n";
    fs::write(shop.file("products.csv"), changed).unwrap();
    let before = shop.run("products show B0TEST0001 --json").out;
    let dry = shop.run("products import products.csv --dry-run --max-change 100%").ends(1);
    assert!(dry.out.ends_with("products.csv: would be 0 new, 1 changed, 2 unchanged, 1 refused; nothing was written\n"), "{}", dry.out);
    assert!(dry.out.starts_with("line 5: asin `b0test`"), "{}", dry.out);
    let after = shop.run("products show B0TEST0001 --json").out;
    let without_ages = |text: &str| text.lines().filter(|line| !line.contains("age_s")).collect::<String>();
    assert_eq!(without_ages(&after), without_ages(&before));
    let done = shop.run("products import products.csv --max-change 100%").ends(1);
    assert!(done.out.ends_with("products.csv: 0 new, 1 changed, 2 unchanged, 1 refused\n"), "{}", done.out);
}

#[test]
fn acceptance_11_an_import_that_would_overwrite_too_much_writes_nothing() {
    let shop = shop("");
    import(&shop, &many(300, 0)).ends(0);
    let before = shop.run("products list --limit 300").out;
    let done = import(&shop, &many(310, 61)).ends(2);
    assert!(
        done.err.contains("values of 61 of 300 products would be overwritten, and 20% is the most that may be: nothing was written"),
        "{done:#?}"
    );
    assert_eq!((done.out.as_str(), shop.run("products list --limit 300").out), ("", before));
    assert_eq!(products(&shop), 300);
    import(&shop, &many(310, 60)).ends(0).prints(&["10 new, 60 changed, 240 unchanged"]);
    fs::write(shop.file("products.csv"), many(310, 300)).unwrap();
    shop.run("products import products.csv --max-change 5%").ends(2).says(&["and 5% is the most"]);
    let done = shop.run("products import products.csv --max-change 100%").ends(0).prints(&["240 changed"]);
    shop.run("products show B0TEST0299").ends(0).prints(&["鍋299"]);
    let copy = done.err.split("is kept in ").nth(1).unwrap().split(';').next().unwrap();
    let copies = fs::read_dir(Path::new(copy).parent().unwrap()).unwrap().count();
    assert_eq!(copies, 1, "sixty rows are no bulk change");
    shop.run(&format!("restore {copy}")).ends(0);
    let as_before = shop.run("products show B0TEST0299").ends(0).prints(&["水筒299"]);
    assert!(!as_before.out.contains("鍋"), "{}", as_before.out);
}

#[test]
fn acceptance_09_one_product_goes_to_several_shops_under_numbers_of_its_own() {
    let shop = shop("asin,title\nB0TEST0001,水筒\n");
    shop.run("products import products.csv --account shop_a --account shop_b").ends(0);
    let json = shop.run("products show B0TEST0001 --json").ends(0).json();
    let skus: Vec<_> = json["listings"].as_array().unwrap().iter().map(|listing| listing["sku"].as_str().unwrap()).collect();
    assert_eq!(skus, ["shop_a-B0TEST0001", "shop_b-B0TEST0001"]);
    shop.run("products import products.csv --account closed").ends(2).says(&["--account closed: the account is disabled"]);
    shop.run("products import products.csv --account shop_c")
        .ends(2)
        .says(&["no such account; it has amazon_main, closed, shop_a, shop_b"]);
    shop.run("products import products.csv --account amazon_main").ends(2).says(&["nothing is listed by us"]);
}

#[test]
fn json_lines_and_standard_input_are_read_as_well() {
    let shop = shop("");
    let rows = r#"{"asin":"B0TEST0001","title":"水筒","images":["https://x/1.jpg","https://x/2.jpg"],"account":"shop_a","item_id":11,"price":1980,"visible":true}

{"asin":"B0TEST0002","title":null,"price":19.8,"account":"shop_a"}
{"asin":"B0TEST0003","title":["x"]}
[1]
{"asin":"B0TEST0004","title":"鍋"
{"asin":"B0TEST0005","images":"https://x/1.jpg"}
"#;
    let mut child = shop.command("products import - --format jsonl").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(rows.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    for line in [
        "line 3: price `19.8`: a price",
        "line 4: title `[\"x\"]`: neither a text nor a number",
        "line 5: `[1]`: a line is one JSON object",
        "line 6: `{\"asin\":\"B0TEST0004\",\"title\":\"鍋\"`: no JSON object on one line",
        "standard input: 2 new, 0 changed, 0 unchanged, 4 refused; 1 without a title",
    ] {
        assert!(out.contains(line), "{line} in {out}");
    }
    assert_eq!(output.status.code(), Some(1));
    let json = shop.run("products show B0TEST0001 --json").ends(0).json();
    assert_eq!(json["images"]["value"], serde_json::json!(["https://x/1.jpg", "https://x/2.jpg"]));
    assert_eq!((&json["listings"][0]["price_yen"], &json["listings"][0]["visible"]), (&1980.into(), &true.into()));
    shop.run("products import -").ends(2).says(&["CSV or JSON lines?", "--format"]);
}

#[test]
fn a_file_that_cannot_be_read_to_its_end_changes_nothing_and_says_what_to_do() {
    let shop = shop("");
    let sound = "asin,title\nB0TEST0001,a\n";
    let cases: [(&[u8], &str); 11] = [
        (b"asin,title\nB0TEST0001,a\nB0TEST0002,\x90\x85\x93\x9b\n", "line 3 is not UTF-8"),
        (b"asin,title\nB0TEST0001,a\nB0TEST0002,\"b\n", "line 3 has a quote that is never closed"),
        (b"asin;title\nB0TEST0001;a\n", "line 1: the columns are separated by `;`"),
        (b"\"asin\";\"title\"\n\"B0TEST0001\";\"a\"\n", "line 1: the columns are separated by `;`"),
        (b"asin\ttitle\nB0TEST0001\ta\n", "line 1: the columns are separated by tabs"),
        (b"\xff\xfea\0s\0i\0n\0\n\0", "iconv -f UTF-16"),
        (b"\xfe\xff\0a\0s\0i\0n\0\n", "iconv -f UTF-16"),
        (b"asin,tilte\nB0TEST0001,a\n", "did you mean `title`?"),
        (b"title\na\n", "there is no column `asin`"),
        (b"asin,title,title\nB0TEST0001,a,b\n", "the column `title` is there twice"),
        (b"", "the file is empty"),
    ];
    for (bytes, message) in cases {
        fs::write(shop.file("products.csv"), bytes).unwrap();
        shop.run("products import products.csv").ends(2).says(&[message]);
        assert!(!shop.file("state").exists(), "{message}");
    }
    shop.run("products import .").ends(2).says(&["`.` is a directory"]);
    shop.run("products import nowhere.csv").ends(2).says(&["failed to read `nowhere.csv`"]);
    let marked = format!("\u{feff}{sound}");
    import(&shop, &marked).ends(0).prints(&["1 new"]);
    fs::write(shop.file("products.csv"), "asin,memo\nB0TEST0002,x\n").unwrap();
    shop.run("products import products.csv --ignore memo").ends(0).prints(&["1 new"]);
}

#[test]
fn a_title_that_base_would_refuse_is_warned_of() {
    let shop = shop("asin,title,account\nB0TEST0001,水筒🎁,shop_a\nB0TEST0002,鍋🎁,\n");
    let done = shop.run("products import products.csv").ends(0).prints(&["2 new"]);
    assert_eq!(done.err, "line 2: title: BASE refuses the character 🎁 (\\u{1f381})\n");
    let json = shop.run("products import products.csv --json").ends(0).json();
    assert_eq!(json["warnings"].as_array().unwrap().len(), 1);
}

#[test]
fn the_list_is_narrowed_by_shop_state_and_stock() {
    let shop = shop(PRODUCTS);
    shop.run("products list").ends(0).says(&["no such product"]);
    assert!(!shop.file("state").exists(), "looking makes no store");
    shop.run("products import products.csv").ends(0);
    let asins = |options: &str| {
        let json = shop.run(&format!("products list {options} --json")).ends(0).json();
        json.as_array()
            .unwrap()
            .iter()
            .map(|row| row["asin"].as_str().unwrap().trim_start_matches("B0TEST000").to_owned())
            .collect::<String>()
    };
    assert_eq!(asins("--account shop_b"), "1");
    assert_eq!(asins("--state pending"), "2");
    assert_eq!(asins("--stock in_stock"), "");
    assert_eq!(asins("--older-than 4h"), "12");
    let first = shop.run("products list --limit 1").ends(0).says(&["these are the first 1"]);
    assert_eq!(first.out.lines().count(), 2);
    shop.run("products list --account shop_c").ends(2).says(&["there is no account `shop_c`", "did you mean `shop_"]);
    shop.run("products list --state active").ends(2).says(&["one of pending, listed, delisted, deleted"]);
    shop.run("products list --stock 1").ends(2).says(&["one of in_stock, no_offer, filtered"]);
}

#[test]
fn show_has_every_value_with_its_age() {
    let shop = shop(PRODUCTS);
    shop.run("products import products.csv").ends(0);
    let text = shop.run("products show b0test0001").ends(0).out;
    for part in ["B0TEST0001  in the catalogue since 2", "# value", "cost         never", "title        2", "水筒"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(text.contains("shop_a  listed  1980 yen    item 11  sku shop_a-B0TEST0001"), "{text}");
    assert!(text.contains("shop_b  2080 yen    import"), "{text}");
    assert!(text.lines().all(|line| !line.ends_with(' ')), "{text}");
    shop.run("products show B0TEST0009").ends(2).says(&["there is no product B0TEST0009 in the catalogue"]);
    shop.run("products show x").ends(2).says(&["`x` is no ASIN"]);
}

#[test]
fn practice_has_a_catalogue_of_its_own() {
    let shop = shop("asin,title,account\nB0TEST0001,水筒,base_account_1\n");
    shop.run("products import products.csv --sandbox").ends(0).prints(&["1 new"]);
    shop.run("products list --sandbox").ends(0).prints(&["B0TEST0001"]);
    shop.run("products list").ends(0).says(&["no such product"]);
}

#[test]
fn status_says_how_old_the_data_is() {
    let shop = shop(PRODUCTS);
    // A daemon wants its secrets; nothing here uses them.
    shop.write(&TASKS.replace("${ID}", "${PATH}").replace("${SECRET}", "${PATH}"));
    let daemon = shop.daemon("");
    let empty = shop.run("status").ends(0);
    assert!(!empty.out.contains("data "), "{}", empty.out);
    shop.run("products import products.csv").ends(0);
    shop.run("status").ends(0).prints(&["\ndata       1 product listed; 1 never fetched\n"]);
    let json = shop.run("status --json").ends(0).json();
    assert_eq!((&json["pid"], &json["data"]["listed"]), (&daemon.pid().into(), &1.into()));
    let expected = serde_json::json!({"listed": 1, "oldest_fetched_at": null, "never_fetched": 1, "max_age_s": 14400.0, "too_old": 1});
    assert_eq!(json["data"], expected);
}

#[test]
fn what_a_sync_took_out_of_the_books_is_put_back() {
    let shop = shop(PRODUCTS);
    shop.run("products import products.csv").ends(0);
    let refused = shop.run("products relist B0TEST0001").ends(2);
    assert!(refused.err.contains("no listing of B0TEST0001 was taken out of the books"), "{}", refused.err);
    let db = rusqlite::Connection::open(shop.file("state/taskrun.db")).unwrap();
    let taken_out =
        "UPDATE listings SET state = 'delisted', delisted_at_ms = 1, delisted_why = 'gone', delisted_run = 1 WHERE asin = 'B0TEST0001'";
    assert_eq!(db.execute(taken_out, []).unwrap(), 2);
    let put_back = shop.run("products relist b0test0001 --account shop_b").ends(0).out;
    assert_eq!(put_back, "B0TEST0001 is listed again at shop_b; the next sync looks at it\n");
    shop.run("products relist B0TEST0001 --account shop_b").ends(2);
    shop.run("products relist B0TEST0001").ends(0);
    assert!(shop.run("products list").ends(0).out.contains("shop_a listed 1980, shop_b listed 2080"));
}

#[test]
fn what_may_not_be_listed_is_refused_and_what_is_live_is_taken_and_told() {
    let shop = Shop::new(&format!("publish: {{ rules: rules.yaml }}\n{TASKS}"));
    fs::write(shop.file("rules.yaml"), "version: 4\ngroups: { alcohol: { score: 100, words: [ビール] } }\n").unwrap();
    let rows =
        "asin,title,account,item_id\nB0TEST0001,クラフトビール,shop_a,\nB0TEST0002,ビールグラス,shop_a,77\nB0TEST0003,水筒,shop_a,\n";
    fs::write(shop.file("p.csv"), rows).unwrap();
    let done = shop.run("products import p.csv").ends(1);
    assert!(done.out.contains("line 2") && done.out.contains("alcohol: ビール (100); version 4 of the rules"), "{done:#?}");
    assert!(done.err.contains("line 3") && done.err.contains("it may not be listed"), "{done:#?}");
    shop.run("products list").ends(0).prints(&["B0TEST0002", "B0TEST0003"]);
    shop.run("products show B0TEST0001").ends(2);
}
