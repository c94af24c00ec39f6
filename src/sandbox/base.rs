//! BASE's side: rotating tokens, items, edits, and the limits of the hour and the day. Every failure is a 400 with BASE's own words.
use std::{collections::HashMap, sync::Arc};

use axum::{
    Form,
    extract::{FromRequest, Path, Query, Request, State, rejection::FormRejection},
    http::{HeaderMap, Method, StatusCode, header},
    response::Response,
};
use serde_json::{Map, Value, json};

use super::{ACCESS_LIVES_MS, Noted, Practice, Side, reply, state::Item};

/// Refresh tokens live 30 days.
pub(super) const REFRESH_LIVES_MS: i64 = 30 * DAY_MS;
const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Calls of a shop in a clock hour, and on a date in Japan.
const HOUR_LIMIT: i64 = 5_000;
const DAY_LIMIT: i64 = 100_000;
/// Japan is nine hours ahead of UTC.
const JAPAN_MS: i64 = 9 * HOUR_MS;
const PAGE_MAX: i64 = 100;

type Fields = HashMap<String, String>;
type Answer = Result<Response, Refusal>;

/// BASE's error code and text.
#[derive(Debug)]
pub(super) struct Refusal {
    error: &'static str,
    text: &'static str,
    account: String,
}

const NOT_POST: (&str, &str) = ("not_post_method", "POSTで送信してください。");
const BAD_ITEM: (&str, &str) = ("bad_item_id", "不正なitem_idです。");
const INVALID: (&str, &str) = ("validation_error", "バリデーションエラーです。");
const DB: (&str, &str) = ("db_error", "DBエラーです。");
const BAD_PARAMS: (&str, &str) = ("invalid_request", "不正なパラメーターです。");

/// When the period that an instant lies in began: a clock hour, or a date in Japan.
pub(super) fn began(length_ms: i64, now_ms: i64) -> i64 {
    let shift = if length_ms == DAY_MS { JAPAN_MS } else { 0 };
    (now_ms + shift).div_euclid(length_ms) * length_ms - shift
}

/// The answer for a status that was asked for.
pub(super) fn trouble(status: StatusCode) -> Response {
    let (error, text) = match status.as_u16() {
        429 => ("hour_api_limit", "1時間のAPIの利用上限を超えました。時間が変わってからもう一度アクセスしてください。"),
        _ => ("server_error", "DB error"),
    };
    let status = if status.is_server_error() { status } else { StatusCode::BAD_REQUEST };
    reply(status, &json!({ "error": error, "error_description": text }), Noted::default())
}

fn refuse<T>((error, text): (&'static str, &'static str), account: &str) -> Result<T, Refusal> {
    Err(Refusal { error, text, account: account.to_owned() })
}

/// Turns a refusal into BASE's 400.
fn answer(result: Answer) -> Response {
    result.unwrap_or_else(|Refusal { error, text, account }| {
        let noted = Noted { account, detail: error.to_owned() };
        reply(StatusCode::BAD_REQUEST, &json!({ "error": error, "error_description": text }), noted)
    })
}

/// `POST /1/oauth/token`.
pub(super) async fn token(State(practice): State<Arc<Practice>>, request: Request) -> Response {
    let is_post = request.method() == Method::POST;
    let fields = Form::<Fields>::from_request(request, &()).await.map(|Form(fields)| fields).unwrap_or_default();
    answer(grant(&practice, is_post, &fields))
}

