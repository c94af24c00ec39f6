//! The words of messages, in English and Japanese: one for one.
use super::{Event, Level};
use crate::config::notify::Language;

/// What happened, as a heading before the subject.
pub(super) fn event(language: Language, event: Event) -> &'static str {
    let (en, ja) = match event {
        Event::Failed => ("failed", "失敗しました"),
        Event::Recovered => ("works again", "復旧しました"),
        Event::Lost => ("lost with its process", "プロセスとともに失われました"),
        Event::Starving => ("never comes to its end", "完了できない状態が続いています"),
        Event::Stuck => ("did not stop and was given up on", "停止せず、打ち切られました"),
        Event::Frozen => ("frozen", "停止したままです"),
        Event::Late => ("has not started", "開始されていません"),
        Event::Overdue => ("has not succeeded for too long", "長時間成功していません"),
        Event::Parked => ("not called any more", "呼び出しを止めました"),
        Event::DataStale => ("data is too old", "データが古くなっています"),
        Event::Brake => ("a brake stopped it", "安全装置が止めました"),
        Event::TokenEnding => ("authorisation ends soon", "認証の期限が近づいています"),
        Event::QuotaExhausted => ("waits for a limit", "利用上限のため待機中です"),
        Event::Credentials => ("credentials are not in order", "認証情報に問題があります"),
        Event::NeedsEye => ("needs a person's eye", "確認が必要です"),
        Event::Health => ("health", "ヘルスチェック"),
        Event::Drift => ("books and shops differ", "台帳とショップの内容が一致しません"),
        Event::ReloadFailed => ("new configuration refused", "新しい設定は拒否されました"),
        Event::StoreTrouble => ("the store takes no writes", "データベースに書き込めません"),
        Event::ChannelFailed => ("this channel takes no messages", "この通知先に送信できません"),
        Event::DailyReport => ("daily report", "日次レポート"),
    };
    pick(language, en, ja)
}

/// What to do. `{}` stands for the subject.
pub(super) fn advice(language: Language, event: Event) -> &'static str {
    let (en, ja) = match event {
        Event::Failed => (
            "`taskrun logs {}` shows what it said, `taskrun history {} --failed` what else failed",
            "`taskrun logs {}` で出力を、`taskrun history {} --failed` で失敗の履歴を確認してください",
        ),
        Event::Recovered | Event::DailyReport => ("", ""),
        Event::Lost => (
            "nobody knows how far it came: look at `taskrun logs {}`, then `taskrun once {}`",
            "どこまで進んだか不明です。`taskrun logs {}` を確認し、`taskrun once {}` で実行し直してください",
        ),
        Event::Starving => ("give it a longer interval, or `overlap: skip`", "実行間隔を長くするか、`overlap: skip` を設定してください"),
        Event::Stuck => (
            "it can change nothing any more; if `taskrun status` still counts it, restart taskrun",
            "以後の書き込みは無効です。`taskrun status` に残る場合は taskrun を再起動してください",
        ),
        Event::Frozen => (
            "`taskrun status` shows what it waits for; `taskrun cancel RUN` ends it",
            "`taskrun status` で状況を確認し、`taskrun cancel 実行番号` で終了できます",
        ),
        Event::Late | Event::Overdue => ("`taskrun explain {}` says why", "`taskrun explain {}` で理由を確認できます"),
        Event::Parked => {
            ("`taskrun accounts list` shows all that are parked", "`taskrun accounts list` で停止中のアカウントを確認してください")
        }
        Event::DataStale => (
            "nothing is written on old data; `taskrun logs {}` says why it is old",
            "古いデータでは更新しません。原因は `taskrun logs {}` で確認してください",
        ),
        Event::Brake => ("look at `taskrun logs {}` before you let it go on", "続行する前に `taskrun logs {}` を確認してください"),
        Event::TokenEnding => ("`taskrun accounts login {}`", "`taskrun accounts login {}` で認証し直してください"),
        Event::QuotaExhausted => {
            ("it goes on by itself; `taskrun status` shows when", "自動的に再開します。時刻は `taskrun status` で確認できます")
        }
        Event::Credentials => ("`taskrun accounts check` tries them again", "`taskrun accounts check` で再確認できます"),
        Event::Health => ("what is wrong stands above, with what to do", "上記の内容に従って対処してください"),
        Event::Drift => (
            "`taskrun once {} --set repair=plan` says what would mend it",
            "`taskrun once {} --set repair=plan` で修復手順を確認してください",
        ),
        Event::NeedsEye => ("look at it, then decide; it is left alone until then", "確認して判断してください。それまで変更されません"),
        Event::ReloadFailed => (
            "the configuration before it stays in force; `taskrun check` shows every fault",
            "以前の設定のまま動作しています。`taskrun check` で誤りを確認してください",
        ),
        Event::StoreTrouble => (
            "is the disk full? taskrun tries every second, nothing is lost",
            "ディスクの空きを確認してください。毎秒再試行しており、失われるものはありません",
        ),
        Event::ChannelFailed => (
            "`taskrun notify test {}` tries it; what waits is kept",
            "`taskrun notify test {}` で確認してください。未送信の通知は保存されています",
        ),
    };
    pick(language, en, ja)
}

pub(super) fn level(language: Language, level: Level) -> &'static str {
    match level {
        Level::Info => pick(language, "info", "情報"),
        Level::Warning => pick(language, "warning", "注意"),
        Level::Alert => pick(language, "ALERT", "緊急"),
    }
}

/// Words that stand before a value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Label {
    Why,
    When,
    Do,
    Run,
    Notices,
    Practice,
}

pub(super) fn label(language: Language, label: Label) -> &'static str {
    let (en, ja) = match label {
        Label::Why => ("why", "理由"),
        Label::When => ("when", "日時"),
        Label::Do => ("do", "対応"),
        Label::Run => ("run", "実行"),
        Label::Notices => ("notices", "件の通知"),
        Label::Practice => ("practice", "練習"),
    };
    pick(language, en, ja)
}

/// `12 times from .. to ..`.
pub(super) fn times(language: Language, count: u32, first: &str, last: &str) -> String {
    match language {
        Language::En => format!("{count} times, from {first} to {last}"),
        Language::Ja => format!("{count}回（{first} から {last} まで）"),
    }
}

/// What was over, in a sentence.
pub(super) fn after(language: Language, count: u32, first: &str) -> String {
    match (language, count) {
        (Language::En, 1) => format!("after 1 failure, at {first}"),
        (Language::En, _) => format!("after {count} failures since {first}"),
        (Language::Ja, _) => format!("{first} から{count}回の失敗のあと"),
    }
}

pub(super) fn superseded(language: Language, times: &str) -> String {
    match language {
        Language::En => format!("superseded {times} times in a row, no run came to an end of its own"),
        Language::Ja => format!("{times}回続けて次の実行に置き換えられ、一度も完了していません"),
    }
}

/// What did not fit.
pub(super) fn more(language: Language, count: usize) -> String {
    match language {
        Language::En => format!("… and {count} more: `taskrun notify list`"),
        Language::Ja => format!("… ほか{count}件: `taskrun notify list`"),
    }
}

pub(super) fn test(language: Language, host: &str) -> (&'static str, String) {
    match language {
        Language::En => ("a test message", format!("taskrun on {host} can tell you what matters by this channel. There is nothing to do.")),
        Language::Ja => ("テスト通知", format!("{host} の taskrun からこの通知先に送信できます。対応は不要です。")),
    }
}

fn pick(language: Language, en: &'static str, ja: &'static str) -> &'static str {
    match language {
        Language::En => en,
        Language::Ja => ja,
    }
}
