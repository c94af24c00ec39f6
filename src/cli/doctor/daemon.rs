//! The daemon: whether it lives and goes on, what it says of itself, and its port.
use std::{io, net::TcpListener, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Level};
use crate::{
    cli::{
        exit::{Exit, Failure},
        list,
        place::Place,
    },
    config::Config,
    engine::view::StatusView,
    errors::chain,
    view::ready::ReasonView,
};

/// A daemon that does not answer within this time hangs; all of a quick look takes less than a second.
const QUICK_LIMIT: Duration = Duration::from_millis(900);
/// A fire that is this late was not seen: the engine looks at the clock once a second.
const LATE_MAX: SignedDuration = SignedDuration::from_mins(1);

/// Whether the daemon lives and goes on: what a restart would mend, and nothing else.
pub(super) async fn lives(place: &Place) -> Finding {
    let asked = async { Ok::<_, Failure>(place.daemon().await?.status().await?.status) };
    let failure = match tokio::time::timeout(QUICK_LIMIT, asked).await {
        Ok(Ok(status)) => return goes_on(&status),
        Ok(Err(failure)) => failure,
        Err(_) => silent(place, QUICK_LIMIT),
    };
    let advice = failure.advice().map(ToOwned::to_owned);
    Finding { advice, ..Finding::bad("daemon", failure.to_string()).ends(failure.exit()) }
}

fn silent(place: &Place, limit: Duration) -> Failure {
    let why = format!("nothing came within {limit:?}");
    match place.daemon_in_silence(&why) {
        Ok(Some(failure)) | Err(failure) => failure,
        Ok(None) => Failure::told(Exit::NoDaemon, why),
    }
}

fn goes_on(status: &StatusView) -> Finding {
    let said = format!("taskrun {}, pid {}", status.version, status.pid);
    let now = list::instant(&status.now).unwrap_or(Timestamp::UNIX_EPOCH);
    let speed = i32::try_from(status.practice_speed.unwrap_or(1)).unwrap_or(i32::MAX);
    let late = LATE_MAX.checked_mul(speed).unwrap_or(SignedDuration::MAX);
    let missed = status.instances.iter().filter(|view| view.enabled && view.paused.is_none()).find(|view| {
        let next = view.next_at.as_deref().and_then(list::instant);
        next.is_some_and(|next| late < now.duration_since(next))
    });
    if let Some(view) = missed.filter(|_| !status.stopping) {
        let found = format!("{said}: `{}` was due at {} and has not been looked at", view.instance, view.next_at.as_deref().unwrap_or("?"));
        return Finding::bad("daemon", found).because("the engine stands still").advise("restart it; keep its log");
    }
    match status.degraded.first() {
        Some(trouble) => Finding::warning("daemon", format!("{said}: {trouble}")).advise("`taskrun status`"),
        None if status.stopping => Finding::note("daemon", format!("{said}: it is stopping")),
        None => Finding::ok("daemon", format!("{said}, answers and goes on")),
    }
}

/// All that can be said of the daemon and its port.
pub(super) async fn look(place: &Place, config: Option<&Config>) -> Result<Vec<Finding>, Failure> {
    let runs = match place.daemon_lives() {
        Ok(runs) => runs,
        Err(failure) => return Ok(vec![Finding::bad("daemon", failure.to_string()).ends(failure.exit())]),
    };
    let mut findings = if runs {
        std::iter::once(lives(place).await).chain(reasons(place).await).chain(another_version(place).await).collect()
    } else {
        let found = Finding::note("daemon", "none runs here: nothing fires by itself");
        vec![found.advise("`taskrun run` in a terminal, `taskrun service install` for good")]
    };
    // What the daemon says of its port itself counts more than what can be seen from here.
    let is_told = findings.iter().any(|finding| finding.topic == "port");
    if let Some(http) = config.and_then(|config| config.http.as_ref()).filter(|_| place.practice().is_none() && !is_told) {
        findings.push(port(http.listen, runs));
    }
    Ok(findings)
}

/// What the daemon itself finds wrong with its work, but for logins, which are looked at one by one.
async fn reasons(place: &Place) -> Vec<Finding> {
    let asked = async { Ok::<_, Failure>(place.daemon().await?.ready().await?) };
    let Ok(Ok(ready)) = tokio::time::timeout(QUICK_LIMIT.saturating_mul(10), asked).await else { return Vec::new() };
    ready.reasons.iter().filter(|reason| !matches!(reason.code.as_str(), "token_dead" | "degraded" | "stopping")).map(reason).collect()
}

