//! The handler `validate_credentials`: looks whether every account's credentials still work, before a job finds out.
//!
//! What could not be told (a limit, trouble on the other side) leaves what was found before. Verdicts are kept even by a dry run, like parks: what a
//! marketplace said is so, whoever asked.
use std::sync::Arc;

use super::{AttemptContext, Handler, HandlerError, Report, parking};
use crate::{
    access::Caller,
    clock::BoxFuture,
    config::keys::HandlerSpec,
    errors::chain,
    marketplace::{CallError, Client, Market, RefusedAs, amazon::Standing},
    notify::{Event, Level, Notice},
    shop::{product::Platform, quota::Purpose},
    store::shop::{AccountKey, ShopStore, Verdict},
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "validate_credentials",
    doc: "Looks whether every account's credentials still work.",
    params: &[],
    retries: 3,
    resumable: true,
    needs: &[],
    parks: false,
    eager_in_practice: false,
};

/// The handler.
#[derive(Debug)]
pub struct ValidateCredentials {
    market: Arc<Market>,
    store: Arc<dyn ShopStore>,
}

/// What was found.
#[derive(Debug, Default)]
struct Tally {
    valid: usize,
    /// Accounts whose credentials don't work as they should.
    wrong: Vec<String>,
    /// Accounts of which nothing could be told.
    unknown: Vec<(Arc<str>, CallError)>,
    /// Accounts that can't work because of their application's own key, and were not parked for it before.
    shut_out: Vec<(Platform, Arc<str>, String)>,
}

impl Tally {
    /// Notes that nothing could be told, unless it is the whole run's trouble.
    fn puzzle(&mut self, account: &AccountKey, result: Result<Standing, CallError>) -> Result<(), CallError> {
        match result {
            Ok(_) => {}
            Err(error @ (CallError::Cancelled | CallError::Store(_))) => return Err(error),
            Err(error) => self.unknown.push((Arc::clone(&account.account), error)),
        }
        Ok(())
    }
}

impl Handler for ValidateCredentials {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(async move {
            let result = self.look_at_all(ctx).await;
            self.market.at_rest().await;
            result
        })
    }
}

impl ValidateCredentials {
    /// A handler that looks at the credentials of these accounts.
    pub fn new(market: Arc<Market>, store: Arc<dyn ShopStore>) -> Self {
        Self { market, store }
    }

    async fn look_at_all(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let clients = self.market.clients(ctx.instance.account.as_deref());
        ctx.progress.set_total(u64::try_from(clients.len()).unwrap_or(0));
        let caller = ctx.caller(Purpose::Sync);
        let mut tally = Tally::default();
        for (done, client) in (1..).zip(clients) {
            match self.look_at(ctx, &caller, client, &mut tally).await {
                Ok(()) => ctx.progress.set_done(done),
                Err(error) => return Err(HandlerError::of(&error, caller.now())),
            }
        }
        tell_of_shut_out(ctx, &tally.shut_out);
        report(&tally, &caller)
    }

    async fn look_at(&self, ctx: &AttemptContext, caller: &Caller, client: Client<'_>, tally: &mut Tally) -> Result<(), CallError> {
        let key = client.key();
        let result = client.check(caller).await;
        let Some((verdict, detail)) = verdict(&result) else { return tally.puzzle(key, result) };
        let before = self.store.keep_verdict(key.clone(), verdict, detail.clone(), caller.now()).await?;
        match (&result, verdict) {
            (Err(error), Verdict::Application) => {
                if let Some((_, true)) = parking::park_quietly(ctx, self.store.as_ref(), key, error).await? {
                    tally.shut_out.push((key.platform, Arc::clone(&key.account), detail.clone()));
                }
            }
            (Err(error), _) => parking::park_once_shut(ctx, self.store.as_ref(), key, error).await.map(drop)?,
            (Ok(_), _) => tell_of_change(ctx, client, before, verdict, &detail),
        }
        if verdict == Verdict::Valid {
            tally.valid += 1;
        } else {
            tally.wrong.push(format!("{} is {verdict}: {detail}", key.account));
        }
        Ok(())
    }
}

