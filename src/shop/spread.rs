//! When and where many items are to be listed: days with their caps, the business hours within them, and items dealt over accounts.
//!
//! A window is open from its start, inclusive, to its end, exclusive: with `06:00-23:00` the first of any number of items comes at 06:00 sharp and
//! the last before 23:00. `n` items over a length `l` are `l / n` apart, so a single one needs no special case.
use std::ops::Range;

use jiff::{SignedDuration, Timestamp, Zoned, tz::TimeZone};

use crate::core::calendar::BusinessHours;

/// How many days ahead are planned. Whoever has more to list than fits a year has to think again.
pub const DAYS_MAX: usize = 366;
/// Stretches of one day that are used; no shop opens as often in a day.
const STRETCHES_MAX: usize = 48;

/// A stretch of instants: the start inclusive, the end exclusive.
pub type Stretch = Range<Timestamp>;

/// The calendar day in a zone that an instant belongs to: what a daily cap counts over.
pub fn day_of(at: Timestamp, zone: &TimeZone) -> Stretch {
    let today = at.to_zoned(zone.clone());
    let next = |day: &Zoned| day.tomorrow().ok().and_then(|day| day.start_of_day().ok());
    let begin = today.start_of_day().map_or(Timestamp::MIN, |day| day.timestamp());
    let end = next(&today).map_or(Timestamp::MAX, |day| day.timestamp());
    // Where midnight itself is repeated, the evening comes again after the next day has begun.
    if at < end {
        return begin..end;
    }
    let after = today.tomorrow().ok().as_ref().and_then(next).map_or(Timestamp::MAX, |day| day.timestamp());
    end..after
}

/// When the hours are open within a span; all of it where there are no hours.
pub fn open_within(hours: Option<&BusinessHours>, zone: &TimeZone, span: &Stretch) -> Vec<Stretch> {
    let Some(hours) = hours else { return if span.is_empty() { Vec::new() } else { vec![span.clone()] } };
    let mut open = Vec::new();
    let mut at = span.start;
    while at < span.end && open.len() < STRETCHES_MAX {
        if hours.is_open(at, zone) {
            let close = hours.closes_at(at, zone).unwrap_or(Timestamp::MAX).min(span.end);
            open.push(at..close);
            at = close;
        } else {
            let Some(next) = hours.next_open(at, zone) else { break };
            at = next;
        }
    }
    open
}

/// `n` instants, evenly over the stretches taken together: the first at their start, the last before their end, none outside. Whole seconds where
/// the stretches begin at such. Empty where nothing is open.
pub fn evenly(n: usize, stretches: &[Stretch]) -> Vec<Timestamp> {
    let length =
        |stretch: &Stretch| i128::from(stretch.end.as_millisecond()).saturating_sub(i128::from(stretch.start.as_millisecond())).max(0);
    let total: i128 = stretches.iter().map(length).sum();
    let count = i128::try_from(n).unwrap_or(i128::MAX);
    if total == 0 {
        return Vec::new();
    }
    let mut times = Vec::with_capacity(n);
    let mut rest = stretches.iter();
    let mut stretch = rest.next();
    let mut passed: i128 = 0;
    for i in 0..n {
        let offset = total.saturating_mul(i128::try_from(i).unwrap_or(i128::MAX)).checked_div(count).unwrap_or(0);
        while let Some(full) = stretch.filter(|stretch| offset >= passed.saturating_add(length(stretch))) {
            passed = passed.saturating_add(length(full));
            stretch = rest.next();
        }
        let Some(stretch) = stretch else { break };
        let into = offset.saturating_sub(passed);
        let whole = into.saturating_sub(into.checked_rem(1000).unwrap_or(0));
        let ms = i64::try_from(whole).unwrap_or(0).saturating_add(stretch.start.as_millisecond());
        times.push(Timestamp::from_millisecond(ms).unwrap_or(stretch.start).max(stretch.start));
    }
    times
}

/// Other times for items that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// All at once.
    At(Timestamp),
    /// One after the other.
    Every { from: Timestamp, apart: SignedDuration },
    /// Evenly over these.
    Evenly(Vec<Stretch>),
}

