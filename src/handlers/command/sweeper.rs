//! Ends what ended runs left behind outside their process group, many runs at a time: one look through /proc costs milliseconds.
use std::{
    collections::BTreeSet,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};

use crate::children::{Push, push_marked};

/// How long markers are gathered before one look through all processes; also what a process gets between SIGTERM and SIGKILL.
const GATHER: Duration = Duration::from_millis(300);

/// Gathers the markers of ended runs. Nothing runs while there are none.
#[derive(Clone, Debug, Default)]
pub(super) struct Sweeper(Arc<Mutex<Gathered>>);

#[derive(Debug, Default)]
struct Gathered {
    ended: BTreeSet<String>,
    sweeping: bool,
}

impl Sweeper {
    /// Soon ends every process with this marker.
    pub(super) fn sweep(&self, marker: String) {
        let mut gathered = self.gathered();
        gathered.ended.insert(marker);
        if !mem::replace(&mut gathered.sweeping, true) {
            tokio::spawn(self.clone().go_round());
        }
    }

    /// Asks those that were gathered to end, kills those that were asked in the round before, until nobody is left.
    async fn go_round(self) {
        let mut asked = BTreeSet::new();
        loop {
            sleep(GATHER).await;
            let ended = mem::take(&mut self.gathered().ended);
            let looked = spawn_blocking(move || {
                if !asked.is_empty() {
                    push_marked(&asked, Push::Kill);
                }
                if ended.is_empty() { ended } else { push_marked(&ended, Push::Ask) }
            });
            asked = looked.await.unwrap_or_default();
            let mut gathered = self.gathered();
            if asked.is_empty() && gathered.ended.is_empty() {
                gathered.sweeping = false;
                return;
            }
        }
    }

    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
