//! The values of a row, one by one.
use std::sync::Arc;

use super::{Accounts, Column, Fault, Placing, Raw, Refusal};
use crate::shop::product::{Asin, Details, Platform};

/// No title is longer. A row that swallowed the next ones is.
const TITLE_MAX: usize = 500;
const DESCRIPTION_MAX: usize = 20_000;
const BRAND_MAX: usize = 200;
const CATEGORY_MAX: usize = 500;
const ADDRESS_MAX: usize = 2_000;
/// What a BASE item shows.
pub(super) const IMAGES_MAX: usize = 20;
const SKU_MAX: usize = 100;
/// Digits of a BASE item's number: what fits into 63 bits.
const ITEM_DIGITS_MAX: usize = 18;

pub(super) fn asin(raw: &Raw) -> Result<Asin, Refusal> {
    let text = raw.get(Column::Asin).ok_or_else(|| Refusal::new(Column::Asin, "", Fault::Missing))?;
    Asin::parse(text).ok_or_else(|| Refusal::new(Column::Asin, text, Fault::Asin))
}

pub(super) fn details(raw: &Raw) -> Result<Details, Refusal> {
    let text =
        |column, longest| raw.get(column).map(|text| line(text, longest).map_err(|fault| Refusal::new(column, text, fault))).transpose();
    let many =
        |column, longest| raw.get(column).map(|text| lines(text, longest).map_err(|fault| Refusal::new(column, text, fault))).transpose();
    let category = text(Column::Category, CATEGORY_MAX)?;
    let category = category.map(|path| category_path(&path).map_err(|fault| Refusal::new(Column::Category, &path, fault))).transpose()?;
    let images = raw.get(Column::Images).map(|list| images(list).map_err(|fault| Refusal::new(Column::Images, list, fault))).transpose()?;
    Ok(Details {
        title: text(Column::Title, TITLE_MAX)?,
        description: many(Column::Description, DESCRIPTION_MAX)?,
        brand: text(Column::Brand, BRAND_MAX)?,
        category,
        images,
    })
}

/// A text of one line.
fn line(text: &str, longest: usize) -> Result<String, Fault> {
    whole(text, longest)?;
    match text.chars().find(|c| c.is_control()) {
        Some(c) => Err(Fault::Control(c)),
        None => Ok(text.to_owned()),
    }
}

/// A text of several lines, each ended by a line feed whatever the file has.
fn lines(text: &str, longest: usize) -> Result<String, Fault> {
    whole(text, longest)?;
    let text = text.replace("\r\n", "\n");
    match text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t')) {
        Some(c) => Err(Fault::Control(c)),
        None => Ok(text),
    }
}

fn whole(text: &str, longest: usize) -> Result<(), Fault> {
    if text.chars().nth(longest).is_some() {
        return Err(Fault::Long(longest));
    }
    if text.contains('\u{fffd}') { Err(Fault::Lost) } else { Ok(()) }
}

fn category_path(path: &str) -> Result<String, Fault> {
    let parts: Vec<&str> = path.split(['>', '＞']).map(str::trim).collect();
    if parts.iter().any(|part| part.is_empty()) { Err(Fault::Category) } else { Ok(parts.join(" > ")) }
}

fn images(list: &str) -> Result<Vec<String>, Fault> {
    let images: Vec<String> = list.split('|').map(|image| image.trim().to_owned()).collect();
    let is_address = |image: &str| {
        let host = image.strip_prefix("https://").or_else(|| image.strip_prefix("http://"));
        let written = !image.chars().any(|c| c.is_whitespace() || c.is_control()) && image.len() <= ADDRESS_MAX;
        host.is_some_and(|host| !host.is_empty() && !host.starts_with('/')) && written
    };
    if let Some(image) = images.iter().find(|image| !is_address(image)) {
        return Err(Fault::Image(image.clone()));
    }
    if images.len() > IMAGES_MAX { Err(Fault::Images(images.len())) } else { Ok(images) }
}

/// Where it is listed: at the account that the row names, or else at those named for the whole file.
pub(super) fn listings(raw: &Raw, accounts: &Accounts) -> Result<Vec<Placing>, Refusal> {
    let named: Vec<&str> = match raw.get(Column::Account) {
        Some(account) => vec![account],
        None => accounts.usual.iter().map(|account| &**account).collect(),
    };
    let own = [Column::ItemId, Column::Sku].into_iter().find_map(|column| Some((column, raw.get(column)?)));
    let of_a_shop = [Column::Platform, Column::Price, Column::Visible].into_iter().find_map(|column| Some((column, raw.get(column)?)));
    match (named.as_slice(), own.or(of_a_shop), own) {
        ([], Some((column, value)), _) => return Err(Refusal::new(column, value, Fault::NoAccount)),
        ([_, _, ..], _, Some((column, value))) => return Err(Refusal::new(column, value, Fault::ManyAccounts)),
        _ => {}
    }
    named.into_iter().map(|account| placing(raw, accounts, account)).collect()
}

fn placing(raw: &Raw, accounts: &Accounts, account: &str) -> Result<Placing, Refusal> {
    let (platform, account) = accounts.shop(account).map_err(|fault| Refusal::new(Column::Account, account, fault))?;
    is_of(raw, platform)?;
    Ok(Placing {
        platform,
        account,
        item_id: read(raw, Column::ItemId, item_id)?,
        sku: read(raw, Column::Sku, sku)?,
        price: read(raw, Column::Price, price)?,
        visible: read(raw, Column::Visible, visible)?,
    })
}

/// Whether the platform that the row names, if it does, is the account's.
fn is_of(raw: &Raw, platform: Platform) -> Result<(), Refusal> {
    let Some(word) = raw.get(Column::Platform) else { return Ok(()) };
    // `BASE` and `base` stood side by side in the tables of the system before this one.
    match Platform::from_word(&word.to_ascii_lowercase()) {
        None => Err(Refusal::new(Column::Platform, word, Fault::UnknownPlatform)),
        Some(named) if named != platform => Err(Refusal::new(Column::Platform, word, Fault::OtherPlatform(platform))),
        Some(_) => Ok(()),
    }
}

fn read<T>(raw: &Raw, column: Column, value: impl Fn(&str) -> Result<T, Fault>) -> Result<Option<T>, Refusal> {
    raw.get(column).map(|text| value(text).map_err(|fault| Refusal::new(column, text, fault))).transpose()
}

fn item_id(text: &str) -> Result<Arc<str>, Fault> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0') && text.len() <= ITEM_DIGITS_MAX;
    if is_number { Ok(text.into()) } else { Err(Fault::ItemId) }
}

fn sku(text: &str) -> Result<Arc<str>, Fault> {
    let sound = text.len() <= SKU_MAX && text.chars().all(|c| c.is_ascii_graphic());
    if sound { Ok(text.into()) } else { Err(Fault::Sku(SKU_MAX)) }
}

fn price(text: &str) -> Result<i64, Fault> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|yen| digits && *yen > 0).ok_or(Fault::Price)
}

fn visible(text: &str) -> Result<bool, Fault> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "public" => Ok(true),
        "false" | "0" | "hidden" => Ok(false),
        _ => Err(Fault::Visible),
    }
}
