//! Whom tasks may call outside: the hosts that the file names, and the values that go there, secrets among them.
use std::{fmt, fmt::Write as _, net::IpAddr, ops::Range, rc::Rc};

use super::{
    amount::Misfit,
    fault::{Fault, quote},
    keys::HTTP_HOST,
    read::{Reader, Reading},
    remote,
    tree::{Data, Entry, Node},
};
use crate::core::value::{Secret, Value, Veiled};

/// A host that may be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    name: String,
    /// Not the name itself, but all below it.
    is_below: bool,
    /// `None`: the scheme's own.
    port: Option<u16>,
    /// It may be an address of one's own network or machine.
    pub is_private: bool,
}

impl AllowedHost {
    /// Reads `example.com`, `*.example.com:8443`, `192.0.2.1` or `[::1]:8080`.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn parse(text: &str, is_private: bool) -> Result<Self, Misfit> {
        let wrong = || Misfit::new(format!("{} is not a host", quote(text)), "write `example.com`, `*.example.com` or `example.com:8443`");
        let (host, port) = split_port(text).ok_or_else(wrong)?;
        let (is_below, name) = host.strip_prefix("*.").map_or((false, host), |rest| (true, rest));
        let name = canonical(name).ok_or_else(wrong)?;
        if is_below && name.parse::<IpAddr>().is_ok() {
            return Err(wrong());
        }
        Ok(Self { name, is_below, port, is_private })
    }

    /// Whether it is this one. `own_port`: the scheme's.
    pub fn covers(&self, host: &str, port: u16, own_port: u16) -> bool {
        let Some(host) = canonical(host) else { return false };
        let is_it = if self.is_below {
            host.strip_suffix(&*self.name).and_then(|rest| rest.strip_suffix('.')).is_some_and(|rest| !rest.is_empty())
        } else {
            host == self.name
        };
        is_it && self.port.unwrap_or(own_port) == port
    }

    /// Whether it names this very address.
    pub fn is_literally(&self, address: IpAddr) -> bool {
        !self.is_below && self.name.parse() == Ok(address)
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.is_below { "*." } else { "" };
        let name = if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() };
        write!(f, "{below}{name}{}", self.port.map_or_else(String::new, |port| format!(":{port}")))
    }
}

/// The host, without brackets, and its port.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').filter(|(host, _)| host.contains(':'))?,
        None => text.find(':').map_or((text, ""), |at| text.split_at(at)),
    };
    match rest.strip_prefix(':') {
        Some(port) => Some((host, Some(port.parse().ok().filter(|port| *port != 0)?))),
        None => rest.is_empty().then_some((host, None)),
    }
}

/// The one spelling of a host; `None`: it is neither a name nor an address. A name that ends in a number is an address in disguise.
fn canonical(host: &str) -> Option<String> {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(address.to_string());
    }
    let host = host.to_ascii_lowercase();
    let fits = |label: &str| {
        (1..=63).contains(&label.len()) && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_'))
    };
    let is_number = host.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()));
    (host.len() <= 253 && host.split('.').all(fits) && !is_number).then_some(host)
}

/// Reads `http_hosts`.
pub(super) fn hosts(reader: &mut Reader<'_>, entry: &Entry) -> Vec<AllowedHost> {
    let at = &entry.key.span;
    let nodes: Vec<_> = reader.elements(&entry.value, at, "a list of hosts").iter().map(Rc::clone).collect();
    nodes.iter().filter_map(|node| host(reader, node, at)).collect()
}

fn host(reader: &mut Reader<'_>, node: &Rc<Node>, at: &Range<usize>) -> Option<AllowedHost> {
    let (text, is_private) = if matches!(node.data, Data::Map(_)) {
        let table = reader.table(node, &node.span, &[HTTP_HOST])?;
        let plain = reader.plain(table, &[HTTP_HOST]);
        let entry = table.entry("host")?;
        (reader.whole(&entry.value, &entry.key.span, "a host")?, plain.bool("private").unwrap_or(false))
    } else {
        (reader.whole(node, at, "a host")?, false)
    };
    match AllowedHost::parse(&text.text, is_private) {
        Ok(host) => Some(host),
        Err(misfit) => {
            reader.faults.push(Fault::new(text.span, misfit.message).maybe_hint(misfit.hint));
            None
        }
    }
}

/// Reads a URL that is called. What a variable brought in is a secret: many services take a key as part of the URL.
pub(super) fn call_url(reader: &mut Reader<'_>, node: &Node, at: &Range<usize>) -> Option<Value> {
    let text = reader.whole(node, at, "a URL")?;
    let hidden = |reader: &mut Reader<'_>, message: &str, hint: &str| {
        reader.faults.push(Fault::new(text.span.clone(), message).hint(hint).hidden());
        None
    };
    let (path, query) = text.text.split_once('?').map_or((&*text.text, ""), |(path, query)| (path, query));
    let has_gap = query.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '#' | '\\'));
    let Some(parts) = remote::split_url(path).filter(|parts| !has_gap && matches!(parts.scheme, "http" | "https")) else {
        return hidden(reader, "this is not an http or https URL", "write it like `https://host.example/path?key=value`");
    };
    if parts.user {
        return hidden(reader, "a user or a password does not belong in this URL", "put it into `headers`, as in `Authorization`");
    }
    let own_port = if parts.scheme == "http" { 80 } else { 443 };
    let port = parts.port.unwrap_or(own_port);
    let found = reader.hosts.as_ref().map(|hosts| hosts.iter().find(|host| host.covers(parts.host, port, own_port)).cloned());
    match found {
        Some(None) => {
            let place = if port == own_port { parts.host.to_owned() } else { format!("{}:{port}", parts.host) };
            let hint = format!(
                "add {place:?} to `http_hosts` at the top of the file; `{{ host: {place:?}, private: true }}` for one's own network"
            );
            reader.fault(&text.span, format!("this file does not say that {} may be called", quote(&place)), hint);
            return None;
        }
        Some(Some(host)) if parts.scheme == "http" && !host.is_private => {
            let message = format!("what is said to {} would go in the clear", quote(parts.host));
            reader.fault(&text.span, message, "write `https://`; plain `http://` is for hosts with `private: true`");
            return None;
        }
        Some(Some(_)) | None => {}
    }
    Some(veil(text))
}

