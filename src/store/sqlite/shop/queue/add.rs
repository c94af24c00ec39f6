//! The way into the queue.
use std::{collections::HashSet, sync::Arc};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{counted, is_unsettled};
use crate::{
    shop::{
        gate::{self, Publish, Verdict},
        product::{Asin, ListingState, Platform, sku},
        spread::{Pace, Room, Slot, Stretch, day_of, deal, rooms},
        upload::{self, Candidate, Complete, ItemId, PRIORITY_MAX, Past, Refusal, State, Work},
    },
    store::{
        shop::{AccountKey, AddReport, AddRequest, Added, Parked, Target, Wanted},
        sqlite::{
            rows::{instant, word},
            shop::{self, parks},
        },
    },
};

/// A product that may enter.
struct Entry {
    asin: Asin,
    /// Its target, where its listing names the account.
    target: Option<usize>,
    /// Why a person has to look at it first.
    review: Option<Arc<str>>,
}

/// Queues what may enter. A dry request writes nothing.
pub(super) fn add(conn: &Connection, request: &AddRequest, at: Timestamp) -> rusqlite::Result<AddReport> {
    let targets = open_targets(conn, request, at)?;
    let mut report = AddReport::default();
    let entries = entries(conn, request, &targets, &mut report)?;
    let rooms: Vec<Vec<Room>> =
        targets.iter().map(|target| rooms_of(conn, request, target, entries.len(), at)).collect::<rusqlite::Result<_>>()?;
    let wanted: Vec<Option<usize>> = entries.iter().map(|entry| entry.target).collect();
    for (entry, slot) in entries.into_iter().zip(deal(&wanted, &rooms, request.pace)) {
        match slot.and_then(|slot| Some((slot, targets.get(slot.lane)?))) {
            Some((slot, target)) => report.added.push(enter(conn, request, entry, target, slot, at)?),
            None => report.refused.push((entry.asin, Refusal::Full)),
        }
    }
    Ok(report)
}

/// The accounts in question; one that a person paused or its shop restricts is closed.
fn open_targets(conn: &Connection, request: &AddRequest, at: Timestamp) -> rusqlite::Result<Vec<Target>> {
    let is_meant = |target: &&Target| request.only.as_ref().is_none_or(|only| *only == target.account);
    let mut targets: Vec<Target> = request.targets.iter().filter(is_meant).cloned().collect();
    for target in &mut targets {
        let key = AccountKey { platform: request.platform, account: Arc::clone(&target.account) };
        let parks = parks::in_force(conn, Some(&key), at)?;
        let park = parks.iter().find(|park| matches!(park.cause, Parked::Paused | Parked::Restricted));
        if let (None, Some(park)) = (&target.closed, park) {
            target.closed = Some(format!("`{}` is {}: {}", target.account, park.cause, park.detail).into());
        }
    }
    Ok(targets)
}

/// The products that may enter, in order; the others go into the report.
fn entries(conn: &Connection, request: &AddRequest, targets: &[Target], report: &mut AddReport) -> rusqlite::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    match &request.wanted {
        Wanted::Named(asins) => {
            let mut seen = HashSet::new();
            for asin in asins.iter().filter(|asin| seen.insert((*asin).clone())) {
                match judge(conn, request, targets, asin, false)? {
                    Ok(entry) => entries.push(entry),
                    Err(refusal) => report.refused.push((asin.clone(), refusal)),
                }
            }
        }
        Wanted::Pending { limit, again } => {
            let mut products = conn.prepare_cached("SELECT asin FROM products ORDER BY created_at_ms, asin")?;
            let mut products = products.query_map([], shop::asin)?;
            while let Some(asin) = products.next().transpose()? {
                match judge(conn, request, targets, &asin, !again)? {
                    Ok(_) if entries.len() == *limit => {
                        report.more = true;
                        break;
                    }
                    Ok(entry) => entries.push(entry),
                    Err(refusal) if refusal.is_so_already() => {}
                    Err(refusal) => report.refused.push((asin, refusal)),
                }
            }
        }
    }
    Ok(entries)
}

