//! A dry run: every read and no write. It supersedes nobody, takes no lock, and its row stands in the history as a dry one.
//!
//! What keeps it from writing is below the handlers, in [`Access::permit`]; here the plan is printed.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::SignedDuration;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    exit::{Exit, Failure},
    once::OnceView,
    place::Place,
    presence::Presence,
    text::{self, Cell, DIM},
};
use crate::{
    access::{Access, Plan, Planned, Progress},
    clock::BoxFuture,
    config::Config,
    core::{
        event::{NotYet, Outcome, OutcomeKind, RunEnd},
        task::{Instance, RunId},
    },
    engine::{self, signal::Signal},
    handlers::{AttemptContext, Children, Handler, HandlerError, overseer::Nobody},
    notify::LogNotifier,
    observe::progress::{self, Style},
    store::{ChildGroup, RunStore as _, StoreError, sqlite::SqliteStore},
};

/// A write that a dry run did not make, as JSON; stable.
#[derive(Debug, Serialize)]
pub(crate) struct PlannedView {
    kind: &'static str,
    target: String,
    change: String,
    reason: String,
}

/// What came of one dry run.
struct Done {
    run: RunId,
    instance: Arc<Instance>,
    outcome: Outcome,
    took: SignedDuration,
    plan: Vec<Planned>,
}

/// Runs the instances dry, side by side; gives what each would have written.
pub(crate) async fn run(
    instances: &[Arc<Instance>],
    config: &Config,
    presence: &Presence,
    mut signals: mpsc::Receiver<Signal>,
    place: &Place,
) -> Result<(Vec<OnceView>, Exit), Failure> {
    let handlers = presence.handlers(config);
    let cancel = CancellationToken::new();
    let runs: Vec<_> = instances
        .iter()
        .map(|instance| {
            let ctx = context(instance, config, presence, cancel.clone());
            tokio::spawn(attempt(ctx, handlers.get(&instance.handler).cloned(), bars(presence, place), Arc::clone(&presence.store)))
        })
        .collect();
    let mut signal = None;
    let mut views = Vec::new();
    let mut exit = Exit::Done;
    for mut run in runs {
        let done = loop {
            tokio::select! {
                done = &mut run => break done,
                Some(came) = signals.recv() => match signal.replace(came) {
                    None => cancel.cancel(),
                    // The second does not wait.
                    Some(_) => return Ok((views, Exit::by(came))),
                }
            }
        };
        let done = done.map_err(|error| Failure::because(Exit::Failed, "a dry run went wrong", &error))??;
        exit = exit.worse(Exit::of(done.end()));
        views.push(done.view());
    }
    Ok((views, signal.map_or(exit, Exit::by)))
}

fn bars(presence: &Presence, place: &Place) -> Style {
    if place.screen.draws_bars() { Style::Bar(presence.log.handle().bars()) } else { Style::Log }
}

fn context(instance: &Arc<Instance>, config: &Config, presence: &Presence, cancel: CancellationToken) -> AttemptContext {
    AttemptContext {
        run: RunId(0),
        attempt: 1,
        generation: None,
        instance: Arc::clone(instance),
        params: instance.with.clone(),
        fire_at: presence.clock.now().wall,
        closes_at: None,
        cancel,
        progress: Progress::default(),
        clock: Arc::clone(&presence.clock),
        access: Access::Dry(Plan::default()),
        base_dir: config.base_dir.clone(),
        children: Arc::new(NoChildren),
        notifier: Arc::new(LogNotifier),
        overseer: Arc::new(Nobody),
    }
}

/// One dry attempt, on a thread of its own, and its row in the history.
async fn attempt(
    ctx: AttemptContext,
    handler: Option<Arc<dyn Handler>>,
    style: Style,
    store: Arc<SqliteStore>,
) -> Result<Done, StoreError> {
    let (clock, instance, began) = (Arc::clone(&ctx.clock), Arc::clone(&ctx.instance), ctx.fire_at);
    let Access::Dry(plan) = ctx.access.clone() else { return Err(StoreError::Closed) };
    let over = CancellationToken::new();
    let shown = tokio::spawn(progress::watch(ctx.progress.clone(), instance.name.to_string(), style, Arc::clone(&clock), over.clone()));
    let outcome = match handler {
        Some(handler) => outcome(handler, ctx).await,
        None => Outcome::Failed { transient: false, retry_after: None, error: "its handler is not in this configuration".into() },
    };
    over.cancel();
    drop(shown.await);
    let ended = clock.now().wall;
    let text = outcome.text().map(ToOwned::to_owned);
    let mut done = Done { run: RunId(0), instance, outcome, took: ended.duration_since(began), plan: plan.planned() };
    done.run = store.record_dry(done.instance.name.clone(), done.end(), text, began, ended).await?;
    Ok(done)
}

