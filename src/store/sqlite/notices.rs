//! The outbox: events folded by subject, and what each channel has told of them.
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::{
    SqliteStore,
    rows::{OpenRow, instant, maybe_instant, word},
    runs::Ending,
};
use crate::{
    core::{
        event::{Outcome, RunEnd},
        notice::{Event, Level, Notice, OVER_WITH_A_SUCCESS, of_end},
        task::RunId,
    },
    store::{
        Answer,
        notices::{ChannelRow, Claimed, Delivery, Figures, NoticeRow, Outbox, Told, Wants},
    },
};

/// What has not happened for so long begins anew when it happens again: a day.
const QUIET_MS: i64 = 86_400_000;
/// A text is kept up to here; the log has the rest.
const TEXT_MAX: usize = 1_000;

impl Outbox for SqliteStore {
    fn tell(&self, notice: Notice, at: Timestamp) -> Answer<()> {
        self.db.write("keep a notice", move |conn| tell(conn, &notice, None, at.as_millisecond()))
    }

    fn tell_once(&self, notice: Notice, at: Timestamp) -> Answer<bool> {
        self.db.write("keep a notice", move |conn| {
            let is_new = find(conn, notice.event, &notice.subject)?.is_none();
            if is_new {
                tell(conn, &notice, None, at.as_millisecond())?;
            }
            Ok(is_new)
        })
    }

    fn resolve(&self, event: Event, subject: Arc<str>, at: Timestamp) -> Answer<bool> {
        self.db.write("note that a trouble is over", move |conn| resolve(conn, &[event], &subject, None, at.as_millisecond()))
    }

    fn keep_channels(&self, names: Vec<Arc<str>>, at: Timestamp) -> Answer<()> {
        self.db.write("keep the channels", move |conn| keep_channels(conn, &names, at.as_millisecond()))
    }

    fn next_due(&self, wants: Wants, at: Timestamp) -> Answer<Option<Timestamp>> {
        self.db.read("look for notices", move |conn| next_due(conn, &wants, at.as_millisecond()))
    }

    fn waiting(&self, wants: Wants, at: Timestamp) -> Answer<u32> {
        self.db.read("count the notices that wait", move |conn| waiting(conn, &wants, at.as_millisecond()))
    }

    fn claim(&self, wants: Wants, limit: u32, at: Timestamp, until: Timestamp) -> Answer<Option<Claimed>> {
        self.db.write("take notices to send", move |conn| claim(conn, &wants, limit, at.as_millisecond(), until.as_millisecond()))
    }

    fn settle(&self, channel: Arc<str>, claimed: Claimed, delivery: Delivery, at: Timestamp) -> Answer<()> {
        self.db.write("note what became of a message", move |conn| settle(conn, &channel, &claimed, &delivery, at.as_millisecond()))
    }

    fn notices(&self, limit: u32) -> Answer<Vec<NoticeRow>> {
        self.db.read("read the notices", move |conn| all(conn, limit))
    }

    fn channels(&self) -> Answer<Vec<ChannelRow>> {
        self.db.read("read the channels", channels)
    }

    fn figures(&self, from: Timestamp, to: Timestamp) -> Answer<Figures> {
        self.db.read("count what happened", move |conn| figures(conn, from.as_millisecond(), to.as_millisecond()))
    }

    fn prune_notices(&self, before: Timestamp) -> Answer<()> {
        self.db.write("forget old notices", move |conn| {
            conn.execute("DELETE FROM notices WHERE last_ms < ?1", [before.as_millisecond()]).map(drop)
        })
    }
}

