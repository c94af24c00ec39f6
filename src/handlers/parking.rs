//! Parks: when an account's trouble means that it is not to be called any more, and who hears of it.
//!
//! What a marketplace refused is so, whoever asked: a park carries no fence, and a dry run sets it as well, like tokens and quotas.
use std::sync::Arc;

use jiff::Timestamp;

use super::AttemptContext;
use crate::{
    errors::chain,
    marketplace::{CallError, RefusedAs},
    notify::{Event, Level, Notice},
    shop::product::Platform,
    store::{
        StoreError,
        shop::{AccountKey, Park, Parked, ShopStore},
    },
};

/// Parks the account if its error means that, and tells people, once: not again while it is parked for that cause. The park, if there is one.
///
/// # Errors
/// When the store fails.
pub async fn park(
    ctx: &AttemptContext,
    store: &dyn ShopStore,
    account: &AccountKey,
    error: &CallError,
) -> Result<Option<Park>, StoreError> {
    let Some((park, is_new)) = park_quietly(ctx, store, account, error).await? else { return Ok(None) };
    if is_new {
        ctx.notifier.notify(notice(&park, error.refused_as() == Some(RefusedAs::Application)));
    }
    Ok(Some(park))
}

/// The same for whoever looked at the login itself: as long as the access token is good, calls go on, and people are only told.
pub(super) async fn park_once_shut(
    ctx: &AttemptContext,
    store: &dyn ShopStore,
    account: &AccountKey,
    error: &CallError,
) -> Result<Option<Park>, StoreError> {
    let token = store.token(account.clone(), None).await?;
    let open_until = token.and_then(|token| token.expires_at).filter(|expires_at| ctx.clock.now().wall < *expires_at);
    let is_parked = store.parks(Some(account.clone()), ctx.clock.now().wall).await?.iter().any(|park| park.cause == Parked::Login);
    match (error, open_until) {
        (CallError::Login { .. }, Some(open_until)) if !is_parked => {
            let name = &account.account;
            let text =
                format!("{}; calls go on until {open_until:.0}. Authorise taskrun anew: `taskrun accounts login {name}`", chain(error));
            ctx.notifier.notify(Notice { event: Event::TokenEnding, level: Level::Alert, subject: Arc::clone(name), text });
            Ok(None)
        }
        _ => park(ctx, store, account, error).await,
    }
}

/// Parks the account if its error means that, and tells nobody. The park, if there is one, and whether it is new.
pub(super) async fn park_quietly(
    ctx: &AttemptContext,
    store: &dyn ShopStore,
    account: &AccountKey,
    error: &CallError,
) -> Result<Option<(Park, bool)>, StoreError> {
    let Some((cause, until)) = meaning(account.platform, error) else { return Ok(None) };
    let since = ctx.clock.now().wall;
    let park = Park { account: account.clone(), cause, detail: chain(error).into(), since, until };
    let is_new = store.park(park.clone()).await?;
    Ok(Some((park, is_new)))
}

/// Why an account that met this error is not to be called, and until when; `None`: it may be.
fn meaning(platform: Platform, error: &CallError) -> Option<(Parked, Option<Timestamp>)> {
    match error {
        CallError::Limited { until, said: true, .. } => match platform {
            Platform::Base | Platform::Ebay => Some((Parked::Limited, Some(*until))),
            // Each of Amazon's operations has a limit of its own.
            Platform::Amazon => None,
        },
        CallError::Login { .. } => Some((Parked::Login, None)),
        CallError::Refused { item: false, .. } => match error.refused_as() {
            Some(RefusedAs::Denied | RefusedAs::Application) => Some((Parked::Restricted, None)),
            // The shop has not allowed it; who logs in anew can.
            Some(RefusedAs::Scope) => Some((Parked::Login, None)),
            Some(RefusedAs::NoSuchItem | RefusedAs::Other) | None => None,
        },
        CallError::Uncertain { cause, .. } => meaning(platform, cause),
        CallError::Cancelled
        | CallError::Fenced
        // Other purposes may have a share left.
        | CallError::Limited { said: false, .. }
        | CallError::Parked { .. }
        | CallError::Resting { .. }
        | CallError::Again { .. }
        | CallError::NoClient { .. }
        | CallError::NoAnswer { .. }
        | CallError::Unwell { .. }
        | CallError::Unreadable { .. }
        | CallError::Refused { .. }
        | CallError::Store(_) => None,
    }
}

