//! `taskrun sandbox`: the practice marketplace alone, for whoever wants to try a client against it.
use std::{net::SocketAddr, path::PathBuf};

use super::{
    exit::{Exit, Failure},
    place::Place,
    practice,
};
use crate::{
    clock::{Anchor, Clock as _, ScaledClock, SystemClock},
    engine::signal,
    sandbox::{FaultPlan, practice_keys},
};

const HELP: &str = "\
A fault plan is a list of ROUTE[@ACCOUNT]:KIND[=ARGUMENT][+][xN|#N|#N-M|%P]:
  offers:429x3                     the first three batches are refused
  edit@base_account_1:drop+%2      two in a hundred edits of a shop are done, and their answer is lost
  token:500#2,all:delay=2s         the second refresh fails; everything else takes two seconds
Routes: lwa offers item_offers sellers, authorize token me items search detail add edit delete add_image delete_image edit_stock,
ebay_token put_item get_item delete_item create_offer find_offers get_offer delete_offer publish withdraw bulk,
amazon base ebay writes all, /PATH
Kinds: 400 to 599 (429=30|date|absurd|garbage: with Retry-After), html page empty error200, drop hang, endless huge bomb deep,
redirect=host|file|metadata|PORT, delay=T slow=T, cut halfclose reset short long mistyped twice; with `+` it is carried out first

`curl ADDRESS/sandbox` lists what it can be asked and told while it runs, such as
  curl 127.0.0.1:9800/sandbox/faults -d offers:429x3

Example: taskrun sandbox --listen 127.0.0.1:9800 --items 50";

/// The practice marketplace alone, until Ctrl+C
#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The address to listen on; port 0 takes any free one
    #[arg(long, value_name = "A", default_value = "127.0.0.1:9800")]
    listen: SocketAddr,
    /// Products in a new marketplace
    #[arg(long, value_name = "N", default_value_t = practice::ITEMS, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    items: u32,
    /// How many times as fast its clock runs
    #[arg(long, value_name = "X", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    speed: u32,
    /// What goes wrong, e.g. offers:429x3,edit:drop%2
    #[arg(long, value_name = "PLAN")]
    fault: Option<FaultPlan>,
    /// Where it keeps its state; otherwise in a new folder that nobody keeps
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let mut signals = signal::listen()?;
    let now = SystemClock::start().now().wall;
    let clock = ScaledClock::new(Anchor { real: now, practice: now, speed: args.speed });
    let passing = args.dir.is_none().then(|| Passing(std::env::temp_dir().join(format!("taskrun-sandbox-{}", std::process::id()))));
    let dir = args.dir.or_else(|| passing.as_ref().map(|passing| passing.0.clone())).unwrap_or_default();
    let running = practice::open(dir.clone(), args.listen, args.items, clock).await?;
    if let Some(plan) = &args.fault {
        running.plan(plan);
    }
    let keys = practice_keys();
    place.screen.data(&format!(
        "{endpoint}\n\
         practice marketplace: Amazon's, BASE's and eBay's protocols at one address; nothing here is real\n\
         state    {}\n\
         amazon   client_id {}, client_secret {}\n\
         base     client_id {}, client_secret {}\n\
         ebay     client_id {}, client_secret {}\n",
        dir.display(),
        keys.lwa_client_id,
        keys.lwa_client_secret,
        keys.base_client_id,
        keys.base_client_secret,
        keys.ebay_client_id,
        keys.ebay_client_secret,
        endpoint = running.endpoint(),
    ))?;
    for account in keys.accounts.iter().chain([&keys.ebay]) {
        place.screen.data(&format!("account  {} ({}), refresh_token {}\n", account.name, account.platform, account.refresh_token))?;
    }
    place.screen.say("Ctrl+C stops it");
    signals.recv().await;
    running.stop().await?;
    Ok(Exit::Done)
}

/// A folder that nobody keeps.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::debug!("failed to remove `{}`: {error}", self.0.display());
        }
    }
}
