//! Calls to hosts that tasks.yaml names, and to nobody else.
//!
//! A URL may come from a variable and a name's address from anybody, so both are judged: the host by the list under `http_hosts`, and the address that is
//! really connected, after it was resolved. No proxy of the environment is used, and no redirect leads to another host.
#![warn(missing_docs)]
use std::{fmt, io, net::IpAddr, sync::Arc, time::Duration};

use jiff::SignedDuration;
use reqwest::{
    Client, Method, Response, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    header::{self, HeaderMap, HeaderName, HeaderValue},
    redirect,
};

use crate::{clock::BoxFuture, config::outside::AllowedHost};

mod address;
pub(crate) mod certificates;

use address::Reach;
pub use address::reach;

/// Redirects that a read follows, within its host.
const REDIRECTS_MAX: usize = 5;
/// A host that is there answers a connection at once.
const CONNECT_MAX: Duration = Duration::from_secs(10);
const USER_AGENT: &str = concat!("taskrun/", env!("CARGO_PKG_VERSION"));
/// Nobody is left alone for longer than this because of a header.
const ASKED_MAX: u32 = 3_600;

/// Turns names into addresses.
pub trait Resolver: Send + Sync + fmt::Debug {
    /// The addresses of a host, best first.
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, 0)).await?.map(|address| address.ip()).collect()) })
    }
}

/// The way to the hosts that may be called.
#[derive(Clone, Debug)]
pub struct Outbound {
    /// `None`: practice, where nobody outside is called.
    hosts: Option<Arc<[AllowedHost]>>,
    resolver: Arc<dyn Resolver>,
}

/// A request to be made.
#[derive(Clone)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// Where to; may hold secrets.
    pub url: String,
    /// Names and values; may hold secrets.
    pub headers: Vec<(String, String)>,
    /// May hold secrets.
    pub body: Option<String>,
    /// How long all of it may take, redirects included, in real time.
    pub timeout: Duration,
    /// A longer answer is an error.
    pub body_max: usize,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// When the server wants to be asked again; an hour at most.
    pub retry_after: Option<SignedDuration>,
    /// All of it.
    pub body: Vec<u8>,
}

/// Why there is no answer. No message holds more of a URL than its host.
#[derive(Debug, thiserror::Error)]
pub enum CallFault {
    /// Nobody outside is called.
    #[error("this is practice: nobody outside is called")]
    Practice,
    /// It is no URL, or has a user in it.
    #[error("the URL can't be used: {0}")]
    Url(&'static str),
    /// The host is not among those that the file names.
    #[error("`http_hosts` does not name `{host}`")]
    Host {
        /// Host and port.
        host: String,
    },
    /// The connection would be in the clear.
    #[error("`{host}` is not called by plain http: that is for hosts with `private: true`")]
    Clear {
        /// The host.
        host: String,
    },
    /// The name leads where it must not.
    #[error("`{host}` leads to {address}, {why}")]
    Address {
        /// The host.
        host: String,
        /// One of its addresses.
        address: IpAddr,
        /// What that is, and what to do.
        why: &'static str,
    },
    /// A header or the method can't be sent.
    #[error("the header `{0}` can't be sent: its name or value has characters that headers can't have")]
    Header(String),
    /// The server sends us elsewhere.
    #[error("`{from}` answers with a redirect to {to}, which is not followed")]
    Redirect {
        /// The host that was asked.
        from: String,
        /// Another host, in words.
        to: String,
    },
    /// The server sends us round and round.
    #[error("`{0}` answers with more than {REDIRECTS_MAX} redirects")]
    Redirects(String),
    /// No client can be built.
    #[error("no call can be made: {0}")]
    Client(String),
    /// The name has no address.
    #[error("`{host}` can't be resolved: {why}")]
    Name {
        /// The host.
        host: String,
        /// What the resolver said.
        why: String,
    },
    /// Nobody is there.
    #[error("no connection to `{host}`: {why}")]
    Connection {
        /// The host.
        host: String,
        /// What happened.
        why: String,
    },
    /// It took too long.
    #[error("no answer from `{host}` within {after:?}")]
    Late {
        /// The host.
        host: String,
        /// The limit.
        after: Duration,
    },
    /// The connection broke.
    #[error("the connection to `{host}` broke: {why}")]
    Broke {
        /// The host.
        host: String,
        /// What happened.
        why: String,
    },
    /// The answer is too long.
    #[error("the answer of `{host}` is longer than {max} bytes")]
    Long {
        /// The host.
        host: String,
        /// The limit.
        max: usize,
    },
}

impl From<String> for CallFault {
    fn from(why: String) -> Self {
        Self::Client(why)
    }
}

impl CallFault {
    /// Whether the same call may fare better later.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Name { .. } | Self::Connection { .. } | Self::Late { .. } | Self::Broke { .. } | Self::Client(_) => true,
            Self::Practice
            | Self::Url(_)
            | Self::Host { .. }
            | Self::Clear { .. }
            | Self::Address { .. }
            | Self::Header(_)
            | Self::Redirect { .. }
            | Self::Redirects(_)
            | Self::Long { .. } => false,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("url", &shown(&self.url)).finish_non_exhaustive()
    }
}

