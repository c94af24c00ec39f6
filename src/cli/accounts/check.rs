//! `taskrun accounts check`: looks at credentials now, and keeps what it found.
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::named;
use crate::{
    access::{Access, Caller, Plan, Progress},
    cli::{
        exit::{Exit, Failure},
        place::Place,
        presence::{Presence, Role},
        text::{self, BAD, Cell, DIM, GOOD, ODD},
    },
    config::Config,
    errors::chain,
    handlers::validate_credentials::verdict,
    marketplace::{Client, Market},
    shop::quota::Purpose,
    store::shop::{Credentials as _, ShopStore, Verdict},
};

/// Look now whether credentials work; exit code 1 if some don't
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun accounts check base_account_1")]
pub(crate) struct Args {
    /// One account; otherwise all that are enabled
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// What was found of an account, as JSON; stable.
#[derive(Debug, Serialize)]
struct FoundView {
    account: String,
    /// `valid` and the other verdicts, or `unknown` where it could not be told.
    verdict: &'static str,
    detail: String,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let mut config = place.load()?;
    let presence = Presence::begin(Role::Once, &mut config, place).await?;
    let found = look(&args, &config, &presence).await;
    presence.end(true).await?;
    let found = found?;
    if args.json {
        place.screen.json(&found)?;
    } else {
        place.screen.data(&table(&found))?;
    }
    Ok(if found.iter().all(|found| found.verdict == Verdict::Valid.word()) { Exit::Done } else { Exit::Failed })
}

fn table(found: &[FoundView]) -> String {
    let header = ["# account", "credentials", "why"].map(|title| Cell::new(title, DIM));
    let rows = found.iter().map(|found| {
        let style = match Verdict::from_word(found.verdict) {
            Some(Verdict::Valid) => GOOD,
            Some(_) => BAD,
            None => ODD,
        };
        [found.account.clone().into(), Cell::new(found.verdict, style), text::one_line(&found.detail).into()]
    });
    text::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

async fn look(args: &Args, config: &Config, presence: &Presence) -> Result<Vec<FoundView>, Failure> {
    let market = market(config, presence);
    let clients = clients(&market, config, args.name.as_deref())?;
    let caller = caller(presence);
    let mut found = Vec::new();
    for client in clients {
        found.push(look_at(client, &caller, presence).await?);
    }
    market.at_rest().await;
    Ok(found)
}

/// Looks at an account's credentials, and keeps what was found if that could be told.
async fn look_at(client: Client<'_>, caller: &Caller, presence: &Presence) -> Result<FoundView, Failure> {
    let account = client.key().account.to_string();
    let result = client.check(caller).await;
    match (verdict(&result), result) {
        (Some((verdict, detail)), _) => {
            presence.store.keep_verdict(client.key().clone(), verdict, detail.clone(), caller.now()).await?;
            Ok(FoundView { account, verdict: verdict.word(), detail })
        }
        (None, result) => {
            let detail = result.err().map(|error| chain(&error)).unwrap_or_default();
            Ok(FoundView { account, verdict: "unknown", detail })
        }
    }
}

/// The clients of this process.
pub(super) fn market(config: &Config, presence: &Presence) -> Market {
    let store: Arc<dyn ShopStore> = presence.store.clone();
    Market::connect(&config.marketplaces, &config.accounts, &store)
}

/// The clients of one account or of all.
pub(super) fn clients<'m>(market: &'m Market, config: &Config, name: Option<&str>) -> Result<Vec<Client<'m>>, Failure> {
    if let Some(name) = name {
        named(config, name)?;
    }
    let clients = market.clients(name);
    match name {
        Some(name) if clients.is_empty() => {
            Err(Failure::usage(format!("`{name}` is disabled, or its marketplace is not configured")).advise("look at tasks.yaml"))
        }
        Some(_) | None => Ok(clients),
    }
}

/// Makes calls as a person's, and writes nothing at a marketplace.
pub(super) fn caller(presence: &Presence) -> Caller {
    Caller {
        clock: Arc::clone(&presence.clock),
        cancel: CancellationToken::new(),
        access: Access::Dry(Plan::default()),
        progress: Progress::default(),
        purpose: Purpose::Manual,
    }
}
