//! `taskrun doctor`: looks at all that taskrun stands on, and says of each thing what it is, why it matters and what to do.
//!
//! Nothing is reckoned here a second time: the loader judges the file, the store itself, the daemon its work, and the views the accounts.
use std::fmt::Write as _;

use serde::Serialize;

use super::{
    exit::{Exit, Failure},
    place::Place,
    text::{self, BAD, BOLD, DIM, GOOD, ODD},
};
use crate::config::{Config, Secrets};

mod accounts;
mod daemon;
mod files;
mod machine;
mod reach;

/// Look at all that taskrun stands on: file, store, permissions, clock, disk, ports, logins, endpoints, channels
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  taskrun doctor\n  taskrun doctor --quick || echo 'restart it'\n  taskrun doctor --json > findings.json\n\n\
    It changes nothing, and calls only hosts that tasks.yaml names. Exit codes: 0 nothing is bad (warnings may be),\n\
    1 something is, 2 tasks.yaml has faults, 3 the daemon does not answer (with --quick: or none runs), 74 the store is damaged."
)]
pub(crate) struct Args {
    /// Only whether the daemon lives and goes on; within a second and without network: for a container's health check
    #[arg(long)]
    quick: bool,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// All is well.
    Ok,
    /// Good to know.
    Note,
    /// It works, and should not stay so.
    Warning,
    /// It does not work.
    Bad,
}

/// What was found of one thing, as JSON; stable.
#[derive(Debug, Serialize)]
struct Finding {
    /// `config`, `store`, `files`, `disk`, `clock`, `zone`, `daemon`, `port`, `account`, `endpoint`, `channel`.
    topic: &'static str,
    level: Level,
    found: String,
    /// Why it matters.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// How the command ends by it, if it is bad.
    #[serde(skip)]
    exit: Exit,
}

/// All findings as JSON; stable.
#[derive(Debug, Serialize)]
struct DoctorView {
    version: &'static str,
    /// Nothing is bad.
    healthy: bool,
    quick: bool,
    findings: Vec<Finding>,
}

impl Finding {
    fn new(topic: &'static str, level: Level, found: impl Into<String>) -> Self {
        Self { topic, level, found: found.into(), why: None, advice: None, exit: Exit::Failed }
    }

    fn ok(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(topic, Level::Ok, found)
    }

    fn note(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(topic, Level::Note, found)
    }

    fn warning(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(topic, Level::Warning, found)
    }

    fn bad(topic: &'static str, found: impl Into<String>) -> Self {
        Self::new(topic, Level::Bad, found)
    }

    fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    fn ends(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    let findings = if args.quick { vec![daemon::lives(place).await] } else { all(place).await? };
    let bad = || findings.iter().filter(|finding| finding.level == Level::Bad);
    // A damaged store is worse than a faulty file, and that worse than the rest.
    let exits = [Exit::Store, Exit::Usage, Exit::NoDaemon, Exit::Failed];
    let exit = exits.into_iter().find(|exit| bad().any(|finding| finding.exit == *exit)).unwrap_or(Exit::Done);
    if args.json {
        place.screen.json(&DoctorView { version: env!("CARGO_PKG_VERSION"), healthy: exit == Exit::Done, quick: args.quick, findings })?;
    } else {
        place.screen.data(&render(&findings))?;
    }
    Ok(exit)
}

async fn all(place: &Place) -> Result<Vec<Finding>, Failure> {
    let file = match place.config_file() {
        Ok(file) => file,
        Err(Failure::Told { message, advice, .. }) => {
            let finding = Finding::bad("config", message).because("without it there is nothing to do").ends(Exit::Usage);
            let advice = advice.unwrap_or_default();
            return Ok(vec![finding.advise(format!("`taskrun init` writes one to begin with; else {advice}"))]);
        }
        Err(other) => return Err(other),
    };
    let mut findings = config(place, &file)?;
    // What is not set or not right elsewhere need not keep us from looking at the rest.
    let config = place.read_config(&file, Secrets::NotNeeded)?.ok();
    let state = place.state()?;
    findings.extend(files::look(&state, config.as_ref(), &file));
    let store = files::store(&state, &mut findings).await;
    findings.extend(machine::look(&state, config.as_ref(), place.now()?).await);
    findings.extend(daemon::look(place, config.as_ref()).await?);
    if let Some(config) = &config {
        findings.extend(accounts::look(place, config, store).await?);
        findings.extend(reach::look(place, config).await);
    }
    Ok(findings)
}

fn config(place: &Place, file: &std::path::Path) -> Result<Vec<Finding>, Failure> {
    let shown = file.display();
    Ok(match place.read_config(file, Secrets::Required)? {
        Ok(config) => {
            let found = Finding::ok("config", format!("{shown}: {}", counts(&config)));
            let warnings = config.warnings.len();
            let warned = (warnings > 0).then(|| {
                Finding::warning("config", format!("{shown}: {}", text::counted(warnings, "warning")))
                    .advise("`taskrun check` shows each in its place")
            });
            std::iter::once(found).chain(warned).collect()
        }
        Err(faults) => {
            let first = faults.iter().next().map(ToString::to_string).unwrap_or_default();
            let found = format!("{shown}: {}, the first at {first}", text::counted(faults.len(), "fault"));
            let why = "a daemon does not start with it, and one that runs goes on under the file before it";
            vec![
                Finding::bad("config", found).because(why).advise("`taskrun check` shows all of them, each in its place").ends(Exit::Usage),
            ]
        }
    })
}

fn counts(config: &Config) -> String {
    let tasks = text::counted(super::views::tasks(config), "task");
    let enabled = config.instances.values().filter(|instance| instance.enabled).count();
    format!("{tasks}, {} enabled", text::counted(enabled, "instance"))
}

/// One line a finding, and below what is wrong why it matters and what to do; then the sum.
fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    let width = findings.iter().map(|finding| finding.topic.len()).max().unwrap_or(0);
    for Finding { topic, level, found, why, advice, .. } in findings {
        let (style, word) = match level {
            Level::Ok => (GOOD, "ok"),
            Level::Note => (DIM, "note"),
            Level::Warning => (ODD, "warning"),
            Level::Bad => (BAD, "bad"),
        };
        let found = text::one_line(found);
        writeln!(text, "{style}{word:7}{style:#}  {BOLD}{topic:width$}{BOLD:#}  {found}").unwrap_or_default();
        for (label, more) in [("why", why), ("do", advice)] {
            if let Some(more) = more {
                writeln!(text, "{:7}  {:width$}  {DIM}{label}:{DIM:#} {more}", "", "").unwrap_or_default();
            }
        }
    }
    let count = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    let sum = match (count(Level::Bad), count(Level::Warning)) {
        (0, 0) => "all is well".to_owned(),
        (0, warnings) => text::counted(warnings, "warning"),
        (bad, 0) => format!("{bad} bad"),
        (bad, warnings) => format!("{bad} bad, {}", text::counted(warnings, "warning")),
    };
    text + &sum + "\n"
}
