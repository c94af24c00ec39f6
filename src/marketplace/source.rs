//! Sources of goods: one small protocol of our own, which a service beside the real place speaks.
//!
//! `GET {endpoint}/items/{id}` tells how an item stands, `GET {endpoint}/search?q=&max_price=&limit=` finds others. Only two answers mean that an item
//! is gone: `sold` or `ended` with 200, and 404 with `item_not_found`. Everything else is trouble, and trouble is never "gone".
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde::Deserialize;

use super::{
    CallError,
    http::{self, Answer, Http},
    limit::Budget,
};
use crate::{
    access::Caller,
    config,
    core::value::Secret,
    shop::quota::Rule,
    store::shop::{QuotaKey, ShopStore},
};

const ITEM: &str = "a source's item";
const SEARCH: &str = "a source's search";
/// The one operation of the limit.
const CALLS: &str = "source";
const GONE: &str = "item_not_found";

/// A source, ready to be asked.
pub struct Source {
    name: Arc<str>,
    http: Http,
    token: Option<Secret>,
    calls: Budget,
    /// Answers since the start that shut us out.
    blocks: AtomicU32,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It can be bought; for this many yen, if the source said.
    OnSale(Option<i64>),
    /// It was sold, has ended or is not there.
    Gone,
}

/// An item that a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The source's number of it.
    pub item: Arc<str>,
    /// In yen.
    pub price: i64,
}

#[derive(Deserialize)]
struct Item {
    id: String,
    status: Word,
    price: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    OnSale,
    Sold,
    Ended,
}

#[derive(Deserialize)]
struct Found {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

impl Source {
    /// Prepares a source. Nothing is called yet.
    pub fn connect(name: Arc<str>, source: &config::Source, store: &Arc<dyn ShopStore>) -> Self {
        let key = QuotaKey { application: "sources".into(), account: Arc::clone(&name), operation: CALLS };
        let rule = Rule::Bucket { interval_ms: source.interval_ms, burst: 1 };
        Self {
            http: Http::new(&source.endpoint, source.proxy.as_ref()),
            token: source.token.clone(),
            calls: Budget::new(Arc::clone(store), key, rule, "a source's calls"),
            blocks: AtomicU32::new(0),
            name,
        }
    }

    /// Its name in tasks.yaml.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How often it has shut us out (401, 403, 429) since taskrun began or loaded its file anew.
    pub fn blocks(&self) -> u32 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Asks how an item stands.
    ///
    /// # Errors
    /// When it does not say; that means nothing for the item.
    pub async fn status(&self, caller: &Caller, item: &str) -> Result<Status, CallError> {
        let path = format!("/items/{}", http::path_part(item));
        http::read(caller, || async {
            let answer = self.ask(caller, ITEM, &path, &[]).await?;
            if answer.status == 404 && serde_json::from_slice::<Refusal>(&answer.body).is_ok_and(|refusal| refusal.error == GONE) {
                return Ok(Status::Gone);
            }
            self.accept(ITEM, &answer)?;
            let told: Item = serde_json::from_slice(&answer.body).map_err(|_| http::unreadable(ITEM, &answer))?;
            if told.id != item {
                let why = "it is about another item".to_owned();
                return Err(CallError::Unreadable { what: ITEM, status: answer.status, why });
            }
            Ok(match told.status {
                Word::OnSale => Status::OnSale(told.price.filter(|price| 0 <= *price)),
                Word::Sold | Word::Ended => Status::Gone,
            })
        })
        .await
    }

    /// Searches items that can be bought, for at most this price each; the cheapest first.
    ///
    /// # Errors
    /// When there is no answer to go by.
    pub async fn search(&self, caller: &Caller, query: &str, max_price: Option<i64>, limit: u32) -> Result<Vec<Offered>, CallError> {
        let most = max_price.map(|price| ("max_price", price.to_string()));
        let fields: Vec<_> = [("q", query.to_owned()), ("limit", limit.to_string())].into_iter().chain(most).collect();
        let mut offered = http::read(caller, || async {
            let answer = self.ask(caller, SEARCH, "/search", &fields).await?;
            self.accept(SEARCH, &answer)?;
            let found: Found = serde_json::from_slice(&answer.body).map_err(|_| http::unreadable(SEARCH, &answer))?;
            let fits = |price: i64| 0 < price && max_price.is_none_or(|most| price <= most);
            let there = found.items.into_iter().filter(|item| item.status == Word::OnSale && !item.id.is_empty());
            Ok(there
                .filter_map(|item| item.price.filter(|price| fits(*price)).map(|price| Offered { item: item.id.into(), price }))
                .collect::<Vec<_>>())
        })
        .await?;
        offered.sort_by(|one, other| (one.price, &one.item).cmp(&(other.price, &other.item)));
        Ok(offered)
    }

    async fn ask(&self, caller: &Caller, what: &'static str, path: &str, fields: &[(&'static str, String)]) -> Result<Answer, CallError> {
        self.calls.spend(caller).await?.used(caller);
        let mut request = self.http.get(what, path)?.query(fields);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token.expose());
        }
        let answer = self.http.send(what, request).await?;
        if answer.status == 429 {
            self.blocks.fetch_add(1, Ordering::Relaxed);
            return Err(self.calls.exhaust_for(caller, http::retry_after(&answer)).await?);
        }
        self.calls.accepted(None).await?;
        Ok(answer)
    }

    /// Whether an answer is one to go by.
    fn accept(&self, what: &'static str, answer: &Answer) -> Result<(), CallError> {
        let status = answer.status;
        if status == 200 {
            return Ok(());
        }
        if 500 <= status {
            return Err(CallError::Unwell { what, status, text: String::new(), retry_after: http::retry_after(answer) });
        }
        let blocked = matches!(status, 401 | 403);
        if blocked {
            self.blocks.fetch_add(1, Ordering::Relaxed);
        }
        let secrets: Vec<&Secret> = self.token.iter().collect();
        let text = http::said(&String::from_utf8_lossy(&answer.body), &secrets);
        let code = if blocked { "blocked" } else { "refused" }.to_owned();
        Err(CallError::Refused { what, status, code, text, item: !blocked })
    }
}
