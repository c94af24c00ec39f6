//! The parameters of `sync_inventory`: what the configuration may say, and what holds where it says nothing.
use std::sync::Arc;

use jiff::SignedDuration;

use crate::{
    config::keys::{HandlerSpec, Key, Kind},
    core::value::Params,
    shop::{
        difference::Rules,
        price::{ONE, Pricing, Rounding},
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
        key(
            "max_hide",
            Kind::Percent,
            "A run that would hide a larger share of the visible listings than this hides nothing and fails; default 5%.",
        ),
        key("data_max_age", Kind::Duration(false), "Older data is never written to a shop; default 4h."),
        key("pricing", Kind::Table(PRICING), "How a cost becomes a price."),
    ],
    retries: 3,
    resumable: true,
    needs: &["amazon", "base"],
    eager_in_practice: true,
};

const PRICING: &[Key] = &[
    key("markup", Kind::Decimal(ONE, 100 * ONE), "The price is the cost times this; default 1.30."),
    key("round", Kind::Int(1, 10_000), "The price is a multiple of this many yen; default 10."),
    key("rounding", Kind::Word(&["half_up", "up", "down"]), "How it is brought to a multiple; default half_up."),
    key("min", Kind::Int(1, 10_000_000), "A lower price is raised to this, in yen; default 500."),
    key("max", Kind::Int(1, 10_000_000), "What would cost more than this, in yen, is left alone and reported; default 100000."),
];

/// The parameters, with their defaults.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) source: Option<Arc<str>>,
    /// In millionths.
    pub(super) max_hide: i64,
    pub(super) rules: Rules,
}

impl Settings {
    pub(super) fn read(params: &Params) -> Self {
        let usual = Pricing::default();
        let none = Params::default();
        let table = params.table("pricing").unwrap_or(&none);
        let pricing = Pricing {
            markup: table.decimal("markup").unwrap_or(usual.markup),
            step: table.int("round").unwrap_or(usual.step),
            rounding: table.text("rounding").and_then(Rounding::from_word).unwrap_or(usual.rounding),
            min: table.int("min").unwrap_or(usual.min),
            max: table.int("max").unwrap_or(usual.max),
        };
        let data_max_age = params.duration("data_max_age").unwrap_or(SignedDuration::from_hours(4));
        Self {
            source: params.text("source").map(Into::into),
            max_hide: params.decimal("max_hide").unwrap_or(ONE / 20),
            rules: Rules { pricing, data_max_age },
        }
    }
}
