//! Why a task will run, or will not, at a time to come.
use jiff::{SignedDuration, Timestamp};

use crate::{
    cli::{
        exit::Failure,
        place::Place,
        text::{self, Times},
        views,
    },
    core::{
        event::SkipReason,
        task::Instance,
        timing::{Anchors, Preview, preview},
    },
    engine::pause_of,
    store::{Pause, RunStore as _, sqlite::SqliteStore},
};

/// A fire this close to the time in question is the one that is meant.
const MEANT: SignedDuration = SignedDuration::from_secs(60);

/// A sentence for each instance that the name means.
pub(super) async fn tell(name: &str, at: Timestamp, store: Option<&SqliteStore>, place: &Place, times: &Times) -> Result<String, Failure> {
    let config = place.load_without_secrets()?;
    let (pauses, ends) = match store {
        Some(store) => (store.pauses().await?, store.last_ends().await?),
        None => Default::default(),
    };
    let mut sentences = String::new();
    for instance in views::named(&config.instances, name)? {
        let ended = ends.iter().find(|row| row.instance == instance.name).and_then(|row| row.ended_at);
        let anchors = Anchors { last_end: ended.or(Some(times.now)), start: None };
        let sentence = sentence(&instance, anchors, &pauses, at, times);
        sentences.extend([instance.name.as_str(), " ", &sentence, "\n"]);
    }
    Ok(sentences)
}

fn sentence(instance: &Instance, anchors: Anchors, pauses: &[Pause], at: Timestamp, times: &Times) -> String {
    let zone = &instance.timing.zone;
    if !instance.enabled {
        return "will not run: it is disabled (`enabled: false`)".to_owned();
    }
    // A minute as people mean it: `--at 15:00` is about the fire of 15:00:00.
    let from = at.saturating_sub(MEANT).unwrap_or(at).max(times.now);
    let Some(next) = preview(&instance.timing, from, 1, anchors).into_iter().next() else {
        return "will not run: its schedule never fires after that".to_owned();
    };
    let due = times.coming(next.at, zone);
    if next.at > at {
        return match next.closed {
            None => format!("is not due then: it fires next {due}"),
            Some(_) => format!("is not due then: it comes due next {due}, and {}", passed_over(&next)),
        };
    }
    if next.closed.is_some() {
        return format!("is due {due}, and {}", passed_over(&next));
    }
    if let Some(pause) = pause_of(pauses, instance.task.as_str(), instance.name.as_str(), next.at) {
        let reason = pause.reason.map(|reason| format!(": {}", text::one_line(&reason))).unwrap_or_default();
        return format!("is due {due}, and skipped (paused){reason}; `taskrun resume {}` ends the pause", instance.task);
    }
    let note = next.note.map(|note| format!(" ({note})")).unwrap_or_default();
    let splay = instance.timing.splay;
    let later = if splay > SignedDuration::ZERO { format!(", {} later by its jitter", text::took(splay)) } else { String::new() };
    format!("is due {due}{note}, and will run{later}, unless a lock, an older run or a park stands in its way then: `taskrun simulate`")
}

fn passed_over(fire: &Preview) -> String {
    let why = fire.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
    format!("skipped ({}){why}", fire.closed.map_or("", SkipReason::word).replace('_', " "))
}
