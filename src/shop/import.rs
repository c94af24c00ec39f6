//! Rows that a person wants in the catalogue: what each says, and why one is refused.
//!
//! A row is first checked by itself and against the rows before it ([`Checker`]), then against what is known ([`weigh`]).
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use super::{
    gate::{self, Candidate, Rules, Verdict},
    product::{Asin, Details, ListingState, Platform},
};
use crate::core::task::words;

mod fields;
#[cfg(test)]
mod tests;
mod weigh;

pub use weigh::{Change, Known, KnownListing, ListingNow, Weight, weigh, weigh_details};

words! {
    /// What a row may say.
    Column {
        Asin = "asin",
        Title = "title",
        Description = "description",
        Brand = "brand",
        Category = "category",
        Images = "images",
        Platform = "platform",
        Account = "account",
        ItemId = "item_id",
        Sku = "sku",
        Price = "price",
        Visible = "visible",
    }
}

/// A row as it stands in the file. A value that is blank is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Raw {
    /// Where it begins; the first line of a file is 1.
    pub line: u64,
    values: BTreeMap<Column, String>,
}

impl Raw {
    /// A row that says nothing yet.
    pub fn new(line: u64) -> Self {
        Self { line, values: BTreeMap::new() }
    }

    /// Takes in a value; images are separated by `|`.
    pub fn set(&mut self, column: Column, value: &str) {
        if !value.trim().is_empty() {
            self.values.insert(column, value.trim().to_owned());
        }
    }

    /// Whether it says nothing at all: an empty line of a spreadsheet.
    pub fn is_blank(&self) -> bool {
        self.values.is_empty()
    }

    fn get(&self, column: Column) -> Option<&str> {
        self.values.get(&column).map(String::as_str)
    }
}

/// A sound row: a product, and where it is listed or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub line: u64,
    pub asin: Asin,
    pub details: Details,
    pub listings: Vec<Placing>,
    /// Which details earlier rows of the file have given, in the order of [`Details`]; `None`: the first row of this product.
    pub earlier: Option<[bool; 5]>,
}

/// Where a product is listed, or is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placing {
    pub platform: Platform,
    pub account: Arc<str>,
    /// The shop's number of it; without one it is not there yet.
    pub item_id: Option<Arc<str>>,
    /// Our own number; without one, [`sku`](super::product::sku) makes it.
    pub sku: Option<Arc<str>>,
    /// What the shop asks for it, in yen.
    pub price: Option<i64>,
    pub visible: Option<bool>,
}

/// Why a row is not taken: the value that is wrong, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{column} `{value}`: {fault}")]
pub struct Refusal {
    pub column: Column,
    pub value: String,
    pub fault: Fault,
}

impl Refusal {
    fn new(column: Column, value: &str, fault: Fault) -> Self {
        Self { column, value: value.to_owned(), fault }
    }
}

/// What can be wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("every row needs one")]
    Missing,
    #[error("an ASIN is ten capital letters and digits")]
    Asin,
    #[error("longer than {0} characters; is a quote not closed?")]
    Long(usize),
    #[error("it has the control character {}", .0.escape_unicode())]
    Control(char),
    #[error("it has characters that were lost when the text was converted (U+FFFD)")]
    Lost,
    #[error("write it like `A > B > C`, no part empty")]
    Category,
    #[error("`{0}` is not an http or https address; several are separated by `|`")]
    Image(String),
    #[error("{0} images; a shop shows {max} at most", max = fields::IMAGES_MAX)]
    Images(usize),
    #[error("there is no such marketplace; there are {}", listed(Platform::ALL.iter().map(|platform| platform.word())))]
    UnknownPlatform,
    #[error("tasks.yaml has no such account; it has {0}")]
    UnknownAccount(String),
    #[error("the account is disabled in tasks.yaml")]
    Disabled,
    #[error("it is an account of {0}")]
    OtherPlatform(Platform),
    #[error("offers are read there, nothing is listed by us")]
    NotAShop,
    #[error("of which account? add the column `account`, or name one with --account")]
    NoAccount,
    #[error("it belongs to one account, and several are named with --account")]
    ManyAccounts,
    #[error("BASE's numbers of items are digits only")]
    ItemId,
    #[error("a SKU is up to {0} printable characters without blanks")]
    Sku(usize),
    #[error("a price is a whole number of yen above 0, in digits only")]
    Price,
    #[error("write `true` or `false`")]
    Visible,
    #[error("line {0} has it already")]
    Twice(u64),
    #[error("line {0} says otherwise of this product")]
    Contradicts(u64),
    #[error("it is the shop's number of {0}")]
    ItemTaken(Asin),
    #[error("it is our number of {0} in this shop")]
    SkuTaken(Asin),
    #[error("its item at the shop is {0} already")]
    OtherItem(Arc<str>),
    #[error("its number there is `{0}`, which stays")]
    OtherSku(Arc<str>),
    #[error("the listing is {0}, and an import does not bring it back")]
    Gone(ListingState),
    #[error("what is to be listed needs a title, and none is known")]
    NoTitle,
    #[error("it may not be listed: {0}")]
    Prohibited(String),
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