/// `of_application`: its own key was refused.
fn notice(park: &Park, of_application: bool) -> Notice {
    let Park { account, cause, detail, until, .. } = park;
    let name = &account.account;
    let end = until.map_or_else(String::new, |until| format!(" until {until:.0}"));
    let what_to_do = match cause {
        Parked::Limited => "it goes on by itself then".to_owned(),
        Parked::Login => format!("authorise taskrun anew: `taskrun accounts login {name}`"),
        Parked::Restricted if of_application => {
            format!("look at the platform's `client_id` and `client_secret` in tasks.yaml, then `taskrun accounts resume {name}`")
        }
        Parked::Restricted => format!("look at the marketplace's own pages what is wrong, then `taskrun accounts resume {name}`"),
        Parked::Paused => format!("`taskrun accounts resume {name}` ends it"),
    };
    let level = match cause {
        Parked::Limited | Parked::Paused => Level::Warning,
        Parked::Restricted | Parked::Login => Level::Alert,
    };
    Notice { event: Event::Parked, level, subject: Arc::clone(name), text: format!("not called any more{end}: {detail}; {what_to_do}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_refusal_means_for_the_account() {
        let until = Timestamp::from_second(1_774_832_400).unwrap();
        let refused =
            |code: &str, item| CallError::Refused { what: "a call", status: 400, code: code.to_owned(), text: String::new(), item };
        let limited = |said| CallError::Limited { what: "calls", until, said };
        let login = CallError::Login { account: "base_account_1".into(), why: "invalid_request".to_owned() };
        let unwell = CallError::Unwell { what: "a call", status: 503, text: String::new(), retry_after: None };
        for (platform, error, expected) in [
            (Platform::Base, limited(true), Some((Parked::Limited, Some(until)))),
            (Platform::Base, limited(false), None),
            (Platform::Amazon, limited(true), None),
            (Platform::Base, login, Some((Parked::Login, None))),
            (Platform::Base, refused("access_denied", false), Some((Parked::Restricted, None))),
            (Platform::Base, refused("unauthorized_client", false), Some((Parked::Restricted, None))),
            (Platform::Amazon, refused("Unauthorized", false), Some((Parked::Restricted, None))),
            (Platform::Base, refused("invalid_scope", false), Some((Parked::Login, None))),
            (Platform::Base, refused("bad_item_id", true), None),
            (Platform::Base, refused("access_denied", true), None),
            (Platform::Base, unwell, None),
        ] {
            assert_eq!(meaning(platform, &error), expected, "{error}");
        }
    }

    #[test]
    fn who_is_told_hears_what_to_do() {
        let account = AccountKey { platform: Platform::Base, account: "base_account_1".into() };
        let park = |cause, until| Park { account: account.clone(), cause, detail: "because".into(), since: Timestamp::UNIX_EPOCH, until };
        let login = notice(&park(Parked::Login, None), false);
        assert_eq!((login.level, &*login.subject), (Level::Alert, "base_account_1"));
        assert!(login.text.contains("`taskrun accounts login base_account_1`"), "{}", login.text);
        let keys = Park { detail: "BASE's login: refused (400 unauthorized_client)".into(), ..park(Parked::Restricted, None) };
        assert!(notice(&keys, true).text.contains("`client_id` and `client_secret` in tasks.yaml"));
        assert!(notice(&park(Parked::Restricted, None), false).text.contains("marketplace's own pages"));
        let limited = notice(&park(Parked::Limited, Some(Timestamp::UNIX_EPOCH)), false);
        assert_eq!(limited.level, Level::Warning);
        assert!(limited.text.contains("until 1970-01-01T00:00:00Z"), "{}", limited.text);
    }
}
