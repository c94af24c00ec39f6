//! How far long work is: a bar in a terminal, else a line a minute in the log.
use std::{sync::Arc, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::SignedDuration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{access::Progress, clock::Clock};

/// How often a bar is drawn anew.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// How often a line is logged, in wall-clock time.
const LOG_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A fast practice clock does not make the log run faster than this.
const LOG_EVERY_MIN: Duration = Duration::from_secs(5);

/// How progress is shown.
#[derive(Clone, Debug)]
pub enum Style {
    /// A bar among these, which log lines make way for: [`super::log::LogHandle::bars`].
    Bar(MultiProgress),
    /// A line a minute.
    Log,
}

/// Shows how far an attempt is until `done` fires. Work that is over sooner, or that tells nothing of its progress, is not shown at all.
pub async fn watch(progress: Progress, label: String, style: Style, clock: Arc<dyn Clock>, done: CancellationToken) {
    let began = Began { at: clock.now().uptime, done: progress.read().0 };
    let shown = async {
        match style {
            Style::Bar(bars) => draw(&progress, label, &bars, &began, &*clock).await,
            Style::Log => log(&progress, &began, &*clock).await,
        }
    };
    done.run_until_cancelled(shown).await;
}

/// Where the work stood when we began to look.
struct Began {
    at: SignedDuration,
    done: u64,
}

/// Draws a bar from the first news on. Dropped, it takes the bar away.
async fn draw(progress: &Progress, label: String, bars: &MultiProgress, began: &Began, clock: &dyn Clock) {
    let mut shown: Option<Shown<'_>> = None;
    loop {
        if let Some(line) = line(progress, began, clock) {
            let (done, total, _) = progress.read();
            let bar = &shown.get_or_insert_with(|| Shown { bar: bars.add(ProgressBar::no_length().with_prefix(label.clone())), bars }).bar;
            let template = if total > 0 { "{prefix} [{bar:30}] {wide_msg}" } else { "{prefix} {spinner} {wide_msg}" };
            bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
            bar.set_length(total.max(1));
            bar.set_position(done);
            bar.set_message(line);
        }
        sleep(DRAW_EVERY).await;
    }
}

/// A bar on the screen.
struct Shown<'a> {
    bar: ProgressBar,
    bars: &'a MultiProgress,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.bars.remove(&self.bar);
    }
}

/// Logs a line for each interval in which something is known. The span around it says whose it is.
async fn log(progress: &Progress, began: &Began, clock: &dyn Clock) {
    loop {
        sleep(clock.real(LOG_EVERY).max(LOG_EVERY_MIN)).await;
        if let Some(line) = line(progress, began, clock) {
            tracing::info!(target: "taskrun::progress", "{line}");
        }
    }
}

/// `120 of 240 (50 %), about 3m left: waiting for the offers quota`; nothing where nothing is known.
fn line(progress: &Progress, began: &Began, clock: &dyn Clock) -> Option<String> {
    let (done, total, note) = progress.read();
    let count = match (done, total) {
        (0, 0) => String::new(),
        (done, 0) => format!("{done} done"),
        (done, total) => {
            let took = clock.now().uptime.saturating_sub(began.at);
            let left = left(done.saturating_sub(began.done), total.saturating_sub(done), took, clock);
            let left = left.map_or_else(String::new, |left| format!(", about {} left", rounded(left)));
            format!("{done} of {total} ({} %){left}", done.saturating_mul(100) / total)
        }
    };
    match (count.is_empty(), note.is_empty()) {
        (true, true) => None,
        (true, false) => Some(note),
        (false, true) => Some(count),
        (false, false) => Some(format!("{count}: {note}")),
    }
}

/// How much longer it takes at the pace so far, in wall-clock time, as that is what everything else on the screen shows.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
pub fn left(done: u64, todo: u64, took: SignedDuration, clock: &dyn Clock) -> Option<SignedDuration> {
    if done == 0 || todo == 0 {
        return None;
    }
    let hour = SignedDuration::from_hours(1);
    let speed = hour.as_secs_f64() / clock.real(hour).as_secs_f64();
    SignedDuration::try_from_secs_f64(took.as_secs_f64() * speed * (todo as f64) / (done as f64)).ok().filter(|left| left.as_secs() > 0)
}

/// A duration to one unit or two: `50s`, `3m`, `1h 20m`.
fn rounded(duration: SignedDuration) -> String {
    match duration.as_secs() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", (seconds + 30) / 60),
        seconds => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{clock::BoxFuture, core::task::Now};

    /// A clock that stands at an uptime and whose wall clock is `speed` times as fast.
    #[derive(Debug)]
    struct Stopped(i64, u32);

    impl Clock for Stopped {
        fn now(&self) -> Now {
            Now { wall: Timestamp::UNIX_EPOCH, uptime: SignedDuration::from_secs(self.0) }
        }

        fn real(&self, wall: SignedDuration) -> Duration {
            Duration::try_from(wall).unwrap() / self.1
        }

        fn sleep(&self, wall: SignedDuration) -> BoxFuture<'static, ()> {
            Box::pin(sleep(self.real(wall)))
        }
    }

    fn said(done: u64, total: u64, note: &str, clock: &Stopped) -> Option<String> {
        let progress = Progress::default();
        progress.set_done(done);
        progress.set_total(total);
        progress.note(note);
        line(&progress, &Began { at: SignedDuration::ZERO, done: 0 }, clock)
    }

    #[test]
    fn a_line_says_what_is_known_and_no_more() {
        let clock = Stopped(180, 1);
        assert_eq!(said(0, 0, "", &clock), None);
        assert_eq!(said(0, 0, "reading", &clock).unwrap(), "reading");
        assert_eq!(said(7, 0, "", &clock).unwrap(), "7 done");
        assert_eq!(said(0, 240, "", &clock).unwrap(), "0 of 240 (0 %)");
        assert_eq!(
            said(120, 240, "waiting for the offers quota", &clock).unwrap(),
            "120 of 240 (50 %), about 3m left: waiting for the offers quota"
        );
        assert_eq!(said(240, 240, "", &clock).unwrap(), "240 of 240 (100 %)");
        assert_eq!(said(10, 240, "", &clock).unwrap(), "10 of 240 (4 %), about 1h 9m left");
    }

    #[test]
    fn the_estimate_is_in_the_time_that_the_screen_shows() {
        assert_eq!(said(60, 120, "", &Stopped(10, 60)).unwrap(), "60 of 120 (50 %), about 10m left");
    }

    #[tokio::test]
    async fn watching_ends_when_the_work_is_done() {
        let hidden = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::hidden());
        for style in [Style::Log, Style::Bar(hidden)] {
            let (progress, done) = (Progress::default(), CancellationToken::new());
            progress.set_done(1);
            let watching = tokio::spawn(watch(progress, "sync".to_owned(), style, Arc::new(Stopped(1, 1)), done.clone()));
            tokio::task::yield_now().await;
            done.cancel();
            tokio::time::timeout(Duration::from_secs(5), watching).await.unwrap().unwrap();
        }
    }
}