async fn outcome(handler: Arc<dyn Handler>, ctx: AttemptContext) -> Outcome {
    let limit = ctx.instance.timeout.and_then(|limit| Duration::try_from(limit).ok()).unwrap_or(Duration::MAX);
    let runtime = tokio::runtime::Handle::current();
    let attempt = tokio::task::spawn_blocking(move || runtime.block_on(async { tokio::time::timeout(limit, handler.run(&ctx)).await }));
    match attempt.await {
        Ok(Ok(result)) => match engine::outcome_of(result) {
            Outcome::NotYet(NotYet { until, why }) => {
                let error = format!("{why}; the plan ends here, a dry run waits for nothing: it can go on at {until}").into();
                Outcome::Failed { transient: true, retry_after: None, error }
            }
            outcome => outcome,
        },
        Ok(Err(_)) => Outcome::TimedOut { error: format!("timed out after {}", text::took(text::real(limit))).into() },
        Err(error) => Outcome::Panicked { error: format!("the handler panicked: {error}").into() },
    }
}

impl Done {
    fn end(&self) -> RunEnd {
        match self.outcome.kind() {
            OutcomeKind::Succeeded => RunEnd::Succeeded,
            OutcomeKind::Failed | OutcomeKind::Panicked | OutcomeKind::NotYet => RunEnd::Failed,
            OutcomeKind::TimedOut => RunEnd::TimedOut,
            OutcomeKind::Cancelled => RunEnd::Cancelled,
            OutcomeKind::Lost => RunEnd::Lost,
        }
    }

    fn view(&self) -> OnceView {
        let planned = |planned: &Planned| PlannedView {
            kind: planned.kind,
            target: planned.target.clone(),
            change: planned.change.clone(),
            reason: planned.reason.clone(),
        };
        OnceView {
            instance: self.instance.name.to_string(),
            run: Some(self.run.0),
            end: self.end().word(),
            reason: None,
            superseded_by: None,
            took_s: Some(self.took.as_secs_f64()),
            dry: true,
            text: self.outcome.text().map(ToOwned::to_owned),
            plan: Some(self.plan.iter().map(planned).collect()),
        }
    }
}

/// What would have been written, with reasons, and how much of each kind.
pub(crate) fn plan(planned: &[PlannedView]) -> String {
    if planned.is_empty() {
        return "nothing would be written\n".to_owned();
    }
    let header = ["# what", "on", "change", "why"].map(|title| Cell::new(title, DIM));
    let rows = planned.iter().map(|one| {
        [one.kind.into(), text::one_line(&one.target).into(), text::one_line(&one.change).into(), text::one_line(&one.reason).into()]
    });
    let table = text::table(&std::iter::once(header).chain(rows).collect::<Vec<_>>());
    let mut totals: BTreeMap<&str, usize> = BTreeMap::new();
    for one in planned {
        *totals.entry(one.kind).or_default() += 1;
    }
    let totals: Vec<String> = totals.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    format!("{table}would write: {}\n", totals.join(", "))
}

/// A dry run starts no child process.
#[derive(Debug)]
struct NoChildren;

impl Children for NoChildren {
    fn record(&self, _child: ChildGroup) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(async { Err(HandlerError::Permanent { message: "a dry run starts no child process".to_owned() }) })
    }

    fn marker(&self) -> &'static str {
        "dry"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_gives_reasons_and_totals() {
        let one = |kind, target: &str| PlannedView {
            kind,
            target: target.to_owned(),
            change: "1200 -> 1300".to_owned(),
            reason: "cost rose".to_owned(),
        };
        let text = plan(&[one("price", "item 1"), one("hide", "item 2"), one("price", "item 3")]);
        let text = anstream::adapter::strip_str(&text).to_string();
        assert!(text.contains("price   item 1  1200 -> 1300  cost rose"), "{text}");
        assert!(text.ends_with("would write: 1 hide, 2 price\n"), "{text}");
        assert_eq!(plan(&[]), "nothing would be written\n");
    }
}
