//! What a run did, in figures and in a sentence.
use std::{collections::BTreeMap, fmt};

use crate::{
    shop::upload::State,
    store::shop::{Item, Settled},
};

#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Items taken.
    pub(super) looked_at: usize,
    /// Those of them for which something was asked of the shop.
    pub(super) begun: usize,
    /// The last one was one of these.
    pub(super) made_last: bool,
    /// How many ended so.
    ended: BTreeMap<&'static str, usize>,
    /// What waits for a person, by state, with an example.
    pub(super) for_people: BTreeMap<State, String>,
    /// Why no more was taken, where that was not for want of items.
    pub(super) stopped: Option<String>,
}

impl Tally {
    /// Something is asked of the shop for the item in hand.
    pub(super) fn begun(&mut self) {
        if !std::mem::replace(&mut self.made_last, true) {
            self.begun += 1;
        }
    }

    /// An item came to this state.
    pub(super) fn note(&mut self, item: &Item, how: &Settled, state: State) {
        let (word, error) = match how {
            Settled::Finished { .. } => ("listed", None),
            Settled::PutBack { error, .. } => ("put back", error.as_ref()),
            Settled::Failed(error) => ("failed", Some(error)),
            Settled::Doubtful(error) => ("uncertain", Some(error)),
            Settled::Questionable(error) => ("for review", Some(error)),
        };
        *self.ended.entry(word).or_default() += 1;
        match state {
            State::Failed | State::Uncertain | State::Review => {
                let why = error.map_or("", |error| &error.text);
                self.for_people.entry(state).or_insert_with(|| format!("item {} ({}): {why}", item.id, item.subject));
            }
            State::Pending | State::Uploading | State::Success | State::OnHold | State::Cancelled => {}
        }
    }

    /// Whether nothing became of any item.
    pub(super) fn is_empty(&self) -> bool {
        self.ended.is_empty()
    }

    /// An item is not this run's any more.
    pub(super) fn lost(&mut self) {
        *self.ended.entry("taken over by others").or_default() += 1;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures: Vec<String> = self.ended.iter().map(|(word, count)| format!("{count} {word}")).collect();
        match (figures.as_slice(), &self.stopped) {
            ([], None) => f.write_str("nothing is due"),
            ([], Some(why)) => write!(f, "nothing was listed: {why}"),
            (figures, None) => f.write_str(&figures.join(", ")),
            (figures, Some(why)) => write!(f, "{}; {why}", figures.join(", ")),
        }
    }
}
