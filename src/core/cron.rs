//! Cron expressions: our parser, the `cron` crate's calendar search, and a thin layer for zones.

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub struct CronExpr {}