/// A URL for people: without user, password, and what its query says.
pub fn shown(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return "a URL that can't be read".to_owned() };
    if url.set_username("").and(url.set_password(None)).is_err() {
        return "a URL without a host".to_owned();
    }
    url.set_fragment(None);
    let has_query = url.query().is_some();
    url.set_query(None);
    format!("{url}{}", if has_query { "?***" } else { "" })
}

impl Outbound {
    /// The way to these hosts; `None`: nobody is called.
    pub fn new(hosts: Option<Arc<[AllowedHost]>>, resolver: Arc<dyn Resolver>) -> Self {
        Self { hosts, resolver }
    }

    /// Makes a call and reads the whole answer, within its limits. A `GET` or `HEAD` follows redirects within its host.
    ///
    /// # Errors
    /// When there is no answer. An answer of any status is one.
    pub async fn call(&self, request: &Request) -> Result<Reply, CallFault> {
        let late = || CallFault::Late { host: host_of(&request.url), after: request.timeout };
        tokio::time::timeout(request.timeout, self.follow(request)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn follow(&self, request: &Request) -> Result<Reply, CallFault> {
        let mut url = Url::parse(&request.url).map_err(|_| CallFault::Url("it is none"))?;
        let headers = headers(&request.headers)?;
        let follows = matches!(request.method, Method::GET | Method::HEAD);
        for _ in 0..=REDIRECTS_MAX {
            let client = self.client_for(&url, request.timeout)?;
            let host = host_and_port(&url);
            let mut to_send = client.request(request.method.clone(), url.clone()).headers(headers.clone());
            if let Some(body) = &request.body {
                to_send = to_send.body(body.clone());
            }
            let response = to_send.send().await.map_err(|error| no_answer(&host, request.timeout, &error))?;
            let is_elsewhere = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
            match response.headers().get(header::LOCATION) {
                Some(location) if is_elsewhere && follows => url = next(&url, location)?,
                Some(_) | None => return read(response, &host, request).await,
            }
        }
        Err(CallFault::Redirects(host_and_port(&url)))
    }

    /// A client for this URL alone: it connects to no address that was not judged.
    fn client_for(&self, url: &Url, timeout: Duration) -> Result<Client, CallFault> {
        let Some(hosts) = &self.hosts else { return Err(CallFault::Practice) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(CallFault::Url("a user or a password does not belong there; use a header"));
        }
        let own_port = match url.scheme() {
            "https" => 443,
            "http" => 80,
            _ => return Err(CallFault::Url("it is neither http nor https")),
        };
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(CallFault::Url("it names no host"));
        };
        let allowed = hosts.iter().find(|allowed| allowed.covers(host, port, own_port));
        let allowed = allowed.ok_or_else(|| CallFault::Host { host: host_and_port(url) })?.clone();
        if own_port == 80 && !allowed.is_private {
            return Err(CallFault::Clear { host: host_and_port(url) });
        }
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = bare.parse() {
            // An address is connected without being resolved.
            judge(&allowed, host, address)?;
        }
        let judged = Arc::new(Judged { allowed, resolver: Arc::clone(&self.resolver) });
        certificates::build(|| {
            Ok(Client::builder()
                .user_agent(USER_AGENT)
                .no_proxy()
                .redirect(redirect::Policy::none())
                .connect_timeout(CONNECT_MAX.min(timeout))
                .timeout(timeout)
                .dns_resolver(Arc::clone(&judged)))
        })
    }
}

/// Gives a connection only addresses that it may have. What is judged here is what is connected: nobody asks again in between.
#[derive(Debug)]
struct Judged {
    allowed: AllowedHost,
    resolver: Arc<dyn Resolver>,
}

impl Resolve for Judged {
    fn resolve(&self, name: Name) -> Resolving {
        let (allowed, host) = (self.allowed.clone(), name.as_str().to_owned());
        let addresses = self.resolver.resolve(host.clone());
        Box::pin(async move {
            let unresolved = |why: String| CallFault::Name { host: host.clone(), why };
            let addresses = addresses.await.map_err(|error| unresolved(error.to_string()))?;
            if addresses.is_empty() {
                return Err(unresolved("it has no address".to_owned()).into());
            }
            for address in &addresses {
                judge(&allowed, &host, *address)?;
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| (address, 0).into()));
            Ok(addresses)
        })
    }
}

