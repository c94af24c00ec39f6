//! The steps of an item: its listing, then its pictures. What an earlier worker left open is looked up first.
use std::sync::Arc;

use jiff::Timestamp;

use super::{
    Live, guarded,
    judge::{Ruling, item_error},
    store_failed,
    tally::Tally,
    trouble::{Next, Trouble, word},
};
use crate::{
    access::Planned,
    errors::chain,
    handlers::HandlerError,
    marketplace::{
        AGAIN_MAX, CallError, REQUEST_TIME,
        shop::{Made, NewItem, Ready},
    },
    shop::{
        product::{Asin, Listing, sku},
        upload::{State, Step},
    },
    store::shop::{Begun, CatalogueEntry, Claimed, Item, NextStep, Settled},
};

/// A picture that met passing trouble is tried again at once this often: the item stands at the shop without it.
const IMAGE_REPEATS_MAX: u32 = 2;

/// So many more attempts may end with their process before an item is held to be the cause.
const CRASHES_MAX: u32 = 10;

/// How a step ended that did not fail.
enum Stepped<T> {
    /// It is done.
    Done(T),
    /// The item goes no further.
    Settled(Settled),
}

/// What the shop says of a listing that may have been made.
enum Found {
    /// It was.
    Made(Made),
    /// It was not, as far as the shop knows.
    Not,
    /// It was, more than once.
    Several(Settled),
}

impl Live<'_, '_> {
    /// Sees to one item, to its end or until it goes back.
    pub(super) async fn attend(&self, claimed: &Claimed, tally: &mut Tally) -> Result<Next, HandlerError> {
        let item = &claimed.item;
        tally.looked_at += 1;
        let (how, next) = match self.work(claimed, tally).await {
            Ok(settled) => {
                let next = counted(&settled);
                (settled, next)
            }
            Err(Trouble::Call(error)) => self.weigh(item, error).await?,
            Err(Trouble::Run(error)) => return Err(error),
            Err(Trouble::Lost) => {
                tally.lost();
                return Ok(Next::On);
            }
        };
        let tick = self.tick;
        let settled = tick.store.settle_item(self.fence.clone(), item.id, how.clone(), tick.now()).await;
        match guarded(settled)? {
            Some(state) => {
                log(item, &how, state);
                tally.note(item, &how, state);
            }
            None => tally.lost(),
        }
        Ok(next)
    }

    async fn work(&self, claimed: &Claimed, tally: &mut Tally) -> Result<Settled, Trouble> {
        let (tick, item) = (self.tick, &claimed.item);
        if claimed.left_open && tick.settings.max_attempts.saturating_add(CRASHES_MAX) < item.attempts {
            let error =
                item_error("crashes", format!("taskrun died {} times with it in hand; see the log", item.attempts.saturating_sub(1)));
            let is_open = claimed.unknown_since().is_some();
            return Ok(if is_open { Settled::Doubtful(error) } else { Settled::Failed(error) });
        }
        let entry = match tick.entry(item).await? {
            Ok(entry) => entry,
            Err(settled) => return Ok(settled),
        };
        tick.ctx.progress.note(format!("item {} ({})", item.id, item.subject));
        let (made, images) = match self.listing(claimed, &entry, tally).await? {
            Stepped::Done(listing) => listing,
            Stepped::Settled(settled) => return Ok(settled),
        };
        let images_max = usize::from(tick.shop.images_max());
        for (number, url) in (1..=u8::MAX).zip(images.iter().take(images_max)) {
            if !claimed.has_done(Step::Image(number)) {
                tick.ctx.progress.note(format!("item {} ({}): image {number} of {}", item.id, item.subject, images.len().min(images_max)));
                self.add_image(item, &made, (number, url)).await?;
            }
        }
        Ok(Settled::Finished { price: made.price, visible: made.visible })
    }

