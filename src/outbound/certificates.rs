//! How an HTTP client is built on any machine, also on one without a certificate store.
use std::{error::Error, sync::Once};

use reqwest::{Client, ClientBuilder};

/// That the machine has none is said once, not by every client.
static TOLD: Once = Once::new();

/// Builds a client. `builder` is asked a second time where the machine has no certificates, not even for plain http: then those built in do.
pub(crate) fn build<E: From<String>>(builder: impl Fn() -> Result<ClientBuilder, E>) -> Result<Client, E> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // An error means that somebody was faster.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
    match builder()?.build() {
        Ok(client) => Ok(client),
        Err(error) => {
            TOLD.call_once(|| tracing::warn!("no certificates of the system ({}); using those built in", deepest(&error)));
            let built_in =
                webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter_map(|certificate| reqwest::Certificate::from_der(certificate).ok());
            builder()?.tls_certs_only(built_in).build().map_err(|error| deepest(&error).into())
        }
    }
}

/// The innermost cause: it names no URL.
pub(crate) fn deepest(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
