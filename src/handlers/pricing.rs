//! The parameter `pricing` of all handlers that write prices: its keys, how it is read, and what is wrong with rules that would sell at a loss, not at all, or cheaper as the cost rises.
use crate::{
    config::keys::{Complaint, Key, Kind},
    core::value::{Params, Value, decimal_text},
    shop::price::{Fall, Least, ONE, Pricing, Rounding, Tier, Usual},
};

/// No price and no cost is higher, in yen.
const YEN_MAX: i64 = 10_000_000;
const MARKUP: Kind = Kind::Decimal(ONE, 100 * ONE);
const YEN: Kind = Kind::Int(1, YEN_MAX);

const fn key(name: &'static str, kind: Kind, doc: &'static str) -> Key {
    Key { name, kind, required: false, doc }
}

pub(super) const PRICING: &[Key] = &[
    key("markup", MARKUP, "The price is the cost times this; default 1.30."),
    key("tiers", Kind::List(&Kind::Table(TIER)), "Markups by cost, from the cheapest up, instead of one `markup`."),
    key(
        "edges",
        Kind::Word(&["refuse", "hold"]),
        "Where a tier would begin cheaper than the one below it ends: the file is refused, or the price is held until the cost has caught up; default refuse.",
    ),
    key("round", Kind::Int(1, 10_000), "The price is a multiple of this many yen; default 10."),
    key("rounding", Kind::Word(&["half_up", "up", "down"]), "How it is brought to a multiple; default half_up."),
    key("min", YEN, "A lower price is raised to this, in yen; default 500."),
    key(
        "max",
        YEN,
        "What would cost more than this, in yen, is left alone and reported, or hidden where it sells at a loss; default 100000.",
    ),
    key("min_margin", Kind::Table(LEAST), "What a price has to leave over the cost; default nothing, and never below cost."),
    key(
        "threshold",
        Kind::Table(LEAST),
        "A price that is off by less stays, unless it is below the margin; default nothing, so each difference is written.",
    ),
    key(
        "max_fall",
        Kind::Percent,
        "A price that would fall by more than this waits until a second reading of the cost says so, too; default 50%.",
    ),
    key("warn_ratio", Kind::Table(RATIO), "Prices that are written with a warning, by price divided by cost; default none."),
];

const TIER: &[Key] = &[
    key("up_to", YEN, "The highest cost in it, in yen; the last tier has none."),
    Key { name: "markup", kind: MARKUP, required: true, doc: "The price is the cost times this." },
];

const LEAST: &[Key] = &[
    key("amount", Kind::Int(0, YEN_MAX), "In yen; default 0."),
    key(
        "percent",
        Kind::Percent,
        "Of the cost for `min_margin`, of the right price for `threshold`; default 0%. The larger of the two counts.",
    ),
];

const RATIO: &[Key] = &[
    key("below", MARKUP, "Warn of a price that is less than the cost times this."),
    key("above", MARKUP, "Warn of a price that is more than the cost times this."),
];

/// What the table says, and what holds where it says nothing.
pub(super) fn read(table: &Params) -> Pricing {
    let usual = Pricing::default();
    let tiers: Vec<_> = tables(table.list("tiers")).collect();
    let tier = |tier: &&Params| Some(Tier { up_to: tier.int("up_to")?, markup: tier.decimal("markup")? });
    let above = tiers.iter().rfind(|tier| tier.get("up_to").is_none()).and_then(|tier| tier.decimal("markup"));
    Pricing {
        tiers: tiers.iter().filter_map(tier).collect(),
        markup: above.or(table.decimal("markup")).unwrap_or(usual.markup),
        step: table.int("round").unwrap_or(usual.step),
        rounding: table.text("rounding").and_then(Rounding::from_word).unwrap_or(usual.rounding),
        min: table.int("min").unwrap_or(usual.min),
        max: table.int("max").unwrap_or(usual.max),
        margin: table.table("min_margin").map_or(usual.margin, least),
        threshold: table.table("threshold").map_or(usual.threshold, least),
        usual: table.table("warn_ratio").map(ratio),
        max_fall: table.decimal("max_fall").unwrap_or(usual.max_fall),
    }
}

fn tables(values: &[Value]) -> impl Iterator<Item = &Params> {
    values.iter().filter_map(|value| if let Value::Table(table) = value { Some(table) } else { None })
}

fn least(table: &Params) -> Least {
    Least { amount: table.int("amount").unwrap_or(0), share: table.decimal("percent").unwrap_or(0) }
}

