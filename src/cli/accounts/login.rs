//! `taskrun accounts login`: a person lets taskrun in again. At BASE by the authorisation-code flow; Amazon and eBay show the
//! seller a refresh token.
//!
//! What is a secret for long comes by stdin, never as an argument, which other users of the machine can read.
use std::io;

use reqwest::Url;

use super::check::{caller, clients, market};
use crate::{
    cli::{
        exit::{Exit, Failure},
        place::Place,
        presence::{Presence, Role},
    },
    config::{Config, Secret},
    errors::chain,
    marketplace::{CallError, Client},
};

const AMAZON: &str = "\
Amazon shows a refresh token (it begins with Atzr|) where the application is authorised:
Seller Central > Apps and Services > Develop Apps > (the application) > Authorize.
Paste it here, and Enter:";
const EBAY: &str = "\
eBay shows a refresh token (it begins with v^1.1#) where a user lets the application in:
developer.ebay.com > Application keys > User tokens.
Paste it here, and Enter:";

/// Let taskrun into a shop or a seller's account
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  taskrun accounts login base_account_1\n  taskrun accounts login amazon_main < token.txt")]
pub(crate) struct Args {
    /// The account
    #[arg(value_name = "NAME")]
    name: String,
    /// BASE's code, for those who have it already: it can be used once, within the hour
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let mut config = place.load()?;
    let presence = Presence::begin(Role::Once, &mut config, place).await?;
    let ended = log_in(&args, &config, &presence, place).await;
    presence.end(true).await?;
    ended?;
    place.screen.say(&format!("{0} is logged in; `taskrun accounts check {0}` tries it", args.name));
    Ok(Exit::Done)
}

async fn log_in(args: &Args, config: &Config, presence: &Presence, place: &Place) -> Result<(), Failure> {
    let market = market(config, presence);
    let found = clients(&market, config, Some(&args.name))?.into_iter().next();
    let Some(client) = found else { return Ok(()) };
    let given = match (client, &args.code) {
        (Client::Shop(_), Some(code)) => code.clone(),
        (Client::Shop(shop), None) => {
            let state = state()?;
            place.screen.on_stderr("Open this page in a browser, log in as the shop's owner, and let taskrun in:");
            place.screen.data(&format!("{}\n", shop.login_page(&state).map_err(|error| failed(&error))?))?;
            place.screen.on_stderr("Then paste here the address to which the browser was sent, and Enter:");
            code(&line().await?, &state)?
        }
        (Client::Seller(_), None) => {
            place.screen.on_stderr(AMAZON);
            line().await?
        }
        (Client::Ebay(_), None) => {
            place.screen.on_stderr(EBAY);
            line().await?
        }
        (Client::Seller(_) | Client::Ebay(_), Some(_)) => {
            return Err(Failure::usage("`--code` is for shops at BASE").advise("give the refresh token on stdin: it is a secret"));
        }
    };
    if given.is_empty() {
        return Err(Failure::usage("nothing was given").advise("start again when you have it at hand"));
    }
    let ended = client.log_in(&caller(presence), Secret::new(given)).await;
    market.at_rest().await;
    ended.map_err(|error| failed(&error))
}

fn failed(error: &CallError) -> Failure {
    Failure::told(Exit::Failed, chain(error)).advise("a code is good once and for an hour; start again for another one")
}

/// A number that nobody can guess: the answer has to bring it back, so it is the answer to this question.
fn state() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    let provider = rustls::crypto::ring::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| Failure::told(Exit::Failed, "the system gives no random numbers"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// The next line of stdin.
async fn line() -> Result<String, Failure> {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        io::stdin().read_line(&mut line).map(|_| line.trim().to_owned())
    });
    let read = read.await.map_err(|error| Failure::because(Exit::Failed, "stdin can't be read", &error))?;
    read.map_err(|error| Failure::because(Exit::Failed, "stdin can't be read", &error))
}

/// The code in what was pasted: the whole address, or the code alone.
fn code(pasted: &str, state: &str) -> Result<String, Failure> {
    let Ok(address) = Url::parse(pasted) else { return Ok(pasted.to_owned()) };
    let value = |name: &str| address.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    if value("state").as_deref() != Some(state) {
        let message = "this address is not the answer to this login: its `state` is another";
        return Err(Failure::usage(message).advise("use the page that was shown just now, and the address it led to"));
    }
    if let Some(error) = value("error") {
        return Err(Failure::told(Exit::Failed, format!("taskrun was not let in: {error}")));
    }
    value("code").ok_or_else(|| Failure::usage("there is no `code` in this address").advise("paste all of it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_taken_only_from_the_answer_to_this_login() {
        let address = |query: &str| code(&format!("https://example.com/callback?{query}"), "s1").map_err(|failure| failure.to_string());
        assert_eq!(address("code=abc&state=s1"), Ok("abc".to_owned()));
        assert_eq!(code("abc", "s1").ok().as_deref(), Some("abc"), "the code alone");
        for (query, part) in [
            ("code=abc&state=s2", "not the answer to this login"),
            ("code=abc", "not the answer to this login"),
            ("error=access_denied&state=s1", "not let in: access_denied"),
            ("state=s1", "no `code`"),
        ] {
            let error = address(query).unwrap_err();
            assert!(error.contains(part), "{query}: {error}");
        }
    }

    #[test]
    fn no_two_logins_have_the_same_state() {
        let (one, other) = (state().ok().unwrap(), state().ok().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
