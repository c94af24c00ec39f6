//! The marketplace by hand and by test, over HTTP: under `/sandbox`, JSON both ways. What is asked here is in no ledger and counts for no limit.
//!
//! | Request | What it does |
//! |---|---|
//! | `GET /sandbox` | this list |
//! | `GET /sandbox/summary` | figures: `{"now","requests","writes","calls":[{"account","operation","calls","ok","limited","faulty","most_in_interval","interval_ms","most_at_once"}],"creates":{SHOP:{"adds","identifiers","repeated":{IDENTIFIER:TIMES}}}}` |
//! |  | the interval is the time for one token at the rate of now, and for BASE the clock hour; `most_in_interval` counts refused calls, too; `most_at_once` is since the process began |
//! | `GET /sandbox/ledger?FILTER&limit=N` | `{"entries":[{"seq","at","at_ms","method","path","operation","account","write","status","detail","fault"}],"last"}`, oldest first, at most 1000; go on with `after=last` |
//! | `GET /sandbox/ledger/count?FILTER` | `{"count"}`. FILTER: `after=SEQ`, `since_ms`, `account`, `operation`, `status`, `writes=true/false`, `fault=true/false` |
//! | `GET /sandbox/creates` | `{SHOP:{IDENTIFIER:TIMES}}`, every item that was ever added, every listing that was ever made at eBay |
//! | `GET /sandbox/items?account=SHOP&limit=N&offset=N` | `{"items":[ITEM]}`; all without a limit. ITEM: `{"item_id","account","title","detail","price","stock","visible","identifier","modified"}` |
//! | `GET /sandbox/images?account=SHOP` | `{ITEM_ID:{NUMBER:URL}}` |
//! | `GET`, `PUT`, `PATCH`, `DELETE /sandbox/items/ID` | an item, as its owner's hand would: `PUT` a whole one, `PATCH` what is named |
//! | `GET /sandbox/ebay?account=SHOP` | `{"offers":[{"offer_id","account","sku","marketplace","listing_id","body"}]}`: a shop's offers at eBay; with a `listing_id`, buyers see it |
//! | `GET /sandbox/seller?account=SELLER` | `{"seller_id","listings":[LISTING],"feeds":[{"feed_id","feed_type","status","created_ms","messages","invalid"}]}`: a seller's listings that were touched, and its feeds |
//! | `PUT /sandbox/seller?account=SELLER` | `[LISTING]`. LISTING: `{"sku","quantity","state"}`, the state is `live`, `gone` or `invalid`: Amazon finds fault with every change of that one. A SKU that nobody has touched is live, with 1 |
//! | `GET /sandbox/offers` | what is forced: `{ASIN:FORCE}` |
//! | `PUT /sandbox/offers` | `{ASIN:FORCE,…}`, all or none; others stay; `null`: by rule again. FORCE: `"no_offer"`, `"filtered"`, `"too_soon"`, `{"cost":1980}`, `{"item_error":500}` |
//! | `DELETE /sandbox/offers` | everything by rule again |
//! | `GET /sandbox/offers/ASIN` | `{"asin","availability":"buyable"/"unfit"/"nothing","cost","forced"}` at this moment |
//! | `GET /sandbox/faults` | `{"seed","rules":[{"rule","seen","met"}]}` |
//! | `POST /sandbox/faults` | the body is a [plan](super::plan), which is added |
//! | `DELETE /sandbox/faults` | no more trouble |
//! | `GET /sandbox/accounts` | `[{"account","side","restricted","participation","grace_s"}]` |
//! | `PUT /sandbox/accounts/NAME` | `{"side":"base"/"amazon"/"ebay","refresh_token":"…"}`: takes an account in, with all scopes, at the side's first application; one that is there gets the refresh token besides those it has |
//! | `PATCH /sandbox/accounts/NAME` | any of `{"restricted","participation","grace_s","next_feed"}`, see [`Switch`] |
//! | `POST /sandbox/accounts/NAME/revoke` | its refresh tokens work no more |
//! | `POST /sandbox/accounts/NAME/expire` | its access tokens end now |
//! | `GET /sandbox/rates` | `{"offers":{"rate":0.1,"burst":1},"item_offers":…}`, every operation of Amazon's that has one, rates per second |
//! | `PUT /sandbox/rates/OPERATION` | `{"rate":0.5}` or `{"rate":0.5,"burst":2}` |
//! | `GET /sandbox/calls/SHOP` | `{"hour","day","adds"}`: what counts for its limits 5000, 100000 and 1000; at eBay a day has 2000000 |
//! | `PUT /sandbox/calls/SHOP` | any of these, to this figure |
//! | `GET /sandbox/clock` | `{"now","now_ms"}` |
//! | `PUT /sandbox/clock` | `{"advance_ms":60000}` or `{"now":"2026-11-23T00:00:00Z"}`; only forward |
//! | `PUT /sandbox/visitor` | `{"account":SHOP}`: who sits before BASE's login page (`/1/oauth/authorize`, which also takes `shop=SHOP` and `deny=1`) |
//!
//! Errors are 400, 404 or 409 with `{"error":"…"}`. What was done answers 200 with `{"ok":true}`.
use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{any, get, post, put},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use super::{
    Practice, Side, amazon,
    faults::Force,
    ledger::{instant, shown},
    operation::Operation,
    plan::FaultPlan,
    seed::Availability,
    state::{Account, Count, Filter, Item},
    summary,
};

