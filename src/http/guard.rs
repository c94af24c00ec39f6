//! Who may come in over TCP. The local socket needs none of this: only its owner can open it.
//!
//! A page of another site can make a browser send requests to this machine; so whoever names another host, comes from another origin, or changes
//! something without the token is refused, whatever the address.
use std::{net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use subtle::ConstantTimeEq as _;

use super::answer::ApiError;
use crate::core::value::Secret;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Everything comes from here, nothing runs that stands in the page itself, and nobody shows it in a frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; \
    manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The longest head of a request.
pub(super) const HEAD_MAX: usize = 32 << 10;

/// What is asked of whoever comes in.
#[derive(Debug)]
pub(super) struct Guard {
    pub(super) token: Secret,
    /// The address that is listened on.
    pub(super) address: IpAddr,
    /// Names besides the address and those of this machine; lower case.
    pub(super) hosts: Vec<String>,
    pub(super) is_tls: bool,
}

impl Guard {
    /// The reason to refuse a request, if there is one.
    fn refusal(&self, request: &Request) -> Option<ApiError> {
        let headers = request.headers();
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if HEAD_MAX < size + request.uri().path().len() + request.uri().query().map_or(0, str::len) {
            return Some(ApiError::new(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too_large", "the head of the request is too large"));
        }
        let host = match self.host(request) {
            Ok(host) => host,
            Err(refusal) => return Some(refusal),
        };
        let path = request.uri().path();
        let is_page = !is_api(path);
        if let Some(refusal) = self.foreign(headers, &host, is_page && request.method() == Method::GET) {
            return Some(refusal);
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
        // A page asks for the token itself; those who look after the process only want to know whether it lives.
        let is_open = is_read && (self.address.is_loopback() || is_page || path == "/health");
        (!is_open && !self.has_token(headers))
            .then(|| ApiError::new(StatusCode::UNAUTHORIZED, "no_token", "this needs the token: `Authorization: Bearer TOKEN`"))
    }

    /// The host that the request names. One that is not ours is a name that somebody else has made to lead here.
    fn host(&self, request: &Request) -> Result<Authority, ApiError> {
        let named = only(request.headers(), &header::HOST)?.and_then(|host| host.parse::<Authority>().ok());
        let Some(named) = named else { return Err(ApiError::bad("the request does not name its host")) };
        let also = request.uri().authority().cloned();
        let is_ours = |authority: &Authority| self.is_ours(authority.host()) && !authority.as_str().contains('@');
        if is_ours(&named) && also.as_ref().is_none_or(is_ours) {
            return Ok(named);
        }
        let message = "taskrun is not known by this name; add it to `http.allowed_hosts` if it should be";
        Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "wrong_host", message))
    }

    fn is_ours(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback() || address == self.address) || self.hosts.contains(&host)
    }

    /// The request comes from a page of another site. A link to the dashboard may stand anywhere.
    fn foreign(&self, headers: &HeaderMap, host: &Authority, is_link: bool) -> Option<ApiError> {
        let refuse = || Some(ApiError::new(StatusCode::FORBIDDEN, "wrong_origin", "this comes from a page of another site"));
        let scheme = if self.is_tls { "https" } else { "http" };
        match only(headers, &header::ORIGIN) {
            Err(refusal) => return Some(refusal),
            Ok(Some(origin)) if !origin.eq_ignore_ascii_case(&format!("{scheme}://{host}")) => return refuse(),
            Ok(_) => {}
        }
        match only(headers, &SEC_FETCH_SITE) {
            Err(refusal) => Some(refusal),
            Ok(None | Some("same-origin" | "none")) => None,
            Ok(Some(_)) if is_link => None,
            Ok(Some(_)) => refuse(),
        }
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Ok(Some(given)) = only(headers, &header::AUTHORIZATION) else { return false };
        let token = given.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        token.is_some_and(|token| token.as_bytes().ct_eq(self.token.expose().as_bytes()).into())
    }
}

/// Whether a path is for programs; what else there is are the pages.
fn is_api(path: &str) -> bool {
    path.starts_with("/api/") || matches!(path, "/health" | "/ready" | "/metrics")
}

/// The only value of a header. Two are one too many: who knows which of them counts elsewhere.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, ApiError> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::bad(format!("`{name}` is there twice")));
    }
    first.map(|value| value.to_str().map_err(|_| ApiError::bad(format!("`{name}` is no text")))).transpose()
}

/// Lets in, or refuses.
pub(super) async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let is_tls = guard.is_tls;
    let mut response = match guard.refusal(&request) {
        Some(refusal) => refusal.into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    if is_tls {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// What every answer tells a browser.
pub(super) async fn with_headers(request: Request, next: Next) -> Response {
    let is_api = is_api(request.uri().path());
    let mut response = next.run(request).await;
    let needs_token = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    let mut say = |name: HeaderName, value: &'static str| headers.insert(name, HeaderValue::from_static(value));
    say(header::CONTENT_SECURITY_POLICY, POLICY);
    say(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    say(header::X_FRAME_OPTIONS, "DENY");
    say(header::REFERRER_POLICY, "no-referrer");
    say(HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
    say(HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
    if is_api {
        say(header::CACHE_CONTROL, "no-store");
    }
    if needs_token {
        say(header::WWW_AUTHENTICATE, "Bearer realm=\"taskrun\"");
    }
    response
}
