//! Where the dashboard and the API listen, as tasks.yaml says it. Whatever is reached from beyond this machine needs a token and a certificate.
use std::{net::SocketAddr, path::Path};

use super::{
    HttpConfig, TlsFiles,
    fault::quote,
    keys::HTTP,
    read::{Reader, Table},
    remote,
    tree::Entry,
};
use crate::core::value::Value;

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9700);

/// A shorter token can be guessed by trying.
const TOKEN_MIN: usize = 16;

/// Reads `http`.
pub(super) fn http(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> Option<HttpConfig> {
    let table = reader.table(&entry.value, &entry.key.span, &[HTTP])?;
    let plain = reader.plain(table, &[HTTP]);
    let listen = plain.text("listen").map_or(Some(LISTEN), |text| text.parse().ok())?;
    let token = remote::secret(reader, table, "token", base_dir).filter(|token| !token.is_unset());
    if token.as_ref().is_some_and(|token| token.expose().chars().count() < TOKEN_MIN) {
        reader.fault(
            &table.place("token"),
            format!("a token of fewer than {TOKEN_MIN} characters can be guessed"),
            "make one with `openssl rand -hex 32`",
        );
    }
    let tls =
        plain.table("tls").and_then(|tls| Some(TlsFiles { cert: base_dir.join(tls.text("cert")?), key: base_dir.join(tls.text("key")?) }));
    let allowed_hosts = allowed_hosts(reader, table, plain.list("allowed_hosts"));
    if !listen.ip().is_loopback() {
        let lacks = |key| table.entry(key).is_none();
        let missing: Vec<&str> = ["token", "tls"].into_iter().filter(|key| lacks(key)).collect();
        if !missing.is_empty() {
            let message =
                format!("{} can be reached from other machines, and {} is missing", quote(&listen.to_string()), missing.join(" and "));
            reader.fault(&table.place("listen"), message, "add it, or listen on `127.0.0.1` and come in through SSH or a reverse proxy");
        }
    }
    Some(HttpConfig { listen, token, tls, allowed_hosts })
}

fn allowed_hosts(reader: &mut Reader<'_>, table: Table<'_>, values: &[Value]) -> Vec<String> {
    let mut hosts = Vec::new();
    for value in values {
        let Value::Text(host) = value else { continue };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        if host.is_empty() || !host.chars().all(fits) {
            reader.fault(
                &table.place("allowed_hosts"),
                format!("{} is not a host name", quote(host)),
                "write it like `taskrun.example.com`, without a port",
            );
        }
        hosts.push(host.to_ascii_lowercase());
    }
    hosts
}
