//! Looking at one thing: the number seen if it is well, else what is wrong and what to do.
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;

use super::{Check, only};
use crate::{
    core::{
        task::InstanceName,
        value::{Params, Secret},
    },
    errors::chain,
    handlers::{
        AttemptContext, Handler as _, HandlerError,
        command::Command,
        expect::{self, Expect, Unexpected},
    },
    marketplace::refresh_lives,
    os::free_space,
    outbound::{CallFault, Outbound, Request},
    shop::{product::Platform, upload::Work},
    store::{
        StoreError,
        inspect::{Depth, Inspect},
        shop::{AccountKey, ShopStore},
    },
};

/// Of the listed products whose offers may be older than `data_age`, in hundredths: some are never answered for.
const OLD_MAX: u32 = 5;
const BODY_MAX: usize = 1_000_000;

/// All that is looked at.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) command: Command,
    pub(super) outbound: Outbound,
    pub(super) shop: Arc<dyn ShopStore>,
    pub(super) store: Arc<dyn Inspect>,
    /// The enabled ones.
    pub(super) accounts: BTreeMap<Arc<str>, Platform>,
    pub(super) instances: Vec<InstanceName>,
}

type Said = Result<String, String>;

impl Look {
    pub(super) async fn at(&self, ctx: &AttemptContext, check: &Check, index: usize, limit: Duration) -> Said {
        if check.what == "command" {
            // It is stopped with all that it started, which takes a moment.
            return command(&self.command, ctx, check, index, limit).await;
        }
        let looked = async {
            let params = &check.params;
            match check.what {
                "url" => self.url(params, limit).await,
                "queue" => self.queue(ctx, params).await.unwrap_or_else(|error| unread(&error)),
                "data_age" => self.data_age(ctx, params).await.unwrap_or_else(|error| unread(&error)),
                "disk" => disk(ctx, params).await,
                "store" => self.whole().await.unwrap_or_else(|error| unread(&error)),
                "tokens" => self.tokens(ctx, params).await.unwrap_or_else(|error| unread(&error)),
                "task" => self.task(ctx, params).await.unwrap_or_else(|error| unread(&error)),
                _ => Ok("nothing to look at".to_owned()),
            }
        };
        tokio::time::timeout(limit, looked)
            .await
            .unwrap_or_else(|_| Err(format!("it took longer than {limit:?}; raise its `timeout` or see what holds it up")))
    }

    async fn url(&self, params: &Params, limit: Duration) -> Said {
        let (url, secrets) = params.exposed("url").unwrap_or(("", &[]));
        let secrets: Vec<Secret> = secrets.to_vec();
        let request =
            Request { method: Method::GET, url: url.to_owned(), headers: Vec::new(), body: None, timeout: limit, body_max: BODY_MAX };
        let reply = match self.outbound.call(&request).await {
            Ok(reply) => reply,
            Err(CallFault::Practice) => return Ok("practice: nobody outside is called".to_owned()),
            Err(fault) => return Err(expect::mask(&fault.to_string(), &secrets)),
        };
        match Expect::read(params).judge(&reply) {
            Ok(()) => Ok(format!("it answers {}", reply.status)),
            Err(Unexpected::Status(why) | Unexpected::Body(why)) => {
                Err(format!("{}: {}", expect::mask(&why, &secrets), expect::beginning(&reply.body, &secrets)))
            }
        }
    }

    async fn queue(&self, ctx: &AttemptContext, params: &Params) -> Result<Said, StoreError> {
        let Some(work) = params.text("queue").and_then(Work::from_word) else { return Ok(Err("there is no such work".to_owned())) };
        let now = ctx.clock.now().wall;
        let Depth { due, oldest, dead } = self.store.depth(work, params.text("account").map(Arc::from), now).await?;
        let age = oldest.map(|oldest| now.duration_since(oldest)).unwrap_or_default();
        let over = |key: &str, seen: u32| params.int(key).and_then(|most| u32::try_from(most).ok()).filter(|most| *most < seen);
        let mut wrong = Vec::new();
        if let Some(most) = over("max_due", due) {
            wrong.push(format!("{due} items are due, at most {most} should be; is its task enabled, and its account not parked?"));
        }
        if let Some(most) = params.duration("max_age").filter(|most| *most < age) {
            wrong.push(format!("the oldest item is due for {}, at most {most:#} it should be; `taskrun explain` its task", rough(age)));
        }
        if let Some(most) = over("max_dead", dead) {
            wrong.push(format!(
                "{dead} items wait for a person, at most {most} should; `taskrun {} dead list`",
                if work == Work::Upload { "queue" } else { "work" }
            ));
        }
        Ok(if wrong.is_empty() { Ok(format!("{due} due, {dead} for a person")) } else { Err(wrong.join(", ")) })
    }

    async fn data_age(&self, ctx: &AttemptContext, params: &Params) -> Result<Said, StoreError> {
        let most = params.duration("data_age").unwrap_or_default();
        let now = ctx.clock.now().wall;
        let age = self.shop.data_age(now.saturating_sub(most).unwrap_or(Timestamp::MIN)).await?;
        let oldest = age.oldest.map_or_else(|| "never read".to_owned(), |oldest| rough(now.duration_since(oldest)));
        if u64::from(age.older).saturating_mul(100) > u64::from(age.listed).saturating_mul(OLD_MAX.into()) {
            let (older, listed, never) = (age.older, age.listed, age.never);
            return Ok(Err(format!(
                "the offers of {older} of {listed} listed products are older than {most:#} ({never} never read, the oldest {oldest}); `taskrun explain sync_inventory`"
            )));
        }
        Ok(Ok(format!("{} of {} products are older, the oldest {oldest}", age.older, age.listed)))
    }

