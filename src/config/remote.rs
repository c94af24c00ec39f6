//! The world outside as tasks.yaml names it: marketplaces, URLs, secrets.
use std::{collections::BTreeMap, ops::Range, path::Path, sync::Arc};

use super::{
    Amazon, Base, CallLimits, Ebay, EbayTerms, Marketplaces, PerPurpose, Rate, Secret, Source,
    env::read_secret,
    fault::{Fault, quote},
    keys::{AMAZON, BASE, CALLS, CURRENCIES, EBAY, EBAY_PRICES, MARKETPLACES, RESERVE, SECRET_FILE, SOURCE},
    read::{Reader, Reading, Table},
    tree::{Data, Entry, Node},
};

const LWA_ENDPOINT: &str = "https://api.amazon.com";
const BASE_ENDPOINT: &str = "https://api.thebase.in";
const EBAY_ENDPOINT: &str = "https://api.ebay.com";
/// A whole, in millionths.
const ALL: i64 = 1_000_000;

/// Reads `marketplaces`. One with a fault is left out.
pub(super) fn marketplaces(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> Marketplaces {
    let Some(table) = reader.table(&entry.value, &entry.key.span, &[MARKETPLACES]) else { return Marketplaces::default() };
    Marketplaces {
        amazon: table.entry("amazon").and_then(|entry| amazon(reader, entry, base_dir)),
        base: table.entry("base").and_then(|entry| base(reader, entry, base_dir)),
        ebay: table.entry("ebay").and_then(|entry| ebay(reader, entry, base_dir)),
    }
}

fn amazon(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> Option<Amazon> {
    let table = reader.table(&entry.value, &entry.key.span, &[AMAZON])?;
    let region = table.entry("region").and_then(|entry| reader.word(&entry.value, &entry.key.span, &["fe", "na", "eu"]));
    let marketplace_id = line(reader, table, "marketplace_id");
    let client_id = line(reader, table, "client_id");
    let client_secret = secret(reader, table, "client_secret", base_dir);
    let endpoint = endpoint(reader, table, "endpoint");
    let lwa_endpoint = self::endpoint(reader, table, "lwa_endpoint");
    let regional = format!("https://sellingpartnerapi-{}.amazon.com", region?);
    Some(Amazon {
        marketplace_id: marketplace_id?,
        client_id: client_id?,
        client_secret: client_secret?,
        endpoint: endpoint.unwrap_or(regional),
        lwa_endpoint: lwa_endpoint.unwrap_or_else(|| LWA_ENDPOINT.to_owned()),
    })
}

fn base(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> Option<Base> {
    let table = reader.table(&entry.value, &entry.key.span, &[BASE, CALLS])?;
    let client_id = line(reader, table, "client_id");
    let client_secret = secret(reader, table, "client_secret", base_dir);
    let redirect_uri = endpoint(reader, table, "redirect_uri");
    let endpoint = endpoint(reader, table, "endpoint");
    let calls = calls(reader, table);
    Some(Base {
        client_id: client_id?,
        client_secret: client_secret?,
        redirect_uri,
        endpoint: endpoint.unwrap_or_else(|| BASE_ENDPOINT.to_owned()),
        calls,
    })
}

fn ebay(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> Option<Ebay> {
    let table = reader.table(&entry.value, &entry.key.span, &[EBAY, EBAY_PRICES])?;
    let client_id = line(reader, table, "client_id");
    let client_secret = secret(reader, table, "client_secret", base_dir);
    let endpoint = endpoint(reader, table, "endpoint");
    let [marketplace_id, language] = ["marketplace_id", "language"].map(|key| line(reader, table, key));
    let terms = ["category_id", "location", "fulfillment_policy", "payment_policy", "return_policy"];
    let [category_id, location, fulfillment_policy, payment_policy, return_policy] = terms.map(|key| line(reader, table, key));
    let prices = reader.plain(table, &[EBAY_PRICES]);
    let currency = CURRENCIES.iter().find(|known| prices.text("currency").is_none_or(|word| word == **known));
    Some(Ebay {
        client_id: client_id?,
        client_secret: client_secret?,
        endpoint: endpoint.unwrap_or_else(|| EBAY_ENDPOINT.to_owned()),
        terms: EbayTerms {
            marketplace_id: marketplace_id.unwrap_or_else(|| "EBAY_US".to_owned()),
            language: language.unwrap_or_else(|| "en-US".to_owned()),
            currency: currency?,
            rate: Rate::new(prices.decimal("yen_per_unit")?),
            category_id: category_id?,
            location: location?,
            fulfillment_policy: fulfillment_policy?,
            payment_policy: payment_policy?,
            return_policy: return_policy?,
        },
    })
}

/// So many calls a second where the file does not say, in millionths: what the places themselves bear.
const CALLS_PER_SECOND: i64 = 3_000_000;

/// Reads `sources`. One with a fault is left out.
pub(super) fn sources(reader: &mut Reader<'_>, entry: &Entry, base_dir: &Path) -> BTreeMap<Arc<str>, Source> {
    let mut sources = BTreeMap::new();
    for entry in reader.named(&entry.value, &entry.key.span) {
        let Some(table) = reader.table(&entry.value, &entry.key.span, &[SOURCE]) else { continue };
        let plain = reader.plain(table, &[SOURCE]);
        let rate = plain.decimal("calls_per_second").unwrap_or(CALLS_PER_SECOND).max(1);
        let endpoint = endpoint(reader, table, "endpoint");
        let token = secret(reader, table, "token", base_dir);
        let proxy = proxy(reader, table);
        if let Some(endpoint) = endpoint {
            // Rounded up: never faster than it says.
            let interval_ms = 1_000_000_000_i64.div_euclid(rate).saturating_add(i64::from(1_000_000_000_i64.rem_euclid(rate) > 0));
            sources.insert(Arc::from(&*entry.key.text), Source { endpoint, interval_ms, token, proxy });
        }
    }
    sources
}

/// What a shop's calls are limited to.
fn calls(reader: &mut Reader<'_>, table: Table<'_>) -> CallLimits {
    let plain = reader.plain(table, &[CALLS]);
    let built_in = CallLimits::default();
    let mut reserve = built_in.reserve;
    if let Some(entry) = table.entry("reserve")
        && let Some(shares) = reader.params(&entry.value, &entry.key.span, &[RESERVE])
    {
        let share = |name, otherwise| shares.decimal(name).unwrap_or(otherwise);
        reserve = PerPurpose {
            sync: share("sync", reserve.sync),
            upload: share("upload", reserve.upload),
            manual: share("manual", reserve.manual),
        };
        if ALL <= reserve.total() {
            let message = format!("{}% is kept, and nothing is left for whoever comes first", reserve.total() / 10_000);
            reader.fault(&entry.value.span, message, "write shares that are less than 100% together, defaults included");
        }
    }
    let calls = |name, otherwise| plain.int(name).unwrap_or(otherwise);
    CallLimits { per_hour: calls("calls_per_hour", built_in.per_hour), per_day: calls("calls_per_day", built_in.per_day), reserve }
}

/// A text of one line that is not empty unless its variable need not be set.
pub(super) fn line(reader: &mut Reader<'_>, table: Table<'_>, key: &str) -> Option<String> {
    let entry = table.entry(key)?;
    let text = reader.text(&entry.value, &entry.key.span, "a text")?;
    one_line(reader, &text)
}

/// The same of a key that may be absent, or whose variable need not be set: then it is not given.
pub(super) fn line_if_given(reader: &mut Reader<'_>, table: Table<'_>, key: &str) -> Option<String> {
    line(reader, table, key).filter(|text| !text.is_empty())
}

fn one_line(reader: &mut Reader<'_>, text: &Reading) -> Option<String> {
    if text.text.chars().any(char::is_control) {
        reader.fault(&text.span, "this holds a line break or another control character", "check for a line feed at its end");
        return None;
    }
    if text.text.is_empty() && !reader.lenient() {
        reader.fault(&text.span, "this is empty", "check the variable");
        return None;
    }
    Some(text.text.clone())
}

fn endpoint(reader: &mut Reader<'_>, table: Table<'_>, key: &str) -> Option<String> {
    let entry = table.entry(key)?;
    let text = reader.whole(&entry.value, &entry.key.span, "a URL")?;
    url(reader, &text)
}

/// Reads a secret: `${NAME}` or `{file: PATH}`. One that stands in the file itself is a fault: tasks.yaml is kept, copied and shown.
pub(super) fn secret(reader: &mut Reader<'_>, table: Table<'_>, key: &str, base_dir: &Path) -> Option<Secret> {
    let entry = table.entry(key)?;
    let (node, at) = (&entry.value, &entry.key.span);
    if matches!(node.data, Data::Map(_)) {
        return secret_file(reader, node, at, base_dir);
    }
    let hint = "write `${NAME}`, or `{ file: PATH }`";
    if let Data::Scalar(scalar) = &node.data
        && !node.is_null()
        && !scalar.text.contains("${")
    {
        reader.faults.push(Fault::new(node.span.clone(), "a secret does not belong in this file").hint(hint).hidden());
        return None;
    }
    let text = reader.text(node, at, "a secret")?;
    one_line(reader, &text).map(Secret::new)
}

pub(super) fn secret_file(reader: &mut Reader<'_>, node: &Node, at: &Range<usize>, base_dir: &Path) -> Option<Secret> {
    let table = reader.table(node, at, &[SECRET_FILE])?;
    let entry = table.entry("file")?;
    let path = reader.whole(&entry.value, &entry.key.span, "a path")?;
    if reader.lenient() {
        return Some(Secret::default());
    }
    match read_secret(&base_dir.join(&path.text)) {
        Ok(secret) => Some(secret),
        Err(error) => {
            reader.faults.push(Fault::new(path.span, error.to_string()).maybe_hint(error.hint()));
            None
        }
    }
}

/// Reads an http or https URL without credentials; what is in it but the slash at its end. Plain http stays on this machine.
pub(super) fn url(reader: &mut Reader<'_>, text: &Reading) -> Option<String> {
    let hint = "write it like `https://host.example/path`";
    let Some(parts) = split_url(&text.text).filter(|parts| matches!(parts.scheme, "http" | "https")) else {
        reader.faults.push(Fault::new(text.span.clone(), "this is not an http or https URL").hint(hint).hidden());
        return None;
    };
    if parts.user {
        reader.faults.push(Fault::new(text.span.clone(), "a user or a password does not belong in this URL").hint(hint).hidden());
        return None;
    }
    if parts.scheme == "http" && !is_here(parts.host) {
        reader.fault(
            &text.span,
            format!("secrets would go to {} in the clear", quote(parts.host)),
            "write `https://`; plain `http://` is for this machine only",
        );
        return None;
    }
    Some(text.text.trim_end_matches('/').to_owned())
}

/// Reads the URL of a proxy, credentials and all.
pub(super) fn proxy(reader: &mut Reader<'_>, table: Table<'_>) -> Option<Secret> {
    let entry = table.entry("proxy")?;
    let text = reader.whole(&entry.value, &entry.key.span, "the URL of a proxy")?;
    let good = split_url(&text.text).is_some_and(|parts| matches!(parts.scheme, "http" | "https" | "socks5" | "socks5h"));
    if !good {
        let hint = "write it like `http://host:3128` or `socks5h://host:1080`";
        reader.faults.push(Fault::new(text.span, "this is not the URL of a proxy").hint(hint).hidden());
    }
    good.then(|| Secret::new(text.text))
}

/// Reads an address and a port to listen at.
pub(super) fn address(reader: &mut Reader<'_>, text: &Reading) -> Option<String> {
    let good = text.text.parse::<std::net::SocketAddr>().is_ok();
    if !good {
        reader.fault(&text.span, format!("{} is not an address and a port", quote(&text.text)), "write it like `127.0.0.1:9700`");
    }
    good.then(|| text.text.clone())
}

pub(super) struct UrlParts<'t> {
    pub(super) scheme: &'t str,
    /// There is a user or a password.
    pub(super) user: bool,
    pub(super) host: &'t str,
    /// `None`: it is not said.
    pub(super) port: Option<u16>,
}

/// Takes a URL apart as far as is needed here; `None` for what is none, or has a query or a fragment.
pub(super) fn split_url(text: &str) -> Option<UrlParts<'_>> {
    if text.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '?' | '#' | '\\')) {
        return None;
    }
    let (scheme, rest) = text.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (user, address) = authority.rsplit_once('@').map_or((false, authority), |(_, address)| (true, address));
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("0"))?),
        None => address.split_once(':').unwrap_or((address, "0")),
    };
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let port = port.parse::<u16>().ok()?;
    (!host.is_empty() && host.chars().all(fits)).then_some(UrlParts { scheme, user, host, port: Some(port).filter(|port| *port != 0) })
}

/// An http URL of this machine.
pub(super) fn is_plain_and_here(url: &str) -> bool {
    split_url(url).is_some_and(|parts| parts.scheme == "http" && is_here(parts.host))
}

pub(super) fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parts = |text| split_url(text).map(|parts| (parts.scheme, parts.user, parts.host));
        assert_eq!(parts("https://a.example:8080/x/y"), Some(("https", false, "a.example")));
        assert_eq!(parts("http://u:p@[::1]:1"), Some(("http", true, "::1")));
        assert_eq!(parts("http://127.0.0.1"), Some(("http", false, "127.0.0.1")));
        for text in [
            "",
            "a.example",
            "https://",
            "https://a b",
            "https://a:port",
            "https://a:99999",
            "https://a/?q=1",
            "https://a/#f",
            "http://[::1",
            "http://[::1]x",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}
