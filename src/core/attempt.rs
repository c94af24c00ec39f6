//! What follows an attempt: another one, or the end of the run.
use jiff::SignedDuration;

use super::{
    event::{NotYet, Outcome, RunEnd},
    task::{Backoff, Now, RetryPolicy},
};

/// No wait between two attempts is longer than this, whatever a server asked for.
pub const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_hours(1);
/// However soon a handler wants to go on, it rests this long: one that is always asked again at once would do nothing else.
pub const REST_MIN: SignedDuration = SignedDuration::from_secs(1);
/// The longest wait for a limit: limits begin anew every day at the latest, and the longest day has 25 hours.
pub const NOT_YET_MAX: SignedDuration = SignedDuration::from_hours(25);

/// What follows an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, after this wait.
    Retry(SignedDuration),
    /// Another attempt at that instant; this one was no try.
    Wait(NotYet),
    /// The run ends.
    Close(RunEnd),
}

/// `draw` is a uniform number in `[0, 1)`; the caller draws it, so that a test can choose it. `attempt` counts the tries from 1.
pub fn next(policy: &RetryPolicy, attempt: u32, outcome: &Outcome, draw: f64) -> Next {
    let (end, retry_after) = match outcome {
        Outcome::Succeeded { .. } => return Next::Close(RunEnd::Succeeded),
        Outcome::Failed { transient: false, .. } => return Next::Close(RunEnd::Failed),
        Outcome::Failed { transient: true, retry_after, .. } => (RunEnd::Failed, *retry_after),
        // A handler that stops although nobody asked has not done its work.
        Outcome::Panicked { .. } | Outcome::Cancelled => (RunEnd::Failed, None),
        Outcome::TimedOut { .. } => (RunEnd::TimedOut, None),
        Outcome::Lost => (RunEnd::Lost, None),
        Outcome::NotYet(not_yet) => return Next::Wait(not_yet.clone()),
    };
    if policy.max < attempt {
        return Next::Close(end);
    }
    let asked = retry_after.unwrap_or(SignedDuration::ZERO).min(RETRY_AFTER_MAX);
    Next::Retry(delay(policy, attempt, draw).max(asked))
}

/// The wait after the given attempt: fixed or doubling, capped by `max_delay`, less a random share of up to `jitter`.
pub fn delay(policy: &RetryPolicy, attempt: u32, draw: f64) -> SignedDuration {
    let doublings = match policy.backoff {
        Backoff::Fixed => 0,
        Backoff::Exponential => attempt.saturating_sub(1).min(30),
    };
    let whole = policy.delay.saturating_mul(1_i32.checked_shl(doublings).unwrap_or(i32::MAX)).min(policy.max_delay);
    let share = 1.0 - policy.jitter.clamp(0.0, 1.0) * draw.clamp(0.0, 1.0);
    SignedDuration::try_from_secs_f64(whole.as_secs_f64() * share).unwrap_or(whole)
}

/// What an attempt's outcome is once it is held against the clock: whoever would wait for longer than a day has failed.
pub fn bounded(outcome: Outcome, now: Now) -> Outcome {
    if let Outcome::NotYet(NotYet { until, why }) = &outcome
        && NOT_YET_MAX < until.duration_since(now.wall)
    {
        let error = format!("{why}; it can go on only at {until}, and no run waits for longer than a day").into();
        return Outcome::Failed { transient: false, retry_after: None, error };
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(backoff: Backoff, jitter: f64) -> RetryPolicy {
        let secs = SignedDuration::from_secs;
        RetryPolicy { max: 3, delay: secs(5), backoff, max_delay: secs(60), jitter }
    }

    fn failed(transient: bool, retry_after: Option<SignedDuration>) -> Outcome {
        Outcome::Failed { transient, retry_after, error: "x".into() }
    }

    #[test]
    fn max_counts_the_retries_after_the_first_attempt() {
        let policy = policy(Backoff::Fixed, 0.0);
        assert_eq!(next(&policy, 3, &failed(true, None), 0.5), Next::Retry(SignedDuration::from_secs(5)));
        assert_eq!(next(&policy, 4, &failed(true, None), 0.5), Next::Close(RunEnd::Failed));
        let none = RetryPolicy { max: 0, ..policy };
        assert_eq!(next(&none, 1, &failed(true, None), 0.5), Next::Close(RunEnd::Failed));
    }

    #[test]
    fn a_permanent_failure_is_not_retried() {
        assert_eq!(next(&policy(Backoff::Fixed, 0.0), 1, &failed(false, None), 0.5), Next::Close(RunEnd::Failed));
    }

    #[test]
    fn a_server_that_asks_for_more_time_gets_it_up_to_an_hour() {
        let policy = policy(Backoff::Fixed, 1.0);
        let long = Some(SignedDuration::from_secs(600));
        assert_eq!(next(&policy, 1, &failed(true, long), 0.9), Next::Retry(SignedDuration::from_secs(600)));
        assert_eq!(next(&policy, 1, &failed(true, Some(SignedDuration::MAX)), 0.9), Next::Retry(RETRY_AFTER_MAX));
    }

    #[test]
    fn a_limit_that_is_used_up_is_waited_for_however_few_tries_are_left_but_for_no_longer_than_a_day() {
        let now = Now { wall: "2026-11-22T00:00:00Z".parse().unwrap(), uptime: SignedDuration::ZERO };
        let none = RetryPolicy { max: 0, ..policy(Backoff::Fixed, 0.0) };
        let after = |hours| NotYet { until: now.wall + SignedDuration::from_hours(hours), why: "1000 calls are used up".into() };
        for hours in [-100_000, 0, 24] {
            let outcome = bounded(Outcome::NotYet(after(hours)), now);
            assert_eq!(next(&none, 9, &outcome, 0.5), Next::Wait(after(hours)));
        }
        let outcome = bounded(Outcome::NotYet(after(26)), now);
        assert_eq!(next(&none, 1, &outcome, 0.5), Next::Close(RunEnd::Failed));
        let text = outcome.text().unwrap();
        assert!(text.starts_with("1000 calls are used up; it can go on only at 2026-11-23T02:00:00Z"), "{text}");
    }

    #[test]
    fn exponential_backoff_doubles_up_to_its_cap_and_jitter_only_shortens() {
        let plain = policy(Backoff::Exponential, 0.0);
        let waits: Vec<i64> = (1..=6).map(|attempt| delay(&plain, attempt, 0.7).as_secs()).collect();
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
        let full = policy(Backoff::Exponential, 1.0);
        for attempt in [1, 2, 40, u32::MAX] {
            for draw in [0.0, 0.3, 0.999] {
                let wait = delay(&full, attempt, draw);
                assert!(!wait.is_negative() && wait <= full.max_delay, "{attempt} {draw}: {wait:?}");
            }
        }
    }
}
