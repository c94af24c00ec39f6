//! BASE's tokens: a person lets an application in, and each refresh gives out another refresh token.
use std::sync::Arc;

use axum::{
    Form,
    extract::{FromRequest, Query, Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::{Answer, BAD_REQUEST, DB, Fields, HOUR_MS, REFRESH_LIVES_MS, SERVER, answer, refuse};
use crate::sandbox::{
    ACCESS_LIVES_MS, Noted, Practice, Side, basic, reply,
    state::{Client, Code, Rotation},
};

/// How long a person's yes can be turned into tokens.
const CODE_LIVES_MS: i64 = HOUR_MS;
const SCOPES: [&str; 7] = ["read_users", "read_users_mail", "read_items", "read_orders", "read_savings", "write_items", "write_orders"];

fn secret() -> String {
    format!("{:032x}", fastrand::u128(..))
}

/// `GET /1/oauth/authorize`: the visitor is asked nothing; who that is is set by hand, and `deny=1` is a no.
pub(in crate::sandbox) async fn authorize(State(practice): State<Arc<Practice>>, Query(query): Query<Fields>) -> Response {
    answer(let_in(&practice, &query))
}

fn let_in(practice: &Practice, query: &Fields) -> Answer {
    let field = |name: &str| query.get(name).map_or("", String::as_str);
    let Ok(client) = practice.state.client(Side::Base, field("client_id")) else { return refuse(SERVER, "") };
    let Some(client) = client else { return refuse(("unauthorized_client", "クライアントが見つかりませんでした。"), "") };
    if field("response_type") != "code" || field("redirect_uri") != client.redirect_uri {
        return refuse(BAD_REQUEST, "");
    }
    let scopes = if field("scope").is_empty() { "read_users" } else { field("scope") };
    if !scopes.split(' ').all(|scope| SCOPES.contains(&scope)) {
        return refuse(("invalid_scope", "スコープが無効です。"), "");
    }
    let Some(account) = practice.visitor(query.get("shop").map(String::as_str)) else {
        return refuse(("access_denied", "ユーザーが存在しません。"), "");
    };
    let outcome = if field("deny") == "1" {
        ("error", "access_denied".to_owned())
    } else {
        let text = secret();
        let code =
            Code { client: client.id, account: account.clone(), scopes: scopes.to_owned(), expires_ms: practice.now_ms() + CODE_LIVES_MS };
        if practice.state.keep_code(&text, &code).is_err() {
            return refuse(DB, &account);
        }
        ("code", text)
    };
    let state = query.get("state").map(|state| ("state", state.as_str()));
    let to = location(&client.redirect_uri, [Some((outcome.0, outcome.1.as_str())), state].into_iter().flatten());
    let mut response = (StatusCode::FOUND, [(header::LOCATION, to)]).into_response();
    response.extensions_mut().insert(Noted { account, detail: outcome.0.to_owned() });
    Ok(response)
}

/// The callback with these in its query.
fn location<'a>(callback: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut to = callback.to_owned();
    for (name, value) in pairs {
        let sign = if to.contains('?') { '&' } else { '?' };
        to.push(sign);
        to.push_str(name);
        to.push('=');
        to.push_str(&encoded(value));
    }
    to
}

fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// `POST /1/oauth/token`.
pub(in crate::sandbox) async fn token(State(practice): State<Arc<Practice>>, request: Request) -> Response {
    let is_post = request.method() == Method::POST;
    let basic = basic::client(request.headers());
    let mut fields = Form::<Fields>::from_request(request, &()).await.map(|Form(fields)| fields).unwrap_or_default();
    if let Some((id, secret)) = basic {
        fields.entry("client_id".to_owned()).or_insert(id);
        fields.entry("client_secret".to_owned()).or_insert(secret);
    }
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
    match field("grant_type") {
        "refresh_token" | "authorization_code" if field("redirect_uri") != client.redirect_uri => refuse(BAD_REQUEST, ""),
        "refresh_token" => refresh(practice, &client, field("refresh_token")),
        "authorization_code" => redeem(practice, &client, field("code")),
        _ => refuse(("invalid_request", "不正なgrant_typeです。"), ""),
    }
}

fn refresh(practice: &Practice, client: &Client, old: &str) -> Answer {
    if old.is_empty() {
        return refuse(BAD_REQUEST, "");
    }
    let now_ms = practice.now_ms();
    let Ok(Some((account, expires_ms))) = practice.state.refresher(Side::Base, old, &client.id, now_ms) else {
        return refuse(("invalid_request", "不正なリフレッシュトークンです。"), "");
    };
    if now_ms >= expires_ms {
        return refuse(("invalid_request", "リフレッシュトークンの有効期限が切れています。"), &account);
    }
    give(practice, &account, Some(old), now_ms)
}

fn redeem(practice: &Practice, client: &Client, code: &str) -> Answer {
    let now_ms = practice.now_ms();
    let Ok(Some(code)) = practice.state.take_code(code, &client.id) else {
        return refuse(("invalid_request", "不正な認可コードです。"), "");
    };
    if now_ms >= code.expires_ms {
        return refuse(("invalid_request", "認可コードの有効期限が切れています。"), &code.account);
    }
    give(practice, &code.account, None, now_ms)
}

/// A new pair. Access tokens that were given out before go on until they end.
fn give(practice: &Practice, account: &str, old: Option<&str>, now_ms: i64) -> Answer {
    let (access, refresh) = (secret(), secret());
    let old_until_ms = now_ms + practice.grace_ms(account);
    let rotation = Rotation { old, old_until_ms, new: &refresh, expires_ms: now_ms + REFRESH_LIVES_MS };
    if practice.state.grant(Side::Base, account, (&access, now_ms + ACCESS_LIVES_MS), Some(rotation)).is_err() {
        return refuse(SERVER, account);
    }
    let body = json!({ "access_token": access, "token_type": "bearer", "expires_in": ACCESS_LIVES_MS / 1000, "refresh_token": refresh });
    let detail = if old.is_some() { "refreshed" } else { "let in" };
    Ok(reply(StatusCode::OK, &body, Noted { account: account.to_owned(), detail: detail.to_owned() }))
}