fn grant(practice: &Practice, is_post: bool, fields: &Fields) -> Answer {
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    if !is_post {
        return refuse(("access_denied", "POSTで送信してください。"), "");
    }
    if field("client_id").is_empty() || field("client_secret").is_empty() {
        return refuse(("invalid_request", "client_idもしくはclient_secretがありません。"), "");
    }
    let Ok(client) = practice.state.client(Side::Base, field("client_id")) else { return refuse(DB, "") };
    let Some(client) = client.filter(|client| client.secret == field("client_secret")) else {
        return refuse(("unauthorized_client", "クライアントが見つかりませんでした。"), "");
    };
    if !client.active {
        return refuse(("unauthorized_client", "停止中のクライアントです。"), "");
    }
    if field("grant_type") != "refresh_token" {
        return refuse(("invalid_request", "不正なgrant_typeです。"), "");
    }
    if field("redirect_uri") != client.redirect_uri || field("refresh_token").is_empty() {
        return refuse(BAD_PARAMS, "");
    }
    let Ok(Some((account, expires_ms))) = practice.state.refresher(Side::Base, field("refresh_token"), &client.id) else {
        return refuse(("invalid_request", "不正なリフレッシュトークンです。"), "");
    };
    let now_ms = (practice.now)();
    if now_ms >= expires_ms {
        return refuse(("invalid_request", "リフレッシュトークンの有効期限が切れています。"), &account);
    }
    let (access, refresh) = (format!("{:032x}", fastrand::u128(..)), format!("{:032x}", fastrand::u128(..)));
    let rotate = Some((field("refresh_token"), refresh.as_str(), now_ms + REFRESH_LIVES_MS));
    if practice.state.grant(Side::Base, &account, (&access, now_ms + ACCESS_LIVES_MS), rotate).is_err() {
        return refuse(("server_error", "DB error"), &account);
    }
    let body = json!({ "access_token": access, "token_type": "bearer", "expires_in": ACCESS_LIVES_MS / 1000, "refresh_token": refresh });
    Ok(reply(StatusCode::OK, &body, Noted { account, ..Noted::default() }))
}

/// The shop behind a bearer token: one more call of its hour and day.
fn admit(practice: &Practice, headers: &HeaderMap, scope: &str) -> Result<String, Refusal> {
    let now_ms = (practice.now)();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
    let opened =
        bearer.and_then(|token| practice.state.opened_by(Side::Base, token).ok().flatten()).filter(|opened| now_ms < opened.expires_ms);
    let Some(opened) = opened else { return refuse(("invalid_request", "アクセストークンが無効です。"), "") };
    let account = opened.account;
    let counted = |length_ms, limit| practice.state.count_call(&account, length_ms, began(length_ms, now_ms), limit).unwrap_or(false);
    if !counted(HOUR_MS, HOUR_LIMIT) {
        return refuse(("hour_api_limit", "1時間のAPIの利用上限を超えました。時間が変わってからもう一度アクセスしてください。"), &account);
    }
    if !counted(DAY_MS, DAY_LIMIT) {
        return refuse(("day_api_limit", "1日のAPIの利用上限を超えました。日付が変わってからもう一度アクセスしてください。"), &account);
    }
    if !opened.scopes.split(' ').any(|has| has == scope) {
        return refuse(("invalid_scope", "スコープが無効です。"), &account);
    }
    Ok(account)
}

/// `GET /1/users/me`.
pub(super) async fn me(State(practice): State<Arc<Practice>>, headers: HeaderMap) -> Response {
    let me = admit(&practice, &headers, "read_users").map(|account| {
        let body = json!({ "user": { "shop_id": account, "shop_name": format!("練習用ショップ {account}"), "shop_introduction": "", "shop_url": "https://practice.example" } });
        reply(StatusCode::OK, &body, Noted { account, ..Noted::default() })
    });
    answer(me)
}

/// `GET /1/items`.
pub(super) async fn items(State(practice): State<Arc<Practice>>, headers: HeaderMap, Query(query): Query<Fields>) -> Response {
    answer(page(&practice, &headers, &query))
}

