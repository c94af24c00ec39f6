//! A marketplace's limits as values: when may the next call go out?
//!
//! Whoever takes a place keeps it and sleeps until then ("reserve, then sleep"), so that two who wait never wake for the same place. A call that
//! several limits bound takes its place in all of them, or in none. Instants are milliseconds UTC.

use crate::core::task::words;

words! {
    /// What calls are for. Each purpose may have a share of a limit that the others leave to it.
    Purpose {
        /// Bringing price and visibility in line.
        Sync = "sync",
        /// Listing items.
        Upload = "upload",
        /// What a person looks up or puts right by hand.
        Manual = "manual",
    }
}

words! {
    /// After how long a limit begins anew.
    Period {
        /// With the clock hour.
        Hour = "hour",
        /// At midnight in Japan, wherever this runs.
        Day = "day",
    }
}

/// Nobody waits longer than this for a place: ten minutes. So a use that lies further ahead was written before the clock was set back.
pub const PATIENCE_MAX_MS: i64 = 600_000;
/// A marketplace's clock may be behind ours by this much: a refusal so soon after a period began may be about the period before.
const CLOCKS_DIFFER_MS: i64 = 30_000;
/// Refusals in a row double the wait this many times at most.
const DOUBLED_MAX: i64 = 5;
/// Several limits agree on an instant after a round or two; more rounds would mean that one of them never has a place.
const ROUNDS_MAX: usize = 8;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
/// Japan is nine hours ahead, all year.
const JAPAN_MS: i64 = 32_400_000;

impl Period {
    /// When the period began that an instant lies in.
    pub fn began(self, at_ms: i64) -> i64 {
        let shift = match self {
            Self::Hour => 0,
            Self::Day => JAPAN_MS,
        };
        at_ms.saturating_sub(at_ms.saturating_add(shift).checked_rem_euclid(self.length_ms()).unwrap_or(0))
    }

    /// When it ends.
    pub fn ends(self, at_ms: i64) -> i64 {
        self.began(at_ms).saturating_add(self.length_ms())
    }

    fn length_ms(self) -> i64 {
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => DAY_MS,
        }
    }
}

/// A number for each purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerPurpose {
    /// [`Purpose::Sync`]'s.
    pub sync: i64,
    /// [`Purpose::Upload`]'s.
    pub upload: i64,
    /// [`Purpose::Manual`]'s.
    pub manual: i64,
}

impl PerPurpose {
    /// The number of a purpose.
    pub fn of(self, purpose: Purpose) -> i64 {
        match purpose {
            Purpose::Sync => self.sync,
            Purpose::Upload => self.upload,
            Purpose::Manual => self.manual,
        }
    }

    /// All together.
    pub fn total(self) -> i64 {
        self.sync.saturating_add(self.upload).saturating_add(self.manual)
    }

    /// Of `calls`, these shares (in millionths), rounded down.
    #[must_use]
    pub fn shares_of(self, calls: i64) -> Self {
        let share = |millionths: i64| calls.saturating_mul(millionths).checked_div(1_000_000).unwrap_or(0);
        Self { sync: share(self.sync), upload: share(self.upload), manual: share(self.manual) }
    }

    /// With `by` more, but never less than none, for one purpose.
    #[must_use]
    fn plus(mut self, purpose: Purpose, by: i64) -> Self {
        let number = match purpose {
            Purpose::Sync => &mut self.sync,
            Purpose::Upload => &mut self.upload,
            Purpose::Manual => &mut self.manual,
        };
        *number = number.saturating_add(by).max(0);
        self
    }
}

/// What a limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One call every `interval_ms`, and `burst` at once after a rest. Whoever asks first goes first, whatever it is for.
    Bucket { interval_ms: i64, burst: i64 },
    /// So many calls in each period. What a purpose has in reserve, the others leave to it.
    Window { period: Period, calls: i64, reserve: PerPurpose },
}

impl Rule {
    /// The same rule at the rate that the marketplace said, where it said one. A window has no rate.
    #[must_use]
    pub fn at_interval(self, learned_ms: Option<i64>) -> Self {
        match (self, learned_ms) {
            (Self::Bucket { burst, .. }, Some(interval_ms)) => Self::Bucket { interval_ms, burst },
            (rule, _) => rule,
        }
    }

    /// Whether a place at `at_ms` can be taken now: a window counts one period at a time.
    fn holds_over(self, now_ms: i64, at_ms: i64) -> bool {
        match self {
            Self::Bucket { .. } => true,
            Self::Window { period, .. } => period.began(now_ms) == period.began(at_ms),
        }
    }