mod seller;
mod switch;

pub use switch::{Participation, Restricted, Switch};

/// Entries in one answer.
const PAGE_MAX: usize = 1000;

type Shared = State<Arc<Practice>>;
type Told = Result<Json<Value>, Wrong>;

/// A request that makes no sense here.
#[derive(Debug)]
struct Wrong(StatusCode, String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (self.0, Json(json!({ "error": self.1 }))).into_response()
    }
}

impl From<rusqlite::Error> for Wrong {
    fn from(error: rusqlite::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "so that `or_else` can take it")]
fn wrong<T>(why: impl ToString) -> Result<T, Wrong> {
    Err(Wrong(StatusCode::BAD_REQUEST, why.to_string()))
}

fn missing<T>(what: &str) -> Result<T, Wrong> {
    Err(Wrong(StatusCode::NOT_FOUND, format!("there is no {what}; GET /sandbox lists what there is")))
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Wrong> {
    serde_json::from_slice(body).or_else(|error| wrong(format!("the body is not the JSON that is wanted here: {error}")))
}

fn done() -> Json<Value> {
    Json(json!({ "ok": true }))
}

pub(super) fn router() -> Router<Arc<Practice>> {
    Router::new()
        .route("/sandbox", get(help))
        .route("/sandbox/summary", get(summarise))
        .route("/sandbox/ledger", get(ledger))
        .route("/sandbox/ledger/count", get(count))
        .route("/sandbox/creates", get(creates))
        .route("/sandbox/items", get(items))
        .route("/sandbox/images", get(images))
        .route("/sandbox/items/{id}", get(item).put(put_item).patch(patch_item).delete(remove_item))
        .route("/sandbox/ebay", get(ebay_offers))
        .route("/sandbox/seller", get(seller::look).put(seller::put))
        .route("/sandbox/offers", get(forced).put(force).delete(force_nothing))
        .route("/sandbox/offers/{asin}", get(offer))
        .route("/sandbox/faults", get(faults).post(add_faults).delete(clear_faults))
        .route("/sandbox/accounts", get(accounts))
        .route("/sandbox/accounts/{name}", put(take_in).patch(switch))
        .route("/sandbox/accounts/{name}/revoke", post(revoke))
        .route("/sandbox/accounts/{name}/expire", post(expire))
        .route("/sandbox/rates", get(rates))
        .route("/sandbox/rates/{operation}", put(set_rate))
        .route("/sandbox/calls/{name}", get(calls).put(set_calls))
        .route("/sandbox/clock", get(clock).put(set_clock))
        .route("/sandbox/visitor", put(visitor))
        .route("/sandbox/{*rest}", any(nothing))
}

/// This module's table, as people read it.
async fn help() -> String {
    let lines: Vec<_> = include_str!("control.rs").lines().map_while(|line| line.strip_prefix("//!")).map(str::trim_start).collect();
    lines.join("\n")
}

async fn nothing() -> Wrong {
    Wrong(StatusCode::NOT_FOUND, "nothing is here; GET /sandbox lists what there is".to_owned())
}

async fn summarise(State(practice): Shared) -> Told {
    Ok(Json(summary::of(&practice)?))
}

/// The query of the ledger.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    #[serde(default)]
    after: i64,
    limit: Option<usize>,
    since_ms: Option<i64>,
    account: Option<String>,
    operation: Option<String>,
    status: Option<u16>,
    writes: Option<bool>,
    fault: Option<bool>,
}

