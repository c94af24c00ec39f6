//! `taskrun products`: what is in the catalogue, and how it comes there.
use super::{
    exit::{Exit, Failure},
    place::Place,
};
use crate::shop::product::Asin;

pub(super) mod age;
pub(super) mod csv;
mod import;
mod list;
mod read;
mod relist;
mod show;

/// The catalogue: products, and where they are listed
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun products import products.csv --dry-run")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Import(import::Args),
    List(list::Args),
    Show(show::Args),
    Relist(relist::Args),
}

/// The product that a person names.
fn named(text: &str) -> Result<Asin, Failure> {
    Asin::parse(&text.to_ascii_uppercase())
        .ok_or_else(|| Failure::usage(format!("`{text}` is no ASIN")).advise("an ASIN is ten capital letters and digits"))
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    match args.command {
        Command::Import(args) => import::run(args, place).await,
        Command::List(args) => list::run(args, place).await,
        Command::Show(args) => show::run(args, place).await,
        Command::Relist(args) => relist::run(args, place).await,
    }
}
