//! What nobody is to read: the secrets of a configuration, and handlers whose reports are without them.
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    clock::BoxFuture,
    config::Config,
    core::value::Secret,
    handlers::{AttemptContext, Handler, HandlerError, Report},
    observe::log::Secrets,
};

/// What must not appear in a log, in the history or in a message.
pub(super) fn secrets(config: &Config) -> Secrets {
    let amazon = config.marketplaces.amazon.iter().map(|amazon| &amazon.client_secret);
    let base = config.marketplaces.base.iter().map(|base| &base.client_secret);
    let ebay = config.marketplaces.ebay.iter().map(|ebay| &ebay.client_secret);
    let accounts = config.accounts.values().flat_map(|account| account.refresh_token.iter().chain(&account.proxy));
    let sources = config.sources.values().flat_map(|source| source.token.iter().chain(&source.proxy));
    let with = config.instances.values().flat_map(|instance| instance.with.secrets());
    let http = config.http.iter().filter_map(|http| http.token.as_ref());
    let channels = config.notify.channels.iter().flat_map(|channel| channel.via.secrets());
    let all = amazon.chain(base).chain(ebay).chain(accounts).chain(sources).chain(with).chain(http).chain(channels).chain(&config.secrets);
    Secrets::new(all.map(Secret::expose).flat_map(|secret| std::iter::once(secret).chain(of_url(secret))))
}

/// What is secret in an address by itself: the password, and the path, which servers like to repeat.
fn of_url(text: &str) -> impl Iterator<Item = &str> {
    let rest = text.split_once("://").map(|(_, rest)| rest);
    let (host, path) =
        rest.map_or((None, None), |rest| rest.split_once('/').map_or((Some(rest), None), |(host, path)| (Some(host), Some(path))));
    let password = host.and_then(|host| host.rsplit_once('@')?.0.split_once(':')).map(|(_, password)| password);
    password.into_iter().chain(path)
}

/// The handlers, with these secrets left out of what they report: a program may print them, and a server repeat them.
pub(super) fn discreet(handlers: BTreeMap<Arc<str>, Arc<dyn Handler>>, secrets: &Secrets) -> BTreeMap<Arc<str>, Arc<dyn Handler>> {
    let wrap = |handler| Arc::new(Discreet { handler, secrets: secrets.clone() }) as Arc<dyn Handler>;
    handlers.into_iter().map(|(name, handler)| (name, wrap(handler))).collect()
}

#[derive(Debug)]
struct Discreet {
    handler: Arc<dyn Handler>,
    secrets: Secrets,
}

impl Discreet {
    fn mask(&self, text: &str) -> String {
        self.secrets.mask(text).into_owned()
    }
}

impl Handler for Discreet {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            match self.handler.run(ctx).await {
                Ok(report) => Ok(Report { summary: self.mask(&report.summary) }),
                Err(HandlerError::Transient { message, retry_after }) => {
                    Err(HandlerError::Transient { message: self.mask(&message), retry_after })
                }
                Err(HandlerError::Permanent { message }) => Err(HandlerError::Permanent { message: self.mask(&message) }),
                Err(HandlerError::NotYet { message, until }) => Err(HandlerError::NotYet { message: self.mask(&message), until }),
                Err(quiet @ (HandlerError::Cancelled | HandlerError::Fenced)) => Err(quiet),
            }
        })
    }

    fn polls(&self) -> bool {
        self.handler.polls()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_secrets_by_themselves_too() {
        let of = |url| of_url(url).collect::<Vec<_>>();
        assert_eq!(of("http://me:hunter22@proxy.example:3128"), ["hunter22"]);
        assert_eq!(of("https://hooks.example/services/T0/abc"), ["services/T0/abc"]);
        assert_eq!(of("hunter22"), [""; 0]);
    }
}
