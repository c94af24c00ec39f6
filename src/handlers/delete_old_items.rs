//! The handler `delete_old_items`: items out of stock and untouched for days go, with their images.
//!
//! The row goes first and leaves a note of its folder; then the files, by the folders' handles; then the note. Whoever is killed in between leaves a
//! note, and the next run begins with those.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    AttemptContext, Handler, HandlerError, Report,
    budget::{Budget, MAX_TIME},
    store_failed,
};
use crate::{
    access::Planned,
    clock::BoxFuture,
    config::keys::{HandlerSpec, Key, Kind},
    errors::chain,
    files::{FileError, Limit as _, Root, Swept},
    notify::{Event, Level, Notice},
    store::shop::{Guarded, OldSupply, ShopStore, Supply},
};

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "delete_old_items",
    doc: "Removes items that are out of stock and untouched for days, with their images.",
    params: &[
        Key {
            name: "expired_days",
            kind: Kind::Int(1, 3650),
            required: false,
            doc: "Items without stock that have not changed for so many days are removed; default 7.",
        },
        Key {
            name: "images",
            kind: Kind::Path,
            required: false,
            doc: "The folder that all items' images lie in. Without it, items that have images are left alone.",
        },
        Key {
            name: "max_delete",
            kind: Kind::Int(1, 1_000_000),
            required: false,
            doc: "If more than this were to go at once, nothing goes and a person is told; default 500.",
        },
        Key {
            name: "orphans",
            kind: Kind::Bool,
            required: false,
            doc: "Folders of images that no item names go, too, once they are as old; default false.",
        },
        MAX_TIME,
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &[],
    eager_in_practice: false,
};

const EXPIRED_DAYS: i64 = 7;
const MAX_DELETE: i64 = 500;

/// The handler.
#[derive(Debug)]
pub struct DeleteOldItems {
    store: Arc<dyn ShopStore>,
}

/// The root of all images, open.
#[derive(Clone, Debug)]
struct Images {
    root: Arc<Root>,
    name: Arc<str>,
}

/// What one run does.
struct Work<'a> {
    store: &'a dyn ShopStore,
    ctx: &'a AttemptContext,
    images: Option<Images>,
    before: Timestamp,
    budget: Budget,
    items: u64,
    folders: u64,
    trouble: Vec<String>,
}

impl DeleteOldItems {
    /// A handler that removes old items of this store.
    pub fn new(store: Arc<dyn ShopStore>) -> Self {
        Self { store }
    }

    async fn delete(&self, ctx: &AttemptContext) -> Result<Report, HandlerError> {
        let days = ctx.params.int("expired_days").unwrap_or(EXPIRED_DAYS);
        let age = SignedDuration::from_hours(days.saturating_mul(24));
        let before = ctx.clock.now().wall.checked_sub(age).unwrap_or(Timestamp::MIN);
        let images = match ctx.params.text("images") {
            Some(path) => Some(open(ctx.base_dir.join(path)).await?),
            None => None,
        };
        let budget = Budget::of(ctx);
        let mut work = Work { store: self.store.as_ref(), ctx, images, before, budget, items: 0, folders: 0, trouble: Vec::new() };
        work.all().await?;
        work.report()
    }
}

impl Handler for DeleteOldItems {
    fn run<'a>(&'a self, ctx: &'a AttemptContext) -> BoxFuture<'a, Result<Report, HandlerError>> {
        Box::pin(self.delete(ctx))
    }
}

