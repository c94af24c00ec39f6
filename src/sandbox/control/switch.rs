//! What can be said of an account by hand.
use serde::Deserialize;

use crate::sandbox::state::FeedFate;

/// What can be said of an account; what is not named stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    /// What it is refused.
    pub restricted: Option<Restricted>,
    /// How a seller stands with Amazon in Japan.
    pub participation: Option<Participation>,
    /// For so many seconds a shop's refresh token still works after it was used; 0 at first.
    pub grace_s: Option<u32>,
    /// What becomes of a seller's next feed; those after it end well again.
    pub next_feed: Option<FeedFate>,
}

/// What an account is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restricted {
    /// Nothing.
    No,
    /// A shop's writes, with `access_denied`.
    Writes,
    /// Everything of a shop but its tokens, with `access_denied`.
    All,
    /// Everything of a seller but its tokens: 403 for want of a role, without details.
    Role,
    /// Everything of a seller but its tokens: 403 because the application's secret has expired.
    Secret,
}

/// How a seller stands with Amazon in Japan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Participation {
    Participating,
    Not,
    /// Japan is not in the list.
    Missing,
    /// Participating, with suspended listings.
    Suspended,
}

impl Restricted {
    pub(in crate::sandbox) fn word(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Writes => "writes",
            Self::All => "all",
            Self::Role => "role",
            Self::Secret => "secret",
        }
    }
}

impl Participation {
    pub(in crate::sandbox) fn word(self) -> &'static str {
        match self {
            Self::Participating => "participating",
            Self::Not => "not",
            Self::Missing => "missing",
            Self::Suspended => "suspended",
        }
    }
}