impl Rhythm {
    /// The times of `n` items, in order. Fewer where time ends or nothing is open.
    pub fn times(&self, n: usize) -> Vec<Timestamp> {
        match self {
            Self::At(at) => vec![*at; n],
            Self::Every { from, apart } => std::iter::successors(Some(*from), |at| at.checked_add(*apart).ok()).take(n).collect(),
            Self::Evenly(stretches) => evenly(n, stretches),
        }
    }
}

/// Where items of one account may go.
#[derive(Clone, Debug)]
pub struct Lane {
    /// Of its days and hours.
    pub zone: TimeZone,
    /// `None`: always open.
    pub hours: Option<BusinessHours>,
    /// How many items a day; `None`: any number.
    pub daily_limit: Option<u32>,
}

/// What a lane takes on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// The day, or what is left of it.
    pub day: Stretch,
    /// When.
    pub open: Vec<Stretch>,
    /// How many more items.
    pub left: u32,
}

/// How the times of items are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as it may be: at once, or when the first day with room opens.
    Soon,
    /// Evenly over each day's hours.
    Spread,
}

/// The days from `from` on that a lane has room on, as many as `n` items need. `used`: how many items a day has already.
///
/// # Errors
/// What `used` gives.
pub fn rooms<E>(
    lane: &Lane,
    from: Timestamp,
    n: usize,
    pace: Pace,
    mut used: impl FnMut(&Stretch) -> Result<u32, E>,
) -> Result<Vec<Room>, E> {
    let (mut rooms, mut have) = (Vec::new(), 0_usize);
    let mut at = from;
    for _ in 0..DAYS_MAX {
        if have >= n {
            break;
        }
        let day = day_of(at, &lane.zone);
        let rest = at..day.end;
        let mut open = open_within(lane.hours.as_ref(), &lane.zone, &rest);
        // What is wanted at once is due at once: the worker keeps the hours.
        if pace == Pace::Soon && at == from {
            open = vec![rest.clone()];
        }
        if !open.is_empty() {
            let left = match lane.daily_limit {
                Some(limit) => limit.saturating_sub(used(&day)?),
                None => u32::try_from(n).unwrap_or(u32::MAX),
            };
            have = have.saturating_add(usize::try_from(left).unwrap_or(usize::MAX));
            if left > 0 {
                rooms.push(Room { day: rest, open, left });
            }
        }
        if day.end == Timestamp::MAX {
            break;
        }
        at = day.end;
    }
    Ok(rooms)
}

/// Where an item goes, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The number of the lane.
    pub lane: usize,
    /// When it is due.
    pub at: Timestamp,
}

/// Deals items over lanes: an earlier day counts before a later one; on a day each lane gets as many as the others, as far as it has room; among
/// equals the one with the most room is next. `wanted`: for each item its lane, if that is settled. The same items and rooms always give the same.
/// `None` for an item that no room is left for.
pub fn deal(wanted: &[Option<usize>], rooms: &[Vec<Room>], pace: Pace) -> Vec<Option<Slot>> {
    let mut hands: Vec<Hand<'_>> = rooms.iter().map(|rooms| Hand { rooms, today: 0, dealt: vec![0; rooms.len()] }).collect();
    let mut places = Vec::with_capacity(wanted.len());
    for lane in wanted {
        let candidates = hands.iter().enumerate().filter(|(number, _)| lane.is_none_or(|lane| lane == *number));
        let best = candidates.filter_map(|(number, hand)| Some((hand.rank()?, number))).min();
        let Some((_, number)) = best else {
            places.push(None);
            continue;
        };
        places.push(hands.get_mut(number).map(|hand| (number, hand.take())));
    }
    let times: Vec<Vec<Vec<Timestamp>>> = hands.iter().map(|hand| hand.times(pace)).collect();
    places.into_iter().map(|place| slot(place?, &times)).collect()
}

fn slot((lane, (room, nth)): (usize, (usize, u32)), times: &[Vec<Vec<Timestamp>>]) -> Option<Slot> {
    let at = *times.get(lane)?.get(room)?.get(usize::try_from(nth).ok()?)?;
    Some(Slot { lane, at })
}