fn reason(ReasonView { code, text }: &ReasonView) -> Finding {
    let (topic, level, advice) = match code.as_str() {
        "unscheduled" => ("daemon", Level::Bad, "`taskrun explain` it"),
        "data_stale" => ("daemon", Level::Warning, "`taskrun explain sync_inventory`: what is not known freshly is not written"),
        "http" => ("port", Level::Bad, "`http.listen` in tasks.yaml, then `taskrun reload`"),
        _ => ("daemon", Level::Warning, "`taskrun status`"),
    };
    Finding::new(topic, level, text).advise(advice)
}

/// The daemon is of another version than this command.
async fn another_version(place: &Place) -> Option<Finding> {
    let theirs = place.daemon().await.ok()?.ping().await.ok()?.version;
    let own = env!("CARGO_PKG_VERSION");
    let found = Finding::warning("daemon", format!("taskrun {theirs} runs, and this is {own}"));
    (theirs != own).then(|| found.because("what was installed is not in force").advise("restart the service, or `taskrun run --replace`"))
}

/// Whether the port of the dashboard is free, or ours.
fn port(listen: std::net::SocketAddr, runs: bool) -> Finding {
    let bound = TcpListener::bind(listen);
    match (bound.map(drop), runs) {
        (Ok(()), false) => Finding::ok("port", format!("{listen} is free")),
        (Ok(()), true) if listen.port() == 0 => Finding::ok("port", "any that is free"),
        (Ok(()), true) => Finding::warning("port", format!("nobody listens at {listen}, though the daemon runs"))
            .because("there is no dashboard, and no metrics")
            .advise("`taskrun reload` puts a changed file in force; `taskrun status` says if that failed"),
        (Err(error), true) if error.kind() == io::ErrorKind::AddrInUse => {
            Finding::ok("port", format!("{listen} is taken, and the daemon that runs has no trouble with its own"))
        }
        (Err(error), false) if error.kind() == io::ErrorKind::AddrInUse => Finding::bad("port", format!("another program has {listen}"))
            .because("a daemon does not start where its port is taken")
            .advise(format!("choose another under `http.listen`, or find the program: `ss -ltnp 'sport = :{}'`", listen.port())),
        (Err(error), _) => Finding::bad("port", format!("nobody can listen at {listen}: {}", chain(&error)))
            .because("a daemon does not start where it can't listen")
            .advise("write an address of this machine, and a port above 1023"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(next_at: &str, practice_speed: Option<u32>) -> StatusView {
        let instance = serde_json::json!({
            "instance": "report", "task": "report", "handler": "command", "enabled": true, "schedule": "", "zone": "UTC", "hours": "always",
            "overlap": "skip", "next_at": next_at, "last": null,
        });
        let config = serde_json::json!({ "path": "tasks.yaml", "loaded_at": "", "reloads": 0, "last_reload_faults": [] });
        let status = serde_json::json!({
            "version": "0.1.0", "pid": 1, "started_at": "", "now": "2026-11-24T09:10:00Z", "practice_speed": practice_speed, "config": config,
            "degraded": [], "stopping": false, "instances": [instance], "runs": [],
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn an_engine_that_passes_over_a_fire_stands_still() {
        assert_eq!(goes_on(&status("2026-11-24T09:09:30Z", None)).level, Level::Ok, "it has a minute to see it");
        assert_eq!(goes_on(&status("2026-11-24T09:08:30Z", None)).level, Level::Bad);
        assert_eq!(goes_on(&status("2026-11-24T09:08:30Z", Some(60))).level, Level::Ok, "its minute passes in a second");
        assert_eq!(goes_on(&status("2026-11-24T12:00:00Z", None)).level, Level::Ok);
    }

    #[test]
    fn what_no_restart_mends_is_no_reason_for_one() {
        let troubled = StatusView { degraded: vec!["the store refuses writes".to_owned()], ..status("2026-11-24T12:00:00Z", None) };
        assert_eq!(goes_on(&troubled).level, Level::Warning);
    }
}
