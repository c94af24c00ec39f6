//! What tasks should say alike: whoever lists and whoever writes prices later have to know the same price.
use super::{fault::Fault, keys::HandlerSpec, read::Reader, tree::Entry};
use crate::core::{
    task::{Instance, InstanceSet},
    value::Params,
};

/// The parameter in question.
const PRICING: &str = "pricing";

/// Warns of two tasks that price the same shop differently: what the one lists, the other would change at once.
pub(super) fn pricing(reader: &mut Reader<'_>, tasks: &[&Entry], instances: &InstanceSet) {
    let handlers = reader.options.handlers;
    let prices =
        |handler: &str| handlers.iter().any(|spec: &HandlerSpec| spec.name == handler && spec.params.iter().any(|key| key.name == PRICING));
    let pricing: Vec<&Instance> =
        instances.values().map(AsRef::as_ref).filter(|instance: &&Instance| instance.enabled && prices(&instance.handler)).collect();
    let mut told = Vec::new();
    for (number, one) in pricing.iter().enumerate() {
        for other in pricing.iter().skip(number.saturating_add(1)) {
            let pair = (&one.task, &other.task);
            if one.task == other.task || !may_meet(one, other) || table(one) == table(other) || told.contains(&pair) {
                continue;
            }
            told.push(pair);
            let Some(entry) = tasks.iter().find(|entry| *entry.key.text == *other.task.as_str()) else { continue };
            let with = entry.value.entries().iter().find(|entry| &*entry.key.text == "with");
            let at = with.and_then(|with| with.value.entries().iter().find(|entry| &*entry.key.text == PRICING)).or(with).unwrap_or(entry);
            let message = format!("`{PRICING}` differs from `{}`'s: what the one lists, the other gives another price", one.task);
            reader.warnings.push(Fault::new(at.key.span.clone(), message).hint("write the same table in both"));
        }
    }
}

/// Whether there is a shop that both serve.
fn may_meet(one: &Instance, other: &Instance) -> bool {
    one.account.is_none() || other.account.is_none() || one.account == other.account
}

fn table(instance: &Instance) -> Option<&Params> {
    instance.with.table(PRICING)
}
