//! The kinds of values that tasks.yaml and handlers' parameters know, and the tables of keys made of them.
//!
//! One table drives the reader, the messages and the schema, so they cannot disagree.
use super::notify::NOTIFY;
use crate::core::value::Value;

/// A key that a table knows.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// One sentence: what it means, its unit, its default.
    pub doc: &'static str,
}

impl Key {
    /// What it means in a few words: the beginning of its sentence.
    pub fn brief(&self) -> &'static str {
        self.doc.split([';', '.']).next().unwrap_or(self.doc)
    }

    /// Whether its value is a table that may have a key of this name.
    pub fn holds(&self, name: &str) -> bool {
        self.kind.is_table_of(name)
    }
}

/// What a value has to be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number from .0 to .1.
    Int(i64, i64),
    /// An exact decimal from .0 to .1, in millionths.
    Decimal(i64, i64),
    /// A share such as `5%`, kept in millionths.
    Percent,
    /// Any text.
    Text,
    /// A path; relative ones are beside tasks.yaml.
    Path,
    /// A duration such as `90s` or `3h 30m`; .0: zero is allowed.
    Duration(bool),
    /// A duration, or `none`.
    Limit,
    /// A size such as `10MB`.
    Size,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of .0; a single value counts as a list of one.
    List(&'static Kind),
    /// At least one text, in a list; a single text only where the key .0 beside it is `true`.
    Words(&'static str),
    /// A table with these keys.
    Table(&'static [Key]),
    /// A table with the keys of all these tables.
    Tables(&'static [&'static [Key]]),
    /// A table with any keys and values of this kind.
    Map(&'static Kind),
    /// A table whose keys are names, `[a-z0-9_-]{1,64}`.
    Named(&'static Kind),
    /// A name, `[a-z0-9_-]{1,64}`.
    Name,
    /// An IANA time zone.
    Zone,
    /// An http or https URL.
    Url,
    /// An http or https URL that is called, query and all; its host must be one that the file names under `http_hosts`.
    CallUrl,
    /// A text in which `${NAME}`s are secrets, or `{file: PATH}`.
    Sensitive,
    /// Whatever JSON can say, kept as its text; `${NAME}`s in it are secrets.
    Json,
    /// `${NAME}` or `{file: PATH}`.
    Secret,
    /// A schedule, or a list of them.
    Schedule,
    /// Windows, or a table of windows and holidays.
    Hours,
    /// Dates, ranges of dates and names of calendars.
    Dates,
    /// The name of a lock; one of those at the top of the file, if it lists them.
    Lock,
    /// The name of one of the file's accounts.
    Account,
    /// The parameters of the task's handler.
    Params,
    /// Where runs are written down.
    Store,
    /// An address and a port.
    Address,
    /// A host that may be called: its name, or a table.
    Host,
    /// A value of that kind, which is read on its own because what it says depends on other parts of the file.
    Apart(&'static Kind),
    /// A value of that kind whose parts have to fit together. The check sees only what is sound part by part.
    Checked(&'static Kind, fn(&Value) -> Vec<Complaint>),
}

impl Kind {
    fn is_table_of(&self, name: &str) -> bool {
        let has = |keys: &[Key]| keys.iter().any(|key| key.name == name);
        match self {
            Self::Table(keys) => has(keys),
            Self::Tables(tables) => tables.iter().any(|keys| has(keys)),
            Self::Apart(kind) | Self::Checked(kind, _) => kind.is_table_of(name),
            _ => false,
        }
    }
}

/// Parts of a value that do not fit together, or do what nobody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Where in the value: keys and, in lists, places counted from 0, with points between them: `tiers.1.markup`. Empty: the value as a whole.
    pub at: String,
    /// Lower case, no full stop.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// What the configuration knows of a handler.
#[derive(Clone, Copy, Debug)]
pub struct HandlerSpec {
    pub name: &'static str,
    /// One sentence.
    pub doc: &'static str,
    pub params: &'static [Key],
    /// Retries unless the file says otherwise: 3 for handlers that can be repeated, 0 for those whose effects we can't know.
    pub retries: u32,
    /// Whether a lost or interrupted run may go on by itself.
    pub resumable: bool,
    /// Whether fires of an instance with an account are skipped while that is parked. False for what brings a parked account back.
    pub parks: bool,
    /// Marketplaces that must be configured for it, and keys that every account of its `for_each` must have: `account.KEY`.
    pub needs: &'static [&'static str],
    /// In practice (`--sandbox`) it begins at once, so that the first minute shows something.
    pub eager_in_practice: bool,
}

pub(super) const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

pub(super) const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: true, doc }
}

/// The longest a whole number of seconds, items or files may sensibly be.
const COUNT_MAX: i64 = 1_000_000;

/// The top of tasks.yaml.
pub const ROOT: &[Key] = &[
    key("timezone", Kind::Zone, "The time zone of schedules, business hours and calendars. The system's where it is not given."),
    key("store", Kind::Store, "Where runs are written down: `sqlite://PATH`. `taskrun.db` in `state_dir` where it is not given."),
    key("state_dir", Kind::Path, "The folder for what taskrun keeps. `state` where it is not given."),
    key("log", Kind::Table(LOG), "Where the log goes and how it looks."),
    key("http", Kind::Apart(&Kind::Table(HTTP)), "Where the dashboard and the API listen. Nowhere where it is not given."),
    key("max_running", Kind::Int(1, 10_000), "How many runs may go on at once. 64 where it is not given."),
    key("shutdown_grace", Kind::Duration(true), "How long runs may take to stop when taskrun stops. 30s where it is not given."),
    key("watch", Kind::Bool, "Reload when this file changes. `false` where it is not given."),
    key("locks", Kind::List(&Kind::Name), "The named locks there are. Where it is given, tasks can use no others."),
    key("calendars", Kind::Apart(&Kind::Named(&Kind::Dates)), "Lists of dates by name, for `calendar` and `holidays`."),
    key("marketplaces", Kind::Apart(&Kind::Table(MARKETPLACES)), "The marketplaces, with the application's keys."),
    key(
        "accounts",
        Kind::Apart(&Kind::Named(&Kind::Tables(&[ACCOUNT, CALLS, POLICY]))),
        "Sellers and shops. Their other keys override the task's for their own instances.",
    ),
    key(
        "http_hosts",
        Kind::Apart(&Kind::List(&Kind::Host)),
        "The hosts that `http_request` and `health_check` may call: `example.com`, `*.example.com:8443`, `{ host: NAME, private: true }`.",
    ),
    key("sources", Kind::Apart(&Kind::Named(&Kind::Table(SOURCE))), "Where goods come from, by name: `yahoo`, `mercari`."),
    key("notify", Kind::Apart(&Kind::Table(NOTIFY)), "Who is told what, and how."),
    key("publish", Kind::Apart(&Kind::Table(PUBLISH)), "What may be listed at a shop at all."),
    key("defaults", Kind::Apart(&Kind::Table(POLICY)), "What every task starts from."),
    required("tasks", Kind::Apart(&Kind::Named(&Kind::Tables(&[TASK, POLICY]))), "What is to be done, and when."),
];

/// A place that goods come from.
pub const SOURCE: &[Key] = &[
    required("endpoint", Kind::Url, "Where its service answers `/items/ID` and `/search`."),
    key(
        "calls_per_second",
        Kind::Decimal(10_000, 100_000_000),
        "How many calls a second it may get, by all of taskrun together; 3 where it is not given.",
    ),
    key("token", Kind::Secret, "Sent with each call as a bearer token."),
    key("proxy", Kind::Apart(&Kind::Text), "The proxy for its calls; if it can't be reached, they fail."),
];

/// An element of `http_hosts` that is not a name alone.
pub const HTTP_HOST: &[Key] = &[
    required("host", Kind::Text, "A name, `*.` and a name, or an address; with a port unless it is the scheme's own."),
    key(
        "private",
        Kind::Bool,
        "Whether it may be an address of one's own network or machine, and be called by plain http. `false` where it is not given.",
    ),
];

/// A secret that stands in a file of its own.
pub const SECRET_FILE: &[Key] = &[required("file", Kind::Path, "The path of a file that nobody else can read.")];

/// A schedule that is no text; exactly one of these.
pub const SCHEDULE: &[Key] = &[
    key("cron", Kind::Text, "A cron expression."),
    key("every", Kind::Duration(false), "At a fixed rate."),
    key("after", Kind::Duration(false), "That long after the previous run ended."),
];

/// Business hours with holidays of their own.
pub const HOURS: &[Key] = &[
    required("windows", Kind::Hours, "`06:00-23:00`, `mon-fri 09:00-18:00`, or a list of these."),
    key("holidays", Kind::Dates, "Days on which no window opens."),
];

pub const LOG: &[Key] = &[
    key("dir", Kind::Path, "The folder of the log files. `logs` where it is not given."),
    key(
        "level",
        Kind::Word(&["error", "warn", "info", "debug", "trace"]),
        "The least important lines that are written. `info` where it is not given.",
    ),
    key("format", Kind::Word(&["text", "json"]), "How a line looks. `text` where it is not given."),
    key("max_size", Kind::Size, "A file that reaches this size is rotated. 10MB where it is not given."),
    key("keep", Kind::Int(0, 1_000), "How many rotated files are kept. 5 where it is not given."),
    key("console", Kind::Bool, "Write to the terminal too. `true` where it is not given."),
];

pub const HTTP: &[Key] = &[
    key("listen", Kind::Address, "An address and a port. `127.0.0.1:9700` where it is not given."),
    key(
        "token",
        Kind::Secret,
        "What changes have to carry. A file `http.token` in `state_dir`, made at the first start, where it is not given.",
    ),
    key("tls", Kind::Table(TLS), "The certificate, for an address beyond this machine."),
    key("allowed_hosts", Kind::List(&Kind::Text), "Names under which it is reached, besides its address and `localhost`."),
];

pub const TLS: &[Key] = &[
    required("cert", Kind::Path, "The certificate chain in PEM."),
    required("key", Kind::Path, "Its private key in PEM; a file that nobody else can read."),
];

pub const MARKETPLACES: &[Key] = &[
    key("amazon", Kind::Table(AMAZON), "Amazon's Selling Partner API."),
    key("base", Kind::Tables(&[BASE, CALLS]), "BASE's shop API."),
    key("ebay", Kind::Tables(&[EBAY, EBAY_PRICES]), "Listing at eBay: its Inventory API."),
];

pub const AMAZON: &[Key] = &[
    required("region", Kind::Word(&["fe", "na", "eu"]), "Far East, North America or Europe: which host is asked."),
    required("marketplace_id", Kind::Text, "The marketplace: Japan is A1VC38T7YXB528."),
    required("client_id", Kind::Text, "The application's id at Login with Amazon."),
    required("client_secret", Kind::Secret, "The application's secret at Login with Amazon."),
    key("endpoint", Kind::Url, "Where the API is. The region's host where it is not given."),
    key("lwa_endpoint", Kind::Url, "Where Login with Amazon is. Amazon's host where it is not given."),
];

pub const BASE: &[Key] = &[
    required("client_id", Kind::Text, "The application's id."),
    required("client_secret", Kind::Secret, "The application's secret."),
    key("redirect_uri", Kind::Url, "Where a shop's owner is sent after the consent."),
    key("endpoint", Kind::Url, "Where the API is. BASE's host where it is not given."),
    key(
        "reserve",
        Kind::Apart(&Kind::Table(RESERVE)),
        "Shares of a shop's calls that are kept for a purpose; the rest is for whoever comes first.",
    ),
];

pub const EBAY: &[Key] = &[
    required("client_id", Kind::Text, "The application's id."),
    required("client_secret", Kind::Secret, "The application's secret."),
    key("endpoint", Kind::Url, "Where the API is. eBay's host where it is not given."),
    key("marketplace_id", Kind::Text, "Where it is listed. EBAY_US where it is not given."),
    key("language", Kind::Text, "Of titles and descriptions. en-US where it is not given."),
    required("category_id", Kind::Text, "The number at eBay of the category of all items."),
    required("location", Kind::Text, "The key at eBay of the place where the items lie."),
    required("fulfillment_policy", Kind::Text, "The number at eBay of the policy on shipping."),
    required("payment_policy", Kind::Text, "The number at eBay of the policy on payment."),
    required("return_policy", Kind::Text, "The number at eBay of the policy on returns."),
];

/// Those with a hundred cents.
pub const CURRENCIES: &[&str] = &["USD", "GBP", "EUR", "AUD", "CAD"];

pub const EBAY_PRICES: &[Key] = &[
    key("currency", Kind::Word(CURRENCIES), "The currency of the prices there. USD where it is not given."),
    required(
        "yen_per_unit",
        Kind::Decimal(1_000_000, 10_000_000_000),
        "What one unit of the currency costs in yen, as in 149.5; prices are rounded up to the cent.",
    ),
];

/// What BASE allows; we may allow ourselves less. Of all shops, or of one.
pub const CALLS: &[Key] = &[
    key(
        "calls_per_hour",
        Kind::Int(1, 5_000),
        "How many calls a BASE shop may get in a clock hour. 5000, which is BASE's own limit, where it is not given.",
    ),
    key(
        "calls_per_day",
        Kind::Int(1, 100_000),
        "How many calls a BASE shop may get on a day in Japan. 100000, which is BASE's own limit, where it is not given.",
    ),
];

pub const RESERVE: &[Key] = &[
    key("sync", Kind::Percent, "For keeping price and visibility in line. 40% where it is not given."),
    key("upload", Kind::Percent, "For listing items. 20% where it is not given."),
    key("manual", Kind::Percent, "For what a person starts. 5% where it is not given."),
];

pub const PUBLISH: &[Key] = &[
    required("rules", Kind::Path, "The file with the rules: forbidden goods, words and categories."),
    key("min_images", Kind::Int(0, 20), "A product with fewer images is not listed. 1 where it is not given."),
    key("one_shop", Kind::Bool, "A product that is at one shop, or queued for it, is listed at no other; false where it is not given."),
];

/// The file that `publish.rules` names.
pub const RULES: &[Key] = &[
    required("version", Kind::Int(1, 1_000_000), "Counted up with each change of the file."),
    key("groups", Kind::Named(&Kind::Table(GROUP)), "Words that mean the same danger, by a name for it."),
    key("categories", Kind::List(&Kind::Table(CATEGORY)), "Branches of categories."),
    key("brands", Kind::List(&Kind::Text), "Brands that are not sold."),
    key("banned", Kind::List(&Kind::Text), "Products that are never listed, by ASIN."),
    key("allowed", Kind::List(&Kind::Text), "Products that a person has looked at and allows, by ASIN."),
    key("remove_words", Kind::List(&Kind::Text), "Words that are taken out of titles and descriptions."),
];

const SCORE: Kind = Kind::Int(1, 100);

pub const GROUP: &[Key] = &[
    required("score", SCORE, "How much it counts; 50 in all is looked at by a person, 80 is not listed."),
    required("words", Kind::List(&Kind::Text), "What is looked for in title and description, in any width and case."),
    key("except", Kind::List(&Kind::Text), "Where one of these is found, the group does not count."),
];

pub const CATEGORY: &[Key] = &[
    required("path", Kind::Text, "From the top, as in `食品・飲料・お酒 > お酒`; what is below it counts as well."),
    required("score", SCORE, "How much it counts; 50 in all is looked at by a person, 80 is not listed."),
];

/// The words for marketplaces where an account or a task names one.
pub const PLATFORM: Kind = Kind::Word(&["amazon", "base", "ebay"]);

pub const ACCOUNT: &[Key] = &[
    required("platform", PLATFORM, "The marketplace that the account is at."),
    key("refresh_token", Kind::Secret, "The account's first refresh token; later ones are kept in the store."),
    key("proxy", Kind::Apart(&Kind::Text), "The proxy for the account's calls; if it can't be reached, they fail."),
    key("seller_id", Kind::Text, "An Amazon seller's own number there, the merchant token; needed by `update_feed`."),
    key("daily_limit", Kind::Int(0, COUNT_MAX), "How many items may be listed on one day."),
];

pub const TASK: &[Key] = &[
    required("handler", Kind::Text, "What does the work: the name of a handler."),
    key("schedule", Kind::Schedule, "When it is due. Without one, it is started by hand only."),
    key("for_each", Kind::Apart(&Kind::Table(FOR_EACH)), "One instance for each of these accounts."),
    key("with", Kind::Params, "The handler's parameters."),
    key(
        "needs",
        Kind::Apart(&Kind::Named(&Kind::Table(NEED))),
        "The tasks that must have ended before: a fire whose need is not met is skipped. A start by hand is not.",
    ),
    key("after_success", Kind::Apart(&Kind::List(&Kind::Name)), "The tasks that are started when a run of this one has succeeded."),
];

pub const NEED: &[Key] = &[
    key("max_age", Kind::Duration(false), "Its last end must not be longer ago. However long ago where it is not given."),
    key("end", Kind::Word(&["succeeded", "any"]), "How it has to have ended. `succeeded` where it is not given."),
];

pub const FOR_EACH: &[Key] =
    &[key("platform", PLATFORM, "The accounts at this marketplace."), key("accounts", Kind::List(&Kind::Account), "These accounts.")];

/// What `defaults`, a task and an account can each say; the last of them that does so counts.
pub const POLICY: &[Key] = &[
    key("enabled", Kind::Bool, "Whether it fires by itself. `true` where it is not given."),
    key("timezone", Kind::Zone, "The time zone of schedule, business hours and calendar."),
    key("business_hours", Kind::Hours, "When it may start: `06:00-23:00`, `mon-fri 09:00-18:00`, a list of these, or `always`."),
    key("holidays", Kind::Dates, "Days on which the business hours do not open."),
    key("calendar", Kind::Apart(&Kind::Table(CALENDAR)), "Days on which it fires, or does not."),
    key("defer", Kind::Bool, "Fires outside the business hours move to the next opening. `false` where it is not given."),
    key(
        "jitter",
        Kind::Duration(true),
        "Starts are moved by up to this much, by a fixed amount for each instance. 0s where it is not given.",
    ),
    key(
        "catch_up",
        Kind::Word(&["none", "latest", "all"]),
        "What happens to fires that passed while taskrun was down. `latest` where it is not given.",
    ),
    key("start_deadline", Kind::Limit, "A fire later than this is not caught up. `none` where it is not given."),
    key(
        "overlap",
        Kind::Word(&["last_wins", "skip", "queue", "allow"]),
        "What happens when it is due and still running. `last_wins` where it is not given.",
    ),
    key("locks", Kind::List(&Kind::Lock), "Named locks that runs of different tasks share."),
    key("lock_wait", Kind::Duration(true), "How long it waits for its locks before it is skipped. 0s where it is not given."),
    key("retries", Kind::Table(RETRIES), "When a failed attempt is tried again."),
    key("timeout", Kind::Limit, "How long one attempt may take. `none` where it is not given."),
    key("deadline", Kind::Limit, "How long a run may take with all its attempts and waits. `none` where it is not given."),
    key("grace", Kind::Duration(true), "How long an attempt that is told to stop may take. 30s where it is not given."),
    key("takeover", Kind::Duration(true), "How long a newer run waits for an older one that hangs. 30s where it is not given."),
    key(
        "on_lost",
        Kind::Word(&["retry", "close"]),
        "What happens to a run whose process died. The handler knows best where it is not given.",
    ),
];

pub const CALENDAR: &[Key] =
    &[key("only", Kind::Dates, "It fires on these days only."), key("except", Kind::Dates, "It does not fire on these days.")];

pub const RETRIES: &[Key] = &[
    key("max", Kind::Int(0, 1_000), "Retries after the first attempt. The handler knows best where it is not given."),
    key("delay", Kind::Duration(true), "The wait before the first retry. 60s where it is not given."),
    key("backoff", Kind::Word(&["fixed", "exponential"]), "How the wait grows. `fixed` where it is not given."),
    key("max_delay", Kind::Duration(false), "No wait is longer. 1h where it is not given."),
    key("jitter", Kind::Decimal(0, 1_000_000), "The share of the wait that is random, 0 to 1. 0 where it is not given."),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{
        order::NeedEnd,
        task::{Backoff, CatchUp, OnLost, Overlap},
    };

    #[test]
    fn the_tables_have_the_core_s_words() {
        let words = |table: &[Key], name: &str| match table.iter().find(|key| key.name == name).map(|key| key.kind) {
            Some(Kind::Word(words)) => words.to_vec(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(words(POLICY, "overlap"), Overlap::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
        assert_eq!(words(POLICY, "catch_up"), CatchUp::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
        assert_eq!(words(POLICY, "on_lost"), OnLost::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
        assert_eq!(words(NEED, "end"), NeedEnd::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
        assert_eq!(words(RETRIES, "backoff"), Backoff::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
    }

    #[test]
    fn every_key_is_explained_in_a_sentence() {
        for table in [
            ROOT,
            LOG,
            HTTP,
            MARKETPLACES,
            AMAZON,
            BASE,
            EBAY,
            EBAY_PRICES,
            CALLS,
            RESERVE,
            ACCOUNT,
            TASK,
            NEED,
            FOR_EACH,
            POLICY,
            CALENDAR,
            RETRIES,
            PUBLISH,
            RULES,
            GROUP,
            CATEGORY,
            SCHEDULE,
            HOURS,
            SECRET_FILE,
            HTTP_HOST,
        ] {
            for key in table {
                assert!(key.doc.ends_with('.') && key.doc.starts_with(|c: char| c.is_uppercase() || c == '`'), "{}: {}", key.name, key.doc);
            }
        }
    }
}