/// What people hear of the end of a run: in the transaction of the end, so that no kill comes between the two.
pub(super) fn tell_end(conn: &Connection, row: &OpenRow, ending: &Ending<'_>, superseded_in_row: u32) -> rusqlite::Result<()> {
    let subject: Arc<str> = row.instance.as_str().into();
    if ending.end == RunEnd::Succeeded {
        return resolve(conn, OVER_WITH_A_SUCCESS, &subject, Some(row.run), ending.at).map(drop);
    }
    let Some((event, level)) = of_end(ending.end, superseded_in_row) else { return Ok(()) };
    let text = match event {
        Event::Starving => format!("superseded {superseded_in_row} times in a row"),
        _ => ending.outcome.and_then(Outcome::text).unwrap_or_default().to_owned(),
    };
    tell(conn, &Notice { event, level, subject, text }, Some(row.run), ending.at)
}

fn tell(conn: &Connection, notice: &Notice, run: Option<RunId>, at: i64) -> rusqlite::Result<()> {
    let Notice { event, level, subject, text } = notice;
    let text: String = text.chars().take(TEXT_MAX).collect();
    let found: Option<(i64, bool)> = conn
        .prepare_cached("SELECT last_ms, over FROM notices WHERE event = ?1 AND subject = ?2")?
        .query_row(params![event.word(), subject], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    // While a channel fails, nothing of what it has not told is forgotten: it goes on being counted.
    let begins = match found {
        Some((last_ms, over)) if over || last_ms.saturating_add(QUIET_MS) < at => !conn
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM notice_channels WHERE failures > 0)")?
            .query_row([], |row| row.get::<_, bool>(0))?,
        Some(_) => false,
        None => true,
    };
    if begins {
        conn.prepare_cached("UPDATE notice_sends SET told = 0 WHERE event = ?1 AND subject = ?2")?
            .execute(params![event.word(), subject])?;
    }
    conn.prepare_cached(
        "INSERT INTO notices (event, subject, level, text, run, first_ms, last_ms, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1)
         ON CONFLICT (event, subject) DO UPDATE SET level = excluded.level, text = excluded.text, run = excluded.run,
           first_ms = iif(?7, excluded.first_ms, first_ms), last_ms = excluded.last_ms, count = iif(?7, 1, count + 1), over = 0",
    )?
    .execute(params![event.word(), subject, level.word(), text, run.map(|run| run.0), at, begins])
    .map(drop)
}

/// Marks what is there of these events as over, and tells that. True: something was there.
fn resolve(conn: &Connection, events: &[Event], subject: &Arc<str>, run: Option<RunId>, at: i64) -> rusqlite::Result<bool> {
    let mut over = None;
    for event in events {
        over = conn
            .prepare_cached("UPDATE notices SET over = 1 WHERE event = ?1 AND subject = ?2 AND over = 0 RETURNING text, count, first_ms")?
            .query_row(params![event.word(), subject], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u32>(1)?, row.get::<_, i64>(2)?)))
            .optional()?
            .or(over);
    }
    let Some((text, count, first_ms)) = over else { return Ok(false) };
    tell(conn, &Notice { event: Event::Recovered, level: Level::Info, subject: Arc::clone(subject), text }, run, at)?;
    conn.prepare_cached("UPDATE notices SET before_count = ?3, before_ms = ?4 WHERE event = ?1 AND subject = ?2")?.execute(params![
        Event::Recovered.word(),
        subject,
        count,
        first_ms
    ])?;
    Ok(true)
}

fn keep_channels(conn: &Connection, names: &[Arc<str>], at: i64) -> rusqlite::Result<()> {
    conn.execute(
        "DELETE FROM notice_channels WHERE name NOT IN (SELECT value FROM json_each(?1))",
        [json(names.iter().map(AsRef::as_ref))],
    )?;
    for name in names {
        conn.execute(
            // What was wrong with a channel may be put right by now; how long it takes no more is its own to say.
            "INSERT INTO notice_channels (name, since_ms) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET retry_at_ms = iif(failures > 0, NULL, retry_at_ms), since_ms = min(since_ms, excluded.since_ms)",
            params![name, at],
        )?;
    }
    Ok(())
}

