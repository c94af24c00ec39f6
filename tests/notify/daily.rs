//! The daily report.
use jiff::tz::TimeZone;
use taskrun::{clock::Clock as _, notify::Event};

use crate::bench::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_report_comes_once_a_day_and_says_what_happened() {
    for (language, runs) in [("en", "runs: 0 succeeded"), ("ja", "実行: 成功 0")] {
        let bench = Bench::open(1).await;
        let now = bench.clock.now().wall.to_zoned(TimeZone::get("Asia/Tokyo").unwrap());
        let notify = bench.room(&format!("  daily_report: \"{}\"\n  language: {language}", now.strftime("%H:%M")));
        let message = {
            let _office = bench.office(&notify).await;
            bench.tell(Event::Failed, "sync_inventory", "amazon said 503").await;
            until("the report has come", || bench.messages().concat().contains(runs)).await;
            bench.messages().concat()
        };
        assert!(message.contains(runs) && message.contains("sync_inventory"), "{message}");
        // Another start on the same day makes no other.
        let _office = bench.office(&notify).await;
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        assert_eq!(bench.messages().iter().filter(|message| message.contains(runs)).count(), 1, "{:#?}", bench.messages());
    }
}