    /// That it takes a write is seen when the run keeps what it found.
    async fn whole(&self) -> Result<Said, StoreError> {
        let faults = self.store.check_file().await?;
        Ok(if faults.is_empty() {
            Ok("it is whole".to_owned())
        } else {
            Err(format!("it is damaged: {}; stop taskrun, keep the file, and `taskrun restore` a backup", faults.join(", ")))
        })
    }

    async fn tokens(&self, ctx: &AttemptContext, params: &Params) -> Result<Said, StoreError> {
        let least = params.duration("tokens").unwrap_or_default();
        let now = ctx.clock.now().wall;
        let (mut wrong, mut soonest) = (Vec::new(), None::<SignedDuration>);
        for (account, platform) in &self.accounts {
            let Some(token) = self.shop.token(AccountKey { platform: *platform, account: Arc::clone(account) }, None).await? else {
                continue;
            };
            let login = format!("`taskrun accounts login {account}`");
            if let Some(why) = token.refused {
                wrong.push(format!("the login of {account} was refused ({why}); {login}"));
                continue;
            }
            let ends = token.refreshed_at.zip(refresh_lives(*platform)).and_then(|(at, lives)| at.checked_add(lives).ok());
            let Some(left) = ends.map(|ends| ends.duration_since(now)) else { continue };
            soonest = soonest.into_iter().chain([left]).min();
            if left < least {
                let when = if left.is_positive() { format!("ends in {}", rough(left)) } else { "has ended".to_owned() };
                wrong.push(format!("the login of {account} {when}; `taskrun once refresh_tokens`, else {login}"));
            }
        }
        Ok(if wrong.is_empty() {
            Ok(soonest.map_or_else(|| "no login ends".to_owned(), |left| format!("the next login ends in {}", rough(left))))
        } else {
            Err(wrong.join(", "))
        })
    }

    async fn task(&self, ctx: &AttemptContext, params: &Params) -> Result<Said, StoreError> {
        let name = params.text("task").unwrap_or("");
        let most = params.duration("max_since_success").unwrap_or_default();
        let now = ctx.clock.now().wall;
        let is_meant =
            |instance: &&InstanceName| instance.as_str() == name || instance.as_str().split_once('@').is_some_and(|(task, _)| task == name);
        let meant: Vec<_> = self.instances.iter().filter(is_meant).cloned().collect();
        if meant.is_empty() {
            return Ok(Err("the file has no such task; `taskrun list`".to_owned()));
        }
        let ends = self.store.last_successes(meant.clone()).await?;
        let (mut wrong, mut longest) = (Vec::new(), SignedDuration::ZERO);
        for instance in meant {
            match ends.iter().find(|end| end.instance == instance).map(|end| now.duration_since(end.ended_at)) {
                Some(since) if since <= most => longest = longest.max(since),
                Some(since) => wrong.push(format!(
                    "{instance} succeeded {} ago, at most {most:#} it should be; `taskrun explain {instance}`",
                    rough(since)
                )),
                None => wrong.push(format!("{instance} has never succeeded; `taskrun history {instance}`")),
            }
        }
        Ok(if wrong.is_empty() { Ok(format!("it succeeded {} ago", rough(longest))) } else { Err(wrong.join(", ")) })
    }
}

fn unread(error: &StoreError) -> Said {
    Err(format!("the store can't be read: {}", chain(error)))
}

/// Runs a program as the handler `command` would, under a limit of its own.
async fn command(handler: &Command, ctx: &AttemptContext, check: &Check, index: usize, limit: Duration) -> Said {
    let mut params = only(&check.params, &[]);
    params.0.insert("run".into(), crate::core::value::Value::List(check.params.list("command").to_vec()));
    let cancel = ctx.cancel.child_token();
    // Programs of one attempt run side by side: each has a marker of its own, so that the end of one does not sweep away another.
    let attempt = ctx.attempt.saturating_mul(1_000).saturating_add(u32::try_from(index).unwrap_or(0));
    let inner = AttemptContext { params, cancel: cancel.clone(), attempt, progress: crate::access::Progress::default(), ..ctx.clone() };
    let mut run = handler.run(&inner);
    let ended = tokio::select! {
        ended = &mut run => ended,
        () = tokio::time::sleep(limit) => {
            cancel.cancel();
            drop(run.await);
            return Err(format!("it was stopped after {limit:?}; raise its `timeout` or see what holds it up"));
        }
    };
    match ended {
        Ok(report) => Ok(if report.summary.is_empty() { "it ended well".to_owned() } else { report.summary }),
        Err(HandlerError::Cancelled) => Err("it was stopped".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

async fn disk(ctx: &AttemptContext, params: &Params) -> Said {
    let path = ctx.base_dir.join(params.text("disk").unwrap_or("."));
    let least = params.size("min_free").unwrap_or(0);
    let shown = path.display().to_string();
    // A network disk that is gone answers nobody.
    let asked = tokio::task::spawn_blocking(move || free_space(&path)).await;
    let free = match asked {
        Ok(Ok(free)) => free,
        Ok(Err(error)) => return Err(format!("`{shown}` can't be looked at: {error}")),
        Err(_) => return Err(format!("`{shown}` can't be looked at")),
    };
    let room = format!("{} MB are free at `{shown}`", free / 1_000_000);
    if free < least {
        Err(format!("{room}, at least {} MB should be; `taskrun once cleanup`, or a larger disk", least / 1_000_000))
    } else {
        Ok(room)
    }
}

/// `12 d`, `3 h` within the first two days, `5 min` within the first two hours.
fn rough(length: SignedDuration) -> String {
    match length.as_mins() {
        minutes @ ..120 => format!("{minutes} min"),
        minutes @ ..2880 => format!("{} h", minutes / 60),
        minutes => format!("{} d", minutes / 1440),
    }
}