/// The notices that a channel has not told, and when each of them is due.
const WAITING: &str = "
    SELECT n.*,
      max(CASE
            WHEN s.told IS NULL THEN n.first_ms + :gather
            WHEN s.told = 0 THEN min(s.told_ms, :at) + :flap
            ELSE min(s.told_ms, :at) + :repeat
          END, coalesce(c.retry_at_ms, 0)) AS due_ms
    FROM notices n JOIN notice_channels c ON c.name = :channel
    LEFT JOIN notice_sends s ON s.channel = c.name AND s.event = n.event AND s.subject = n.subject
    WHERE n.count > coalesce(s.told, 0) AND n.last_ms >= c.since_ms
      AND n.event IN (SELECT value FROM json_each(:events)) AND n.level IN (SELECT value FROM json_each(:levels))
      AND NOT (n.event = 'channel_failed' AND n.subject = c.name)
      AND NOT (n.over AND s.told > 0 AND :hears_recovered)";

/// Nothing is due later than this after it happened: what lies further ahead was written before the clock was set back.
const AHEAD_MAX: SignedDuration = SignedDuration::from_hours(48);

macro_rules! wants {
    ($wants:expr, $at:expr) => {
        named_params! {
            ":channel": $wants.channel,
            ":gather": millis($wants.gather),
            ":flap": millis($wants.flap),
            ":repeat": millis($wants.repeat_after),
            ":events": json($wants.events.iter().map(|event| event.word())),
            ":levels": json(Level::ALL.iter().filter(|level| $wants.min_level <= **level).map(|level| level.word())),
            ":hears_recovered": $wants.events.contains(&Event::Recovered),
            ":at": $at,
        }
    };
}

fn next_due(conn: &Connection, wants: &Wants, at: i64) -> rusqlite::Result<Option<Timestamp>> {
    let sql = ["SELECT min(due_ms) AS due_ms FROM (", WAITING, ")"].concat();
    let due = conn.prepare_cached(&sql)?.query_row(wants!(wants, at), |row| maybe_instant(row, "due_ms"))?;
    let now = Timestamp::from_millisecond(at).unwrap_or_default();
    Ok(due.map(|due| if AHEAD_MAX < due.duration_since(now) { now } else { due }))
}

fn waiting(conn: &Connection, wants: &Wants, at: i64) -> rusqlite::Result<u32> {
    let sql = ["SELECT count(*) FROM (", WAITING, ")"].concat();
    conn.prepare_cached(&sql)?.query_row(wants!(wants, at), |row| row.get(0))
}

fn claim(conn: &Connection, wants: &Wants, limit: u32, at: i64, until: i64) -> rusqlite::Result<Option<Claimed>> {
    // A claim that reaches further than any claim does was made before the clock was set back.
    let is_free = "name = ?1 AND (claimed_until_ms IS NULL OR claimed_until_ms <= ?2 OR claimed_until_ms > ?3)";
    let number: Option<u32> = conn
        .prepare_cached(&["UPDATE notice_channels SET claimed_until_ms = ?3 WHERE ", is_free, " RETURNING sent + 1"].concat())?
        .query_row(params![wants.channel, at, until], |row| row.get(0))
        .optional()?;
    let Some(number) = number else { return Ok(None) };
    let sql = [
        "SELECT * FROM (",
        WAITING,
        ") WHERE due_ms <= :at OR due_ms > :at + 172800000
           ORDER BY CASE level WHEN 'alert' THEN 0 WHEN 'warning' THEN 1 ELSE 2 END, last_ms, event, subject LIMIT ",
        &limit.to_string(),
    ]
    .concat();
    let notices: Vec<Told> = conn.prepare_cached(&sql)?.query_map(wants!(wants, at), told)?.collect::<Result<_, _>>()?;
    if notices.is_empty() {
        conn.execute("UPDATE notice_channels SET claimed_until_ms = NULL WHERE name = ?1", [&wants.channel])?;
        return Ok(None);
    }
    Ok(Some(Claimed { number, notices }))
}

