//! The brake on mass hides: what all shops together would hide is judged, and what each would, before any of it is hidden.
//!
//! The shops are compared side by side. Whoever has hides to make waits until each shop has said how many it would make, or can't be compared;
//! but not for ever: a shop that hangs is judged when it comes.
use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::sync::watch;

use super::percent;
use crate::shop::difference::brake_trips;

/// How long the others' hides wait for a shop that is slow to be compared, in real time. A list of ten thousand items is read in less.
const PATIENCE: Duration = Duration::from_mins(1);
/// So many hides are no mass where only some of the shops are looked at: a small shop's few are judged with all the others'.
const HANDFUL: usize = 10;

/// What a shop would hide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) account: Arc<str>,
    pub(super) hides: usize,
    /// Of so many that buyers see.
    pub(super) visible: usize,
}

/// The brake of one attempt.
#[derive(Debug)]
pub(super) struct Brake {
    max_hide: i64,
    shops: usize,
    votes: watch::Sender<Votes>,
}

#[derive(Debug)]
struct Votes {
    /// Shops that have not been compared yet.
    awaited: usize,
    cast: Vec<Vote>,
}

/// The place of a shop that has not voted. When it is dropped, nobody waits for that shop any more.
#[derive(Debug)]
pub(super) struct Seat<'b>(&'b Brake);

impl Brake {
    /// `cast`: the votes of shops that were compared before; `awaited`: how many [`Brake::seat`]s there will be.
    pub(super) fn new(max_hide: i64, cast: Vec<Vote>, awaited: usize) -> Self {
        Self { max_hide, shops: cast.len() + awaited, votes: watch::Sender::new(Votes { awaited, cast }) }
    }

    pub(super) fn seat(&self) -> Seat<'_> {
        Seat(self)
    }

    /// Whether this shop may hide nothing; `None`: that is not known yet.
    pub(super) fn verdict(&self, account: &str) -> Option<bool> {
        let votes = self.votes.borrow();
        let is_at_fault = |vote: &Vote| &*vote.account == account && self.is_too_much(std::slice::from_ref(vote));
        (votes.awaited == 0).then(|| self.is_too_much(&votes.cast) || votes.cast.iter().any(is_at_fault))
    }

    /// Waits until a verdict is known.
    pub(super) async fn settled(&self) {
        self.settled_within(PATIENCE).await;
    }

    async fn settled_within(&self, patience: Duration) {
        let mut votes = self.votes.subscribe();
        let all = votes.wait_for(|votes| votes.awaited == 0);
        if tokio::time::timeout(patience, all).await.is_err() {
            self.votes.send_modify(|votes| votes.awaited = 0);
        }
    }

    /// Why something was not hidden; `None`: nothing tripped it.
    pub(super) fn reason(&self) -> Option<String> {
        let votes = self.votes.borrow();
        let mut reason = if self.is_too_much(&votes.cast) {
            let (hides, visible) = sum(&votes.cast);
            format!("{hides} of {visible} visible listings would have been hidden")
        } else {
            let shops = votes.cast.iter().filter(|vote| self.is_too_much(std::slice::from_ref(vote)));
            let shops: Vec<_> =
                shops.map(|vote| format!("{} of {} visible listings of {}", vote.hides, vote.visible, vote.account)).collect();
            if shops.is_empty() {
                return None;
            }
            format!("{} would have been hidden", shops.join(" and "))
        };
        _ = write!(
            reason,
            ", more than `max_hide` allows ({}); none of them was. If they are really gone, run once with `--set max_hide=100%`",
            percent(self.max_hide)
        );
        Some(reason)
    }

    fn is_too_much(&self, votes: &[Vote]) -> bool {
        let (hides, visible) = sum(votes);
        let is_mass = HANDFUL < hides || votes.len() == self.shops;
        is_mass && brake_trips(hides, visible, self.max_hide)
    }
}

impl Seat<'_> {
    /// Says what the shop would hide.
    pub(super) fn vote(self, vote: Vote) {
        self.0.votes.send_modify(|votes| votes.cast.push(vote));
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.votes.send_modify(|votes| votes.awaited = votes.awaited.saturating_sub(1));
    }
}

fn sum(votes: &[Vote]) -> (usize, usize) {
    votes.iter().fold((0, 0), |(hides, visible), vote| (hides + vote.hides, visible + vote.visible))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(account: &str, hides: usize, visible: usize) -> Vote {
        Vote { account: account.into(), hides, visible }
    }

    #[tokio::test]
    async fn nobody_hides_before_every_shop_has_been_compared_or_given_up() {
        let brake = Brake::new(50_000, Vec::new(), 2);
        let (first, second) = (brake.seat(), brake.seat());
        first.vote(vote("a", 5, 1000));
        assert_eq!(brake.verdict("a"), None);
        drop(second);
        assert_eq!(brake.verdict("a"), Some(false));
        brake.settled().await;
        assert_eq!(brake.reason(), None);
    }

    #[test]
    fn too_much_over_all_stops_every_shop_and_too_much_in_one_that_shop() {
        let judge = |votes: Vec<Vote>| {
            let brake = Brake::new(50_000, votes, 0);
            (brake.verdict("a").unwrap(), brake.verdict("b").unwrap(), brake.reason())
        };
        let (a, b, reason) = judge(vec![vote("a", 300, 1000), vote("b", 0, 100)]);
        assert!(a && b && reason.unwrap().starts_with("300 of 1100 visible listings would have been hidden"));
        let (a, b, reason) = judge(vec![vote("a", 1, 1000), vote("b", 30, 100)]);
        assert!(!a && b && reason.unwrap().starts_with("30 of 100 visible listings of b would have been hidden"));
        assert_eq!(judge(vec![vote("a", 1, 1000), vote("b", 10, 100)]), (false, false, None), "a small shop's few");
        let brake = Brake::new(50_000, vec![vote("a", 10, 100)], 1);
        drop(brake.seat());
        assert_eq!(brake.verdict("a"), Some(false), "nor where the others can't be compared");
    }

    #[tokio::test]
    async fn a_shop_that_hangs_is_not_waited_for_for_ever() {
        let brake = Brake::new(50_000, Vec::new(), 2);
        let (first, hangs) = (brake.seat(), brake.seat());
        first.vote(vote("a", 5, 1000));
        brake.settled_within(Duration::from_millis(1)).await;
        assert_eq!(brake.verdict("a"), Some(false));
        hangs.vote(vote("b", 300, 1000));
        assert_eq!(brake.verdict("b"), Some(true), "it is judged when it comes");
    }
}