impl Asked {
    fn filter(self) -> Result<Filter, Wrong> {
        let Self { after, limit: _, since_ms, account, operation, status, writes, fault } = self;
        let operation = match operation {
            Some(word) => Some(known(&word)?),
            None => None,
        };
        Ok(Filter { after, since_ms, account, operation, status, writes, fault })
    }
}

fn known(word: &str) -> Result<Operation, Wrong> {
    let words: Vec<_> = Operation::all().map(Operation::word).collect();
    Operation::parse(word).map_or_else(|| wrong(format!("there is no operation `{word}`; there are {}", words.join(", "))), Ok)
}

type Reading = Result<Query<Asked>, axum::extract::rejection::QueryRejection>;

async fn ledger(State(practice): Shared, query: Reading) -> Told {
    let Query(asked) = query.or_else(wrong)?;
    let limit = asked.limit.unwrap_or(PAGE_MAX).min(PAGE_MAX);
    let (mut entries, mut last) = (Vec::new(), asked.after);
    practice.state.visit(&asked.filter()?, |entry| {
        if entries.len() < limit {
            last = entry.seq;
            entries.push(shown(&entry));
        }
        entries.len() < limit
    })?;
    Ok(Json(json!({ "entries": entries, "last": last })))
}

async fn count(State(practice): Shared, query: Reading) -> Told {
    let Query(asked) = query.or_else(wrong)?;
    let mut count = 0_u64;
    practice.state.visit(&asked.filter()?, |_| {
        count += 1;
        true
    })?;
    Ok(Json(json!({ "count": count })))
}