/// The second time that a message may have arrived, it counts as told: people would see it a third time otherwise.
fn settle(conn: &Connection, channel: &Arc<str>, claimed: &Claimed, delivery: &Delivery, at: i64) -> rusqlite::Result<()> {
    let doubts: u32 = conn
        .prepare_cached("SELECT doubts FROM notice_channels WHERE name = ?1")?
        .query_row([channel], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let told = match delivery {
        Delivery::Taken => Some(false),
        Delivery::Doubtful { .. } if 0 < doubts => Some(true),
        Delivery::Doubtful { .. } | Delivery::Refused { .. } | Delivery::NotYet { .. } => None,
    };
    if let Some(is_doubtful) = told {
        for told in &claimed.notices {
            let Told { notice, count, .. } = told;
            // What began anew meanwhile has not been told.
            conn.prepare_cached(
                "INSERT OR REPLACE INTO notice_sends (channel, event, subject, told, told_ms, doubtful)
                 SELECT name, ?2, ?3, iif(n.first_ms = ?6, ?4, 0), ?5, ?7 FROM notice_channels JOIN notices n ON n.event = ?2 AND n.subject = ?3
                 WHERE name = ?1",
            )?
            .execute(params![channel, notice.event.word(), notice.subject, count, at, told.first.as_millisecond(), is_doubtful])?;
        }
    }
    let counts = told.is_some();
    match delivery {
        Delivery::Taken => conn.prepare_cached(
            "UPDATE notice_channels SET claimed_until_ms = NULL, sent = sent + 1, last_sent_ms = ?2, failures = 0, doubts = 0,
               failing_since_ms = NULL, error = NULL, retry_at_ms = NULL WHERE name = ?1",
        )?
        .execute(params![channel, at]),
        Delivery::NotYet { retry_at } => conn
            .prepare_cached("UPDATE notice_channels SET claimed_until_ms = NULL, retry_at_ms = ?2 WHERE name = ?1")?
            .execute(params![channel, retry_at.as_millisecond()]),
        Delivery::Doubtful { error, retry_at } | Delivery::Refused { error, retry_at } => {
            let is_doubt = matches!(delivery, Delivery::Doubtful { .. }) && !counts;
            conn.prepare_cached(
                "UPDATE notice_channels SET claimed_until_ms = NULL, sent = sent + ?5, failures = failures + 1, doubts = iif(?4, doubts + 1, iif(?5, 0, doubts)),
                   failing_since_ms = coalesce(failing_since_ms, ?2), error = ?3, retry_at_ms = ?6 WHERE name = ?1",
            )?
            .execute(params![channel, at, error, is_doubt, counts, retry_at.as_millisecond()])
        }
    }
    .map(drop)
}

fn all(conn: &Connection, limit: u32) -> rusqlite::Result<Vec<NoticeRow>> {
    let read = |row: &Row<'_>| Ok(NoticeRow { told: told(row)?, sends: Vec::new() });
    let mut rows: Vec<NoticeRow> = conn
        .prepare_cached("SELECT * FROM notices ORDER BY last_ms DESC, event, subject LIMIT ?1")?
        .query_map([limit], read)?
        .collect::<Result<_, _>>()?;
    for row in &mut rows {
        let send = |row: &Row<'_>| {
            Ok((Arc::from(row.get::<_, Box<str>>("channel")?), row.get("told")?, instant(row, "told_ms")?, row.get("doubtful")?))
        };
        let Notice { event, subject, .. } = &row.told.notice;
        row.sends = conn
            .prepare_cached("SELECT * FROM notice_sends WHERE event = ?1 AND subject = ?2 ORDER BY channel")?
            .query_map(params![event.word(), subject], send)?
            .collect::<Result<_, _>>()?;
    }
    Ok(rows)
}

fn channels(conn: &Connection) -> rusqlite::Result<Vec<ChannelRow>> {
    let read = |row: &Row<'_>| {
        let since = maybe_instant(row, "failing_since_ms")?;
        let error: Option<String> = row.get("error")?;
        Ok(ChannelRow {
            name: row.get::<_, Box<str>>("name")?.into(),
            sent: row.get("sent")?,
            last_sent: maybe_instant(row, "last_sent_ms")?,
            failures: row.get("failures")?,
            failing: since.zip(error),
            retry_at: maybe_instant(row, "retry_at_ms")?,
        })
    };
    conn.prepare_cached("SELECT * FROM notice_channels ORDER BY name")?.query_map([], read)?.collect()
}

