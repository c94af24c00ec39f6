//! A supervisor hears of the engine from the engine's loop alone: when the loop hangs, it hears nothing.
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::SignedDuration;
use taskrun::engine::{InForce, supervisor::Supervisor};

use crate::{House, LIMIT, Own, done};

/// A supervisor that remembers what it heard, and a way to hang the loop.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    words: Mutex<Vec<&'static str>>,
    moves: AtomicUsize,
    hangs: Arc<AtomicBool>,
}

impl Witness {
    /// What the loop calls when a reload comes into force: it hangs there as long as the test wants.
    pub(crate) fn in_force(&self) -> InForce {
        let hangs = Arc::clone(&self.hangs);
        Arc::new(move || {
            while hangs.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(10));
            }
        })
    }

    fn moves(&self) -> usize {
        self.moves.load(Ordering::SeqCst)
    }

    fn words(&self) -> Vec<&'static str> {
        self.words.lock().unwrap().clone()
    }

    async fn wait_for(&self, what: &str, fits: impl Fn(&Self) -> bool) {
        let since = Instant::now();
        while !fits(self) {
            assert!(since.elapsed() < LIMIT, "waited in vain until {what}: {self:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Supervisor for Witness {
    fn serves(&self) {
        self.words.lock().unwrap().push("serves");
    }

    fn reloads(&self) {
        self.words.lock().unwrap().push("reloads");
    }

    fn stops(&self, within: Duration) {
        assert!(Duration::from_secs(2) < within, "the shutdown grace is 2s: {within:?}");
        self.words.lock().unwrap().push("stops");
    }

    fn moves(&self, _uptime: SignedDuration, status: &dyn Fn() -> String) {
        assert!(status().contains("open of "), "{}", status());
        self.moves.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_loop_that_hangs_is_not_spoken_for() {
    let house = House::new();
    let running = house.start("tasks:\n  beat: { handler: quick }\n", Own::new(|_| done())).await;
    let witness = Arc::clone(&house.witness);
    let moved = witness.moves();
    witness.wait_for("an idle engine moves by itself", |witness| moved + 2 <= witness.moves()).await;
    witness.hangs.store(true, Ordering::SeqCst);
    let reload = tokio::spawn({
        let control = running.control.clone();
        async move { control.reload(false).await }
    });
    witness.wait_for("it reloads", |witness| witness.words() == ["serves", "reloads"]).await;
    // From the moment where the loop is stuck the count stands still, for longer than a loop ever sleeps.
    let (mut stands, mut since) = (witness.moves(), Instant::now());
    let begun = Instant::now();
    while since.elapsed() < Duration::from_millis(2500) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(begun.elapsed() < LIMIT, "a loop that hangs goes on being spoken for");
        if witness.moves() != stands {
            (stands, since) = (witness.moves(), Instant::now());
        }
    }
    witness.hangs.store(false, Ordering::SeqCst);
    assert!(reload.await.unwrap().unwrap().applied);
    witness.wait_for("it moves again", |witness| stands < witness.moves()).await;
    assert!(running.stop().await.in_time);
    assert_eq!(witness.words(), ["serves", "reloads", "serves", "stops"]);
}