/// What is odd about a row that is taken all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// BASE refuses characters of four bytes, such as emoji.
    FourBytes(Column, char),
    /// It may not be listed, or a person has to look at it first.
    Gate(String),
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FourBytes(column, c) => write!(f, "{column}: BASE refuses the character {c} ({})", c.escape_unicode()),
            Self::Gate(why) => f.write_str(why),
        }
    }
}

/// What the configuration says of the accounts.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    /// By name: of which platform, and whether it is enabled.
    pub known: BTreeMap<Arc<str>, (Platform, bool)>,
    /// Rows that name no account are for these.
    pub usual: Vec<Arc<str>>,
}

impl Accounts {
    /// The platform of an account that may have listings.
    ///
    /// # Errors
    /// Why it may not.
    pub fn shop(&self, name: &str) -> Result<(Platform, Arc<str>), Fault> {
        let Some((name, (platform, enabled))) = self.known.get_key_value(name) else {
            return Err(Fault::UnknownAccount(listed(self.known.keys().map(|name| &**name))));
        };
        match platform {
            Platform::Amazon => Err(Fault::NotAShop),
            Platform::Base | Platform::Ebay if !enabled => Err(Fault::Disabled),
            Platform::Base | Platform::Ebay => Ok((*platform, Arc::clone(name))),
        }
    }
}

/// What a file has said of a product so far.
#[derive(Debug)]
struct Said {
    line: u64,
    /// Of each detail that was given.
    digests: [Option<u64>; 5],
    /// It had a row without a listing.
    alone: Option<u64>,
}

/// A name within an account: a SKU, or the shop's number of an item.
type Within = (Arc<str>, Arc<str>);

/// Checks the rows of one file, one after the other. It remembers the keys of all of them.
#[derive(Debug)]
pub struct Checker {
    accounts: Accounts,
    gate: Option<Arc<Rules>>,
    products: HashMap<Asin, Said>,
    listings: HashMap<(Asin, Arc<str>), u64>,
    skus: HashMap<Within, u64>,
    items: HashMap<Within, u64>,
}

impl Checker {
    pub fn new(accounts: Accounts) -> Self {
        Self { accounts, gate: None, products: HashMap::new(), listings: HashMap::new(), skus: HashMap::new(), items: HashMap::new() }
    }

    /// Refuses what is to be listed and may not be by these rules, and points out what else they say.
    #[must_use]
    pub fn behind(self, gate: Option<Arc<Rules>>) -> Self {
        Self { gate, ..self }
    }

    /// Reads a row, by itself and beside those before it.
    ///
    /// # Errors
    /// The first thing that is wrong with it. A row that is refused is not remembered.
    pub fn check(&mut self, raw: &Raw) -> Result<(Row, Vec<Oddity>), Refusal> {
        let asin = fields::asin(raw)?;
        let details = fields::details(raw)?;
        let listings = fields::listings(raw, &self.accounts)?;
        let earlier = self.products.get(&asin).map(|said| said.digests.map(|digest| digest.is_some()));
        let row = Row { line: raw.line, asin, details, listings, earlier };
        self.is_new(&row)?;
        self.agrees(&row)?;
        let prohibited = self.pass(&row)?;
        self.remember(&row);
        let mut oddities = oddities(&row);
        oddities.extend(prohibited);
        Ok((row, oddities))
    }