fn figures(conn: &Connection, from: i64, to: i64) -> rusqlite::Result<Figures> {
    let mut figures = Figures::default();
    let mut ends = conn.prepare_cached(
        "SELECT run_end, count(*) FROM runs WHERE state = 'ended' AND dry = 0 AND ended_at_ms >= ?1 AND ended_at_ms < ?2 GROUP BY run_end",
    )?;
    let mut rows = ends.query(params![from, to])?;
    while let Some(row) = rows.next()? {
        let (end, count) = (word(row, "run_end", RunEnd::from_word)?, row.get::<_, u32>(1)?);
        let sum = match end {
            RunEnd::Succeeded => &mut figures.succeeded,
            RunEnd::Failed | RunEnd::TimedOut | RunEnd::Lost => &mut figures.failed,
            RunEnd::Superseded | RunEnd::Cancelled => &mut figures.broken_off,
        };
        *sum = sum.saturating_add(count);
    }
    let count = |sql: &str| conn.prepare_cached(sql)?.query_row(params![from, to], |row| row.get::<_, u32>(0));
    let ended = "SELECT count(*) FROM queue WHERE kind = 'upload' AND ended_at_ms >= ?1 AND ended_at_ms < ?2 AND state = ";
    figures.uploaded = count(&[ended, "'success'"].concat())?;
    figures.upload_failed = count(&[ended, "'failed'"].concat())?;
    figures.prices = count("SELECT count(*) FROM price_history WHERE at_ms >= ?1 AND at_ms < ?2")?;
    let waiting = "SELECT count(*) FROM queue WHERE kind = 'upload' AND state = 'pending'";
    figures.waiting = conn.prepare_cached(waiting)?.query_row([], |row| row.get(0))?;
    let names = |sql: &str| {
        let name = |row: &Row<'_>| row.get::<_, Box<str>>(0).map(Arc::from);
        conn.prepare_cached(sql)?.query_map([], name)?.collect::<rusqlite::Result<Vec<Arc<str>>>>()
    };
    figures.failing = names("SELECT DISTINCT subject FROM notices WHERE event IN ('failed', 'lost') AND over = 0 ORDER BY subject")?;
    let parked = "SELECT DISTINCT account FROM parks WHERE until_ms IS NULL OR until_ms > ?1 ORDER BY account";
    let account = |row: &Row<'_>| row.get::<_, Box<str>>(0).map(Arc::from);
    figures.parked = conn.prepare_cached(parked)?.query_map([to], account)?.collect::<Result<_, _>>()?;
    Ok(figures)
}

fn find(conn: &Connection, event: Event, subject: &str) -> rusqlite::Result<Option<Told>> {
    conn.prepare_cached("SELECT * FROM notices WHERE event = ?1 AND subject = ?2")?
        .query_row(params![event.word(), subject], told)
        .optional()
}

fn told(row: &Row<'_>) -> rusqlite::Result<Told> {
    let notice = Notice {
        event: word(row, "event", Event::from_word)?,
        level: word(row, "level", Level::from_word)?,
        subject: row.get::<_, Box<str>>("subject")?.into(),
        text: row.get("text")?,
    };
    Ok(Told {
        notice,
        run: row.get::<_, Option<i64>>("run")?.map(RunId),
        first: instant(row, "first_ms")?,
        last: instant(row, "last_ms")?,
        count: row.get("count")?,
        over: row.get("over")?,
        before: row.get::<_, Option<u32>>("before_count")?.zip(maybe_instant(row, "before_ms")?),
    })
}

fn millis(duration: SignedDuration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

/// A list for `json_each`.
fn json<'a>(words: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from(words.collect::<Vec<_>>()).to_string()
}
