//! The parameters of `sync_inventory`: what the configuration may say, and what holds where it says nothing.
use std::{collections::BTreeSet, sync::Arc};

use jiff::{SignedDuration, Timestamp};

use super::fail_if::{self, FailIf};
use crate::{
    config::keys::{Complaint, HandlerSpec, Key, Kind},
    core::value::{Params, Value},
    handlers::pricing::{self, PRICING},
    marketplace::amazon::Lane,
    shop::{
        difference::{Phase, Phases, Restock, Rules},
        offer::{Condition, OfferRule},
        price::ONE,
    },
};

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

/// What the configuration knows of this handler.
pub const SPEC: HandlerSpec = HandlerSpec {
    name: "sync_inventory",
    doc: "Brings price and visibility of every listing in line with what Amazon offers.",
    params: &[
        key("source", Kind::Account, "The Amazon account whose quota the offers are read with; needed where there are several."),
        key("phases", Kind::Checked(&PHASES, no_phase), "What it does, so that a part can run alone; default [fetch, price, visibility]."),
        key(
            "lanes",
            Kind::List(&Kind::Word(&["batch", "single"])),
            "The operations that offers are read by, each with a quota of its own; default [batch].",
        ),
        key("max_items", Kind::Int(1, 1_000_000), "At most so many products in a run, those with the oldest data; default all."),
        key(
            "max_hide",
            Kind::Percent,
            "A run that would hide a larger share of the visible listings than this, and more than two, hides nothing and fails; default 5%.",
        ),
        key(
            "max_delist",
            Kind::Int(0, 10_000),
            "At most so many listings that a shop no longer knows are taken out of the books in a run; default 20.",
        ),
        key(
            "fail_if",
            Kind::Checked(&Kind::Text, fail_if::complaints),
            "Item errors that make the run fail, `errors > 2%` of the products or `errors > 100`; default `errors > 10%`.",
        ),
        key("data_max_age", Kind::Duration(false), "Older data is never written to a shop; default 4h."),
        key(
            "restock",
            Kind::Word(&["after_fresh_check", "never"]),
            "Whether what sold is sold again while Amazon has it; default after_fresh_check: once its offers were read in the same run.",
        ),
        key("offers", Kind::Table(OFFERS), "Which of Amazon's offers count."),
        key("pricing", Kind::Checked(&Kind::Table(PRICING), pricing::complaints), "How a cost becomes a price."),
    ],
    retries: 3,
    resumable: true,
    parks: true,
    needs: &["amazon", "base"],
    eager_in_practice: true,
};

const PHASES: Kind = Kind::List(&Kind::Word(&["fetch", "price", "visibility"]));

const OFFERS: &[Key] = &[
    key("condition", Kind::Word(&["new", "used"]), "The condition that counts; default new."),
    key("free_shipping", Kind::Bool, "Only offers with free shipping; default true. With false, shipping is part of the cost."),
    key("ships_within", Kind::Limit, "Only offers that are sent within this time, or `none`; default 72h."),
    key("available_now", Kind::Bool, "Only offers that can be bought now, without a later date; default true."),
    key("invitation_only", Kind::Bool, "Also offers without a time of delivery, which only invited buyers can order; default false."),
];

fn no_phase(phases: &Value) -> Vec<Complaint> {
    let is_empty = matches!(phases, Value::List(named) if named.is_empty());
    let complaint = || Complaint {
        at: String::new(),
        message: "there is no phase here: nothing would be done".to_owned(),
        hint: "leave `phases` out for all of them".to_owned(),
    };
    is_empty.then(complaint).into_iter().collect()
}

/// The parameters, with their defaults.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings {
    pub(super) source: Option<Arc<str>>,
    /// In millionths.
    pub(super) max_hide: i64,
    pub(super) max_delist: usize,
    pub(super) max_items: Option<usize>,
    pub(super) lanes: Vec<Lane>,
    pub(super) fail_if: FailIf,
    pub(super) offers: OfferRule,
    pub(super) rules: Rules,
}

impl Settings {
    /// What holds for a run whose own reading of offers began at `since`.
    pub(super) fn read(params: &Params, since: Timestamp) -> Self {
        let none = Params::default();
        let table = |name| params.table(name).unwrap_or(&none);
        let count = |name| params.int(name).and_then(|count| usize::try_from(count).ok());
        let phases = params.get("phases").map(|_| phases(params.list("phases")));
        Self {
            source: params.text("source").map(Into::into),
            max_hide: params.decimal("max_hide").unwrap_or(ONE / 20),
            max_delist: count("max_delist").unwrap_or(20),
            max_items: count("max_items"),
            lanes: lanes(params.list("lanes")),
            fail_if: params.text("fail_if").and_then(FailIf::parse).unwrap_or_default(),
            offers: offers(table("offers")),
            rules: Rules {
                pricing: pricing::read(table("pricing")),
                data_max_age: data_max_age(params),
                restock: params.text("restock").and_then(Restock::from_word).unwrap_or(Restock::AfterFreshCheck),
                phases: phases.unwrap_or(Phases::ALL),
                checked_since: since,
            },
        }
    }
}

/// How old data may be that is written to a shop.
pub fn data_max_age(params: &Params) -> SignedDuration {
    params.duration("data_max_age").unwrap_or(SignedDuration::from_hours(4))
}

fn phases(named: &[Value]) -> Phases {
    words(named).filter_map(Phase::from_word).collect()
}

fn lanes(named: &[Value]) -> Vec<Lane> {
    let lanes: BTreeSet<_> = words(named).filter_map(Lane::from_word).collect();
    if lanes.is_empty() { vec![Lane::Batch] } else { lanes.into_iter().collect() }
}