    /// The same rule with calls a little further apart.
    #[must_use]
    pub fn padded(self, by_ms: i64) -> Self {
        match self {
            Self::Bucket { interval_ms, burst } => Self::Bucket { interval_ms: interval_ms.saturating_add(by_ms), burst },
            window @ Self::Window { .. } => window,
        }
    }
}

/// What has been taken of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// A bucket's: when it will be full again. A window's: when the period began.
    pub at_ms: i64,
    /// A window's: the marketplace says that there is nothing before then.
    pub shut_until_ms: i64,
    /// Calls: a window's in its period, a bucket's on its day.
    pub calls: PerPurpose,
    /// When the day began that a bucket's calls and all refusals are counted for.
    pub day_ms: i64,
    /// Refusals on that day.
    pub refused: i64,
    /// Refusals since the last call that was not refused.
    pub refused_in_row: i64,
}

/// When a call may go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Then; the place is taken.
    At(i64),
    /// Not before then; nothing was taken.
    NotBefore(i64),
}

/// Takes a place in all of these limits, no later than `latest_ms` (at most [`PATIENCE_MAX_MS`] ahead), or says when to ask again. The uses are
/// those after it, in the same order.
pub fn take(limits: &[(Rule, Use)], purpose: Purpose, now_ms: i64, latest_ms: i64) -> (Place, Vec<Use>) {
    let seen: Vec<_> = limits.iter().map(|(rule, used)| (*rule, as_of(*rule, *used, now_ms))).collect();
    let mut at = now_ms;
    for _ in 0..ROUNDS_MAX {
        let next = seen.iter().map(|(rule, used)| earliest(*rule, *used, Some(purpose), at)).max().unwrap_or(at);
        let is_free = next <= at;
        if is_free && at <= latest_ms && seen.iter().all(|(rule, _)| rule.holds_over(now_ms, at)) {
            return (Place::At(at), seen.iter().map(|(rule, used)| spend(*rule, *used, purpose, at)).collect());
        }
        at = next;
        if is_free || latest_ms < at {
            break;
        }
    }
    // Also without a place: what a clock that was set back has left behind is to be forgotten once.
    (Place::NotBefore(at), seen.into_iter().map(|(_, used)| used).collect())
}

/// The first instant, from `at_ms` on, at which there is a place for a purpose, or for any. The use is as of that instant, or of one before it.
pub fn earliest(rule: Rule, used: Use, purpose: Option<Purpose>, at_ms: i64) -> i64 {
    match rule {
        Rule::Bucket { interval_ms, burst } => used.at_ms.saturating_sub(slack(interval_ms, burst)).max(at_ms),
        Rule::Window { period, calls, reserve } => {
            let used = in_period(period, used, at_ms);
            if at_ms < used.shut_until_ms {
                return used.shut_until_ms;
            }
            let kept = Purpose::ALL.iter().filter(|other| purpose.is_some_and(|purpose| purpose != **other));
            let kept: i64 = kept.map(|other| reserve.of(*other).saturating_sub(used.calls.of(*other)).max(0)).sum();
            if used.calls.total().saturating_add(kept) < calls { at_ms } else { period.ends(at_ms) }
        }
    }
}

/// The first instant, from `at_ms` on, at which a purpose may have so many places of a window, one after the other. A bucket has them in time.
pub fn earliest_of(rule: Rule, used: Use, purpose: Purpose, places: i64, at_ms: i64) -> i64 {
    match rule {
        Rule::Bucket { .. } => at_ms,
        Rule::Window { .. } => {
            let used = as_of(rule, used, at_ms);
            let all_but_one = used.calls.plus(purpose, places.saturating_sub(1));
            earliest(rule, Use { calls: all_but_one, ..used }, Some(purpose), at_ms)
        }
    }
}

/// The use after a place at `at_ms`, where there is one.
fn spend(rule: Rule, used: Use, purpose: Purpose, at_ms: i64) -> Use {
    let used = as_of(rule, used, at_ms);
    let at = match rule {
        Rule::Bucket { interval_ms, .. } => used.at_ms.max(at_ms).saturating_add(interval_ms),
        Rule::Window { .. } => used.at_ms,
    };
    Use { at_ms: at, calls: used.calls.plus(purpose, 1), ..used }
}

/// How far ahead of the instant at which a bucket is full a place may be.
fn slack(interval_ms: i64, burst: i64) -> i64 {
    interval_ms.saturating_mul(burst.max(1).saturating_sub(1))
}

/// When a bucket will be full, seen from an instant. What lies further ahead than anybody waits was written before the clock was set back: the bucket
/// may be empty, and no emptier.
fn believable(interval_ms: i64, burst: i64, full_at_ms: i64, at_ms: i64) -> i64 {
    let empty = at_ms.saturating_add(slack(interval_ms, burst)).saturating_add(interval_ms);
    if full_at_ms <= empty.saturating_add(PATIENCE_MAX_MS) { full_at_ms } else { empty }
}