    /// The item at the shop and the pictures that it is to have: as it was made before, or made now.
    async fn listing(&self, claimed: &Claimed, entry: &CatalogueEntry, tally: &mut Tally) -> Result<Stepped<(Made, Vec<String>)>, Trouble> {
        let (tick, item) = (self.tick, &claimed.item);
        let images = || entry.details.images.as_ref().map(|images| images.value.clone()).unwrap_or_default();
        let sku = sku_of(item, entry);
        if let Some(item_id) = item.item_id.as_deref().filter(|_| claimed.has_done(Step::Create)) {
            tally.begun();
            let text = || {
                let asin = &item.subject;
                format!(
                    "item {item_id} was made and is no longer at the shop; once a sync has taken it out of the books, `taskrun queue add {asin}` lists it anew"
                )
            };
            return Ok(match tick.shop.look(&tick.caller, item_id).await? {
                Some(made) => Stepped::Done((made, images())),
                None => Stepped::Settled(Settled::Failed(item_error("gone", text()))),
            });
        }
        if let Some(since) = claimed.unknown_since() {
            tally.begun();
            match self.find(item, &sku, since).await? {
                Found::Made(made) => return Ok(Stepped::Done((made, images()))),
                Found::Several(settled) => return Ok(Stepped::Settled(settled)),
                Found::Not => {
                    let until = self.known_from(since);
                    if tick.now() < until {
                        let error = item_error("no_answer", "whether it was listed is not known yet");
                        return Ok(Stepped::Settled(Settled::PutBack { until, counts: false, error: Some(error) }));
                    }
                    self.withdraw(item, Step::Create).await?;
                    if tick.settings.max_attempts < item.attempts {
                        let text = format!("tried {} times; no answer came, and the shop does not have it", item.attempts);
                        return Ok(Stepped::Settled(Settled::Failed(item_error("no_answer", text))));
                    }
                }
            }
        }
        match tick.judge(item, entry, sku) {
            Ruling::Not(settled) => Ok(Stepped::Settled(settled)),
            Ruling::List(new) => {
                tally.begun();
                Ok(match self.create(item, &new).await? {
                    Stepped::Done(made) => Stepped::Done((made, new.images)),
                    Stepped::Settled(settled) => Stepped::Settled(settled),
                })
            }
        }
    }

    async fn create(&self, item: &Item, new: &NewItem) -> Result<Stepped<Made>, Trouble> {
        let tick = self.tick;
        let images = u8::try_from(new.images.len()).unwrap_or(u8::MAX).min(tick.shop.images_max());
        if let Some(until) = tick.shop.full_until(&tick.caller, images).await? {
            // A listing without its pictures should not wait for the next hour.
            return Err(CallError::Limited { what: "a listing and its images", until, said: false }.into());
        }
        let mut refusals = 0;
        loop {
            let ready = self.ready(Step::Create, tick.listing_plan(item, new)).await?;
            let begun_at = tick.now();
            let back = |until| Settled::PutBack { until, counts: false, error: None };
            match self.begin(item, Step::Create).await? {
                Begun::Go => {}
                Begun::Unwanted => return Ok(Stepped::Settled(back(tick.now()))),
                Begun::Capped => return Ok(Stepped::Settled(back(tick.cap().day.end))),
                // Only this run has the item, and it has just looked.
                Begun::Done | Begun::Open(_) | Begun::NotYours => return Err(Trouble::Lost),
            }
            let error = match tick.shop.create(&tick.caller, ready, new).await {
                Ok(made) => {
                    self.finish(item, Step::Create, Some(Arc::clone(&made.item_id))).await?;
                    return Ok(Stepped::Done(made));
                }
                Err(error) if error.may_have_been_made() => return self.seek(item, new, begun_at, &error).await,
                Err(error) => error,
            };
            self.withdraw(item, Step::Create).await?;
            refusals += 1;
            if AGAIN_MAX < refusals || !error.is_worth_another(tick.now()) {
                return Err(error.into());
            }
        }
    }

