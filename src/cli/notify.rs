//! `taskrun notify`: whether the channels work, and what people were told or are to be.
use serde::Serialize;

use super::{
    exit::{Exit, Failure},
    place::Place,
    presence::{Presence, Role},
    text::{self, BAD, Cell, DIM, GOOD, ODD},
};
use crate::{
    config::Config,
    store::notices::{NoticeRow, Outbox as _},
    view::notices::NoticesView,
};

/// Who is told what: try the channels, see what was told
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun notify test")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Test(TestArgs),
    List(ListArgs),
}

/// Send a test message; exit code 1 if a channel does not take it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun notify test chatwork")]
struct TestArgs {
    /// One channel; otherwise all that are enabled
    #[arg(value_name = "CHANNEL")]
    channel: Option<String>,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// What happened that people hear of, newest first, and what each channel has told of it
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: taskrun notify list -n 20")]
struct ListArgs {
    /// How many at most
    #[arg(short, value_name = "N", default_value_t = 50)]
    n: u32,
    /// One JSON document
    #[arg(long)]
    json: bool,
}

/// What a channel said to a test message, as JSON; stable.
#[derive(Debug, Serialize)]
struct TestView {
    channel: String,
    taken: bool,
    /// What it answered, or why it took nothing.
    answer: String,
}

pub(crate) async fn run(args: Args, place: &Place) -> Result<Exit, Failure> {
    match args.command {
        Command::Test(args) => test(args, place).await,
        Command::List(args) => list(&args, place).await,
    }
}

async fn test(args: TestArgs, place: &Place) -> Result<Exit, Failure> {
    let mut config = place.load()?;
    let presence = Presence::begin(Role::Once, &mut config, place).await?;
    let host = crate::os::host_name();
    let tested = match known(&config, args.channel.as_deref()) {
        Ok(()) => Ok(presence.post.test(args.channel.as_deref(), &host).await),
        Err(failure) => Err(failure),
    };
    presence.end(true).await?;
    let view = |tested: crate::notify::Tested| {
        let taken = tested.result.is_ok();
        TestView { channel: tested.channel.to_string(), taken, answer: tested.result.unwrap_or_else(|why| why) }
    };
    let views: Vec<TestView> = tested?.into_iter().map(view).collect();
    if args.json {
        place.screen.json(&views)?;
    } else {
        let header = ["# channel", "took it", "answer"].map(|title| Cell::new(title, DIM));
        let row = |view: &TestView| {
            let taken = if view.taken { Cell::new("yes", GOOD) } else { Cell::new("no", BAD) };
            [view.channel.as_str().into(), taken, text::one_line(&view.answer).into()]
        };
        place.screen.data(&text::table(&std::iter::once(header).chain(views.iter().map(row)).collect::<Vec<_>>()))?;
    }
    Ok(if views.iter().all(|view| view.taken) { Exit::Done } else { Exit::Failed })
}

/// Refuses a channel that there is not, or that is not used.
fn known(config: &Config, name: Option<&str>) -> Result<(), Failure> {
    let channels = &config.notify.channels;
    let Some(name) = name else {
        return if channels.iter().any(|channel| channel.enabled) {
            Ok(())
        } else {
            Err(Failure::usage("there is no channel that is enabled").advise("tasks.yaml names them under `notify:`"))
        };
    };
    match channels.iter().find(|channel| &*channel.name == name) {
        Some(channel) if channel.enabled => Ok(()),
        Some(_) => {
            Err(Failure::usage(format!("the channel `{name}` is not enabled")).advise("write `enabled: true` under it in tasks.yaml"))
        }
        None => {
            let names: Vec<&str> = channels.iter().map(|channel| &*channel.name).collect();
            let advice =
                if names.is_empty() { "tasks.yaml has none under `notify:`".to_owned() } else { format!("there is {}", names.join(", ")) };
            Err(Failure::usage(format!("there is no channel `{name}`")).advise(advice))
        }
    }
}

async fn list(args: &ListArgs, place: &Place) -> Result<Exit, Failure> {
    let (channels, notices) = match place.existing_store().await? {
        Some(store) => (store.channels().await?, store.notices(args.n).await?),
        None => Default::default(),
    };
    if args.json {
        place.screen.json(&NoticesView::of(&channels, &notices))?;
        return Ok(Exit::Done);
    }
    let times = place.times(place.now()?);
    let header = ["# level", "event", "subject", "times", "last", "told", "text"].map(|title| Cell::new(title, DIM));
    let row = |row: &NoticeRow| {
        let told = &row.told;
        let style = match told.notice.level {
            _ if told.over => DIM,
            crate::notify::Level::Alert => BAD,
            crate::notify::Level::Warning => ODD,
            crate::notify::Level::Info => DIM,
        };
        [
            Cell::new(told.notice.level.word(), style),
            told.notice.event.word().into(),
            text::one_line(&told.notice.subject).into(),
            told.count.to_string().into(),
            times.dated(told.last).into(),
            sends(row).into(),
            text::one_line(&told.notice.text).into(),
        ]
    };
    place.screen.data(&text::table(&std::iter::once(header).chain(notices.iter().map(row)).collect::<Vec<_>>()))?;
    for channel in &channels {
        let state = match &channel.failing {
            Some((since, why)) => format!("takes no messages since {}: {}", times.dated(*since), text::one_line(why)),
            None => "in order".to_owned(),
        };
        place.screen.say(&format!(
            "{}: {}, {state}",
            channel.name,
            text::counted(usize::try_from(channel.sent).unwrap_or_default(), "message")
        ));
    }
    Ok(Exit::Done)
}

/// What each channel has told: `chatwork 1/12` has eleven to tell yet.
fn sends(row: &NoticeRow) -> String {
    if row.sends.is_empty() {
        return "-".to_owned();
    }
    let one = |(channel, told, _, doubtful): &(std::sync::Arc<str>, u32, _, bool)| {
        let doubt = if *doubtful { "?" } else { "" };
        format!("{channel} {told}/{}{doubt}", row.told.count)
    };
    row.sends.iter().map(one).collect::<Vec<_>>().join(", ")
}
