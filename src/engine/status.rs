//! Answers requests: what is to be seen, and what is to be done by hand.
use std::{collections::BTreeMap, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::oneshot;

use super::{
    control::{Request, tell},
    driver::Driver,
    view::{ConfigView, InstanceView, LastView, PausedView, RunView, StatusView, TriggeredView, say_what_follows},
};
use crate::{
    core::{
        event::{AskAnswer, Event, StopReason},
        order,
        state::{Active, Known, Phase},
        task::{Instance, InstanceName, RunId, Trigger},
    },
    observe::progress::left,
    store::{HistoryRow, Pause, RunStore, StoreResult},
};

impl Driver {
    pub(super) fn answer(&mut self, request: Request) {
        match request {
            Request::Status { reply } => self.say_status(reply),
            Request::Runs { reply } => tell(reply, self.run_views()),
            Request::Trigger { name, manual, reply } => self.trigger(&name, if manual { Trigger::Manual } else { Trigger::Api }, reply),
            Request::Cancel { run, reply } => {
                let open = self.state.runs.contains(run);
                tell(reply, open);
                self.apply(Event::StopAsked { run, reason: StopReason::Cancelled });
            }
            Request::Reload { dry: true, reply } => self.say_differences(reply),
            Request::Reload { dry: false, reply } => self.reload(reply),
            Request::Stop => self.stop(),
            Request::Poke => {
                self.reporter.news();
                self.came.notify_one();
                if self.state.scheduling {
                    self.look_for_follow_ups();
                }
                self.look_at_stops();
            }
        }
    }

    fn trigger(&mut self, name: &str, trigger: Trigger, reply: oneshot::Sender<Vec<TriggeredView>>) {
        let names: Vec<InstanceName> = self
            .state
            .instances
            .values()
            .filter(|known| known.instance.name.as_str() == name || known.instance.task.as_str() == name)
            .map(|known| known.instance.name.clone())
            .collect();
        let mut answers = Vec::new();
        for instance in names.iter().cloned() {
            let (tell, answer) = oneshot::channel();
            let ask = self.next_ask;
            self.next_ask += 1;
            self.asks.insert(ask, tell);
            answers.push((instance.to_string(), answer));
            self.apply(Event::Asked { ask, instance, trigger });
        }
        self.say_unmet(&names);
        self.performing.spawn(async move {
            let mut views = Vec::new();
            for (instance, answer) in answers {
                views.push(triggered(instance, answer.await.unwrap_or(AskAnswer::Refused("taskrun is stopping".into()))));
            }
            tell(reply, views);
        });
    }

    /// Who starts by hand passes the needs, and is told so.
    fn say_unmet(&self, names: &[InstanceName]) {
        let known = names.iter().filter_map(|name| self.state.instances.get(name));
        let needy: Vec<Arc<Instance>> =
            known.filter(|known| !known.instance.needs.is_empty()).map(|known| Arc::clone(&known.instance)).collect();
        if needy.is_empty() {
            return;
        }
        let of = needy.iter().flat_map(|instance| instance.needs.iter().map(|need| need.of.clone())).collect();
        let (last, at) = (self.store.last_runs(of), self.now().wall);
        self.performing.spawn(async move {
            let Ok(last) = last.await else { return };
            for instance in needy {
                if let Some(unmet) = order::unmet(&instance.needs, &last, at) {
                    let instance = &instance.name;
                    tracing::warn!(%instance, "{instance} {unmet}; it was started by hand, and runs all the same");
                }
            }
        });
    }

    fn say_status(&self, reply: oneshot::Sender<StatusView>) {
        let view = self.view();
        let store = Arc::clone(&self.store);
        let now = self.now().wall;
        let joined = async move {
            let (last, pauses) = past(&*store).await?;
            Ok::<_, crate::store::StoreError>((last, pauses))
        };
        tokio::spawn(async move {
            let mut view = view;
            match joined.await {
                Ok((last, pauses)) => {
                    for instance in &mut view.instances {
                        instance.last = last.get(&instance.instance).map(LastView::of);
                        instance.paused = pause_of(&pauses, &instance.task, &instance.instance, now);
                    }
                }
                Err(error) => view.degraded.push(format!("the store can't be read: {}", crate::errors::chain(&error))),
            }
            tell(reply, view);
        });
    }

    fn view(&self) -> StatusView {
        let now = self.now();
        let mut degraded = Vec::new();
        degraded.extend(self.trouble.now().map(|trouble| format!("the store does not take writes: {trouble}")));
        if !self.reloads.faults.is_empty() {
            degraded.push(format!("the last reload was refused; faults: {}", self.reloads.faults.len()));
        }
        if 0 < self.stuck() {
            degraded.push(format!("attempts that did not stop and were given up on: {}", self.stuck()));
        }
        degraded.extend(self.health.troubles());
        let instances = self.state.instances.values().map(|known| InstanceView::of(&known.instance, self.next_start(known)));
        let mut instances: Vec<InstanceView> = instances.collect();
        say_what_follows(&mut instances);
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started_at: self.started_at.to_string(),
            now: now.wall.to_string(),
            practice_speed: self.practice_speed,
            config: ConfigView {
                path: self.loaded.path.display().to_string(),
                loaded_at: self.reloads.loaded_at.to_string(),
                reloads: self.reloads.count,
                last_reload_faults: self.reloads.faults.clone(),
            },
            stuck: self.stuck(),
            degraded,
            stopping: self.state.stopping.is_some(),
            instances,
            runs: self.run_views(),
        }
    }

    fn run_views(&self) -> Vec<RunView> {
        let now = self.now().wall;
        self.state.runs.iter().map(|(run, active)| self.run_view(run, active, now)).collect()
    }

    /// When the instance will next start, fires that its hours or calendar refuse passed over.
    fn next_start(&self, known: &Known) -> Option<Timestamp> {
        let instance = &known.instance;
        let plans = instance.enabled && self.state.scheduling && self.state.stopping.is_none();
        let fire = instance.timing.next_open_after(known.watermark, self.state.anchors(&instance.name)).filter(|_| plans)?;
        fire.at.saturating_add(instance.timing.splay).ok()
    }

    fn run_view(&self, run: RunId, active: &Active, now: Timestamp) -> RunView {
        let worker = self.workers.get(&run);
        let (done, total, note) = worker.map(|worker| worker.progress.read()).unwrap_or_default();
        let passed = worker.map_or(SignedDuration::ZERO, |worker| now.duration_since(worker.started_at));
        let passed = SignedDuration::try_from(self.clock.real(passed)).unwrap_or_default();
        let attempt = match active.phase {
            Phase::Backoff { .. } | Phase::NotYet { .. } => active.attempts + 1,
            _ => active.attempts,
        };
        let waits = active.not_yet.as_ref();
        let note = waits.map_or(note, |not_yet| not_yet.why.to_string());
        RunView {
            run: run.0,
            instance: active.instance.name.to_string(),
            trigger: active.trigger.to_string(),
            fire_at: active.fire_at.to_string(),
            phase: active.phase.word().to_owned(),
            until: waits.map(|not_yet| not_yet.until.to_string()),
            attempt,
            started_at: worker.map(|worker| worker.started_at.to_string()),
            done,
            total,
            note,
            left_s: left(done, total.saturating_sub(done), passed, &*self.clock).map(|left| left.as_secs_f64()),
            still_s: worker.map(|worker| worker.still_for(self.now().uptime).as_secs_f64()),
            timeout_governs: &*active.instance.handler == "command" && active.instance.timeout.is_some(),
            grace_s: active.instance.grace.as_secs_f64(),
        }
    }
}