    /// The answer was lost: looks whether the item was made all the same.
    async fn seek(&self, item: &Item, new: &NewItem, begun_at: Timestamp, error: &CallError) -> Result<Stepped<Made>, Trouble> {
        match self.find(item, &new.sku, begun_at).await {
            Ok(Found::Made(made)) => Ok(Stepped::Done(made)),
            Ok(Found::Several(settled)) => Ok(Stepped::Settled(settled)),
            // The step stays open: it is looked up again before anything is made again.
            Ok(Found::Not) | Err(Trouble::Call(_)) => {
                let asked = self.after(error.retry_after(self.tick.now()).unwrap_or_default());
                let until = self.known_from(begun_at).max(asked);
                let problem = item_error(word(error), chain(error));
                let counts = !self.tick.caller.cancel.is_cancelled();
                Ok(Stepped::Settled(Settled::PutBack { until, counts, error: Some(problem) }))
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks the shop for a listing that may have been made, and writes down what it says.
    async fn find(&self, item: &Item, sku: &str, since: Timestamp) -> Result<Found, Trouble> {
        let mut found = self.tick.shop.find(&self.tick.caller, sku, since).await?;
        let Some(made) = found.pop() else { return Ok(Found::Not) };
        if !found.is_empty() {
            let ids: Vec<&str> = found.iter().chain([&made]).map(|made| &*made.item_id).collect();
            let text = format!(
                "the shop has it {} times, as items {}; delete all but one there, then `taskrun queue retry {}`",
                ids.len(),
                ids.join(" and "),
                item.id
            );
            return Ok(Found::Several(Settled::Doubtful(item_error("twice", text))));
        }
        self.finish(item, Step::Create, Some(Arc::clone(&made.item_id))).await?;
        tracing::info!("{} was listed as item {} by a request whose answer was lost", item.subject, made.item_id);
        Ok(Found::Made(made))
    }

    /// From then on a request that began at `begun_at` cannot be on its way any more, whoever sent it.
    fn known_from(&self, begun_at: Timestamp) -> Timestamp {
        begun_at.saturating_add(self.tick.caller.clock.wall(REQUEST_TIME)).unwrap_or(Timestamp::MAX)
    }

    async fn add_image(&self, item: &Item, made: &Made, (number, url): (u8, &str)) -> Result<(), Trouble> {
        let (tick, step) = (self.tick, Step::Image(number));
        let (mut refusals, mut repeats) = (0, 0);
        loop {
            let ready = self.ready(step, tick.image_plan(item, made, number)).await?;
            match self.begin(item, step).await? {
                Begun::Go => {}
                Begun::Done => return Ok(()),
                Begun::Unwanted | Begun::Capped | Begun::Open(_) | Begun::NotYours => return Err(Trouble::Lost),
            }
            match tick.shop.add_image(&tick.caller, ready, &made.item_id, (number, url)).await {
                Ok(()) => return self.finish(item, step, None).await,
                Err(error) if refusals < AGAIN_MAX && error.is_worth_another(tick.now()) => refusals += 1,
                // The same number again replaces what may be there.
                Err(error) if repeats < IMAGE_REPEATS_MAX && error.may_have_been_made() && error.retry_after(tick.now()).is_none() => {
                    repeats += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn ready(&self, step: Step, planned: Planned) -> Result<Ready, Trouble> {
        // A run with a fence is no dry run.
        self.tick.shop.ready(&self.tick.caller, step, planned).await?.ok_or(Trouble::Lost)
    }

    async fn begin(&self, item: &Item, step: Step) -> Result<Begun, HandlerError> {
        let tick = self.tick;
        let next = NextStep { item: item.id, step, cap: tick.cap(), lease_until: tick.lease_until() };
        guarded(tick.store.begin_step(self.fence.clone(), next, tick.now()).await)
    }

    async fn finish(&self, item: &Item, step: Step, item_id: Option<Arc<str>>) -> Result<(), Trouble> {
        let done = self.tick.store.finish_step(self.fence.clone(), item.id, step, item_id, self.tick.now()).await;
        if guarded(done)? { Ok(()) } else { Err(Trouble::Lost) }
    }

    async fn withdraw(&self, item: &Item, step: Step) -> Result<(), Trouble> {
        let done = self.tick.store.withdraw_step(self.fence.clone(), item.id, step).await;
        if guarded(done)? { Ok(()) } else { Err(Trouble::Lost) }
    }
}

impl super::Tick<'_> {
    /// What is known of an item's product.
    pub(super) async fn entry(&self, item: &Item) -> Result<Result<CatalogueEntry, Settled>, HandlerError> {
        let unknown = || Settled::Failed(item_error("unknown", "its product is not in the catalogue"));
        let Some(asin) = Asin::parse(&item.subject) else { return Ok(Err(unknown())) };
        let entry = self.store.product(asin, 0).await.map_err(|error| store_failed(&error))?;
        Ok(entry.ok_or_else(unknown))
    }
}

/// Our own number of a product at the shop: what its listing says, and always the same.
pub(super) fn sku_of(item: &Item, entry: &CatalogueEntry) -> Arc<str> {
    let is_ours = |listing: &&Listing| (listing.platform, &listing.account) == (item.account.platform, &item.account.account);
    let listed = entry.listings.iter().find(is_ours).map(|listing| Arc::clone(&listing.sku));
    listed.unwrap_or_else(|| sku(&item.account.account, &entry.product.asin))
}

/// What follows an item that went back: too many in a row that count are the shop's trouble.
fn counted(how: &Settled) -> Next {
    match how {
        Settled::PutBack { counts: true, error: Some(error), .. } => {
            Next::Failed(HandlerError::Transient { message: error.text.to_string(), retry_after: None })
        }
        Settled::PutBack { .. } | Settled::Finished { .. } | Settled::Failed(_) | Settled::Doubtful(_) | Settled::Questionable(_) => {
            Next::On
        }
    }
}

fn log(item: &Item, how: &Settled, state: State) {
    let (id, asin) = (item.id, &item.subject);
    match how {
        Settled::Finished { price, .. } => tracing::info!("listed {asin} for {price} yen (item {id} of the queue)"),
        Settled::PutBack { until, error, .. } => {
            let why = error.as_ref().map_or("it was not its turn", |error| &error.text);
            tracing::info!("{asin} goes back (item {id}), {state} until {until:.0}: {why}");
        }
        Settled::Failed(error) | Settled::Doubtful(error) | Settled::Questionable(error) => {
            tracing::warn!("{asin} is {state} (item {id}), {}: {}", error.code, error.text);
        }
    }
}
