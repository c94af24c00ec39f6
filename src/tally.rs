//! What is counted since the start, and how it is written for Prometheus.
//!
//! Counters live as long as the process, as Prometheus expects. What stands in the state or the store is not counted here: `view/metrics.rs` reads it when
//! somebody asks. Labels are names out of tasks.yaml and words of our own, so there are only so many.
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// A metric: its name without the unit's prefix of us, what it means, and its labels.
#[derive(Debug)]
pub struct Family {
    /// Counters end in `_total`.
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
}

/// What kind of metric.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How many were at most this long, in seconds.
    Histogram(&'static [f64]),
}

/// How a page of metrics is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own text.
    Prometheus,
    /// `OpenMetrics` 1.0.
    OpenMetrics,
}

type Labels = Vec<String>;

/// What was seen so far.
#[derive(Clone, Debug, PartialEq)]
enum Sample {
    Number(f64),
    Spread { counts: Vec<u64>, sum: f64 },
}

/// Metrics with their values.
#[derive(Clone, Debug, Default)]
pub struct Page {
    families: BTreeMap<&'static str, (&'static Family, BTreeMap<Labels, Sample>)>,
}

impl Page {
    fn sample(&mut self, family: &'static Family, labels: &[&str]) -> &mut Sample {
        let (_, samples) = self.families.entry(family.name).or_insert_with(|| (family, BTreeMap::new()));
        let labels: Labels = labels.iter().map(|&label| label.to_owned()).collect();
        samples.entry(labels).or_insert_with(|| match family.kind {
            Kind::Counter | Kind::Gauge => Sample::Number(0.0),
            Kind::Histogram(bounds) => Sample::Spread { counts: vec![0; bounds.len() + 1], sum: 0.0 },
        })
    }

    /// Adds to a counter. Zero makes it known before the first time.
    pub fn add(&mut self, family: &'static Family, labels: &[&str], by: f64) {
        if let Sample::Number(number) = self.sample(family, labels) {
            *number += by;
        }
    }

    /// Sets a gauge, or a counter that is counted elsewhere.
    pub fn set(&mut self, family: &'static Family, labels: &[&str], to: f64) {
        *self.sample(family, labels) = Sample::Number(to);
    }

    /// Sees a duration, in seconds.
    pub fn observe(&mut self, family: &'static Family, labels: &[&str], seconds: f64) {
        let Kind::Histogram(bounds) = family.kind else { return };
        if let Sample::Spread { counts, sum } = self.sample(family, labels) {
            let place = bounds.iter().position(|bound| seconds <= *bound).unwrap_or(bounds.len());
            if let Some(count) = counts.get_mut(place) {
                *count += 1;
            }
            *sum += seconds;
        }
    }

    /// Takes in what was counted elsewhere under other names.
    pub fn take_in(&mut self, other: Self) {
        self.families.extend(other.families);
    }

    /// The page as text.
    pub fn write(&self, format: Format) -> String {
        let mut text = String::new();
        for (family, samples) in self.families.values() {
            family.write(samples, format, &mut text);
        }
        if format == Format::OpenMetrics {
            text.push_str("# EOF\n");
        }
        text
    }
}

impl Family {
    fn write(&self, samples: &BTreeMap<Labels, Sample>, format: Format, text: &mut String) {
        let name = match (format, self.kind) {
            (Format::OpenMetrics, Kind::Counter) => self.name.trim_end_matches("_total"),
            _ => self.name,
        };
        let kind = match self.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        // Writing to a string does not fail.
        writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", self.help).unwrap_or_default();
        for (labels, sample) in samples {
            let pairs: Vec<String> = self.labels.iter().zip(labels).map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            match sample {
                Sample::Number(number) => line(text, self.name, &pairs.join(","), *number),
                Sample::Spread { counts, sum } => self.spread(text, &pairs.join(","), counts, *sum),
            }
        }
    }