fn page(practice: &Practice, headers: &HeaderMap, query: &Fields) -> Answer {
    let account = admit(practice, headers, "read_items")?;
    let number = |name: &str, default: i64| query.get(name).map_or(Some(default), |text| text.parse().ok());
    let (Some(limit), Some(offset)) = (number("limit", 20), number("offset", 0)) else { return refuse(BAD_PARAMS, &account) };
    let word = |name: &str| query.get(name).map_or("", String::as_str);
    let order = match (word("order"), word("sort")) {
        ("modified", "desc") => "modified DESC, item_id DESC",
        ("modified", _) => "modified, item_id",
        (_, "desc") => "item_id DESC",
        (_, _) => "item_id",
    };
    let Ok(items) = practice.state.items(&account, order, limit.clamp(0, PAGE_MAX), offset.max(0)) else { return refuse(DB, &account) };
    let detail = format!("offset={offset}: {} items", items.len());
    let shown: Vec<_> = items.iter().map(shown).collect();
    Ok(reply(StatusCode::OK, &json!({ "items": shown }), Noted { account, detail }))
}

/// `GET /1/items/detail/:item_id`: the path form only.
pub(super) async fn detail(State(practice): State<Arc<Practice>>, headers: HeaderMap, Path(item_id): Path<String>) -> Response {
    let found = admit(&practice, &headers, "read_items").and_then(|account| {
        let item = item_id.parse().ok().and_then(|item_id| practice.state.item(&account, item_id).ok().flatten());
        let Some(item) = item else { return refuse(("no_item", "商品が見つかりませんでした。"), &account) };
        Ok(reply(StatusCode::OK, &json!({ "item": shown(&item) }), Noted { account, detail: item_id }))
    });
    answer(found)
}

/// `POST /1/items/edit`: what is not named stays as it is.
pub(super) async fn edit(
    State(practice): State<Arc<Practice>>,
    method: Method,
    headers: HeaderMap,
    form: Result<Form<Fields>, FormRejection>,
) -> Response {
    let fields = form.map(|Form(fields)| fields).unwrap_or_default();
    answer(change(&practice, &method, &headers, &fields))
}

fn change(practice: &Practice, method: &Method, headers: &HeaderMap, fields: &Fields) -> Answer {
    let account = admit(practice, headers, "write_items")?;
    if method != Method::POST {
        return refuse(NOT_POST, &account);
    }
    let item = fields.get("item_id").and_then(|id| id.parse().ok()).and_then(|id| practice.state.item(&account, id).ok().flatten());
    let Some(before) = item else { return refuse(BAD_ITEM, &account) };
    let Some(item) = changed(before, fields, (practice.now)()) else { return refuse(INVALID, &account) };
    if practice.state.put_item(&item).is_err() {
        return refuse(DB, &account);
    }
    let mut named: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    named.sort();
    Ok(reply(StatusCode::OK, &json!({ "item": shown(&item) }), Noted { account, detail: named.join(" ") }))
}

/// The item with what the fields name; `None` where one of them is not valid.
fn changed(mut item: Item, fields: &Fields, now_ms: i64) -> Option<Item> {
    for (name, value) in fields {
        match name.as_str() {
            "title" => item.title = plain(value)?,
            "detail" => item.detail = plain(value)?,
            "price" => item.price = value.parse().ok().filter(|price| *price > 0)?,
            "stock" => item.stock = value.parse().ok().filter(|stock| *stock >= 0)?,
            "visible" => item.visible = ["0", "1"].iter().position(|word| word == value)? == 1,
            "identifier" => item.identifier = Some(value.clone()),
            _ => {}
        }
    }
    item.modified = now_ms.div_euclid(1000);
    Some(item)
}

/// BASE takes no characters of four bytes, which is what emoji are.
fn plain(text: &str) -> Option<String> {
    text.chars().all(|character| character.len_utf8() < 4).then(|| text.to_owned())
}

fn shown(item: &Item) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("item_id", item.item_id.into());
    put("title", item.title.as_str().into());
    put("detail", item.detail.as_str().into());
    put("price", item.price.into());
    put("proper_price", Value::Null);
    put("item_tax_type", 1.into());
    put("stock", item.stock.into());
    put("visible", i32::from(item.visible).into());
    put("list_order", item.item_id.into());
    put("identifier", item.identifier.clone().into());
    put("modified", item.modified.into());
    put("variations", json!([]));
    for number in 1..=5 {
        put(&format!("img{number}_origin"), Value::Null);
    }
    Value::Object(shown)
}