fn words(named: &[Value]) -> impl Iterator<Item = &str> {
    named.iter().filter_map(|word| if let Value::Text(word) = word { Some(&**word) } else { None })
}

fn offers(table: &Params) -> OfferRule {
    let usual = OfferRule::default();
    OfferRule {
        condition: table.text("condition").and_then(Condition::from_word).unwrap_or(usual.condition),
        free_shipping: table.bool("free_shipping").unwrap_or(usual.free_shipping),
        // `none` is a text, and no duration.
        ships_within: table.get("ships_within").map_or(usual.ships_within, |_| table.duration("ships_within")),
        available_now: table.bool("available_now").unwrap_or(usual.available_now),
        invitation_only: table.bool("invitation_only").unwrap_or(usual.invitation_only),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{self, LoadOptions, Secrets},
        shop::price::{Least, Pricing, Rounding, Tier, Usual},
    };

    /// The settings that this text under `with` makes.
    fn settings(text: &str) -> Settings {
        let options =
            LoadOptions { handlers: &[], practice: false, secrets: Secrets::NotNeeded, env: &|_| None, now: Timestamp::UNIX_EPOCH };
        let params = match text.split_once(": ") {
            Some((key, value)) => {
                config::settings(&[format!("{key}={value}")], &SPEC, [], &options).unwrap_or_else(|faults| panic!("{faults}"))
            }
            None => Params::default(),
        };
        Settings::read(&params, Timestamp::UNIX_EPOCH)
    }

    fn pricing(text: &str) -> Pricing {
        settings(&format!("pricing: {text}")).rules.pricing
    }

    #[test]
    fn what_the_file_does_not_say_is_as_documented() {
        let usual = settings("");
        assert_eq!((usual.max_hide, &usual.offers, usual.rules.phases), (50_000, &OfferRule::default(), Phases::ALL));
        assert_eq!(usual.rules.pricing, Pricing::default());
        assert_eq!((usual.rules.restock, usual.rules.data_max_age), (Restock::AfterFreshCheck, SignedDuration::from_hours(4)));
        assert_eq!((usual.max_items, usual.max_delist, &*usual.lanes), (None, 20, &[Lane::Batch][..]));
        assert_eq!(usual.fail_if, FailIf::parse("errors > 10%").unwrap());
        assert_eq!(settings("pricing: {}"), usual);
        assert_eq!(settings("offers: {}"), usual);
    }

    #[test]
    fn what_the_file_says_holds() {
        assert_eq!(settings("phases: [visibility]").rules.phases, [Phase::Visibility].into_iter().collect());
        assert_eq!(settings("phases: fetch").rules.phases, [Phase::Fetch].into_iter().collect());
        assert_eq!(settings("restock: never").rules.restock, Restock::Never);
        assert_eq!(settings("lanes: [single, batch, single]").lanes, [Lane::Batch, Lane::Single]);
        assert_eq!((settings("max_items: 30").max_items, settings("max_delist: 0").max_delist), (Some(30), 0));
        assert_eq!(settings("fail_if: errors > 2%").fail_if, FailIf::parse("errors > 2%").unwrap());
        assert_eq!(settings("offers: {ships_within: none}").offers, OfferRule { ships_within: None, ..OfferRule::default() });
        let all = "offers: {condition: used, free_shipping: false, ships_within: 2d, available_now: false, invitation_only: true}";
        let rule = OfferRule {
            condition: Condition::Used,
            free_shipping: false,
            ships_within: Some(SignedDuration::from_hours(48)),
            available_now: false,
            invitation_only: true,
        };
        assert_eq!(settings(all).offers, rule);
    }

    #[test]
    fn pricing_is_read_in_every_shape() {
        let tiers = "{tiers: [{up_to: 1000, markup: 1.2}, {up_to: 2000, markup: 1.25}, {markup: 1.3}]}";
        let tier = |up_to, markup| Tier { up_to, markup };
        let tiered = Pricing { tiers: vec![tier(1000, 1_200_000), tier(2000, 1_250_000)], ..Pricing::default() };
        assert_eq!(pricing(tiers), tiered);
        assert_eq!(pricing("{tiers: {markup: 1.5}}"), Pricing { markup: 1_500_000, ..Pricing::default() });
        let rounded = Pricing { step: 100, rounding: Rounding::Up, min: 980, max: 50_000, ..Pricing::default() };
        assert_eq!(pricing("{round: 100, rounding: up, min: 980, max: 50000}"), rounded);
        let guarded = Pricing {
            margin: Least { amount: 100, share: 100_000 },
            threshold: Least { amount: 0, share: 50_000 },
            usual: Some(Usual { lowest: 1_050_000, highest: i64::MAX }),
            ..Pricing::default()
        };
        assert_eq!(pricing("{min_margin: {amount: 100, percent: 10%}, threshold: {percent: 5%}, warn_ratio: {below: 1.05}}"), guarded);
    }

    #[test]
    fn the_table_has_the_rules_words() {
        let words = |params: &[Key], name: &str| match params.iter().find(|key| key.name == name).map(|key| key.kind) {
            Some(Kind::Word(words)) => words.to_vec(),
            Some(Kind::List(Kind::Word(words)) | Kind::Checked(Kind::List(Kind::Word(words)), _)) => words.to_vec(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(words(SPEC.params, "lanes"), Lane::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
        assert_eq!(words(SPEC.params, "restock"), Restock::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
        assert_eq!(words(SPEC.params, "phases"), Phase::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
        assert_eq!(words(OFFERS, "condition"), Condition::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
        assert_eq!(words(PRICING, "rounding"), Rounding::ALL.iter().map(|word| word.word()).collect::<Vec<_>>());
    }
}
