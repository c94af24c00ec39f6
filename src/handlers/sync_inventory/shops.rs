//! The shops, side by side: each is compared, brought in line and cleared of what it no longer knows, and no other's trouble delays it.
use std::{fmt::Write as _, sync::Arc};

use futures_util::future::join_all;
use jiff::Timestamp;

use super::{
    Catalogue, Sync,
    brake::{Brake, Seat, Vote},
    compare::{Named, few},
    delist::Allowance,
    past::Past,
    tally::Tally,
};
use crate::{
    errors::chain,
    handlers::{HandlerError, parking},
    marketplace::{CallError, Concern, base::Shop},
    notify::{Event, Level, Notice},
    shop::product::Listing,
    store::shop::Parked,
};

/// Why something is left to do at a shop.
#[derive(Debug)]
pub(super) enum Left {
    /// It is not to be called until then; that is soon enough for this run to go on.
    Until(Timestamp),
    /// It is not to be called for longer than this run can wait, or until a person sees to it.
    Parked,
    /// It failed.
    Failed(CallError),
}

/// A shop where something is left to do, and why, for people.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) account: Arc<str>,
    pub(super) left: Left,
    pub(super) why: String,
}

/// What all shops of an attempt share.
struct Shared<'a> {
    catalogue: &'a Catalogue,
    brake: Brake,
    allowance: Allowance,
}

impl Sync<'_> {
    /// Sees to every shop that the run is not done with. The past takes over what was done; the answer is what is left.
    pub(super) async fn attend_all(
        &self,
        listed: &[(&Shop, Vec<Listing>)],
        catalogue: &Catalogue,
        past: &mut Past,
    ) -> Result<Vec<Unfinished>, HandlerError> {
        let open: Vec<_> = listed.iter().filter(|(shop, _)| !past.is_done(&shop.key().account)).collect();
        let shared = Shared {
            catalogue,
            brake: Brake::new(self.settings.max_hide, past.votes(), open.len()),
            allowance: Allowance::new(self.settings.max_delist.saturating_sub(past.total().made_of("delist"))),
        };
        let ended = join_all(open.iter().map(|(shop, listings)| self.attend(shop, listings, &shared, shared.brake.seat()))).await;
        let mut unfinished = Vec::new();
        let mut fatal = None;
        for ((shop, _), (tally, ended)) in open.into_iter().zip(ended) {
            let account = &shop.key().account;
            let is_done = ended.is_ok();
            let left = match ended {
                Ok(()) => None,
                Err(error) if error.concern() == Concern::Run => {
                    fatal.get_or_insert(self.failure(&error));
                    None
                }
                Err(error) => Some(self.left(shop, error).await?),
            };
            let problem = left.as_ref().and_then(|(_, problem)| problem.clone());
            past.take(Arc::clone(account), tally, is_done, problem);
            unfinished.extend(left.map(|(unfinished, _)| unfinished));
        }
        self.tell_brake(shared.brake.reason(), past);
        fatal.map_or(Ok(unfinished), Err)
    }

    /// Why no shop of the run is to be called for as long as what it would read keeps fresh; `None`: one is. Then the offers need not be read.
    pub(super) async fn all_parked(&self, listed: &[(&Shop, Vec<Listing>)]) -> Result<Option<String>, HandlerError> {
        let mut why = Vec::new();
        for (shop, _) in listed {
            let parks = self.store.parks(Some(shop.key().clone()), self.now()).await.map_err(|error| self.failure(&error.into()))?;
            let lasting = parks.into_iter().find(|park| park.cause == Parked::Paused || matches!(self.parked(park.until), Left::Parked));
            let Some(park) = lasting else { return Ok(None) };
            why.push(format!("{} is parked ({}): {}", park.account.account, park.cause, park.detail));
        }
        Ok(Some(why.join("; ")))
    }

    /// Sees to one shop.
    async fn attend(&self, shop: &Shop, listings: &[Listing], shared: &Shared<'_>, seat: Seat<'_>) -> (Tally, Result<(), CallError>) {
        let mut tally = Tally::default();
        let ended = self.bring_in_line(shop, listings, shared, seat, &mut tally).await;
        (tally, ended)
    }

    async fn bring_in_line(
        &self,
        shop: &Shop,
        listings: &[Listing],
        shared: &Shared<'_>,
        seat: Seat<'_>,
        tally: &mut Tally,
    ) -> Result<(), CallError> {
        let account = &shop.key().account;
        let mut compared = self.compare(shop, listings, shared.catalogue, tally).await?;
        seat.vote(Vote { account: Arc::clone(account), hides: tally.hides, visible: tally.visible });
        self.write(shop, &mut compared, &shared.brake, tally).await?;
        self.delist_gone(shop, &compared, &shared.allowance, tally).await?;
        self.tell_named(account, &compared.named);
        Ok(())
    }

    /// What a shop's trouble leaves, and what a person has to see to. An account that is not to be called is parked, once.
    async fn left(&self, shop: &Shop, error: CallError) -> Result<(Unfinished, Option<String>), HandlerError> {
        let account = Arc::clone(&shop.key().account);
        let parked = parking::park(self.ctx, self.store, shop.key(), &error).await.map_err(|error| self.failure(&error.into()))?;
        let why = chain(&error);
        let mut problem = None;
        let left = match (&error, parked) {
            (CallError::Parked { cause: Parked::Paused, .. }, _) => Left::Parked,
            (CallError::Parked { until, .. }, _) => self.parked(*until),
            (CallError::Limited { until, .. }, None) => self.parked(Some(*until)),
            (_, Some(park)) => {
                // A limit that is used up is nobody's fault.
                problem = (park.cause != Parked::Limited).then(|| format!("{account} is parked: {why}"));
                self.parked(park.until)
            }
            (_, None) => {
                tracing::warn!("{account} is left for this attempt: {why}");
                problem = (!error.is_passing()).then(|| format!("{account} failed: {why}"));
                Left::Failed(error)
            }
        };
        Ok((Unfinished { account, left, why }, problem))
    }

    fn parked(&self, until: Option<Timestamp>) -> Left {
        until.filter(|until| self.is_soon_enough(*until)).map_or(Left::Parked, Left::Until)
    }

    /// Tells a person, once in a run, that the brake tripped.
    fn tell_brake(&self, reason: Option<String>, past: &mut Past) {
        let Some(reason) = reason else { return };
        if past.braked.is_none() {
            let subject = self.ctx.instance.name.as_str().into();
            self.ctx.notifier.notify(Notice { event: Event::Brake, level: Level::Alert, subject, text: reason.clone() });
        }
        past.braked = Some(reason);
    }

    /// Tells a person what to look at in a shop.
    fn tell_named(&self, account: &Arc<str>, named: &Named) {
        let mut text = String::new();
        for (names, what) in [
            (&named.numberless, "not looked at, as the books have no item number of theirs; `taskrun products import` takes one"),
            (&named.banned, "hidden, as they may not be listed"),
            (&named.too_dear, "not priced, as they would cost more than `max`"),
            (&named.below_floor, "below the margin, in a run that writes no prices"),
            (&named.fallen, "not priced yet, as one reading alone says that they fell so far"),
            (&named.unusual, "unusual prices were written"),
        ] {
            if !names.is_empty() {
                let and = if text.is_empty() { "" } else { "; " };
                _ = write!(text, "{and}{what} ({}): {}", names.len(), few(names));
            }
        }
        if !text.is_empty() {
            self.ctx.notifier.notify(Notice { event: Event::NeedsEye, level: Level::Warning, subject: Arc::clone(account), text });
        }
    }
}
