use super::*;

/// The statements in a source file: string literals that begin with a verb of SQL, apart from those that are put together of parts.
fn statements(source: &str) -> Vec<String> {
    let is_sql = |text: &&str| ["SELECT ", "INSERT ", "UPDATE ", "DELETE "].iter().any(|verb| text.starts_with(verb));
    let in_parts = |text: &&str| text.contains('{') || text.starts_with("SELECT (") || text.ends_with("AND ");
    source.split('"').filter(is_sql).filter(|text| !in_parts(text)).map(str::to_owned).collect()
}

/// Every filter that there can be.
fn filters() -> Vec<CatalogueFilter> {
    let account = || AccountKey { platform: Platform::Base, account: "a".into() };
    let picks = |n: u8, bit: u8| n >> bit & 1 == 1;
    (0..16)
        .map(|n| CatalogueFilter {
            account: picks(n, 0).then(account),
            state: picks(n, 1).then_some(ListingState::Listed),
            stock: picks(n, 2).then_some(Stock::NoOffer),
            older_than: picks(n, 3).then_some(Timestamp::UNIX_EPOCH),
            limit: 100,
        })
        .collect()
}

#[test]
fn no_query_scans_where_it_should_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("taskrun.db");
    drop(SqliteStore::open(&path).unwrap());
    let conn = Connection::open(&path).unwrap();
    let sources = [include_str!("../catalogue.rs"), include_str!("look.rs"), include_str!("take_in.rs")];
    let mut all: Vec<String> = sources.into_iter().flat_map(statements).collect();
    all.extend([look::DATA_AGE, look::LISTED_DETAILS, WITHOUT_SHOP].map(ToOwned::to_owned));
    all.extend(filters().iter().map(look::products_sql));
    assert!(all.len() > 25, "{all:#?}");
    for sql in all {
        let mut explained = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = explained.raw_query().mapped(|row| row.get("detail")).collect::<Result<_, _>>().unwrap();
        // What wants everything, and the first so many of everything.
        let everything = look::products_sql(&CatalogueFilter::default());
        let wants_all = ["SELECT count(*) FROM products", WITHOUT_SHOP, &everything].contains(&&*sql);
        assert_eq!(plan.iter().any(|step| step.starts_with("SCAN p") || step.starts_with("SCAN l")), wants_all, "{sql}\n{plan:#?}");
    }
}
