//! `taskrun supplies`: which rows of a file are taken, and what is shown of them.
use std::fs;

use crate::shop::{Done, Shop};

const FILE: &str = r#"
timezone: Asia/Tokyo
sources: { yahoo: { endpoint: "https://yahoo.example/source" } }
marketplaces:
  amazon: { region: fe, marketplace_id: A1VC38T7YXB528, client_id: "${ID}", client_secret: "${SECRET}" }
accounts:
  seller: { platform: amazon }
tasks:
  hello: { handler: command, schedule: "@hourly", with: { run: ["true"] } }
"#;

fn import(shop: &Shop, file: impl AsRef<[u8]>) -> Done {
    fs::write(shop.file("supplies.csv"), file).unwrap();
    shop.run("supplies import supplies.csv")
}

fn count(shop: &Shop) -> usize {
    shop.run("supplies list --json").ends(0).json().as_array().unwrap().len()
}

#[test]
fn a_listing_that_stands_twice_in_a_file_is_refused_with_both_its_lines() {
    let shop = Shop::new(FILE);
    let file = "account,sku,source,item\nseller,A,yahoo,x1\nseller,B,yahoo,x2\nseller,A,yahoo,x3\n";
    import(&shop, file).ends(1).says(&[
        "line 2: A of seller stands on the lines 2 and 4",
        "line 4: A of seller stands on the lines 2 and 4",
        "1 added",
    ]);
    assert_eq!(count(&shop), 1);
}

#[test]
fn a_file_whose_columns_or_letters_are_in_doubt_is_refused_whole() {
    let shop = Shop::new(FILE);
    import(&shop, "account,sku,source,item,item\nseller,A,yahoo,x1,x2\n").ends(2).says(&["the column `item` is there twice"]);
    let mut file = b"account,sku,source,item,query\nseller,A,yahoo,x1,\nseller,B,yahoo,x2,".to_vec();
    file.extend(b"\x83t\x83B\n");
    import(&shop, file).ends(2).says(&["line 3 is not UTF-8; nothing was written", "save it as UTF-8"]);
    assert_eq!(count(&shop), 0);
}

#[test]
fn a_folder_of_images_lies_below_their_root() {
    let shop = Shop::new(FILE);
    for folder in ["/etc", "..", "a/../b", "a//b", "a/", "./a"] {
        import(&shop, format!("account,sku,source,item,images\nseller,A,yahoo,x1,{folder}\n"))
            .ends(1)
            .says(&["line 2: `images` is a folder below"]);
    }
    assert_eq!(count(&shop), 0);
    import(&shop, "account,sku,source,item,images,restock\nseller,A,yahoo,x1,figures/0001,3\n").ends(0);
    shop.run("supplies show seller A").ends(0).prints(&["figures/0001", "restock      3"]);
}
