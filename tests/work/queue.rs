//! The queue's jobs, whatever they are: who has them, and what becomes of those whose worker is no more.
use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use taskrun::{
    notify::Event,
    shop::upload::{Order, State, Work},
    store::{
        Fence,
        shop::{ChecksDue, DEATHS_MAX, Guarded, Job, JobEnd, JobFilter, POISON, Supplies as _, WorkLane, WorkQueue as _},
    },
};

use crate::yard::{Yard, key};

fn lane() -> WorkLane {
    WorkLane { work: Work::Check, source: "yahoo".into() }
}

fn done<T>(answer: Guarded<T>) -> T {
    match answer {
        Guarded::Done(done) => done,
        Guarded::Fenced => panic!("fenced"),
    }
}

impl Yard {
    async fn fill(&self, fence: &Fence) -> u32 {
        let now = self.clock.now().wall;
        let due = ChecksDue { source: "yahoo".into(), twice_since: now, four_since: now, limit: 1_000 };
        done(self.store.queue_checks(fence.clone(), due, now).await.unwrap())
    }

    async fn claim(&self, fence: &Fence, suspect: bool, limit: usize) -> Vec<Job> {
        let now = self.clock.now().wall;
        done(self.store.claim_jobs(fence.clone(), lane(), suspect, limit, (now, now + SignedDuration::from_mins(15))).await.unwrap())
    }

    async fn reclaim(&self, fence: &Fence) -> taskrun::store::shop::Reclaimed {
        done(self.store.reclaim_jobs(fence.clone(), lane(), true, self.clock.now().wall).await.unwrap())
    }

    async fn jobs(&self, state: State) -> Vec<Job> {
        self.store.jobs(JobFilter { state: Some(state), limit: 1_000, ..JobFilter::default() }).await.unwrap()
    }
}

#[tokio::test]
async fn a_poison_item_is_set_aside_after_three_deaths_and_the_others_are_done() {
    let (yard, _) = Yard::new(14).await;
    let poison = key(6);
    let mut deaths = 0;
    // Each round is a process: it takes suspects alone and the others all at once, and dies as soon as the poison is in its hand.
    for round in 1.. {
        assert!(round <= 10, "it never ends");
        let fence = yard.admit("check_items").await;
        if round == 1 {
            assert_eq!(yard.fill(&fence).await, 14);
        }
        yard.reclaim(&fence).await;
        let mut died = false;
        loop {
            let mut hand = yard.claim(&fence, true, 1).await;
            if hand.is_empty() {
                hand = yard.claim(&fence, false, 14).await;
            }
            if hand.is_empty() {
                break;
            }
            if hand.iter().any(|job| job.key == poison) {
                (died, deaths) = (true, deaths + 1);
                break;
            }
            for job in hand {
                done(yard.store.settle_job(fence.clone(), job.id, JobEnd::Done, yard.clock.now().wall).await.unwrap());
            }
        }
        if !died {
            break;
        }
    }
    assert_eq!(deaths, DEATHS_MAX);
    let dead = yard.jobs(State::Failed).await;
    assert_eq!(dead.len(), 1, "{dead:?}");
    assert!(dead[0].key == poison && dead[0].error.as_ref().is_some_and(|error| &*error.code == POISON));
    assert_eq!(yard.jobs(State::Success).await.len(), 13, "nobody dies with it");
}

#[tokio::test]
async fn a_poison_item_is_not_queued_again_until_a_person_says_so() {
    let (yard, clock) = Yard::new(1).await;
    for _ in 0..3 {
        let fence = yard.admit("check_items").await;
        yard.fill(&fence).await;
        yard.reclaim(&fence).await;
        let (fresh, suspects) = (yard.claim(&fence, false, 1).await, yard.claim(&fence, true, 1).await);
        assert_eq!(fresh.len() + suspects.len(), 1);
    }
    clock.advance(12 * 3_600_000);
    let report = yard.checked().await.unwrap();
    assert!(report.summary.contains("1 given up"), "{}", report.summary);
    assert!(yard.asked().is_empty() && yard.told.of(Event::NeedsEye).len() == 1);
    let id = yard.jobs(State::Failed).await[0].id;
    let obeyed = yard.store.order_jobs(vec![id], Order::Retry, yard.clock.now().wall).await.unwrap();
    assert!(obeyed[0].1.is_ok(), "{obeyed:?}");
    yard.checked().await.unwrap();
    assert_eq!(yard.asked().len(), 1);
}

#[tokio::test]
async fn a_job_is_in_one_hand_and_a_run_that_is_shut_out_writes_nothing() {
    let (yard, _) = Yard::new(20).await;
    let old = yard.admit("check_items").await;
    yard.fill(&old).await;
    let (first, second) = (yard.claim(&old, false, 14).await, yard.claim(&old, false, 14).await);
    let ids: BTreeSet<_> = first.iter().chain(&second).map(|job| job.id.0).collect();
    assert_eq!((first.len(), second.len(), ids.len()), (14, 6, 20));
    let new = yard.admit("check_items").await;
    let now: Timestamp = yard.clock.now().wall;
    let late = yard.store.settle_job(old.clone(), first[0].id, JobEnd::Done, now).await.unwrap();
    assert_eq!(late, Guarded::Fenced);
    assert_eq!(yard.store.supply_missing(old, key(0), yard.supply(0).await.item, now).await.unwrap(), Guarded::Fenced);
    assert_eq!(yard.reclaim(&new).await.back, 20);
    assert_eq!(yard.fill(&new).await, 0, "what is queued is not queued twice");
}

#[tokio::test]
async fn a_slot_is_filled_in_portions_and_each_supply_once() {
    let (yard, _) = Yard::new(25).await;
    let fence = yard.admit("check_items").await;
    let now = yard.clock.now().wall;
    let mut portions = Vec::new();
    for _ in 0..4 {
        let due = ChecksDue { source: "yahoo".into(), twice_since: now, four_since: now, limit: 10 };
        portions.push(done(yard.store.queue_checks(fence.clone(), due, now).await.unwrap()));
    }
    assert_eq!(portions, [10, 10, 5, 0]);
    assert_eq!(yard.jobs(State::Pending).await.len(), 25);
}