/// Whether a host may lead to an address.
fn judge(allowed: &AllowedHost, host: &str, address: IpAddr) -> Result<(), CallFault> {
    let why = match reach(address) {
        Reach::Public => return Ok(()),
        Reach::Private if allowed.is_private => return Ok(()),
        Reach::Link if allowed.is_private && allowed.is_literally(address) => return Ok(()),
        Reach::Private => {
            "which is one's own network or machine; where that is meant, name the host with `private: true` under `http_hosts`"
        }
        Reach::Link => {
            "where a machine's own keys may be; only an entry of `http_hosts` with this very address and `private: true` allows it"
        }
        Reach::Nowhere => "which is nobody's address",
    };
    Err(CallFault::Address { host: host.to_owned(), address, why })
}

fn headers(headers: &[(String, String)]) -> Result<HeaderMap, CallFault> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let wrong = || CallFault::Header(name.clone());
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        map.append(key, value);
    }
    Ok(map)
}

/// Where a redirect leads, if that is the same host.
fn next(url: &Url, location: &HeaderValue) -> Result<Url, CallFault> {
    let refused = |to: &str| CallFault::Redirect { from: host_and_port(url), to: to.to_owned() };
    let location = location.to_str().map_err(|_| refused("what is no URL"))?;
    let to = url.join(location).map_err(|_| refused("what is no URL"))?;
    let is_upgrade = url.scheme() == "http" && to.scheme() == "https" && to.port().is_none() && url.port().is_none();
    let is_same =
        url.host_str() == to.host_str() && url.scheme() == to.scheme() && url.port_or_known_default() == to.port_or_known_default();
    if is_same || is_upgrade && url.host_str() == to.host_str() {
        Ok(to)
    } else {
        Err(refused(&format!("`{}://{}`", to.scheme(), host_and_port(&to))))
    }
}

async fn read(mut response: Response, host: &str, request: &Request) -> Result<Reply, CallFault> {
    let status = response.status().as_u16();
    let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u32>().ok());
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| no_answer(host, request.timeout, &error))? {
        if request.body_max < body.len().saturating_add(chunk.len()) {
            return Err(CallFault::Long { host: host.to_owned(), max: request.body_max });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status, retry_after: retry_after.map(|seconds| SignedDuration::from_secs(seconds.min(ASKED_MAX).into())), body })
}

fn no_answer(host: &str, timeout: Duration, error: &reqwest::Error) -> CallFault {
    let host = host.to_owned();
    if let Some(fault) = judged_fault(error) {
        return fault;
    }
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => CallFault::Connection { host, why: format!("nobody answers within {:?}", CONNECT_MAX.min(timeout)) },
        (true, false) => CallFault::Connection { host, why: certificates::deepest(error) },
        (false, true) => CallFault::Late { host, after: timeout },
        (false, false) => CallFault::Broke { host, why: certificates::deepest(error) },
    }
}

/// What our own resolver refused, within the client's error.
fn judged_fault(error: &reqwest::Error) -> Option<CallFault> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<CallFault>() {
            Some(CallFault::Address { host, address, why }) => {
                return Some(CallFault::Address { host: host.clone(), address: *address, why });
            }
            Some(CallFault::Name { host, why }) => return Some(CallFault::Name { host: host.clone(), why: why.clone() }),
            Some(_) | None => cause = error.source(),
        }
    }
    None
}

fn host_of(url: &str) -> String {
    Url::parse(url).map_or_else(|_| "?".to_owned(), |url| host_and_port(&url))
}

fn host_and_port(url: &Url) -> String {
    let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}{port}", url.host_str().unwrap_or("?"))
}

/// Whether a URL is of this machine, where no proxy would find it.
pub(crate) fn is_here(url: &str) -> bool {
    let host = reqwest::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests;