    fn spread(&self, text: &mut String, pairs: &str, counts: &[u64], sum: f64) {
        let Kind::Histogram(bounds) = self.kind else { return };
        let comma = if pairs.is_empty() { "" } else { "," };
        let mut so_far = 0_u64;
        let bounds = bounds.iter().map(ToString::to_string).chain(std::iter::once("+Inf".to_owned()));
        for (bound, count) in bounds.zip(counts) {
            so_far += count;
            writeln!(text, "{}_bucket{{{pairs}{comma}le=\"{bound}\"}} {so_far}", self.name).unwrap_or_default();
        }
        line(text, &format!("{}_sum", self.name), pairs, sum);
        let count = if pairs.is_empty() { String::new() } else { format!("{{{pairs}}}") };
        writeln!(text, "{}_count{count} {so_far}", self.name).unwrap_or_default();
    }
}

fn line(text: &mut String, name: &str, pairs: &str, number: f64) {
    let pairs = if pairs.is_empty() { String::new() } else { format!("{{{pairs}}}") };
    writeln!(text, "{name}{pairs} {number}").unwrap_or_default();
}

/// A label's value: three characters mean something there. Names have none of them; a version or a word from outside might.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// What is counted since the start; shared by all that count.
#[derive(Debug, Default)]
pub struct Tally {
    page: Mutex<Page>,
    /// Counts what happened to runs, tasks and the configuration: who sees it change looks again.
    news: AtomicU64,
}

impl Tally {
    /// Nothing was counted yet.
    pub const fn new() -> Self {
        Self { page: Mutex::new(Page { families: BTreeMap::new() }), news: AtomicU64::new(0) }
    }

    fn with(&self, change: impl FnOnce(&mut Page)) {
        change(&mut self.page.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// One more.
    pub fn count(&self, family: &'static Family, labels: &[&str]) {
        self.with(|page| page.add(family, labels, 1.0));
    }

    /// Several more.
    pub fn add(&self, family: &'static Family, labels: &[&str], by: f64) {
        self.with(|page| page.add(family, labels, by));
    }

    /// One more; the others of `words` are known from now on, so that their first time is seen as a change. The word is the last label.
    pub fn count_one_of(&self, family: &'static Family, labels: &[&str], word: &str, words: &[&str]) {
        self.with(|page| {
            for known in words {
                let by = if *known == word { 1.0 } else { 0.0 };
                page.add(family, &[labels, &[known]].concat(), by);
            }
        });
    }

    /// It took this long.
    pub fn took(&self, family: &'static Family, labels: &[&str], took: Duration) {
        self.with(|page| page.observe(family, labels, took.as_secs_f64()));
    }

    /// All that was counted.
    pub fn page(&self) -> Page {
        self.page.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something happened that others may want to see.
    pub fn tell(&self) {
        self.news.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something happened.
    pub fn news(&self) -> u64 {
        self.news.load(Ordering::Relaxed)
    }
}

/// The labels of an instance: its task, and its account or nothing.
pub fn of_instance(name: &str) -> [&str; 2] {
    name.split_once('@').map_or([name, ""], |(task, account)| [task, account])
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, help, kind: Kind::Counter, labels }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], bounds: &'static [f64], help: &'static str) -> Family {
    Family { name, help, kind: Kind::Histogram(bounds), labels }
}

/// The requests of this process to marketplaces and sources, whichever client made them.
pub static OUTBOUND: Tally = Tally::new();

/// From a tenth of a second to four hours.
const RUNS_TAKE: &[f64] = &[0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0];
/// From ten milliseconds to five minutes.
const STARTS_ARE_LATE: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0];
/// From a millisecond to ten seconds.
const ANSWERS_TAKE: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
/// From ten milliseconds to the half minute after which a request is given up.
const CALLS_TAKE: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

pub static RUNS: Family = counter("taskrun_runs_total", &["task", "account", "end"], "Runs that ended, by how they ended.");
pub static SKIPS: Family = counter("taskrun_skips_total", &["task", "account", "reason"], "Fires that became no run, by why.");
pub static RETRIES: Family = counter("taskrun_retries_total", &["task", "account"], "Attempts that failed and were followed by another.");
pub static WAITS: Family =
    counter("taskrun_limit_waits_total", &["task", "account"], "Attempts that ended early because a limit was used up.");
pub static LOST: Family = counter("taskrun_lost_runs_total", &["task", "account"], "Runs that a taskrun left open that is gone.");
pub static STARVING: Family =
    counter("taskrun_starving_total", &["task", "account"], "Times a task was superseded again without ever coming to an end of its own.");
pub static STUCK: Family =
    counter("taskrun_stuck_attempts_total", &["task", "account"], "Attempts that did not stop and were given up on.");
pub static TAKEOVERS: Family =
    counter("taskrun_takeovers_total", &["task", "account"], "Runs that took over from another process that did not end in time.");
pub static RUN_TOOK: Family =
    histogram("taskrun_run_duration_seconds", &["task"], RUNS_TAKE, "How long runs took, from the first attempt on.");
pub static LATENESS: Family = histogram(
    "taskrun_start_lateness_seconds",
    &[],
    STARTS_ARE_LATE,
    "How long after its fire time a scheduled run started, its jitter left out.",
);
pub static RELOADS: Family = counter("taskrun_reloads_total", &["result"], "Reloads of the configuration: applied or refused.");
pub static STORE_TOOK: Family =
    histogram("taskrun_store_write_duration_seconds", &[], ANSWERS_TAKE, "How long the store took to commit a step of the engine.");
pub static STORE_FAILED: Family = counter("taskrun_store_failures_total", &[], "Writes that the store did not take; each is made again.");
pub static CALLS: Family = counter(
    "taskrun_marketplace_requests_total",
    &["service", "operation", "outcome"],
    "Requests to marketplaces and sources, by what became of them on the wire.",
);
pub static CALL_TOOK: Family = histogram(
    "taskrun_marketplace_request_duration_seconds",
    &["service", "operation"],
    CALLS_TAKE,
    "How long marketplaces and sources took to answer; requests without an answer are not in it.",
);
pub static REQUESTS: Family = counter("taskrun_http_requests_total", &["route", "status"], "Requests to this API.");
pub static REQUEST_TOOK: Family =
    histogram("taskrun_http_request_duration_seconds", &["route"], ANSWERS_TAKE, "How long answers of this API took.");

#[cfg(test)]
mod tests {
    use super::*;

