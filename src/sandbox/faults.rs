//! Trouble on demand: which requests it meets, and offers that a test wants otherwise than the rule says.
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{operation::Operation, plan::FaultPlan, seed::roll, state::Side};

/// A number of requests that go wrong.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The requests: those whose path begins so.
    pub route: &'static str,
    /// How many.
    pub times: u32,
    /// What happens to them.
    pub kind: FaultKind,
}

/// What goes wrong; the [module on plans](super::plan) has a table of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The answer comes later than that, in real time.
    Delay(Duration),
    /// This status is answered, with the side's usual body.
    Status(u16),
    /// The same, with a `Retry-After`.
    StatusAfter(u16, RetryAfter),
    /// A page of HTML comes back, with 502.
    Html,
    /// A page of HTML comes back, with 200.
    Page,
    /// 200 without a body.
    Empty,
    /// 200 with an error as its body.
    Error200,
    /// The connection breaks before the answer.
    Drop,
    /// All is done, and the connection breaks before the answer.
    DropAnswer,
    /// No answer comes; the connection stays open.
    Hang,
    /// 302.
    Redirect(Redirect),
    /// A body that never ends.
    Endless,
    /// A body of 64 MiB.
    Huge,
    /// A body of 10 MiB that unpacks to 10 GiB.
    Bomb,
    /// 100,000 nested lists.
    Deep,
    /// A byte at a time, each so much later.
    Slow(Duration),
    /// Half of the body, then the end of the connection.
    Cut,
    /// Half of the body, then the end of one direction.
    HalfClose,
    /// Half of the body, then a reset.
    Reset,
    /// `Content-Length` says less than there is.
    Short,
    /// `Content-Length` says more than there is.
    Long,
    /// Numbers are texts, and texts are numbers.
    Mistyped,
    /// Headers twice, with other values.
    Twice,
}

/// What a `Retry-After` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    Seconds(u32),
    /// A date, a minute ahead of the marketplace's clock.
    Date,
    /// A thousand years.
    Absurd,
    /// No sense.
    Garbage,
}

/// Where a redirect leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redirect {
    /// A host that there is not.
    Host,
    /// `file:///etc/passwd`.
    File,
    /// What a cloud's machines ask for their keys.
    Metadata,
    /// This port of this machine: another host, as far as a client can tell.
    Port(u16),
}

impl Redirect {
    /// The `Location`.
    pub(super) fn url(self) -> String {
        match self {
            Self::Host => "http://elsewhere.practice.invalid/".to_owned(),
            Self::File => "file:///etc/passwd".to_owned(),
            Self::Metadata => "http://169.254.169.254/latest/meta-data/".to_owned(),
            Self::Port(port) => format!("http://127.0.0.1:{port}/"),
        }
    }
}

impl FaultKind {
    /// Those that a word alone names.
    pub(super) const SIMPLE: [(&str, Self); 17] = [
        ("html", Self::Html),
        ("page", Self::Page),
        ("empty", Self::Empty),
        ("error200", Self::Error200),
        ("drop", Self::Drop),
        ("hang", Self::Hang),
        ("endless", Self::Endless),
        ("huge", Self::Huge),
        ("bomb", Self::Bomb),
        ("deep", Self::Deep),
        ("cut", Self::Cut),
        ("halfclose", Self::HalfClose),
        ("reset", Self::Reset),
        ("short", Self::Short),
        ("long", Self::Long),
        ("mistyped", Self::Mistyped),
        ("twice", Self::Twice),
    ];

    /// It spoils the true answer, so the request is carried out in any case.
    fn spoils(self) -> bool {
        use FaultKind as F;
        matches!(
            self,
            F::Delay(_) | F::Slow(_) | F::DropAnswer | F::Cut | F::HalfClose | F::Reset | F::Short | F::Long | F::Mistyped | F::Twice
        )
    }
}

/// Which requests a rule may meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    All,
    Side(Side),
    Writes,
    One(Operation),
    /// Those whose path begins so.
    Path(String),
}

