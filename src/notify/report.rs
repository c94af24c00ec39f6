//! The daily report: what the day before was like.
use jiff::{SignedDuration, Timestamp};

use crate::{config::notify::Language, store::notices::Figures};

/// Its lines.
pub(super) fn text(figures: &Figures, oldest: Option<SignedDuration>, language: Language) -> String {
    let Figures { succeeded, failed, broken_off, failing, uploaded, upload_failed, waiting, prices, parked } = figures;
    let names = |names: &[std::sync::Arc<str>]| if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    let age = oldest.map_or_else(|| "-".to_owned(), |age| format!("{} h", age.as_hours()));
    let lines = match language {
        Language::En => [
            format!("runs: {succeeded} succeeded, {failed} failed, {broken_off} superseded or cancelled"),
            format!("failing now: {}", names(failing)),
            format!("uploads: {uploaded} listed, {upload_failed} failed, {waiting} waiting"),
            format!("price changes: {prices}"),
            format!("parked accounts: {}", names(parked)),
            format!("oldest product data: {age}"),
        ],
        Language::Ja => [
            format!("実行: 成功 {succeeded}、失敗 {failed}、中断 {broken_off}"),
            format!("失敗中のタスク: {}", names(failing)),
            format!("出品: 完了 {uploaded}、失敗 {upload_failed}、待ち {waiting}"),
            format!("価格変更: {prices} 件"),
            format!("停止中のアカウント: {}", names(parked)),
            format!("最も古い商品データ: {age}"),
        ],
    };
    lines.join("\n")
}

/// How old data of an instant is.
pub(super) fn age(of: Option<Timestamp>, now: Timestamp) -> Option<SignedDuration> {
    of.map(|at| now.duration_since(at).max(SignedDuration::ZERO))
}