/// Whether a product may enter, for which account if that is settled, and whether a person has to look at it first.
fn judge(conn: &Connection, request: &AddRequest, targets: &[Target], asin: &Asin, scan: bool) -> rusqlite::Result<Result<Entry, Refusal>> {
    let candidate = Candidate { product: complete(conn, request, asin)?, past: past(conn, request.platform, asin)? };
    if let Err(refusal) = elsewhere(conn, request, asin)?.and_then(|()| upload::admit(&candidate, request.only.as_deref(), scan)) {
        return Ok(Err(refusal));
    }
    let review = match verdict(conn, request, asin)? {
        Ok(review) => review,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let enters = |target| Ok(Ok(Entry { asin: asin.clone(), target, review }));
    let meant = |target: &Target| candidate.past.iter().any(|past| past.is_meant && past.account == target.account);
    let settled: Vec<usize> = (0..targets.len()).filter(|number| targets.get(*number).is_some_and(meant)).collect();
    let possible: Vec<usize> = if settled.is_empty() { (0..targets.len()).collect() } else { settled.clone() };
    let is_open = |number: &usize| targets.get(*number).is_some_and(|target| target.closed.is_none());
    if let Some(open) = possible.iter().copied().find(is_open) {
        return enters(Some(open).filter(|_| !settled.is_empty()));
    }
    let why = possible.first().and_then(|number| targets.get(*number)?.closed.clone());
    Ok(Err(Refusal::Closed { why: why.unwrap_or_else(|| "there is no account at this marketplace".into()) }))
}

/// Where a product is to be at one shop only: whether another marketplace or account has it. In one marketplace the usual rules tell, unless an
/// account was named.
fn elsewhere(conn: &Connection, request: &AddRequest, asin: &Asin) -> rusqlite::Result<Result<(), Refusal>> {
    if !request.publish.as_ref().is_some_and(|publish| publish.one_shop) {
        return Ok(Ok(()));
    }
    for platform in Platform::ALL {
        if let Err(refusal) = upload::is_free(&past(conn, *platform, asin)?) {
            return Ok(Err(refusal));
        }
    }
    Ok(Ok(()))
}

/// What the rules say: it may enter, it waits for a person and why, or it may not.
fn verdict(conn: &Connection, request: &AddRequest, asin: &Asin) -> rusqlite::Result<Result<Option<Arc<str>>, Refusal>> {
    let Some(Publish { rules, .. }) = &request.publish else { return Ok(Ok(None)) };
    let texts = |row: &Row<'_>| Ok([row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?]);
    let [title, description, brand, category] = conn
        .prepare_cached(
            "SELECT coalesce(title, ''), coalesce(description, ''), coalesce(brand, ''), coalesce(category, '')
             FROM products LEFT JOIN product_texts USING (asin) WHERE asin = ?1",
        )?
        .query_row([asin.as_str()], texts)?;
    let said = gate::Candidate { asin, title: &title, description: &description, brand: &brand, category: &category };
    Ok(match gate::judge(&said, rules) {
        Verdict::Pass => Ok(None),
        Verdict::Review(reasons) => Ok(Some(rules.explain(&reasons).into())),
        Verdict::Block(reasons) => Err(Refusal::Prohibited { why: rules.explain(&reasons).into() }),
    })
}

fn complete(conn: &Connection, request: &AddRequest, asin: &Asin) -> rusqlite::Result<Option<Complete>> {
    let complete = |row: &Row<'_>| Ok(Complete { title: row.get(0)?, cost: row.get(1)?, images: row.get(2)? });
    let images = request.publish.as_ref().map_or(1, |publish| publish.min_images);
    conn.prepare_cached(
        "SELECT trim(coalesce(title, '')) <> '', cost_yen IS NOT NULL, coalesce(json_array_length(images), 0) >= ?2
         FROM products LEFT JOIN product_texts USING (asin) WHERE asin = ?1",
    )?
    .query_row(params![asin.as_str(), images], complete)
    .optional()
}

pub(super) const QUEUED: &str = "SELECT account, id, state FROM queue WHERE subject = ?1 AND kind = ?2 AND platform = ?3 ORDER BY id";

/// What is known of a product at each account of a marketplace.
fn past(conn: &Connection, platform: Platform, asin: &Asin) -> rusqlite::Result<Vec<Past>> {
    let listed = |row: &Row<'_>| {
        let state = word(row, "state", ListingState::from_word)?;
        let item_id: Option<Box<str>> = row.get("item_id")?;
        let is_there = matches!(state, ListingState::Listed | ListingState::Pending);
        Ok(Past {
            account: row.get::<_, Box<str>>("account")?.into(),
            is_meant: state == ListingState::Pending && item_id.is_none(),
            item_id: item_id.filter(|_| is_there).map(Into::into),
            last: None,
        })
    };
    let mut all: Vec<Past> = conn
        .prepare_cached("SELECT account, item_id, state FROM listings WHERE asin = ?1 AND platform = ?2 ORDER BY account")?
        .query_map(params![asin.as_str(), platform.word()], listed)?
        .collect::<rusqlite::Result<_>>()?;
    // The newest item of each account comes last.
    let queued = |row: &Row<'_>| Ok((row.get::<_, Box<str>>("account")?, row.get::<_, i64>("id")?, word(row, "state", State::from_word)?));
    let items: Vec<_> = conn
        .prepare_cached(QUEUED)?
        .query_map(params![asin.as_str(), Work::Upload.word(), platform.word()], queued)?
        .collect::<rusqlite::Result<_>>()?;
    for (account, id, state) in items {
        let last = Some((id, state, is_unsettled(conn, ItemId(id))?));
        match all.iter_mut().find(|past| *past.account == *account) {
            Some(past) => past.last = last,
            None => all.push(Past { account: account.into(), item_id: None, is_meant: false, last }),
        }
    }
    Ok(all)
}

