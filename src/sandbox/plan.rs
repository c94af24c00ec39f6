//! Fault plans: trouble to come, as a line of text.
//!
//! ```text
//! PLAN  = RULE { "," RULE }           e.g. offers:429x3,edit:drop%2,token@base_account_1:500#2
//! RULE  = "seed=" N                   from which the shares are drawn; the same number gives the same trouble
//!       | ROUTE [ "@" ACCOUNT ] ":" KIND [ "=" ARGUMENT ] [ "+" ] [ WHEN ]
//! ROUTE = an operation                lwa offers item_offers sellers feed_document feed_upload create_feed get_feed get_feeds feed_result
//!                                     feed_download patch_listing get_listing delete_listing | authorize token me items search detail add edit delete add_image
//!                                     delete_image edit_stock | ebay_token put_item get_item delete_item create_offer
//!                                     find_offers get_offer delete_offer publish withdraw bulk | chatwork_message chatwork_me hook
//!       | amazon | base | ebay | chat | writes | all
//!       | a path that begins with "/", and all that begin so
//! "+"   = the request is carried out first, and then goes wrong; without it, nothing is done
//! WHEN  = "x" N                       the first N requests
//!       | "#" N [ "-" [ M ] ]         the N-th, from the N-th to the M-th, from the N-th on
//!       | "%" P                       that percentage of them, e.g. %2 or %0.5
//!                                     without one: every request
//! ```
//! Rules are tried in their order; a request that one has met is not counted by those after it.
//!
//! | KIND | What happens |
//! |---|---|
//! | `400` to `599` | this status with the side's usual body; `=30`, `=date`, `=absurd`, `=garbage`: with a `Retry-After` of so many seconds, of a date a minute ahead, of a thousand years, of no sense |
//! | `html`, `page` | a page of HTML, with 502 or with 200 |
//! | `empty`, `error200` | 200 without a body; 200 with an error in it |
//! | `drop`, `hang` | no answer: the connection is closed, or stays open |
//! | `redirect=host` | 302 to another host; `=file`: to a `file:` URL; `=metadata`: to `169.254.169.254`; `=9000`: to that port of this machine |
//! | `endless`, `huge`, `bomb`, `deep` | 200 with a body that never ends, of 64 MiB, of 10 GiB once unpacked, of 100,000 nested lists |
//! | `delay=2s` | the answer comes so much later, in real time (`ms`, `s`, `m`) |
//! | `slow=100ms` | the answer comes a byte at a time, each so much later |
//! | `cut`, `halfclose`, `reset` | half of the answer, then the connection is closed, is closed in one direction, is reset |
//! | `short`, `long` | `Content-Length` says less, or more than there is |
//! | `mistyped`, `twice` | numbers are texts and texts are numbers; headers come twice, with other values |
//!
//! The last four rows spoil the true answer, so they always carry the request out first.
use std::{fmt, str::FromStr, time::Duration};

use super::{
    faults::{FaultKind, Redirect, RetryAfter, Route, Rule, When},
    operation::Operation,
    state::Side,
};

/// A fault plan, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FaultPlan {
    pub(super) seed: Option<u64>,
    pub(super) rules: Vec<Rule>,
}

/// What is wrong with a plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}`: {wrong}; e.g. offers:429x3,edit:drop+%2,token@base_account_1:500#2")]
pub struct PlanError {
    rule: String,
    wrong: String,
}

impl FromStr for FaultPlan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let mut plan = Self::default();
        for rule in text.split([',', '\n']).map(str::trim).filter(|rule| !rule.is_empty()) {
            let fault = |wrong: String| PlanError { rule: rule.to_owned(), wrong };
            match rule.strip_prefix("seed=") {
                Some(seed) => plan.seed = Some(seed.parse().map_err(|_| fault("the seed is a whole number".to_owned()))?),
                None => plan.rules.push(read_rule(rule).map_err(fault)?),
            }
        }
        Ok(plan)
    }
}