fn ratio(table: &Params) -> Usual {
    Usual { lowest: table.decimal("below").unwrap_or(0), highest: table.decimal("above").unwrap_or(i64::MAX) }
}

/// What is wrong with the table, each of its values being sound.
pub(super) fn complaints(value: &Value) -> Vec<Complaint> {
    let Value::Table(table) = value else { return Vec::new() };
    let mut found = shape(table);
    let pricing = read(table);
    if found.is_empty() && table.text("edges") != Some("hold") {
        found.extend(pricing.falls().into_iter().map(|fall| falls(&fall)));
    }
    found.extend(bounds(table, &pricing));
    found
}

fn complaint(at: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Complaint {
    Complaint { at: at.into(), message: message.into(), hint: hint.into() }
}

/// Tiers that are none, or not in order.
fn shape(table: &Params) -> Vec<Complaint> {
    let Some(Value::List(tiers)) = table.get("tiers") else {
        let idle = complaint("edges", "`edges` has no effect without `tiers`", "leave it out");
        return table.get("edges").map(|_| idle).into_iter().collect();
    };
    let mut found = Vec::new();
    if table.get("markup").is_some() {
        found.push(complaint(
            "markup",
            "`markup` and `tiers` exclude each other",
            "the last tier, without `up_to`, has the markup for all that costs more",
        ));
    }
    if tiers.is_empty() {
        found.push(complaint("tiers", "there is no tier here", "write at least `{ markup: 1.30 }`"));
    }
    let mut highest = 0;
    for (index, tier) in tables(tiers).enumerate() {
        let is_last = index + 1 == tiers.len();
        match tier.int("up_to") {
            None if is_last => {}
            None => found.push(complaint(
                format!("tiers.{index}"),
                "`up_to` is missing: only the last tier has none",
                "write the highest cost in it",
            )),
            Some(up_to) if up_to <= highest => {
                let message = format!("the tiers do not go up: {} comes after {}", yen(up_to), yen(highest));
                found.push(complaint(format!("tiers.{index}.up_to"), message, "begin with the cheapest"));
            }
            Some(up_to) => {
                if is_last {
                    let message = format!("no tier says what happens above a cost of {} yen", yen(up_to));
                    found.push(complaint(format!("tiers.{index}.up_to"), message, "end with a tier without `up_to`: `{ markup: 1.30 }`"));
                }
                highest = up_to;
            }
        }
    }
    found
}

fn falls(fall: &Fall) -> Complaint {
    let Fall { tier, up_to, from, to } = *fall;
    let message = format!(
        "the price falls where this tier begins: cost {} -> {} yen but {} -> {}",
        yen(up_to),
        yen(from),
        yen(up_to.saturating_add(1)),
        yen(to)
    );
    let hint = format!(
        "raise this markup, or write `edges: hold` beside `tiers`: the price then stays at {} until the cost has caught up",
        yen(from)
    );
    complaint(format!("tiers.{tier}.markup"), message, hint)
}

/// Bounds that leave no price, or leave the markup without a meaning.
fn bounds(table: &Params, pricing: &Pricing) -> Vec<Complaint> {
    let mut found = Vec::new();
    let lowest = pricing.lowest();
    if lowest > pricing.max {
        let at = if table.get("max").is_some() { "max" } else { "min" };
        let message = format!("there is no price between `min` and `max`: the lowest is {}, and `max` {}", yen(lowest), yen(pricing.max));
        found.push(complaint(at, message, "raise `max`, or lower `min` or `round`"));
    }
    let needed = ONE.saturating_add(pricing.margin.share);
    let markups = pricing.tiers.iter().map(|tier| tier.markup).chain([pricing.markup]);
    if let Some(markup) = markups.min().filter(|markup| *markup < needed) {
        let message = format!("the markup {} leaves less than that: every price of it would be the floor's", decimal_text(markup));
        found.push(complaint("min_margin.percent", message, format!("mark up by {} or more, or lower `percent`", decimal_text(needed))));
    }
    if let Some(Usual { lowest, highest }) = pricing.usual.filter(|usual| usual.highest <= usual.lowest) {
        let message =
            format!("`above` {} is not more than `below` {}: every price would be warned of", decimal_text(highest), decimal_text(lowest));
        found.push(complaint("warn_ratio.above", message, "write the smaller one as `below`"));
    }
    found
}

/// A number with commas between its thousands.
fn yen(amount: i64) -> String {
    let digits = amount.to_string();
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (amount, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (12_500, "12,500"), (10_000_000, "10,000,000")] {
            assert_eq!(yen(amount), text);
        }
    }
}