/// What a look at credentials found, in a word and in a sentence; `None`: it can't be told.
pub fn verdict(result: &Result<Standing, CallError>) -> Option<(Verdict, String)> {
    let said = |verdict, error: &CallError| Some((verdict, chain(error)));
    match result {
        Ok(Standing::Good) => Some((Verdict::Valid, "all calls that taskrun needs are allowed".to_owned())),
        Ok(Standing::Inactive) => Some((Verdict::Inactive, "the seller does not sell at the configured marketplace".to_owned())),
        Ok(Standing::Suspended) => Some((Verdict::Suspended, "some of the seller's listings are suspended".to_owned())),
        Err(error @ CallError::Login { .. }) => said(Verdict::Revoked, error),
        Err(error) => match error.refused_as()? {
            RefusedAs::Application => said(Verdict::Application, error),
            RefusedAs::Scope => said(Verdict::Scope, error),
            RefusedAs::Denied => said(Verdict::Denied, error),
            RefusedAs::NoSuchItem | RefusedAs::Other => None,
        },
    }
}

/// Tells what has changed with an account that can be called.
fn tell_of_change(ctx: &AttemptContext, client: Client<'_>, before: Option<Verdict>, verdict: Verdict, detail: &str) {
    let level = match verdict {
        _ if before.unwrap_or(Verdict::Valid) == verdict => return,
        Verdict::Suspended => Level::Alert,
        Verdict::Valid => Level::Info,
        Verdict::Inactive | Verdict::Scope | Verdict::Denied | Verdict::Revoked | Verdict::Application => Level::Warning,
    };
    let was = before.filter(|_| verdict == Verdict::Valid).map_or_else(String::new, |before| format!(", after it was {before}"));
    let text = format!("its credentials are {verdict}{was}: {detail}");
    ctx.notifier.notify(Notice { event: Event::Credentials, level, subject: Arc::clone(&client.key().account), text });
}

/// Tells once, whatever the number of accounts, that an application's own key is no good.
fn tell_of_shut_out(ctx: &AttemptContext, shut_out: &[(Platform, Arc<str>, String)]) {
    for platform in Platform::ALL {
        let of_it: Vec<_> = shut_out.iter().filter(|(of, ..)| of == platform).collect();
        let Some((_, _, detail)) = of_it.first() else { continue };
        let names = of_it.iter().map(|(_, name, _)| &**name).collect::<Vec<_>>().join(", ");
        let text = format!(
            "the application's own key is no good, so none of its accounts can work ({names}): {detail}; put the right one into `marketplaces.{platform}`, \
             then `taskrun accounts resume` each of them"
        );
        ctx.notifier.notify(Notice { event: Event::Credentials, level: Level::Alert, subject: platform.word().into(), text });
    }
}

/// A verdict is a success, whatever it says: people hear of it by notices. Only where nothing could be told another attempt can help.
fn report(tally: &Tally, caller: &Caller) -> Result<Report, HandlerError> {
    let mut summary = format!("{} valid", tally.valid);
    tally.wrong.iter().for_each(|wrong| summary.extend(["; ", wrong]));
    let Some(retry_after) = tally.unknown.iter().map(|(_, error)| error.retry_after(caller.now())).max() else {
        return Ok(Report { summary });
    };
    let unknown = tally.unknown.iter().map(|(account, error)| format!("; {account} could not be told: {}", chain(error)));
    summary.extend(unknown);
    Err(HandlerError::Transient { message: summary, retry_after })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_check_means() {
        let refused = |status, code: &str| {
            Err(CallError::Refused { what: "a call", status, code: code.to_owned(), text: String::new(), item: false })
        };
        let unwell = |status| Err(CallError::Unwell { what: "a call", status, text: String::new(), retry_after: None });
        let again = Err(CallError::Again { what: "a call", why: "429".to_owned() });
        let login = Err(CallError::Login { account: "a".into(), why: "invalid_grant".to_owned() });
        for (result, expected) in [
            (Ok(Standing::Good), Some(Verdict::Valid)),
            (Ok(Standing::Inactive), Some(Verdict::Inactive)),
            (Ok(Standing::Suspended), Some(Verdict::Suspended)),
            (login, Some(Verdict::Revoked)),
            (refused(401, "invalid_client"), Some(Verdict::Application)),
            (refused(403, "Unauthorized"), Some(Verdict::Denied)),
            (refused(400, "invalid_scope"), Some(Verdict::Scope)),
            (refused(400, "no_item"), None),
            (again, None),
            (unwell(503), None),
        ] {
            assert_eq!(verdict(&result).map(|(verdict, _)| verdict), expected, "{result:?}");
        }
    }
}
