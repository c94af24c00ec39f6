//! Places for connections: there are only so many, and whoever comes always finds one.
//!
//! Where all are taken, the connection goes that has been silent the longest: one that has not said what it wants, or has had its answer. So nobody
//! who connects a thousand times and says nothing keeps others out. A connection whose request is being answered stays.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// All the places.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    max: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    /// By how long they have been silent, the longest first.
    silent: BTreeMap<u64, CancellationToken>,
    busy: usize,
}

/// The place of one connection.
#[derive(Clone, Debug)]
pub(super) struct Seat(Arc<Held>);

#[derive(Debug)]
struct Held {
    places: Places,
    /// Tells the connection to go.
    gone: CancellationToken,
    state: Mutex<SeatState>,
}

#[derive(Debug, Default)]
struct SeatState {
    /// Under what number it is silent.
    silent: Option<u64>,
    /// How many answers are under way, such as a stream.
    answers: usize,
}

/// As long as this lives, the connection is not sent away.
#[derive(Debug)]
pub(super) struct Answering(Seat);

impl Places {
    pub(super) fn new(max: usize) -> Self {
        Self(Arc::new(Shared { max, inner: Mutex::default() }))
    }

    /// A place, from whoever has been silent the longest if need be; nothing if all are being answered.
    pub(super) fn take(&self) -> Option<Seat> {
        let mut inner = self.inner();
        if self.0.max <= inner.silent.len() + inner.busy {
            let (_, longest) = inner.silent.pop_first()?;
            longest.cancel();
        }
        let gone = CancellationToken::new();
        let number = inner.add(gone.clone());
        Some(Seat(Arc::new(Held { places: self.clone(), gone, state: Mutex::new(SeatState { silent: Some(number), answers: 0 }) })))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn add(&mut self, gone: CancellationToken) -> u64 {
        self.next += 1;
        self.silent.insert(self.next, gone);
        self.next
    }
}

impl Seat {
    /// Told when the connection has to go.
    pub(super) fn gone(&self) -> &CancellationToken {
        &self.0.gone
    }

    /// The connection has said what it wants.
    pub(super) fn answering(&self) -> Answering {
        let mut inner = self.0.places.inner();
        let mut state = self.0.state();
        state.answers += 1;
        if let Some(number) = state.silent.take() {
            inner.silent.remove(&number);
            inner.busy += 1;
        }
        drop(state);
        Answering(self.clone())
    }
}

impl Held {
    fn state(&self) -> MutexGuard<'_, SeatState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let held = &self.0.0;
        let mut inner = held.places.inner();
        let mut state = held.state();
        state.answers = state.answers.saturating_sub(1);
        if state.answers == 0 {
            inner.busy = inner.busy.saturating_sub(1);
            state.silent = Some(inner.add(held.gone.clone()));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let number = self.state().silent.take();
        if let Some(number) = number {
            self.places.inner().silent.remove(&number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_is_silent_the_longest_makes_way() {
        let places = Places::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        let third = places.take().unwrap();
        assert!(first.gone().is_cancelled());
        assert!(!second.gone().is_cancelled() && !third.gone().is_cancelled());
    }

    #[test]
    fn whoever_is_being_answered_stays_and_whoever_was_answered_goes_last() {
        let places = Places::new(2);
        let (first, second) = (places.take().unwrap(), places.take().unwrap());
        let answering = first.answering();
        let third = places.take().unwrap();
        assert!(second.gone().is_cancelled());
        let other = third.answering();
        assert!(places.take().is_none(), "both are being answered");
        drop(answering);
        drop(other);
        let _fourth = places.take().unwrap();
        assert!(first.gone().is_cancelled() && !third.gone().is_cancelled());
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let places = Places::new(1);
        for _ in 0..3 {
            let seat = places.take().unwrap();
            drop(seat.answering());
            assert!(!seat.gone().is_cancelled());
        }
    }
}