    /// Whether the gate lets a row pass. What is at a shop already is taken all the same: it has to be known to be hidden.
    fn pass(&self, row: &Row) -> Result<Option<Oddity>, Refusal> {
        let Some(rules) = &self.gate else { return Ok(None) };
        let to_be_listed = row.listings.iter().any(|placing| placing.item_id.is_none());
        match gate::judge(&Candidate::of(&row.asin, &row.details), rules) {
            Verdict::Pass => Ok(None),
            Verdict::Block(reasons) if to_be_listed => {
                Err(Refusal::new(Column::Asin, row.asin.as_str(), Fault::Prohibited(rules.explain(&reasons))))
            }
            Verdict::Block(reasons) => Ok(Some(Oddity::Gate(format!("it may not be listed: {}", rules.explain(&reasons))))),
            Verdict::Review(reasons) => {
                Ok(Some(Oddity::Gate(format!("a person has to look at it before it is listed: {}", rules.explain(&reasons)))))
            }
        }
    }

    /// Refuses what an earlier row has said already.
    fn is_new(&self, row: &Row) -> Result<(), Refusal> {
        let twice = |column, value: &str, line: Option<&u64>| match line {
            Some(line) => Err(Refusal::new(column, value, Fault::Twice(*line))),
            None => Ok(()),
        };
        if row.listings.is_empty() {
            twice(Column::Asin, row.asin.as_str(), self.products.get(&row.asin).and_then(|said| said.alone.as_ref()))?;
        }
        for placing in &row.listings {
            let account = &placing.account;
            twice(Column::Asin, row.asin.as_str(), self.listings.get(&(row.asin.clone(), Arc::clone(account))))?;
            for (column, name, names) in [(Column::Sku, &placing.sku, &self.skus), (Column::ItemId, &placing.item_id, &self.items)] {
                if let Some(name) = name {
                    twice(column, name, names.get(&(Arc::clone(account), Arc::clone(name))))?;
                }
            }
        }
        Ok(())
    }

    /// Refuses a value that contradicts an earlier row: whichever came last would win, and a second import would change them all again.
    fn agrees(&self, row: &Row) -> Result<(), Refusal> {
        let Some(said) = self.products.get(&row.asin) else { return Ok(()) };
        for ((column, value, digest), known) in digests(&row.details).into_iter().zip(said.digests) {
            if digest.zip(known).is_some_and(|(digest, known)| digest != known) {
                return Err(Refusal::new(column, &value, Fault::Contradicts(said.line)));
            }
        }
        Ok(())
    }

    fn remember(&mut self, row: &Row) {
        let said = self.products.entry(row.asin.clone()).or_insert(Said { line: row.line, digests: [None; 5], alone: None });
        for (known, (_, _, digest)) in said.digests.iter_mut().zip(digests(&row.details)) {
            *known = known.or(digest);
        }
        if row.listings.is_empty() {
            said.alone = Some(row.line);
        }
        for placing in &row.listings {
            let account = || Arc::clone(&placing.account);
            self.listings.insert((row.asin.clone(), account()), row.line);
            if let Some(sku) = &placing.sku {
                self.skus.insert((account(), Arc::clone(sku)), row.line);
            }
            if let Some(item) = &placing.item_id {
                self.items.insert((account(), Arc::clone(item)), row.line);
            }
        }
    }
}

/// Each detail, how it reads, and what stands for it where only equality matters.
fn digests(details: &Details) -> [(Column, String, Option<u64>); 5] {
    let text = |column, value: &Option<String>| (column, value.clone().unwrap_or_default(), value.as_ref().map(digest));
    [
        text(Column::Title, &details.title),
        text(Column::Description, &details.description),
        text(Column::Brand, &details.brand),
        text(Column::Category, &details.category),
        (Column::Images, details.images.as_ref().map(|images| images.join("|")).unwrap_or_default(), details.images.as_ref().map(digest)),
    ]
}

fn digest(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn oddities(row: &Row) -> Vec<Oddity> {
    if !row.listings.iter().any(|placing| placing.platform == Platform::Base) {
        return Vec::new();
    }
    let texts = [(Column::Title, &row.details.title), (Column::Description, &row.details.description)];
    let wide = |text: &Option<String>| text.as_ref()?.chars().find(|c| c.len_utf8() == 4);
    texts.into_iter().filter_map(|(column, text)| Some(Oddity::FourBytes(column, wide(text)?))).collect()
}