/// Which of them it does meet, by their number from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Always,
    /// Both included.
    Numbers {
        from: u32,
        to: u32,
    },
    /// So many of ten thousand.
    Share(u32),
}

/// Trouble, whom it meets, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) route: Route,
    /// Only this account's; empty for any.
    pub(super) account: Option<String>,
    pub(super) kind: FaultKind,
    /// The request is carried out before it goes wrong.
    pub(super) done: bool,
    pub(super) when: When,
}

impl From<Fault> for Rule {
    fn from(Fault { route, times, kind }: Fault) -> Self {
        let when = When::Numbers { from: 1, to: times };
        let (kind, done) = if kind == FaultKind::DropAnswer { (FaultKind::Drop, true) } else { (kind, false) };
        Self { route: Route::Path(route.to_owned()), account: None, kind, done, when }
    }
}

/// What a request met.
#[derive(Clone, Debug)]
pub(super) struct Met {
    pub(super) kind: FaultKind,
    /// The request is carried out.
    pub(super) done: bool,
    /// The rule's text.
    pub(super) told: String,
}

/// A request, as far as rules go by it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) operation: Option<Operation>,
    pub(super) path: &'a str,
    pub(super) account: &'a str,
}

impl Rule {
    fn concerns(&self, asked: Asked<'_>) -> bool {
        let route = match &self.route {
            Route::All => true,
            Route::Side(side) => asked.operation.is_some_and(|operation| operation.side() == *side),
            Route::Writes => asked.operation.is_some_and(Operation::writes),
            Route::One(operation) => asked.operation == Some(*operation),
            Route::Path(start) => asked.path.starts_with(start.as_str()),
        };
        route && self.account.as_ref().is_none_or(|account| account == asked.account)
    }
}

/// The trouble that is still to come. It is the process's, not the state's: a new process begins without.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    seed: u64,
    rules: Vec<Counted>,
}

#[derive(Debug)]
struct Counted {
    rule: Rule,
    /// Requests that came as far as this rule.
    seen: u32,
    /// Those that it met.
    met: u32,
}

impl Faults {
    pub(super) fn add(&self, rule: Rule) {
        self.inner().rules.push(Counted { rule, seen: 0, met: 0 });
    }

    pub(super) fn plan(&self, plan: &FaultPlan) {
        if let Some(seed) = plan.seed {
            self.inner().seed = seed;
        }
        plan.rules.iter().cloned().for_each(|rule| self.add(rule));
    }

    pub(super) fn clear(&self) {
        self.inner().rules.clear();
    }

    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trouble that meets this request.
    pub(super) fn meet(&self, asked: Asked<'_>) -> Option<Met> {
        let mut inner = self.inner();
        let Inner { seed, rules } = &mut *inner;
        let concerned = rules.iter_mut().filter(|counted| counted.rule.concerns(asked));
        for counted in concerned {
            counted.seen = counted.seen.saturating_add(1);
            let told = counted.rule.to_string();
            let meets = match counted.rule.when {
                When::Always => true,
                When::Numbers { from, to } => (from..=to).contains(&counted.seen),
                When::Share(part) => roll(&told, *seed << 32 | u64::from(counted.seen)) % 10_000 < u64::from(part),
            };
            if meets {
                counted.met = counted.met.saturating_add(1);
                let kind = counted.rule.kind;
                return Some(Met { kind, done: counted.rule.done || kind.spoils(), told });
            }
        }
        None
    }

    /// The rules, and whom they met so far.
    pub(super) fn shown(&self) -> Value {
        let inner = self.inner();
        let rules: Vec<_> = inner
            .rules
            .iter()
            .map(|counted| json!({ "rule": counted.rule.to_string(), "seen": counted.seen, "met": counted.met }))
            .collect();
        json!({ "seed": inner.seed, "rules": rules })
    }
}

/// What Amazon says of a product, against the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Force {
    /// Nobody offers it.
    NoOffer,
    /// Only slow offers.
    Filtered,
    /// Buyable at this price.
    Cost(i64),
    /// The item's own answer within the batch is this status.
    ItemError(u16),
    /// No data: `ActiveButTooSoonForProcessing`.
    TooSoon,
}