/// What a lane has been dealt so far.
struct Hand<'a> {
    rooms: &'a [Room],
    /// The first room that is not full.
    today: usize,
    dealt: Vec<u32>,
}

impl Hand<'_> {
    /// Sorts before others: it is this one's turn. `None`: it is full.
    fn rank(&self) -> Option<(Timestamp, u32, std::cmp::Reverse<u32>)> {
        let (room, dealt) = (self.rooms.get(self.today)?, *self.dealt.get(self.today)?);
        Some((room.day.end, dealt, std::cmp::Reverse(room.left.saturating_sub(dealt))))
    }

    /// Takes one item: the room, and how many it had before.
    fn take(&mut self) -> (usize, u32) {
        let room = self.today;
        let Some(dealt) = self.dealt.get_mut(room) else { return (room, 0) };
        let nth = *dealt;
        *dealt = nth.saturating_add(1);
        if self.rooms.get(room).is_none_or(|room| *dealt >= room.left) {
            self.today = room.saturating_add(1);
        }
        (room, nth)
    }

    /// When each item of each room is due.
    fn times(&self, pace: Pace) -> Vec<Vec<Timestamp>> {
        let of_room = |(room, dealt): (&Room, &u32)| {
            let count = usize::try_from(*dealt).unwrap_or(0);
            match pace {
                Pace::Soon => room.open.first().map(|first| vec![first.start; count]).unwrap_or_default(),
                Pace::Spread => evenly(count, &room.open),
            }
        };
        self.rooms.iter().zip(&self.dealt).map(of_room).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]

    use std::convert::Infallible;

    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;
    use crate::core::calendar::parse_windows;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn hours(text: &str) -> BusinessHours {
        BusinessHours { windows: parse_windows(text).unwrap(), holidays: Vec::new(), text: text.into() }
    }

    fn tokyo(hours_text: &str, daily_limit: u32) -> Lane {
        Lane { zone: zone("Asia/Tokyo"), hours: Some(hours(hours_text)), daily_limit: Some(daily_limit) }
    }

    fn rooms_of(lane: &Lane, from: &str, n: usize, pace: Pace, used: u32) -> Vec<Room> {
        let first = day_of(at(from), &lane.zone);
        rooms(lane, at(from), n, pace, |day| Ok::<_, Infallible>(if *day == first { used } else { 0 })).unwrap()
    }

    /// The times of `n` items over these hours of 24 November 2026 in Tokyo.
    fn spread(n: usize, hours_text: &str) -> Vec<String> {
        let day = day_of(at("2026-11-24T00:00:00+09:00"), &zone("Asia/Tokyo"));
        let open = open_within(Some(&hours(hours_text)), &zone("Asia/Tokyo"), &day);
        evenly(n, &open).into_iter().map(|at| at.to_zoned(zone("Asia/Tokyo")).strftime("%H:%M:%S").to_string()).collect()
    }

    #[test]
    fn the_first_comes_at_opening_sharp_and_the_last_before_closing() {
        assert_eq!(spread(1, "06:00-23:00"), ["06:00:00"]);
        assert_eq!(spread(2, "06:00-23:00"), ["06:00:00", "14:30:00"]);
        assert_eq!(spread(17, "06:00-23:00").last().unwrap(), "22:00:00");
        assert_eq!(spread(1020, "06:00-23:00").last().unwrap(), "22:59:00", "1,020 items in 17 hours are a minute apart");
        let many = spread(2000, "06:00-23:00");
        assert_eq!((many[0].as_str(), many[1].as_str(), many[1999].as_str()), ("06:00:00", "06:00:30", "22:59:29"));
        assert!(spread(0, "06:00-23:00").is_empty());
    }

    #[test]
    fn several_windows_a_day_are_one_length_and_the_pause_between_has_none() {
        assert_eq!(spread(4, "09:00-12:00, 13:00-14:00"), ["09:00:00", "10:00:00", "11:00:00", "13:00:00"]);
        assert_eq!(spread(3, "22:00-01:00"), ["00:00:00", "22:00:00", "23:00:00"], "a window over midnight has a part in each of two days");
        assert_eq!(spread(2, "09:00-12:00, 12:00-15:00"), ["09:00:00", "12:00:00"], "windows that adjoin are one");
    }

    #[test]
    fn a_day_is_as_long_as_the_clocks_make_it() {
        let berlin = zone("Europe/Berlin");
        for (day, length) in [("2026-03-29T12:00:00Z", 23), ("2026-10-25T12:00:00Z", 25), ("2026-06-01T12:00:00Z", 24)] {
            let day = day_of(at(day), &berlin);
            assert_eq!(day.end.duration_since(day.start), SignedDuration::from_hours(length));
        }
        let day = day_of(at("2026-03-29T12:00:00Z"), &berlin);
        let open = open_within(Some(&hours("00:00-06:00")), &berlin, &day);
        let last = *evenly(5, &open).last().unwrap();
        assert_eq!(last.to_zoned(berlin).datetime(), date(2026, 3, 29).at(5, 0, 0, 0), "five hours are left of six");
    }

    #[test]
    fn the_evening_that_comes_twice_belongs_to_the_day_that_has_begun() {
        // In Beirut, 25 October 2026: from 24:00 back to 23:00.
        let beirut = zone("Asia/Beirut");
        let first = at("2026-10-24T20:30:00Z");
        let again = at("2026-10-24T21:30:00Z");
        assert_eq!(first.to_zoned(beirut.clone()).datetime(), again.to_zoned(beirut.clone()).datetime());
        for instant in [first, again] {
            assert!(day_of(instant, &beirut).contains(&instant));
        }
    }

    #[test]
    fn what_one_day_does_not_hold_goes_on_the_next() {
        let lane = tokyo("06:00-23:00", 1000);
        let rooms = rooms_of(&lane, "2026-11-24T00:00:00+09:00", 2500, Pace::Spread, 400);
        assert_eq!(rooms.iter().map(|room| room.left).collect::<Vec<_>>(), [600, 1000, 1000]);
        let slots = deal(&vec![None; 2500], &[rooms], Pace::Spread);
        let days: Vec<usize> =
            (24..=26).map(|day| slots.iter().flatten().filter(|slot| slot.at.to_zoned(lane.zone.clone()).day() == day).count()).collect();
        assert_eq!(days, [600, 1000, 900]);
    }

    #[test]
    fn five_hundred_items_are_dealt_evenly_over_two_accounts_within_their_caps() {
        let lane = tokyo("06:00-23:00", 1000);
        let rooms = |used| rooms_of(&lane, "2026-11-24T00:00:00+09:00", 500, Pace::Spread, used);
        let per_lane = |slots: &[Option<Slot>]| [0, 1].map(|lane| slots.iter().flatten().filter(|slot| slot.lane == lane).count());
        assert_eq!(per_lane(&deal(&[None; 500], &[rooms(200), rooms(500)], Pace::Spread)), [250, 250]);
        assert_eq!(
            per_lane(&deal(&[None; 500], &[rooms(200), rooms(900)], Pace::Spread)),
            [400, 100],
            "one takes what the other has no room for"
        );
        assert_eq!(
            per_lane(&deal(&[None; 1], &[rooms(500), rooms(200)], Pace::Spread)),
            [0, 1],
            "a single one goes where there is most room"
        );
    }

    #[test]
    fn an_item_whose_shop_is_settled_goes_nowhere_else() {
        let lane = tokyo("06:00-23:00", 1);
        let rooms = || rooms_of(&lane, "2026-11-24T05:00:00+09:00", 1, Pace::Soon, 0);
        let slots = deal(&[Some(1), Some(1), None], &[rooms(), rooms()], Pace::Soon);
        assert_eq!(slots.iter().map(|slot| slot.map(|slot| slot.lane)).collect::<Vec<_>>(), [Some(1), None, Some(0)]);
    }

    #[test]
    fn soon_is_now_even_before_opening_and_the_next_opening_when_the_day_is_full() {
        let lane = tokyo("06:00-23:00", 2);
        let from = "2026-11-24T05:00:00+09:00";
        let slots = deal(&[None; 3], &[rooms_of(&lane, from, 3, Pace::Soon, 0)], Pace::Soon);
        let times: Vec<Timestamp> = slots.into_iter().flatten().map(|slot| slot.at).collect();
        assert_eq!(times, [at(from), at(from), at("2026-11-25T06:00:00+09:00")]);
    }

    #[test]
    fn a_day_without_an_opening_holds_nothing_and_a_cap_of_zero_has_no_day() {
        let lane = Lane { zone: zone("Asia/Tokyo"), hours: Some(hours("mon-fri 09:00-18:00")), daily_limit: Some(10) };
        let rooms = rooms_of(&lane, "2026-11-27T19:00:00+09:00", 10, Pace::Spread, 0);
        assert_eq!(rooms.first().unwrap().open.first().unwrap().start, at("2026-11-30T09:00:00+09:00"), "from Friday evening to Monday");
        assert!(rooms_of(&tokyo("06:00-23:00", 0), "2026-11-24T00:00:00Z", 1, Pace::Spread, 0).is_empty());
    }

    const HOURS: [&str; 6] =
        ["06:00-23:00", "09:00-12:00, 13:00-18:00", "22:00-02:00", "00:00-24:00", "mon-fri 09:00-18:00", "02:15-02:45"];
    const ZONES: [&str; 4] = ["Asia/Tokyo", "Europe/Berlin", "Asia/Beirut", "Australia/Lord_Howe"];

    proptest! {
        #[test]
        fn every_time_is_open_in_order_and_within_the_cap(
            second in 1_790_000_000_i64..1_830_000_000, n in 1_usize..300, limit in 1_u32..80, hours_of in 0_usize..6, zone_of in 0_usize..4,
        ) {
            let lane = Lane { zone: zone(ZONES[zone_of]), hours: Some(hours(HOURS[hours_of])), daily_limit: Some(limit) };
            let from = Timestamp::from_second(second).unwrap();
            let rooms = rooms(&lane, from, n, Pace::Spread, |_| Ok::<_, Infallible>(0)).unwrap();
            // A year of workdays with one a day has fewer than 263.
            let room: u32 = rooms.iter().map(|room| room.left).sum();
            let slots = deal(&vec![None; n], &[rooms], Pace::Spread);
            let times: Vec<Timestamp> = slots.into_iter().flatten().map(|slot| slot.at).collect();
            prop_assert_eq!(times.len(), n.min(usize::try_from(room).unwrap()));
            prop_assert!(times.is_sorted());
            prop_assert!(times.iter().all(|at| *at >= from && lane.hours.as_ref().unwrap().is_open(*at, &lane.zone)), "{times:?}");
            for at in &times {
                let day = day_of(*at, &lane.zone);
                prop_assert!(day.contains(at));
                prop_assert!(times.iter().filter(|other| day.contains(other)).count() <= usize::try_from(limit).unwrap());
            }
        }

        #[test]
        fn no_lane_gets_two_more_than_another_while_it_has_room(caps in prop::collection::vec(0_u32..50, 1..5), n in 1_usize..150) {
            let lanes: Vec<Lane> = caps.iter().map(|cap| tokyo("06:00-23:00", *cap)).collect();
            let rooms: Vec<Vec<Room>> = lanes.iter().map(|lane| {
                let mut rooms = rooms_of(lane, "2026-11-24T00:00:00+09:00", n, Pace::Spread, 0);
                rooms.truncate(1);
                rooms
            }).collect();
            let slots = deal(&vec![None; n], &rooms, Pace::Spread);
            let counts: Vec<u32> = (0..caps.len()).map(|lane| u32::try_from(slots.iter().flatten().filter(|slot| slot.lane == lane).count()).unwrap()).collect();
            let placed: u32 = counts.iter().sum();
            prop_assert_eq!(placed, caps.iter().sum::<u32>().min(u32::try_from(n).unwrap()), "nothing is left out while there is room");
            for (count, cap) in counts.iter().zip(&caps) {
                prop_assert!(count <= cap);
                prop_assert!(count == cap || counts.iter().all(|other| *other <= count + 1), "{:?} of {:?}", counts, caps);
            }
        }
    }
}
