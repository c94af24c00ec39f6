//! BASE's side: what all of its operations share. Every failure is a 400 with BASE's own words. Tokens are in `oauth`, reading in `items`,
//! changing in `writes`.
use std::collections::HashMap;

use axum::{
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use serde_json::json;

use super::{Noted, Practice, Side, operation::Operation, reply, state::Count};

pub(super) mod items;
pub(super) mod oauth;
pub(super) mod writes;

/// Refresh tokens live 30 days.
pub(super) const REFRESH_LIVES_MS: i64 = 30 * DAY_MS;
pub(super) const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Calls of a shop in a clock hour, and on a date in Japan; items it adds on one.
const HOUR_LIMIT: i64 = 5_000;
const DAY_LIMIT: i64 = 100_000;
const ADDS_LIMIT: i64 = 1_000;
/// Japan is nine hours ahead of UTC.
const JAPAN_MS: i64 = 9 * HOUR_MS;

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
const NO_ITEM_ID: (&str, &str) = ("no_item_id", "item_idは必須です。");
const BAD_ITEM: (&str, &str) = ("bad_item_id", "不正なitem_idです。");
const INVALID: (&str, &str) = ("validation_error", "バリデーションエラーです。");
const DB: (&str, &str) = ("db_error", "DBエラーです。");
const SERVER: (&str, &str) = ("server_error", "DB error");
const BAD_REQUEST: (&str, &str) = ("invalid_request", "不正なパラメーターです。");
const BAD_PARAMS: (&str, &str) = ("bad_params", "不正なパラメーターです。");
const BAD_TOKEN: (&str, &str) = ("invalid_request", "アクセストークンが無効です。");
const DENIED: (&str, &str) = ("access_denied", "アクセスが許可されていません。");
const HOUR: (&str, &str) = ("hour_api_limit", "1時間のAPIの利用上限を超えました。時間が変わってからもう一度アクセスしてください。");
const DAY: (&str, &str) = ("day_api_limit", "1日のAPIの利用上限を超えました。日付が変わってからもう一度アクセスしてください。");
const ADDS: (&str, &str) = ("exceed_daily_limit", "1日の商品登録の上限を超えました。");

/// When the period began that an instant lies in: a clock hour, or a date in Japan.
pub(super) fn began(what: Count, now_ms: i64) -> i64 {
    let (length_ms, shift) = match what {
        Count::Hour => (HOUR_MS, 0),
        Count::Day | Count::Adds => (DAY_MS, JAPAN_MS),
    };
    (now_ms + shift).div_euclid(length_ms) * length_ms - shift
}

/// The answer for a status that was asked for.
pub(super) fn trouble(status: StatusCode) -> Response {
    let (error, text) = match status.as_u16() {
        429 => HOUR,
        401 => BAD_TOKEN,
        403 => DENIED,
        code if code < 500 => BAD_REQUEST,
        _ => SERVER,
    };
    let status = if status.is_server_error() { status } else { StatusCode::BAD_REQUEST };
    reply(status, &json!({ "error": error, "error_description": text }), Noted { detail: error.to_owned(), ..Noted::default() })
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

/// What an operation needs of a token.
fn scope(operation: Operation) -> &'static str {
    match operation {
        Operation::Me => "read_users",
        operation if operation.writes() => "write_items",
        _ => "read_items",
    }
}

/// The shop behind a bearer token: one more call of its hour and day.
fn admit(practice: &Practice, headers: &HeaderMap, operation: Operation) -> Result<String, Refusal> {
    let now_ms = practice.now_ms();
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.strip_prefix("Bearer "));
    let opened =
        bearer.and_then(|token| practice.state.opened_by(Side::Base, token).ok().flatten()).filter(|opened| now_ms < opened.expires_ms);
    let Some(opened) = opened else { return refuse(BAD_TOKEN, "") };
    let account = opened.account;
    let counted = |what, limit| practice.state.count(&account, what, began(what, now_ms), limit).unwrap_or(false);
    if !counted(Count::Hour, HOUR_LIMIT) {
        return refuse(HOUR, &account);
    }
    if !counted(Count::Day, DAY_LIMIT) {
        return refuse(DAY, &account);
    }
    match practice.restricted(&account).as_str() {
        "no" => {}
        "writes" if !operation.writes() => {}
        _ => return refuse(DENIED, &account),
    }
    if !opened.scopes.split(' ').any(|has| has == scope(operation)) {
        return refuse(("invalid_scope", "スコープが無効です。"), &account);
    }
    Ok(account)
}