    static FIRES: Family = counter("fires_total", &["task"], "Fires.");
    static TOOK: Family = histogram("took_seconds", &[], &[0.5, 1.0], "How long.");

    fn page() -> Page {
        let mut page = Page::default();
        page.add(&FIRES, &["a \"b\"\n\\"], 2.0);
        for seconds in [0.25, 0.75, 0.5, 9.0] {
            page.observe(&TOOK, &[], seconds);
        }
        page
    }

    #[test]
    fn prometheus_reads_counters_by_their_whole_name() {
        let expected = "# HELP fires_total Fires.\n# TYPE fires_total counter\nfires_total{task=\"a \\\"b\\\"\\n\\\\\"} 2\n\
            # HELP took_seconds How long.\n# TYPE took_seconds histogram\n\
            took_seconds_bucket{le=\"0.5\"} 2\ntook_seconds_bucket{le=\"1\"} 3\ntook_seconds_bucket{le=\"+Inf\"} 4\n\
            took_seconds_sum 10.5\ntook_seconds_count 4\n";
        assert_eq!(page().write(Format::Prometheus), expected);
    }

    #[test]
    fn open_metrics_names_the_family_and_ends() {
        let text = page().write(Format::OpenMetrics);
        assert!(text.starts_with("# HELP fires Fires.\n# TYPE fires counter\nfires_total{"), "{text}");
        assert!(text.ends_with("took_seconds_count 4\n# EOF\n"), "{text}");
    }

    #[test]
    fn an_instance_has_a_task_and_may_have_an_account() {
        assert_eq!((of_instance("sync"), of_instance("tick@one")), (["sync", ""], ["tick", "one"]));
    }
}