fn triggered(instance: String, answer: AskAnswer) -> TriggeredView {
    match answer {
        AskAnswer::Run(run) => TriggeredView { instance, run: Some(run.0), skipped: None },
        AskAnswer::Skipped { reason, detail } => {
            let detail = detail.map(|detail| format!(": {detail}")).unwrap_or_default();
            TriggeredView { instance, run: None, skipped: Some(format!("{reason}{detail}")) }
        }
        AskAnswer::Refused(why) => TriggeredView { instance, run: None, skipped: Some(why.to_string()) },
    }
}

/// The last finished row of each instance, and every pause.
pub async fn past(store: &dyn RunStore) -> StoreResult<(BTreeMap<String, HistoryRow>, Vec<Pause>)> {
    let last = store.last_ends().await?;
    let last = last.into_iter().map(|row| (row.instance.to_string(), row)).collect();
    Ok((last, store.pauses().await?))
}

/// The pause in force for an instance, its own or its task's.
pub fn pause_of(pauses: &[Pause], task: &str, instance: &str, now: Timestamp) -> Option<PausedView> {
    let in_force = |pause: &&Pause| (pause.name == task || pause.name == instance) && pause.until.is_none_or(|until| now < until);
    pauses.iter().find(in_force).map(|pause| PausedView {
        since: pause.since.to_string(),
        until: pause.until.map(|until| until.to_string()),
        reason: pause.reason.clone(),
    })
}