async fn creates(State(practice): Shared) -> Told {
    let mut shops: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for (account, identifier, times) in practice.state.creates()? {
        shops.entry(account).or_default().insert(identifier, times.into());
    }
    Ok(Json(json!(shops)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfShop {
    account: String,
    limit: Option<i64>,
    #[serde(default)]
    offset: i64,
}

async fn items(State(practice): Shared, query: Result<Query<OfShop>, axum::extract::rejection::QueryRejection>) -> Told {
    let Query(OfShop { account, limit, offset }) = query.or_else(wrong)?;
    Ok(Json(json!({ "items": practice.state.items(&account, "item_id", limit.unwrap_or(-1), offset)? })))
}

async fn ebay_offers(State(practice): Shared, query: Result<Query<OfShop>, axum::extract::rejection::QueryRejection>) -> Told {
    let Query(OfShop { account, .. }) = query.or_else(wrong)?;
    Ok(Json(json!({ "offers": practice.state.offers(&account, None)? })))
}

async fn images(State(practice): Shared, query: Result<Query<OfShop>, axum::extract::rejection::QueryRejection>) -> Told {
    let Query(OfShop { account, .. }) = query.or_else(wrong)?;
    Ok(Json(json!(practice.state.all_images(&account)?)))
}

async fn item(State(practice): Shared, Path(id): Path<i64>) -> Told {
    match practice.state.any_item(id)? {
        Some(item) => Ok(Json(json!(item))),
        None => missing("such item"),
    }
}

async fn put_item(State(practice): Shared, Path(id): Path<i64>, body: Bytes) -> Told {
    let item: Item = read(&body)?;
    if item.item_id != id || !practice.knows(&item.account) {
        return wrong("the item's number must be the path's, and its account one that there is");
    }
    practice.state.put_item(&item)?;
    Ok(done())
}

async fn patch_item(State(practice): Shared, Path(id): Path<i64>, body: Bytes) -> Told {
    let changes: Map<String, Value> = read(&body)?;
    let Some(before) = practice.state.any_item(id)? else { return missing("such item") };
    let Value::Object(mut fields) = json!(before) else { return wrong("an item is an object") };
    fields.extend(changes);
    let after: Item = serde_json::from_value(Value::Object(fields)).or_else(wrong)?;
    if after.item_id != id {
        return wrong("an item keeps its number");
    }
    practice.state.put_item(&after)?;
    Ok(Json(json!(after)))
}

async fn remove_item(State(practice): Shared, Path(id): Path<i64>) -> Told {
    if practice.state.remove_item(id)? { Ok(done()) } else { missing("such item") }
}

async fn forced(State(practice): Shared) -> Told {
    let read = |text: &str| serde_json::from_str(text).unwrap_or(Value::Null);
    Ok(Json(practice.state.all_forced()?.iter().map(|(asin, force)| (asin.clone(), read(force))).collect()))
}

async fn force(State(practice): Shared, body: Bytes) -> Told {
    practice.force(read::<BTreeMap<String, Option<Force>>>(&body)?)?;
    Ok(done())
}

async fn force_nothing(State(practice): Shared) -> Told {
    practice.state.force_nothing()?;
    Ok(done())
}

async fn offer(State(practice): Shared, Path(asin): Path<String>) -> Told {
    let forced = practice.forced(&asin);
    let (availability, cost) = amazon::pricing::standing(&asin, forced, practice.now_ms());
    let availability = match availability {
        Availability::Buyable => "buyable",
        Availability::Unfit => "unfit",
        Availability::Nothing => "nothing",
    };
    Ok(Json(json!({ "asin": asin, "availability": availability, "cost": cost, "forced": forced })))
}

async fn faults(State(practice): Shared) -> Json<Value> {
    Json(practice.faults.shown())
}

async fn add_faults(State(practice): Shared, body: String) -> Told {
    practice.faults.plan(&body.parse::<FaultPlan>().or_else(wrong)?);
    Ok(done())
}

async fn clear_faults(State(practice): Shared) -> Told {
    practice.faults.clear();
    Ok(done())
}

async fn accounts(State(practice): Shared) -> Told {
    let mut told = Vec::new();
    for side in Side::ALL {
        for (account, _) in practice.state.accounts(side)? {
            told.push(json!({
                "account": account, "side": side.word(), "restricted": practice.restricted(&account), "participation": practice.participation(&account),
                "grace_s": practice.grace_ms(&account) / 1000,
            }));
        }
    }
    Ok(Json(json!(told)))
}

fn account(practice: &Practice, name: &str) -> Result<(), Wrong> {
    if practice.knows(name) { Ok(()) } else { missing(&format!("account `{name}`")) }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    side: String,
    refresh_token: String,
}

async fn take_in(State(practice): Shared, Path(name): Path<String>, body: Bytes) -> Told {
    let NewAccount { side, refresh_token: refresh } = read(&body)?;
    let Some(side) = Side::ALL.into_iter().find(|known| known.word() == side) else {
        return wrong(format!("there is no side `{side}`; there are {}", Side::ALL.map(Side::word).join(", ")));
    };
    let Some(client) = practice.state.any_client(side)? else { return missing("application on that side") };
    let scopes = super::seed::SCOPES.to_owned();
    practice.state.take_in(&Account { name, side, client, scopes, access: None, refresh }, practice.now_ms())?;
    Ok(done())
}

async fn switch(State(practice): Shared, Path(name): Path<String>, body: Bytes) -> Told {
    account(&practice, &name)?;
    practice.switch(&name, &read(&body)?)?;
    Ok(done())
}

async fn revoke(State(practice): Shared, Path(name): Path<String>) -> Told {
    account(&practice, &name)?;
    practice.state.revoke(&name)?;
    Ok(done())
}

async fn expire(State(practice): Shared, Path(name): Path<String>) -> Told {
    account(&practice, &name)?;
    practice.state.expire(&name, practice.now_ms())?;
    Ok(done())
}

async fn rates(State(practice): Shared) -> Told {
    let mut told = Map::new();
    for (operation, usual) in amazon::RATES {
        let (rate, burst) = practice.state.rate(operation, usual)?;
        told.insert(operation.word().to_owned(), json!({ "rate": rate, "burst": burst }));
    }
    Ok(Json(Value::Object(told)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    rate: f64,
    burst: Option<f64>,
}

async fn set_rate(State(practice): Shared, Path(word): Path<String>, body: Bytes) -> Told {
    let operation = known(&word)?;
    let Rate { rate, burst } = read(&body)?;
    // Once in a thousand years is rare enough, and a limit of 1e6 is none.
    if !(1e-11..=1e6).contains(&rate) || !burst.is_none_or(|burst| (1.0..=1e6).contains(&burst)) {
        return wrong("a rate is above 0, and a burst at least 1");
    }
    if practice.set_rate(operation, rate, burst)? {
        Ok(done())
    } else {
        wrong(format!("`{word}` has no rate; {} have", amazon::RATES.map(|(operation, _)| operation.word()).join(", ")))
    }
}

const COUNTS: [Count; 3] = [Count::Hour, Count::Day, Count::Adds];

async fn calls(State(practice): Shared, Path(name): Path<String>) -> Told {
    account(&practice, &name)?;
    let mut told = Map::new();
    for what in COUNTS {
        let count = practice.state.counted(&name, what, practice.began(&name, what))?;
        told.insert(what.word().to_owned(), count.into());
    }
    Ok(Json(Value::Object(told)))
}

async fn set_calls(State(practice): Shared, Path(name): Path<String>, body: Bytes) -> Told {
    account(&practice, &name)?;
    for (word, count) in read::<BTreeMap<String, i64>>(&body)? {
        let Some(what) = COUNTS.into_iter().find(|what| what.word() == word) else {
            return wrong(format!("nothing counts `{word}`; there are hour, day and adds"));
        };
        practice.state.set_count(&name, what, practice.began(&name, what), count)?;
    }
    Ok(done())
}

async fn clock(State(practice): Shared) -> Json<Value> {
    let now_ms = practice.now_ms();
    Json(json!({ "now": instant(now_ms), "now_ms": now_ms }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Forward {
    advance_ms: Option<i64>,
    now: Option<String>,
}

async fn set_clock(State(practice): Shared, body: Bytes) -> Told {
    let by_ms = match read(&body)? {
        Forward { advance_ms: Some(by_ms), now: None } => by_ms,
        Forward { advance_ms: None, now: Some(now) } => {
            let now: jiff::Timestamp = now.parse().or_else(wrong)?;
            now.as_millisecond() - practice.now_ms()
        }
        Forward { .. } => return wrong("either advance_ms or now"),
    };
    if by_ms < 0 {
        return Err(Wrong(StatusCode::CONFLICT, "the clock only goes forward".to_owned()));
    }
    practice.advance(by_ms)?;
    Ok(done())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Visitor {
    account: String,
}

async fn visitor(State(practice): Shared, body: Bytes) -> Told {
    let Visitor { account: name } = read(&body)?;
    account(&practice, &name)?;
    practice.state.set("visitor", &name)?;
    Ok(done())
}