/// The days on which an account takes as many items.
fn rooms_of(conn: &Connection, request: &AddRequest, target: &Target, items: usize, at: Timestamp) -> rusqlite::Result<Vec<Room>> {
    if target.closed.is_some() {
        return Ok(Vec::new());
    }
    let account = AccountKey { platform: request.platform, account: Arc::clone(&target.account) };
    let today = day_of(at, &target.lane.zone);
    // What is urgent is not kept back by what is only planned: it goes first, and the cap is kept when items are claimed.
    let is_urgent = is_urgent(request);
    rooms(&target.lane, request.from.max(at), items, request.pace, |day| {
        let taken = counted(conn, Work::Upload, &account, day)?;
        if is_urgent && *day == today {
            return Ok(taken);
        }
        Ok(taken.saturating_add(planned(conn, &account, day, *day == today)?))
    })
}

pub(super) const PLANNED: &str =
    "SELECT count(*) FROM queue WHERE kind = ?1 AND platform = ?2 AND account = ?3 AND state = 'pending' AND retry_at_ms IS NULL
           AND item_id IS NULL AND scheduled_at_ms >= ?4 AND scheduled_at_ms < ?5";

/// How many items wait for a day; for today also those that are late.
fn planned(conn: &Connection, account: &AccountKey, day: &Stretch, is_today: bool) -> rusqlite::Result<u32> {
    let from = if is_today { i64::MIN } else { day.start.as_millisecond() };
    conn.prepare_cached(PLANNED)?
        .query_row(params![Work::Upload.word(), account.platform.word(), account.account, from, day.end.as_millisecond()], |row| row.get(0))
}

fn is_urgent(request: &AddRequest) -> bool {
    request.priority == PRIORITY_MAX && request.pace == Pace::Soon
}

/// When an item is due. What is urgent does not stand behind what is late: it gets the time of the first in the line, and its priority does the rest.
fn due(conn: &Connection, request: &AddRequest, target: &Target, slot: Slot, at: Timestamp) -> rusqlite::Result<Timestamp> {
    if !is_urgent(request) || at < request.from {
        return Ok(slot.at);
    }
    let first = conn
        .prepare_cached(super::claim::FRESH)?
        .query_row(params![Work::Upload.word(), request.platform.word(), target.account, slot.at.as_millisecond(), 1], |row| {
            instant(row, "scheduled_at_ms")
        })
        .optional()?;
    Ok(first.map_or(slot.at, |first| first.min(slot.at)))
}

fn enter(conn: &Connection, request: &AddRequest, entry: Entry, target: &Target, slot: Slot, at: Timestamp) -> rusqlite::Result<Added> {
    let (platform, account) = (request.platform.word(), Arc::clone(&target.account));
    let Entry { asin, review, .. } = entry;
    let due = due(conn, request, target, slot, at)?;
    if request.dry {
        return Ok(Added { id: None, asin, account, at: due, review });
    }
    let state = if review.is_some() { State::Review } else { State::Pending };
    conn.prepare_cached(
        "INSERT INTO listings (asin, platform, account, sku, state, created_at_ms) VALUES (?1, ?2, ?3, ?4, 'pending', ?5)
         ON CONFLICT (asin, platform, account) DO NOTHING",
    )?
    .execute(params![asin.as_str(), platform, account, sku(&account, &asin), at.as_millisecond()])?;
    let id = conn
        .prepare_cached(
            "INSERT INTO queue (kind, platform, account, subject, state, priority, scheduled_at_ms, created_at_ms, error_code, error_text)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
        )?
        .query_row(
            params![
                Work::Upload.word(),
                platform,
                account,
                asin.as_str(),
                state.word(),
                request.priority,
                due.as_millisecond(),
                at.as_millisecond(),
                review.as_ref().map(|_| State::Review.word()),
                review
            ],
            |row| row.get(0).map(ItemId),
        )?;
    Ok(Added { id: Some(id), asin, account, at: due, review })
}
