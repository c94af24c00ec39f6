//! Old supplies that go with their images: the row goes first and leaves a note of its folder, so that nothing is orphaned whoever dies when, and
//! nobody restocks what is being removed.
use std::sync::Arc;

use jiff::Timestamp;

use super::{Guarded, SupplyKey};
use crate::store::{Answer, Fence};

/// An old supply that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldSupply {
    /// Which.
    pub key: SupplyKey,
    /// It has not changed since before this.
    pub before: Timestamp,
    /// The folder that all images lie in; `None`: no images are removed.
    pub root: Option<Arc<str>>,
}

/// The removal of old supplies and their images.
pub trait Removals: Send + Sync + std::fmt::Debug {
    /// Forgets a supply if it is still old, and notes its folder in the same transaction, unless another supply needs it. False: it is not old any more.
    fn begin_removal(&self, fence: Fence, old: OldSupply, at: Timestamp) -> Answer<Guarded<bool>>;
    /// The folders below a root that are left to remove, and that no supply needs.
    fn removals(&self, root: Arc<str>) -> Answer<Vec<Arc<str>>>;
    /// A folder is gone.
    fn end_removal(&self, fence: Fence, root: Arc<str>, folder: Arc<str>) -> Answer<Guarded<()>>;
    /// The folders that supplies name.
    fn image_folders(&self) -> Answer<Vec<Arc<str>>>;
}
