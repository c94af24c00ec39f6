//! The endpoints: whether the hosts that the file names answer, on the ways that calls go, and whether their clocks agree with ours.
use std::{collections::BTreeMap, time::Duration};

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpStream;

use super::Finding;
use crate::{
    cli::{place::Place, text},
    clock::{Clock as _, SystemClock},
    config::{Config, Platform, Secret, notify::Via},
    errors::chain,
    marketplace::reach,
};

/// All are asked side by side, so this is how long all of it takes at most.
const LIMIT: Duration = Duration::from_secs(5);
/// Marketplaces refuse what is signed by a clock that is further off than some minutes; Amazon's tokens allow five.
const SKEW_MAX: SignedDuration = SignedDuration::from_mins(2);

/// Somebody whom calls go to.
#[derive(Debug)]
enum Target<'c> {
    Http { url: String, proxy: Option<&'c Secret> },
    Mail { host: &'c str, port: u16 },
}

/// Asks each host that the file names for nothing. In practice nobody outside is asked.
pub(super) async fn look(place: &Place, config: &Config) -> Vec<Finding> {
    if place.practice().is_some() {
        return Vec::new();
    }
    let clock = &SystemClock::start();
    let targets = targets(config);
    let asked = join_all(targets.iter().map(|(name, target)| async move { (name, ask(target).await, clock.now().wall) })).await;
    let mut findings = Vec::new();
    let mut skews = Vec::new();
    for (name, answer, now) in asked {
        match answer {
            Ok(date) => {
                findings.push(Finding::ok("endpoint", format!("{name} answers")));
                skews.extend(date.map(|date| (date.duration_since(now), name)));
            }
            Err(why) => findings.push(
                Finding::bad("endpoint", format!("{name}: {why}"))
                    .because("what is to be read or changed there waits, and is tried again")
                    .advise("try it from this machine with `curl -I`; is there a firewall, a proxy, a slip in the name?"),
            ),
        }
    }
    findings.extend(skews.iter().min_by_key(|(skew, _)| skew.abs()).and_then(|(skew, name)| skewed(*skew, name)));
    findings
}

/// The clock is off, by the one that agrees with it best.
fn skewed(skew: SignedDuration, name: &str) -> Option<Finding> {
    let way = if skew.is_positive() { "behind" } else { "ahead" };
    (SKEW_MAX < skew.abs()).then(|| {
        Finding::bad("clock", format!("it is {} {way} that of {name}", text::took(skew.abs())))
            .because("tasks fire at the wrong time, and marketplaces refuse logins")
            .advise("`sudo timedatectl set-ntp true`")
    })
}

/// Whom the file names, each once, by what people call them.
fn targets(config: &Config) -> BTreeMap<String, Target<'_>> {
    let mut targets = BTreeMap::new();
    let markets = &config.marketplaces;
    let platforms = [
        (Platform::Amazon, markets.amazon.as_ref().map(|amazon| vec![&amazon.endpoint, &amazon.lwa_endpoint])),
        (Platform::Base, markets.base.as_ref().map(|base| vec![&base.endpoint])),
        (Platform::Ebay, markets.ebay.as_ref().map(|ebay| vec![&ebay.endpoint])),
    ];
    for (platform, endpoints) in platforms {
        for account in config.accounts.iter().filter(|(_, account)| account.enabled && account.platform == platform) {
            for url in endpoints.iter().flatten() {
                let (name, account) = account;
                let proxied = if account.proxy.is_some() { format!(" by {name}'s proxy") } else { String::new() };
                let target = Target::Http { url: (*url).clone(), proxy: account.proxy.as_ref() };
                targets.insert(format!("{}{proxied}", host(url)), target);
            }
        }
    }
    for (name, source) in &config.sources {
        let proxied = if source.proxy.is_some() { " by its proxy" } else { "" };
        let target = Target::Http { url: source.endpoint.clone(), proxy: source.proxy.as_ref() };
        targets.insert(format!("{} ({name}){proxied}", host(&source.endpoint)), target);
    }
    for channel in config.notify.channels.iter().filter(|channel| channel.enabled) {
        let target = match &channel.via {
            Via::Chatwork { endpoint, .. } => Some(endpoint.clone()),
            Via::Webhook { url, .. } => origin(url.expose()),
            Via::Email { host, port, tls, .. } => {
                let port = port.unwrap_or_else(|| tls.port());
                targets.insert(format!("{host}:{port} ({})", channel.name), Target::Mail { host, port });
                None
            }
        };
        if let Some(url) = target {
            targets.insert(format!("{} ({})", host(&url), channel.name), Target::Http { url, proxy: None });
        }
    }
    targets
}

/// What the rest of a webhook's URL says is a secret.
fn origin(url: &str) -> Option<String> {
    reqwest::Url::parse(url).ok().map(|url| url.origin().ascii_serialization())
}

fn host(url: &str) -> String {
    let parsed = reqwest::Url::parse(url).ok();
    let host = parsed.as_ref().and_then(|url| url.host_str()).unwrap_or(url);
    match parsed.as_ref().and_then(reqwest::Url::port) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

async fn ask(target: &Target<'_>) -> Result<Option<Timestamp>, String> {
    let asked = async {
        match target {
            Target::Http { url, proxy } => reach(url, *proxy).await.map_err(|error| chain(&error)),
            Target::Mail { host, port } => TcpStream::connect((*host, *port)).await.map(|_| None).map_err(|error| error.to_string()),
        }
    };
    tokio::time::timeout(LIMIT, asked).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
}
