//! Accounts side by side: the whole takes as long as the slower one, not as both.
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, atomic::Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use jiff::SignedDuration;
use taskrun::{
    clock::{BoxFuture, Clock},
    core::{task::Now, value::Value},
    handlers::{Access, AttemptContext, Handler as _},
    shop::offer::Finding,
};

use super::{
    bench::{LeapClock, START},
    desk::{ADD, COST, Desk, OTHER, SHOP, details},
};

const SPACING: i64 = 2_000;

/// Time that passes only while everybody sleeps: those who sleep at once sleep side by side, and work takes no time.
#[derive(Debug)]
struct Everybody {
    leap: Arc<LeapClock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    awake: usize,
    next: u64,
    /// By the end of their sleep; `None`: over, and not yet noticed.
    asleep: BTreeMap<(i64, u64), Option<Waker>>,
}

impl Everybody {
    fn new(leap: Arc<LeapClock>, awake: usize) -> Arc<Self> {
        Arc::new(Self { leap, state: Mutex::new(State { awake, ..State::default() }) })
    }

    /// One of them falls asleep or leaves.
    fn rests(&self, state: &mut State) {
        state.awake -= 1;
        if state.awake > 0 {
            return;
        }
        let Some((until, _)) = state.asleep.keys().next().copied() else { return };
        self.leap.0.fetch_max(until, Ordering::SeqCst);
        for (_, waker) in state.asleep.range_mut(..=(until, u64::MAX)) {
            if let Some(waker) = waker.take() {
                state.awake += 1;
                waker.wake();
            }
        }
    }

    fn leave(&self) {
        self.rests(&mut self.state.lock().unwrap());
    }
}

/// A clock for one who works among them.
#[derive(Debug)]
struct Mine(Arc<Everybody>);

struct Sleep {
    all: Arc<Everybody>,
    until: i64,
    key: Option<(i64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let all = Arc::clone(&self.all);
        let mut state = all.state.lock().unwrap();
        if let Some(key) = self.key {
            if let Some(Some(waker)) = state.asleep.get_mut(&key) {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            state.asleep.remove(&key);
            self.key = None;
            return Poll::Ready(());
        }
        if self.until <= all.leap.ms() {
            return Poll::Ready(());
        }
        let key = (self.until, state.next);
        state.next += 1;
        state.asleep.insert(key, Some(cx.waker().clone()));
        self.key = Some(key);
        all.rests(&mut state);
        Poll::Pending
    }
}

impl Clock for Mine {
    fn now(&self) -> Now {
        Now { wall: self.0.leap.now_wall(), uptime: SignedDuration::from_millis(self.0.leap.ms() - START) }
    }

    fn real(&self, wall: SignedDuration) -> Duration {
        wall.try_into().unwrap_or(Duration::ZERO)
    }

    fn sleep(&self, wall: SignedDuration) -> BoxFuture<'static, ()> {
        let until = self.0.leap.ms() + i64::try_from(wall.as_millis()).unwrap();
        Box::pin(Sleep { all: Arc::clone(&self.0), until, key: None })
    }
}

/// Lists what is due at a shop in one run; gives when its first and its last item were made.
async fn list(desk: &Desk, shop: &'static str, all: &Arc<Everybody>) -> (i64, i64) {
    let access = Access::Live(desk.admit(shop).await);
    let ctx = AttemptContext { clock: Arc::new(Mine(Arc::clone(all))), ..desk.context(shop, access) };
    desk.handler.run(&ctx).await.unwrap();
    all.leave();
    let made: Vec<i64> = desk.made(ADD).iter().filter(|entry| entry.account == shop).map(|entry| entry.at_ms).collect();
    (*made.first().unwrap(), *made.last().unwrap())
}

#[track_caller]
fn assert_within_two_percent(took: i64, expected: i64) {
    assert!((took - expected).abs() * 100 <= expected * 2, "{took} ms, and the rate asks for {expected} ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_shops_of_113_and_286_items_take_as_long_as_the_slower_one_at_its_rate() {
    let desk = Desk::new().await.set("batch_size", Value::Int(1000)).set("spacing", Value::Duration(SignedDuration::from_millis(SPACING)));
    let sizes = [(SHOP, 1..=113), (OTHER, 114..=399)];
    for (shop, numbers) in sizes.clone() {
        for n in numbers.clone() {
            desk.take_in(n, shop, details("水筒", 1)).await;
        }
        desk.offers(numbers.clone(), &Finding::Ok { cost: COST }).await;
        desk.queue(numbers, shop).await;
    }
    let all = Everybody::new(Arc::clone(&desk.bench.clock), sizes.len());
    let (small, large) = tokio::join!(list(&desk, SHOP, &all), list(&desk, OTHER, &all));
    assert_within_two_percent(small.1 - small.0, 112 * SPACING);
    assert_within_two_percent(large.1 - large.0, 285 * SPACING);
    assert_within_two_percent(small.1.max(large.1) - small.0.min(large.0), 285 * SPACING);
    for (shop, numbers) in sizes {
        numbers.for_each(|n| desk.assert_listed(n, shop, 1));
    }
}