/// A window's use, seen from an instant. What was taken in a period that is still to come was taken before the clock was set back: it counts for
/// this one, so that nothing is had twice, and is forgotten with it, so that nobody waits for days.
fn in_period(period: Period, used: Use, at_ms: i64) -> Use {
    let began = period.began(at_ms);
    let calls = if began <= used.at_ms { used.calls } else { PerPurpose::default() };
    let shut_max = at_ms.saturating_add(period.length_ms()).saturating_add(CLOCKS_DIFFER_MS);
    let shut_until_ms = if used.shut_until_ms <= shut_max { used.shut_until_ms } else { 0 };
    Use { at_ms: began, calls, shut_until_ms, ..used }
}

/// The counts of the day.
fn today(rule: Rule, used: Use, at_ms: i64) -> Use {
    let day_ms = Period::Day.began(at_ms);
    if used.day_ms == day_ms {
        return used;
    }
    let calls = match rule {
        Rule::Bucket { .. } => PerPurpose::default(),
        Rule::Window { .. } => used.calls,
    };
    Use { day_ms, refused: 0, calls, ..used }
}

/// The use as it is seen from an instant: what is over does not count any more, nor what the clock has left behind by being set back.
#[must_use]
pub fn as_of(rule: Rule, used: Use, at_ms: i64) -> Use {
    let used = today(rule, used, at_ms);
    match rule {
        Rule::Bucket { interval_ms, burst } => Use { at_ms: believable(interval_ms, burst, used.at_ms, at_ms), ..used },
        Rule::Window { period, .. } => in_period(period, used, at_ms),
    }
}

/// The use after a place was not needed. A bucket's can be had by others only while nobody took one after it; else it is lost.
#[must_use]
pub fn give_back(rule: Rule, used: Use, purpose: Purpose, place_ms: i64) -> Use {
    let (is_last, at_ms) = match rule {
        Rule::Bucket { interval_ms, .. } => (is_last(rule, used, place_ms), used.at_ms.saturating_sub(interval_ms)),
        Rule::Window { period, .. } => (used.at_ms == period.began(place_ms), used.at_ms),
    };
    if is_last { Use { at_ms, calls: used.calls.plus(purpose, -1), ..used } } else { used }
}

/// The use after a call went out later than its place: the next one is further off, unless it is taken already.
#[must_use]
pub fn put_off(rule: Rule, used: Use, place_ms: i64, sent_ms: i64) -> Use {
    if !is_last(rule, used, place_ms) {
        return used;
    }
    Use { at_ms: used.at_ms.saturating_add(sent_ms.saturating_sub(place_ms).clamp(0, PATIENCE_MAX_MS)), ..used }
}

/// Whether a bucket's place was the last one taken.
fn is_last(rule: Rule, used: Use, place_ms: i64) -> bool {
    match rule {
        Rule::Bucket { interval_ms, burst } => used.at_ms == place_ms.saturating_add(slack(interval_ms, burst)).saturating_add(interval_ms),
        Rule::Window { .. } => false,
    }
}

/// The use after the marketplace said that the limit is used up: a bucket's next place is one interval away, more after several refusals in a row; a
/// window has none before its end.
#[must_use]
pub fn exhaust(rule: Rule, used: Use, now_ms: i64) -> Use {
    let used = as_of(rule, used, now_ms);
    let doubled = used.refused_in_row.clamp(0, DOUBLED_MAX);
    let used = Use { refused: used.refused.saturating_add(1), refused_in_row: used.refused_in_row.saturating_add(1), ..used };
    match rule {
        Rule::Bucket { interval_ms, burst } => {
            let factor = u32::try_from(doubled).ok().and_then(|doubled| 1_i64.checked_shl(doubled)).unwrap_or(1);
            let wait = interval_ms.saturating_mul(factor).min(interval_ms.max(PATIENCE_MAX_MS));
            let empty = now_ms.saturating_add(slack(interval_ms, burst)).saturating_add(wait);
            Use { at_ms: used.at_ms.max(empty), ..used }
        }
        Rule::Window { period, .. } => {
            let doubtful_until = period.began(now_ms).saturating_add(CLOCKS_DIFFER_MS);
            Use { shut_until_ms: if now_ms < doubtful_until { doubtful_until } else { period.ends(now_ms) }, ..used }
        }
    }
}

/// The use after a call that was not refused.
#[must_use]
pub fn accept(used: Use) -> Use {
    Use { refused_in_row: 0, ..used }
}

#[cfg(test)]
mod tests;