fn read_rule(text: &str) -> Result<Rule, String> {
    let (target, what) = text.split_once(':').ok_or("says no kind: ROUTE:KIND")?;
    let (route, account) = match target.split_once('@') {
        Some((route, account)) => (route, Some(account.to_owned())),
        None => (target, None),
    };
    let route = read_route(route)?;
    let (what, when) = read_when(what)?;
    let (what, done) = what.strip_suffix('+').map_or((what, false), |what| (what, true));
    let (kind, argument) = match what.split_once('=') {
        Some((kind, argument)) => (kind, Some(argument)),
        None => (what, None),
    };
    Ok(Rule { route, account, kind: read_kind(kind, argument)?, done, when })
}

fn read_route(word: &str) -> Result<Route, String> {
    Ok(match word {
        "all" => Route::All,
        "writes" => Route::Writes,
        path if path.starts_with('/') => Route::Path(path.to_owned()),
        word => {
            let side = Side::ALL.into_iter().find(|side| side.word() == word).map(Route::Side);
            side.or_else(|| Operation::parse(word).map(Route::One)).ok_or_else(|| {
                let known: Vec<_> = Operation::all().map(Operation::word).chain(Side::ALL.map(Side::word)).collect();
                format!("there is no route `{word}`; there are {}, writes, all and /PATH", known.join(", "))
            })?
        }
    })
}

/// Splits off how often.
fn read_when(text: &str) -> Result<(&str, When), String> {
    let sign = text.rfind(['x', '#', '%']).filter(|at| {
        let (_, tail) = text.split_at(at.saturating_add(1));
        *at > 0 && !tail.is_empty() && tail.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '-')
    });
    let Some((what, tail)) = sign.map(|at| text.split_at(at)) else { return Ok((text, When::Always)) };
    let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is no whole number"));
    let when = if let Some(count) = tail.strip_prefix('x') {
        When::Numbers { from: 1, to: number(count)? }
    } else if let Some(share) = tail.strip_prefix('%') {
        let share: f64 = share.parse().map_err(|_| format!("`{share}` is no percentage"))?;
        // Two decimals are kept.
        When::Share((0..=10_000).rev().find(|part| f64::from(*part) <= share * 100.0 + 1e-6).unwrap_or(0))
    } else {
        let numbers = tail.trim_start_matches('#');
        match numbers.split_once('-') {
            None => When::Numbers { from: number(numbers)?, to: number(numbers)? },
            Some((from, "")) => When::Numbers { from: number(from)?, to: u32::MAX },
            Some((from, to)) => When::Numbers { from: number(from)?, to: number(to)? },
        }
    };
    Ok((what, when))
}

fn read_kind(word: &str, argument: Option<&str>) -> Result<FaultKind, String> {
    if let Some(status) = word.parse().ok().filter(|status| (400..600).contains(status)) {
        return Ok(match argument {
            None => FaultKind::Status(status),
            Some("date") => FaultKind::StatusAfter(status, RetryAfter::Date),
            Some("absurd") => FaultKind::StatusAfter(status, RetryAfter::Absurd),
            Some("garbage") => FaultKind::StatusAfter(status, RetryAfter::Garbage),
            Some(text) => {
                let seconds = text.parse().map_err(|_| format!("Retry-After is seconds, date, absurd or garbage, not `{text}`"))?;
                FaultKind::StatusAfter(status, RetryAfter::Seconds(seconds))
            }
        });
    }
    match (word, argument) {
        ("delay", argument) => return Ok(FaultKind::Delay(read_time(argument.unwrap_or("1s"))?)),
        ("slow", argument) => return Ok(FaultKind::Slow(read_time(argument.unwrap_or("1s"))?)),
        ("redirect", argument) => return Ok(FaultKind::Redirect(read_redirect(argument.unwrap_or("host"))?)),
        (_, Some(argument)) => return Err(format!("`{word}` takes no `={argument}`")),
        (_, None) => {}
    }
    let simple = FaultKind::SIMPLE.iter().find(|(name, _)| *name == word);
    simple.map(|(_, kind)| *kind).ok_or_else(|| {
        let known: Vec<_> = FaultKind::SIMPLE.iter().map(|(name, _)| *name).collect();
        format!("there is no fault `{word}`; there are 400 to 599, delay, slow, redirect, {}", known.join(", "))
    })
}

