//! Whether a server is there: asked for nothing, on the way that calls to it go.
use jiff::Timestamp;
use reqwest::header;

use super::{CallError, http::Http};
use crate::core::value::Secret;

/// Asks a server for nothing, and without any login. It answers, whatever it says: what its clock shows, if it tells.
///
/// # Errors
/// No answer came, or the proxy can't be used.
pub async fn reach(endpoint: &str, proxy: Option<&Secret>) -> Result<Option<Timestamp>, CallError> {
    const WHAT: &str = "a server's sign of life";
    let http = Http::new(endpoint, proxy);
    let answer = http.send(WHAT, http.head(WHAT)?).await?;
    let date = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
    Ok(date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|date| date.timestamp()))
}
