//! The parameter `fail_if`: from how many item errors on a run has failed.
use crate::{config::keys::Complaint, core::value::Value, shop::price::ONE};

/// More errors than this make a run fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailIf {
    Count(u64),
    /// Of the products, in millionths.
    Share(u64),
}

impl Default for FailIf {
    fn default() -> Self {
        Self::Share(100_000)
    }
}

impl FailIf {
    /// Reads `errors > 2%` or `errors > 100`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bound = text.trim().strip_prefix("errors")?.trim_start().strip_prefix('>')?.trim();
        match bound.strip_suffix('%') {
            Some(percent) => {
                let (whole, part) = percent.trim_end().split_once('.').unwrap_or((percent.trim_end(), ""));
                // Four digits of a percent are millionths.
                let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
                if whole.is_empty() || !digits(whole) || !digits(part) || part.len() > 4 {
                    return None;
                }
                let share = format!("{whole}{part:0<4}").parse().ok()?;
                (share <= ONE.unsigned_abs()).then_some(Self::Share(share))
            }
            None => bound.parse().ok().map(Self::Count),
        }
    }

    /// Whether so many errors among so many products are too many.
    pub(super) fn is_passed(self, errors: usize, of: usize) -> bool {
        let wide = |count: usize| u128::try_from(count).unwrap_or(u128::MAX);
        match self {
            Self::Count(most) => wide(errors) > u128::from(most),
            Self::Share(most) => wide(errors).saturating_mul(u128::from(ONE.unsigned_abs())) > wide(of).saturating_mul(u128::from(most)),
        }
    }
}

/// What is wrong with the text.
pub(super) fn complaints(value: &Value) -> Vec<Complaint> {
    let Value::Text(text) = value else { return Vec::new() };
    let complaint = || Complaint {
        at: String::new(),
        message: format!("`{text}` is no bound on errors"),
        hint: "write `errors > 2%` or `errors > 100`".to_owned(),
    };
    if FailIf::parse(text).is_some() { Vec::new() } else { vec![complaint()] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_a_share_or_a_number() {
        for (text, read) in [
            ("errors > 2%", Some(FailIf::Share(20_000))),
            ("errors>0.25 %", Some(FailIf::Share(2_500))),
            (" errors > 100% ", Some(FailIf::Share(1_000_000))),
            ("errors > 100", Some(FailIf::Count(100))),
            ("errors > 0", Some(FailIf::Count(0))),
            ("errors > 101%", None),
            ("errors > -1", None),
            ("errors > .%", None),
            ("errors", None),
            ("5%", None),
        ] {
            assert_eq!(FailIf::parse(text), read, "{text}");
        }
    }

    #[test]
    fn only_more_than_the_bound_is_too_much() {
        assert!(!FailIf::Share(20_000).is_passed(2, 100) && FailIf::Share(20_000).is_passed(3, 100));
        assert!(!FailIf::Count(2).is_passed(2, 10) && FailIf::Count(2).is_passed(3, 10));
        assert!(!FailIf::Share(0).is_passed(0, 0));
    }
}