fn read_redirect(word: &str) -> Result<Redirect, String> {
    match (word, word.parse()) {
        ("host", _) => Ok(Redirect::Host),
        ("file", _) => Ok(Redirect::File),
        ("metadata", _) => Ok(Redirect::Metadata),
        (_, Ok(port)) => Ok(Redirect::Port(port)),
        (_, Err(_)) => Err(format!("a redirect leads to host, file, metadata or a port, not `{word}`")),
    }
}

fn read_time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no time; e.g. 100ms, 2s, 1m");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    match text.strip_prefix(digits) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err(wrong()),
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.route {
            Route::All => f.write_str("all")?,
            Route::Side(side) => f.write_str(side.word())?,
            Route::Writes => f.write_str("writes")?,
            Route::Path(path) => f.write_str(path)?,
            Route::One(operation) => f.write_str(operation.word())?,
        }
        if let Some(account) = &self.account {
            write!(f, "@{account}")?;
        }
        write!(f, ":{}{}", self.kind, if self.done { "+" } else { "" })?;
        match self.when {
            When::Always => Ok(()),
            When::Numbers { from: 1, to } => write!(f, "x{to}"),
            When::Numbers { from, to: u32::MAX } => write!(f, "#{from}-"),
            When::Numbers { from, to } => write!(f, "#{from}-{to}"),
            When::Share(part) => write!(f, "%{}", f64::from(part) / 100.0),
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((name, _)) = Self::SIMPLE.iter().find(|(_, kind)| kind == self) {
            return f.write_str(name);
        }
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::StatusAfter(status, RetryAfter::Seconds(seconds)) => write!(f, "{status}={seconds}"),
            Self::StatusAfter(status, RetryAfter::Date) => write!(f, "{status}=date"),
            Self::StatusAfter(status, RetryAfter::Absurd) => write!(f, "{status}=absurd"),
            Self::StatusAfter(status, RetryAfter::Garbage) => write!(f, "{status}=garbage"),
            Self::Delay(time) => write!(f, "delay={}ms", time.as_millis()),
            Self::Slow(time) => write!(f, "slow={}ms", time.as_millis()),
            Self::Redirect(Redirect::Host) => f.write_str("redirect=host"),
            Self::Redirect(Redirect::File) => f.write_str("redirect=file"),
            Self::Redirect(Redirect::Metadata) => f.write_str("redirect=metadata"),
            Self::Redirect(Redirect::Port(port)) => write!(f, "redirect={port}"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_and_told_again() {
        for (text, told) in [
            ("offers:429x3", "offers:429x3"),
            ("edit:drop%2", "edit:drop%2"),
            ("edit:drop+%0.5", "edit:drop+%0.5"),
            ("token@base_account_1:500#2", "token@base_account_1:500#2-2"),
            ("all:429=30#7-", "all:429=30#7-"),
            ("writes:delay=2s", "writes:delay=2000ms"),
            ("/1/items:reset#2-4", "/1/items:reset#2-4"),
            ("amazon:html", "amazon:html"),
            ("ebay:html", "ebay:html"),
            ("publish:drop+x1", "publish:drop+x1"),
            ("base:redirect=file", "base:redirect=file"),
        ] {
            let plan: FaultPlan = text.parse().unwrap();
            assert_eq!(plan.rules.iter().map(ToString::to_string).collect::<Vec<_>>(), [told]);
        }
        let plan: FaultPlan = "seed=7, offers:429=absurd x1 \n token:cut".replace(' ', "").parse().unwrap();
        assert_eq!((plan.seed, plan.rules.len()), (Some(7), 2));
    }

    #[test]
    fn a_plan_that_is_wrong_says_where_and_what_there_is() {
        for (text, parts) in [
            ("offers", ["`offers`", "ROUTE:KIND"]),
            ("offer:429", ["no route `offer`", "item_offers"]),
            ("offers:429x3,edit:dorp", ["`edit:dorp`", "halfclose"]),
            ("edit:200", ["no fault `200`", "400 to 599"]),
            ("edit:delay=soon", ["`soon` is no time", "100ms"]),
            ("edit:429=never", ["not `never`", "absurd"]),
            ("edit:cut=3", ["takes no `=3`", "cut"]),
            ("seed=x", ["whole number", "seed"]),
        ] {
            let error = text.parse::<FaultPlan>().unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
