//! Items, their images, and who added what.
use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::State;

/// An item in a shop.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    pub item_id: i64,
    pub account: String,
    pub title: String,
    pub detail: String,
    pub price: i64,
    pub stock: i64,
    pub visible: bool,
    pub identifier: Option<String>,
    /// Seconds since 1970.
    pub modified: i64,
}

/// Where the numbers of added items begin: above those of the practice world.
const FIRST_ADDED: i64 = 9_000_001;

impl State {
    /// A page of a shop's items; `order` is one of our own words.
    pub(in crate::sandbox) fn items(&self, account: &str, order: &'static str, limit: i64, offset: i64) -> rusqlite::Result<Vec<Item>> {
        let sql = format!("SELECT * FROM items WHERE account = ?1 ORDER BY {order} LIMIT ?2 OFFSET ?3");
        self.conn().prepare_cached(&sql)?.query_map(params![account, limit, offset], read)?.collect()
    }

    /// A shop's items of which a text has all these words and which the search knows by now.
    pub(in crate::sandbox) fn found(&self, account: &str, words: &[&str], now_ms: i64) -> rusqlite::Result<Vec<Item>> {
        let sql = "SELECT items.* FROM items LEFT JOIN adds USING (item_id) WHERE items.account = ?1 AND coalesce(found_ms, 0) <= ?2 ORDER BY item_id DESC";
        let conn = self.conn();
        let mut select = conn.prepare_cached(sql)?;
        let items = select.query_map(params![account, now_ms], read)?;
        let has = |item: &Item| words.iter().all(|word| item.title.contains(word) || item.detail.contains(word));
        items.filter(|item| item.as_ref().map_or(true, has)).collect()
    }

    /// An item, if it is this shop's.
    pub(in crate::sandbox) fn item(&self, account: &str, item_id: i64) -> rusqlite::Result<Option<Item>> {
        Ok(self.any_item(item_id)?.filter(|item| item.account == account))
    }

    /// An item, whosever it is.
    pub(in crate::sandbox) fn any_item(&self, item_id: i64) -> rusqlite::Result<Option<Item>> {
        find(&self.conn(), item_id)
    }

    pub(in crate::sandbox) fn put_item(&self, item: &Item) -> rusqlite::Result<()> {
        insert(&self.conn(), item)
    }

    /// Changes an item if it is there, as one step.
    pub(in crate::sandbox) fn change_item(&self, item_id: i64, change: impl FnOnce(&mut Item)) -> rusqlite::Result<Option<Item>> {
        let conn = self.conn();
        let Some(mut item) = find(&conn, item_id)? else { return Ok(None) };
        change(&mut item);
        insert(&conn, &item)?;
        Ok(Some(item))
    }

    /// Adds an item under the next number, which it gets here, and notes who added it. `found_ms`: when the search will know it.
    pub(in crate::sandbox) fn add_item(&self, item: Item, at_ms: i64, found_ms: i64) -> rusqlite::Result<Item> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        // Also after the newest was deleted its number is not given out again.
        let sql = "SELECT max((SELECT coalesce(max(item_id), 0) FROM items), (SELECT coalesce(max(item_id), 0) FROM adds), ?1 - 1) + 1";
        let item_id = tx.query_row(sql, [FIRST_ADDED], |row| row.get(0))?;
        let item = Item { item_id, ..item };
        insert(&tx, &item)?;
        let values = params![item_id, item.account, item.identifier, at_ms, found_ms];
        tx.execute("INSERT INTO adds VALUES (?1, ?2, ?3, ?4, ?5)", values)?;
        tx.commit()?;
        Ok(item)
    }

    /// Whether there was such an item.
    pub(in crate::sandbox) fn remove_item(&self, item_id: i64) -> rusqlite::Result<bool> {
        let mut conn = self.conn();
        let tx = conn.transaction()?;
        tx.execute("DELETE FROM images WHERE item_id = ?1", [item_id])?;
        let removed = tx.execute("DELETE FROM items WHERE item_id = ?1", [item_id])?;
        tx.commit()?;
        Ok(removed > 0)
    }

    /// An item's images by number.
    pub(in crate::sandbox) fn images(&self, item_id: i64) -> rusqlite::Result<Vec<(i64, String)>> {
        let sql = "SELECT image_no, url FROM images WHERE item_id = ?1 ORDER BY image_no";
        self.conn().prepare_cached(sql)?.query_map([item_id], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// The images of a shop's items, by item and number.
    pub(in crate::sandbox) fn all_images(&self, account: &str) -> rusqlite::Result<BTreeMap<i64, BTreeMap<i64, String>>> {
        let sql = "SELECT item_id, image_no, url FROM images JOIN items USING (item_id) WHERE account = ?1";
        let conn = self.conn();
        let mut select = conn.prepare_cached(sql)?;
        let mut rows = select.query([account])?;
        let mut images: BTreeMap<i64, BTreeMap<i64, String>> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            images.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
        }
        Ok(images)
    }

    /// `None` takes the image away; false: there was none.
    pub(in crate::sandbox) fn set_image(&self, item_id: i64, image_no: i64, url: Option<&str>) -> rusqlite::Result<bool> {
        let conn = self.conn();
        let changed = match url {
            Some(url) => conn.execute("INSERT OR REPLACE INTO images VALUES (?1, ?2, ?3)", params![item_id, image_no, url])?,
            None => conn.execute("DELETE FROM images WHERE item_id = ?1 AND image_no = ?2", [item_id, image_no])?,
        };
        Ok(changed > 0)
    }

    /// How often each identifier was added, or a listing made of it: account, identifier, times.
    pub(in crate::sandbox) fn creates(&self) -> rusqlite::Result<Vec<(String, String, i64)>> {
        let sql = "SELECT account, coalesce(identifier, ''), count(*) FROM adds GROUP BY 1, 2 UNION ALL SELECT account, sku, count(*) FROM published GROUP BY 1, 2 ORDER BY 1, 2";
        self.conn().prepare_cached(sql)?.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect()
    }
}

fn find(conn: &Connection, item_id: i64) -> rusqlite::Result<Option<Item>> {
    conn.prepare_cached("SELECT * FROM items WHERE item_id = ?1")?.query_row([item_id], read).optional()
}

pub(super) fn insert(conn: &Connection, item: &Item) -> rusqlite::Result<()> {
    let mut insert = conn.prepare_cached("INSERT OR REPLACE INTO items VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?;
    let Item { item_id, account, title, detail, price, stock, visible, identifier, modified } = item;
    insert.execute(params![item_id, account, title, detail, price, stock, visible, identifier, modified]).map(drop)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Item> {
    Ok(Item {
        item_id: row.get(0)?,
        account: row.get(1)?,
        title: row.get(2)?,
        detail: row.get(3)?,
        price: row.get(4)?,
        stock: row.get(5)?,
        visible: row.get(6)?,
        identifier: row.get(7)?,
        modified: row.get(8)?,
    })
}
