//! What a run would do, for a dry run: nothing is taken from the queue, nothing is made.
use super::{Tick, judge::Ruling, steps::sku_of};
use crate::{
    access::Planned,
    handlers::{HandlerError, Report},
    marketplace::shop::{Made, NewItem},
    shop::upload::Step,
    store::shop::{Item, Settled},
};

impl Tick<'_> {
    /// Plans the items that are due.
    pub(super) async fn plan(&self, due: Vec<Item>) -> Result<Report, HandlerError> {
        let mut listed = 0_usize;
        for item in &due {
            if self.caller.cancel.is_cancelled() {
                return Err(HandlerError::Cancelled);
            }
            let ruling = match self.entry(item).await? {
                Ok(entry) => self.judge(item, &entry, sku_of(item, &entry)),
                Err(settled) => Ruling::Not(settled),
            };
            match ruling {
                Ruling::List(new) => match self.shop.ready(&self.caller, Step::Create, self.listing_plan(item, &new)).await {
                    Ok(_) => listed += 1,
                    Err(error) => return Err(HandlerError::of(&error, self.now())),
                },
                Ruling::Not(settled) => _ = self.caller.access.permit(|| self.refusal_plan(item, settled)),
            }
        }
        Ok(Report { summary: format!("{listed} of {} items that are due would be listed", due.len()) })
    }

    pub(super) fn listing_plan(&self, item: &Item, new: &NewItem) -> Planned {
        Planned {
            kind: "list",
            target: format!("{} {} ({})", self.account.account, item.subject, new.sku),
            change: format!("{}, {} yen, {} images", new.title, new.price, new.images.len()),
            reason: format!("item {} of the queue is due", item.id),
        }
    }

    pub(super) fn image_plan(&self, item: &Item, made: &Made, number: u8) -> Planned {
        Planned {
            kind: "image",
            target: format!("{} item {} ({})", self.account.account, made.item_id, item.subject),
            change: format!("image {number}"),
            reason: format!("item {} of the queue is due", item.id),
        }
    }

    fn refusal_plan(&self, item: &Item, settled: Settled) -> Planned {
        let (change, error) = match settled {
            Settled::Finished { .. } => ("success", None),
            Settled::PutBack { error, .. } => ("put back", error),
            Settled::Failed(error) => ("failed", Some(error)),
            Settled::Doubtful(error) => ("uncertain", Some(error)),
            Settled::Questionable(error) => ("review", Some(error)),
        };
        Planned {
            kind: "refuse",
            target: format!("{} {} (item {} of the queue)", self.account.account, item.subject, item.id),
            change: change.to_owned(),
            reason: error.map_or_else(String::new, |error| format!("{}: {}", error.code, error.text)),
        }
    }
}