/// Reads a text in which what comes from variables is secret, or a secret's file.
pub(super) fn sensitive(reader: &mut Reader<'_>, node: &Node, at: &Range<usize>) -> Option<Value> {
    if matches!(node.data, Data::Map(_)) {
        let base_dir = reader.base_dir.clone();
        let secret = remote::secret_file(reader, node, at, &base_dir)?;
        return Some(Value::Veiled(Veiled::new(secret.expose().to_owned(), vec![secret])));
    }
    reader.text(node, at, "a text, or `{ file: PATH }`").map(veil)
}

fn veil(text: Reading) -> Value {
    let secrets: Vec<_> = text.filled.into_iter().filter(|value| !value.is_empty()).map(Secret::new).collect();
    if secrets.is_empty() { Value::Text(text.text.into()) } else { Value::Veiled(Veiled::new(text.text, secrets)) }
}

/// Reads whatever JSON can say into its text. What is quoted is a text; `true`, `null` and numbers are themselves.
pub(super) fn json(reader: &mut Reader<'_>, node: &Node) -> Option<Value> {
    let (mut out, mut secrets) = (String::new(), Vec::new());
    write_json(reader, node, &mut out, &mut secrets)?;
    Some(if secrets.is_empty() { Value::Text(out.into()) } else { Value::Veiled(Veiled::new(out, secrets)) })
}

fn write_json(reader: &mut Reader<'_>, node: &Node, out: &mut String, secrets: &mut Vec<Secret>) -> Option<()> {
    match &node.data {
        Data::Scalar(_) if node.is_null() => out.push_str("null"),
        Data::Scalar(scalar) if scalar.plain && is_literal(&scalar.text) => out.push_str(&scalar.text),
        Data::Scalar(_) => {
            let text = reader.text(node, &node.span, "a text")?;
            quote_json(&text.text, out);
            secrets.extend(text.filled.into_iter().filter(|value| !value.is_empty()).map(Secret::new));
        }
        Data::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                write_json(reader, item, out, secrets)?;
            }
            out.push(']');
        }
        Data::Map(entries) => {
            out.push('{');
            for (index, entry) in entries.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                quote_json(&entry.key.text, out);
                out.push(':');
                write_json(reader, &entry.value, out, secrets)?;
            }
            out.push('}');
        }
    }
    Some(())
}

/// `true`, `false`, or a number as JSON writes it: a telephone number that begins with 0 is a text.
fn is_literal(text: &str) -> bool {
    if matches!(text, "true" | "false") {
        return true;
    }
    let whole = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = whole.split_once('.').map_or((whole, None), |(whole, part)| (whole, Some(part)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole) && (whole == "0" || !whole.starts_with('0')) && part.is_none_or(digits)
}

fn quote_json(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Into a text, nothing can go wrong.
            c if c.is_control() => write!(out, "\\u{:04x}", u32::from(c)).unwrap_or_default(),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_covers_itself_with_its_port_and_nothing_else() {
        let host = |text| AllowedHost::parse(text, false).unwrap();
        let yes = [
            ("example.com", "example.com", 443),
            ("example.com", "EXAMPLE.com", 443),
            ("example.com:8443", "example.com", 8443),
            ("*.example.com", "a.example.com", 443),
            ("*.example.com", "a.b.example.com", 443),
            ("127.0.0.1:80", "127.0.0.1", 80),
            ("[::1]:80", "[::1]", 80),
            ("[0:0:0:0:0:0:0:1]:80", "::1", 80),
        ];
        for (allowed, called, port) in yes {
            assert!(host(allowed).covers(called, port, 443), "{allowed} {called}:{port}");
        }
        let no = [
            ("example.com", "example.com", 8443),
            ("example.com:8443", "example.com", 443),
            ("example.com", "a.example.com", 443),
            ("*.example.com", "example.com", 443),
            ("*.example.com", ".example.com", 443),
            ("*.example.com", "badexample.com", 443),
            ("example.com", "example.com.", 443),
            ("example.com", "example.com.evil.test", 443),
            ("127.0.0.1", "127.1", 443),
        ];
        for (allowed, called, port) in no {
            assert!(!host(allowed).covers(called, port, 443), "{allowed} {called}:{port}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in [
            "",
            "*",
            "*.",
            "a b",
            "https://a",
            "a/b",
            "a:0",
            "a:99999",
            "a:b",
            "127.1",
            "0x7f.1",
            "2130706433",
            "*.10.0.0.1",
            "::1",
            "a..b",
            "a.",
            "u@a",
        ] {
            assert!(AllowedHost::parse(text, false).is_err(), "{text}");
        }
    }

    #[test]
    fn json_keeps_texts_and_numbers_apart() {
        for (text, is) in [
            ("true", true),
            ("12", true),
            ("-0.5", true),
            ("0", true),
            ("012", false),
            ("1e5", false),
            ("1.", false),
            ("yes", false),
            ("", false),
        ] {
            assert_eq!(is_literal(text), is, "{text}");
        }
        let mut out = String::new();
        quote_json("a\"b\\c\nあ", &mut out);
        assert_eq!(out, "\"a\\\"b\\\\c\\u000aあ\"");
    }
}