impl Work<'_> {
    async fn all(&mut self) -> Result<(), HandlerError> {
        self.finish_begun().await?;
        let most = usize::try_from(self.ctx.params.int("max_delete").unwrap_or(MAX_DELETE)).unwrap_or(usize::MAX);
        let (expired, without_root) = self.expired(most).await?;
        let orphans = if self.ctx.params.bool("orphans") == Some(true) { self.orphans().await? } else { Vec::new() };
        let count = expired.len().saturating_add(orphans.len());
        if most < count {
            return Err(self.brake(count, most));
        }
        if without_root > 0 {
            self.trouble.push(format!("{without_root} old items have images, and the task names no `images`"));
        }
        self.ctx.progress.set_total(u64::try_from(count).unwrap_or(0));
        for supply in expired {
            if self.is_over()? {
                return Ok(());
            }
            self.remove(&supply).await?;
            self.ctx.progress.set_done(self.items);
        }
        for folder in orphans {
            if self.is_over()? {
                return Ok(());
            }
            self.remove_orphan(&folder).await?;
        }
        Ok(())
    }

    /// Whether the run ends before its work does.
    fn is_over(&self) -> Result<bool, HandlerError> {
        if self.ctx.cancel.is_cancelled() { Err(HandlerError::Cancelled) } else { Ok(self.budget.is_over()) }
    }

    /// Removes what earlier runs began to.
    async fn finish_begun(&mut self) -> Result<(), HandlerError> {
        let Some(images) = self.images.clone() else { return Ok(()) };
        for folder in self.store.removals(Arc::clone(&images.name)).await.map_err(|error| store_failed(&error))? {
            if self.is_over()? {
                return Ok(());
            }
            let planned = || Planned {
                kind: "images",
                target: folder.to_string(),
                change: "removed".to_owned(),
                reason: "its item went in an earlier run".to_owned(),
            };
            if self.ctx.access.permit(planned).is_some() {
                self.sweep(&images, &folder).await?;
            }
        }
        Ok(())
    }

    /// The old items that can go, more than `most` of them only so far as to show that there are more; and how many can't go.
    async fn expired(&self, most: usize) -> Result<(Vec<Supply>, usize), HandlerError> {
        let found = self.store.expired_supplies(self.before, most.saturating_add(1)).await.map_err(|error| store_failed(&error))?;
        let (stuck, expired): (Vec<_>, Vec<_>) = found.into_iter().partition(|supply| supply.images.is_some() && self.images.is_none());
        Ok((expired, stuck.len()))
    }

    /// One item: its row, its files, its note.
    async fn remove(&mut self, supply: &Supply) -> Result<(), HandlerError> {
        let planned = || Planned {
            kind: "item",
            target: format!("{} {}", supply.key.account, supply.key.sku),
            change: supply.images.as_ref().map_or_else(|| "removed".to_owned(), |folder| format!("removed with its images in {folder}")),
            reason: format!("{}, and unchanged since {:.0}", supply.state.word(), supply.changed_at),
        };
        let Some(fence) = self.ctx.access.permit(planned) else {
            self.items = self.items.saturating_add(1);
            return Ok(());
        };
        let root = self.images.as_ref().map(|images| Arc::clone(&images.name));
        let old = OldSupply { key: supply.key.clone(), before: self.before, root };
        match self.store.begin_removal(fence.clone(), old, self.ctx.clock.now().wall).await.map_err(|error| store_failed(&error))? {
            Guarded::Fenced => return Err(HandlerError::Fenced),
            // It changed meanwhile: it is not old any more.
            Guarded::Done(false) => return Ok(()),
            Guarded::Done(true) => self.items = self.items.saturating_add(1),
        }
        if let (Some(images), Some(folder)) = (self.images.clone(), &supply.images)
            && self.store.removals(Arc::clone(&images.name)).await.map_err(|error| store_failed(&error))?.contains(folder)
        {
            self.sweep(&images, folder).await?;
        }
        Ok(())
    }

    /// Removes a noted folder and then its note. What a person has to look at stays noted and is told.
    async fn sweep(&mut self, images: &Images, folder: &Arc<str>) -> Result<(), HandlerError> {
        if self.swept(images, Path::new(&**folder).to_owned()).await? {
            let Some(fence) = self.ctx.access.fence() else { return Ok(()) };
            let ended = self
                .store
                .end_removal(fence.clone(), Arc::clone(&images.name), Arc::clone(folder))
                .await
                .map_err(|error| store_failed(&error))?;
            if ended == Guarded::Fenced {
                return Err(HandlerError::Fenced);
            }
        }
        Ok(())
    }

    /// Removes a folder; false: not all of it is gone.
    async fn swept(&mut self, images: &Images, folder: PathBuf) -> Result<bool, HandlerError> {
        let (root, budget) = (Arc::clone(&images.root), self.budget.clone());
        match tokio::task::spawn_blocking(move || root.remove(&folder, &budget)).await {
            Ok(Ok(Swept::Gone)) => {
                self.folders = self.folders.saturating_add(1);
                Ok(true)
            }
            Ok(Ok(Swept::Stopped)) => Ok(false),
            Ok(Err(error)) => {
                self.trouble.push(chain(&error));
                Ok(false)
            }
            Err(_) => Err(HandlerError::Cancelled),
        }
    }

    /// Folders in the root, old enough, that no item names.
    async fn orphans(&self) -> Result<Vec<PathBuf>, HandlerError> {
        let Some(images) = self.images.clone() else { return Ok(Vec::new()) };
        let mut named = self.store.image_folders().await.map_err(|error| store_failed(&error))?;
        named.extend(self.store.removals(images.name).await.map_err(|error| store_failed(&error))?);
        let root = Arc::clone(&images.root);
        let folders = tokio::task::spawn_blocking(move || root.folders())
            .await
            .map_err(|_| HandlerError::Cancelled)?
            .map_err(|error| file_error(&error))?;
        let is_named = |folder: &Path| named.iter().any(|name| Path::new(&**name).components().as_path().starts_with(folder));
        let before = self.before.as_second();
        let old = folders.into_iter().filter(|(_, changed)| *changed < before).map(|(folder, _)| PathBuf::from(folder));
        Ok(old.filter(|folder| !is_named(folder)).collect())
    }

    async fn remove_orphan(&mut self, folder: &Path) -> Result<(), HandlerError> {
        let planned = || Planned {
            kind: "images",
            target: folder.display().to_string(),
            change: "removed".to_owned(),
            reason: "no item names it".to_owned(),
        };
        if let (Some(_), Some(images)) = (self.ctx.access.permit(planned), self.images.clone()) {
            // An item may have taken the folder since it was looked for.
            let named = self.store.image_folders().await.map_err(|error| store_failed(&error))?;
            if named.iter().any(|name| Path::new(&**name).components().as_path().starts_with(folder)) {
                return Ok(());
            }
            self.swept(&images, folder.to_owned()).await?;
        }
        Ok(())
    }

    /// Nothing goes, and a person hears of it.
    fn brake(&self, count: usize, most: usize) -> HandlerError {
        let text = format!(
            "more than {most} items and folders are old at once ({count} or more): nothing was removed. Look at `taskrun once {} --dry-run --set max_delete={}`; \
             if it is right, run it once with that `max_delete`",
            self.ctx.instance.name,
            count.saturating_mul(10)
        );
        let notice =
            Notice { event: Event::Brake, level: Level::Alert, subject: self.ctx.instance.name.as_str().into(), text: text.clone() };
        self.ctx.notifier.notify(notice);
        HandlerError::Permanent { message: text }
    }

    fn report(self) -> Result<Report, HandlerError> {
        if self.ctx.cancel.is_cancelled() {
            return Err(HandlerError::Cancelled);
        }
        let verb = if self.ctx.access.fence().is_none() { "would go" } else { "removed" };
        let mut summary = format!(
            "{} old items {verb}; {} folders of images with {} files and folders in all",
            self.items,
            self.folders,
            self.budget.gone()
        );
        if self.budget.is_used_up() {
            summary.push_str("; the rest is left for the next run");
        }
        if !self.trouble.is_empty() {
            let text = format!("left alone: {}", self.trouble.join("; "));
            summary = format!("{summary}; {text}");
            let notice = Notice { event: Event::NeedsEye, level: Level::Warning, subject: self.ctx.instance.name.as_str().into(), text };
            self.ctx.notifier.notify(notice);
        }
        Ok(Report { summary })
    }
}

async fn open(path: PathBuf) -> Result<Images, HandlerError> {
    let root = tokio::task::spawn_blocking(move || Root::open(&path))
        .await
        .map_err(|_| HandlerError::Cancelled)?
        .map_err(|error| file_error(&error))?;
    let name = root.path().to_string_lossy().into();
    Ok(Images { root: Arc::new(root), name })
}

fn file_error(error: &FileError) -> HandlerError {
    if error.needs_a_person() {
        HandlerError::Permanent { message: chain(error) }
    } else {
        HandlerError::Transient { message: chain(error), retry_after: None }
    }
}
