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
    sandbox::practice_keys,
};

/// The practice marketplace alone, until Ctrl+C
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun sandbox --listen 127.0.0.1:9800 --items 50")]
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
    let keys = practice_keys();
    place.screen.data(&format!(
        "{endpoint}\n\
         practice marketplace: Amazon's and BASE's protocols at one address; nothing here is real\n\
         state    {}\n\
         amazon   client_id {}, client_secret {}\n\
         base     client_id {}, client_secret {}\n",
        dir.display(),
        keys.lwa_client_id,
        keys.lwa_client_secret,
        keys.base_client_id,
        keys.base_client_secret,
        endpoint = running.endpoint(),
    ))?;
    for account in &keys.accounts {
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
