//! The HTTP client, the way to read, and the one door for writes.
//!
//! Every request has a deadline, every body a bound, no redirect is followed, and nothing that is said about a request holds a secret.
use std::{future::Future, time::Duration};

use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, ClientBuilder, Proxy, RequestBuilder, header, redirect};
use tokio_retry::{
    RetryIf,
    strategy::{ExponentialBackoff, jitter},
};

use super::{AGAIN_MAX, CallError, Concern};
use crate::{
    access::{Caller, Planned},
    core::value::Secret,
    outbound::{certificates, is_here},
    store::{
        Answer as Kept, Fence,
        shop::{Fate, Guarded, Intent, IntentId, ShopStore},
    },
    tally,
};

/// A host that is there answers a connection at once, also from the other end of the world.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The slowest call we know takes four seconds.
pub(super) const REQUEST_MAX: Duration = Duration::from_secs(30);
/// The largest answer we ask for, twenty products with twenty offers each, is half a megabyte.
const BODY_MAX: usize = 10 * 1024 * 1024;
/// What is repeated of a marketplace's own words.
const TEXT_MAX: usize = 200;
/// Repeats of a read within one attempt; longer trouble is the engine's to wait for.
const REPEATS_MAX: usize = 2;
/// A server that asks for a longer wait is not waited for within the attempt.
pub(super) const RETRY_AFTER_MAX: SignedDuration = SignedDuration::from_secs(60);
/// Nobody is left alone for longer than this because of a header: a thousand years are a mistake.
const ASKED_MAX: SignedDuration = SignedDuration::from_hours(1);

/// What Amazon asks callers to name themselves; BASE does not mind.
const USER_AGENT: &str = concat!("taskrun/", env!("CARGO_PKG_VERSION"), " (Language=Rust/", env!("CARGO_PKG_RUST_VERSION"), "; Platform=");

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: header::HeaderMap,
    pub(super) body: Vec<u8>,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The shop shows it.
    Made,
    /// It was noted in the plan: this is a dry run.
    Planned,
}

/// The way to one endpoint: through the account's proxy where it has one. A proxy that can't be reached makes its calls fail: none ever goes
/// around it.
#[derive(Clone, Debug)]
pub(super) struct Http {
    client: Result<Client, String>,
    endpoint: String,
    is_proxied: bool,
}

impl Http {
    pub(super) fn new(endpoint: &str, proxy: Option<&Secret>) -> Self {
        Self { client: client(endpoint, proxy), endpoint: endpoint.to_owned(), is_proxied: proxy.is_some() }
    }

    pub(super) fn get(&self, what: &'static str, path: &str) -> Result<RequestBuilder, CallError> {
        Ok(self.client(what)?.get(format!("{}{path}", self.endpoint)))
    }

    pub(super) fn post(&self, what: &'static str, path: &str) -> Result<RequestBuilder, CallError> {
        Ok(self.client(what)?.post(format!("{}{path}", self.endpoint)))
    }

    pub(super) fn head(&self, what: &'static str) -> Result<RequestBuilder, CallError> {
        Ok(self.client(what)?.head(&self.endpoint))
    }

    pub(super) fn put(&self, what: &'static str, path: &str) -> Result<RequestBuilder, CallError> {
        Ok(self.client(what)?.put(format!("{}{path}", self.endpoint)))
    }

    pub(super) fn patch(&self, what: &'static str, path: &str) -> Result<RequestBuilder, CallError> {
        Ok(self.client(what)?.patch(format!("{}{path}", self.endpoint)))
    }

    pub(super) fn delete(&self, what: &'static str, path: &str) -> Result<RequestBuilder, CallError> {
        Ok(self.client(what)?.delete(format!("{}{path}", self.endpoint)))
    }

    /// A request to an address that the marketplace has named. It must be an https one, unless it leads to this machine as the endpoint does.
    pub(super) fn elsewhere(&self, what: &'static str, method: reqwest::Method, url: &str) -> Result<RequestBuilder, CallError> {
        let is_safe = url.starts_with("https://") || is_here(&self.endpoint) && is_here(url);
        if !is_safe {
            return Err(CallError::Unreadable { what, status: 200, why: "it names an address that is not https".to_owned() });
        }
        Ok(self.client(what)?.request(method, url))
    }

    /// Sends a request that was made here and reads the whole answer, within the deadline and the bound.
    pub(super) async fn send(&self, what: &'static str, request: RequestBuilder) -> Result<Answer, CallError> {
        let begun = tokio::time::Instant::now();
        let ended = self.exchange(what, request).await;
        count(what, &ended, begun.elapsed());
        ended
    }

    async fn exchange(&self, what: &'static str, request: RequestBuilder) -> Result<Answer, CallError> {
        let lost = |error: &reqwest::Error| no_answer(what, error, self.is_proxied);
        let mut response = request.send().await.map_err(|error| lost(&error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| lost(&error))? {
            if BODY_MAX < body.len() + chunk.len() {
                return Err(CallError::Unreadable { what, status, why: format!("it is longer than {BODY_MAX} bytes") });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    fn client(&self, what: &'static str) -> Result<&Client, CallError> {
        self.client.as_ref().map_err(|why| CallError::NoClient { what, why: why.clone() })
    }
}

/// Counts a request: `Amazon's login` is the operation `login` of the service `amazon`.
fn count(what: &'static str, ended: &Result<Answer, CallError>, took: Duration) {
    let (service, operation) = what.split_once("'s ").unwrap_or(("other", what));
    let service = service.trim_start_matches("a ").to_ascii_lowercase();
    tally::OUTBOUND.count_one_of(&tally::CALLS, &[&service, operation], outcome(ended), OUTCOMES);
    if ended.is_ok() {
        tally::OUTBOUND.took(&tally::CALL_TOOK, &[&service, operation], took);
    }
}

/// What may become of a request on the wire.
const OUTCOMES: &[&str] = &["ok", "forbidden", "too_many", "refused", "unwell", "unreachable", "no_answer"];

/// What became of a request on the wire.
fn outcome(ended: &Result<Answer, CallError>) -> &'static str {
    match ended {
        Ok(Answer { status: 401 | 403, .. }) => "forbidden",
        Ok(Answer { status: 429, .. }) => "too_many",
        Ok(Answer { status: 400..=499, .. }) => "refused",
        Ok(Answer { status: 500.., .. }) => "unwell",
        Ok(_) => "ok",
        Err(CallError::NoAnswer { sent: false, .. }) => "unreachable",
        Err(_) => "no_answer",
    }
}

fn client(endpoint: &str, proxy: Option<&Secret>) -> Result<Client, String> {
    certificates::build(|| builder(endpoint, proxy))
}

fn builder(endpoint: &str, proxy: Option<&Secret>) -> Result<ClientBuilder, String> {
    let builder = Client::builder()
        .user_agent(format!("{USER_AGENT}{})", std::env::consts::OS))
        .connect_timeout(CONNECT_MAX)
        .timeout(REQUEST_MAX)
        .redirect(redirect::Policy::none())
        .pool_max_idle_per_host(4);
    match proxy {
        Some(proxy) => {
            let proxy = Proxy::all(proxy.expose()).map_err(|_| "its `proxy` is not the URL of a proxy".to_owned())?;
            Ok(builder.no_proxy().proxy(proxy))
        }
        // The practice marketplace is on this machine, where no proxy would find it.
        None if is_here(endpoint) => Ok(builder.no_proxy()),
        None => Ok(builder),
    }
}

fn no_answer(what: &'static str, error: &reqwest::Error, is_proxied: bool) -> CallError {
    let sent = !error.is_connect() && !error.is_builder();
    // Else the marketplace would seem to be down; the proxy's URL may hold a password.
    let through = if is_proxied { " through the account's proxy" } else { "" };
    let why = match (error.is_connect(), error.is_timeout()) {
        (true, true) => format!("no connection{through} within {} s", CONNECT_MAX.as_secs()),
        (true, false) => format!("no connection{through}: {}", certificates::deepest(error)),
        (false, true) => format!("no answer{through} within {} s", REQUEST_MAX.as_secs()),
        (false, false) => format!("the connection{through} broke: {}", certificates::deepest(error)),
    };
    CallError::NoAnswer { what, why, sent }
}

/// A text as one part of a path.
pub(super) fn path_part(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// The marketplace's own words, short, on one line and without the secrets that it may have repeated.
pub(super) fn said(text: &str, secrets: &[&Secret]) -> String {
    let clean = secrets.iter().fold(text.to_owned(), |text, secret| secret.scrub(&text));
    let line: String = clean.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_MAX).collect();
    line.trim().to_owned()
}

/// An answer that is no JSON of the expected shape: a page of HTML, a broken body.
pub(super) fn unreadable(what: &'static str, answer: &Answer) -> CallError {
    if answer.status >= 500 {
        return CallError::Unwell { what, status: answer.status, text: String::new(), retry_after: retry_after(answer) };
    }
    let is_html = answer.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let why =
        if is_html { "it is a page of HTML".to_owned() } else { format!("{} bytes that are not what was expected", answer.body.len()) };
    CallError::Unreadable { what, status: answer.status, why }
}

/// What the server asked for, in seconds or as a date seen from its own clock; an hour at most.
pub(super) fn retry_after(answer: &Answer) -> Option<SignedDuration> {
    let text = answer.headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX)).min(ASKED_MAX));
    }
    let date = |text: &str| jiff::fmt::rfc2822::parse(text).ok().map(|date| date.timestamp());
    let sent: Option<Timestamp> = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok()).and_then(date);
    Some(date(text)?.duration_since(sent?).clamp(SignedDuration::ZERO, ASKED_MAX))
}

/// Makes a call that changes nothing, and repeats it a few times while that can help.
pub(super) async fn read<T, F>(caller: &Caller, mut call: impl FnMut() -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    let (mut refusals, mut rests) = (0, 0);
    loop {
        let delays = ExponentialBackoff::from_millis(2).factor(250).map(jitter).take(REPEATS_MAX);
        let helps = |error: &CallError| {
            let is_dealt_with = matches!(error, CallError::Again { .. }) || rest_of(error, caller).is_positive();
            error.concern() == Concern::Call && !is_dealt_with
        };
        let attempt = RetryIf::start(delays, &mut call, helps);
        let ended = caller.cancel.run_until_cancelled(attempt).await.ok_or(CallError::Cancelled)?;
        match ended {
            Err(refusal) if refusals < AGAIN_MAX && refusal.is_worth_another(caller.now()) => {
                refusals += 1;
                rest(rest_of(&refusal, caller), caller).await?;
            }
            Err(error) if rests < REPEATS_MAX && error.concern() == Concern::Call && is_short(rest_of(&error, caller)) => {
                rests += 1;
                rest(rest_of(&error, caller), caller).await?;
            }
            ended => return ended,
        }
    }
}

/// How long the other side wants to be left alone.
fn rest_of(error: &CallError, caller: &Caller) -> SignedDuration {
    error.retry_after(caller.now()).unwrap_or(SignedDuration::ZERO)
}

fn is_short(rest: SignedDuration) -> bool {
    rest.is_positive() && rest <= RETRY_AFTER_MAX
}

async fn rest(rest: SignedDuration, caller: &Caller) -> Result<(), CallError> {
    if rest.is_positive() { caller.cancel.run_until_cancelled(caller.clock.sleep(rest)).await.ok_or(CallError::Cancelled) } else { Ok(()) }
}

/// Where a write is written down before it is made, and its fate after.
pub(super) trait Trace {
    fn open(&self, fence: Fence, at: Timestamp) -> Kept<Guarded<IntentId>>;
    fn settle(&self, fence: Fence, id: IntentId, fate: Fate, at: Timestamp) -> Kept<Guarded<()>>;
}

/// An edit of an item.
pub(super) struct EditTrace<'a> {
    pub(super) store: &'a dyn ShopStore,
    pub(super) intent: &'a Intent,
}

impl Trace for EditTrace<'_> {
    fn open(&self, fence: Fence, at: Timestamp) -> Kept<Guarded<IntentId>> {
        self.store.open_intent(fence, self.intent.clone(), at)
    }

    fn settle(&self, fence: Fence, id: IntentId, fate: Fate, at: Timestamp) -> Kept<Guarded<()>> {
        self.store.settle_intent(fence, id, fate, at)
    }
}

/// The one door for writes: in a dry run the write is noted, and nothing goes out. Else its intent is recorded under the run's fence, it is made,
/// and its fate is written down.
///
/// `prepare` waits for whatever must be had first (a token, a place in the quota), so that nothing stands between the store's answer and the
/// request. `send` is never broken off: a run that is told to stop finishes the item in hand.
pub(super) async fn write<R, P, S>(
    caller: &Caller,
    trace: &impl Trace,
    planned: Planned,
    mut prepare: impl FnMut() -> P,
    mut send: impl FnMut(R) -> S,
) -> Result<Written, CallError>
where
    P: Future<Output = Result<R, CallError>>,
    S: Future<Output = Result<(), CallError>>,
{
    let Some(fence) = caller.access.permit(|| planned) else { return Ok(Written::Planned) };
    let mut refusals = 0;
    loop {
        let ready = caller.cancel.run_until_cancelled(prepare()).await.ok_or(CallError::Cancelled)??;
        let Guarded::Done(id) = trace.open(fence.clone(), caller.now()).await? else {
            return Err(CallError::Fenced);
        };
        let outcome = send(ready).await;
        let fate = match outcome {
            Ok(()) => Fate::Made,
            Err(cause) if cause.may_have_been_made() => return Err(CallError::Uncertain { intent: id, cause: Box::new(cause) }),
            Err(_) => Fate::NotMade,
        };
        if trace.settle(fence.clone(), id, fate, caller.now()).await? == Guarded::Fenced {
            return Err(CallError::Fenced);
        }
        match outcome {
            Err(refusal) if refusals < AGAIN_MAX && refusal.is_worth_another(caller.now()) => refusals += 1,
            ended => return ended.map(|()| Written::Made),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(headers: &[(header::HeaderName, &str)]) -> Answer {
        let headers = headers.iter().map(|(name, value)| (name.clone(), header::HeaderValue::from_str(value).unwrap())).collect();
        Answer { status: 503, headers, body: Vec::new() }
    }

    #[test]
    fn retry_after_is_read_in_seconds_and_as_a_date() {
        let seconds = |headers: &[_]| retry_after(&answer(headers)).map(|duration| duration.as_secs());
        assert_eq!(seconds(&[(header::RETRY_AFTER, "120")]), Some(120));
        assert_eq!(
            seconds(&[(header::RETRY_AFTER, "Mon, 30 Mar 2026 00:01:00 GMT"), (header::DATE, "Mon, 30 Mar 2026 00:00:00 GMT")]),
            Some(60)
        );
        assert_eq!(
            seconds(&[(header::RETRY_AFTER, "Mon, 30 Mar 2026 00:01:00 GMT")]),
            None,
            "a date says nothing without the server's own"
        );
        assert_eq!(seconds(&[(header::RETRY_AFTER, "31536000000")]), Some(3600), "a thousand years are not obeyed");
        assert_eq!(
            seconds(&[(header::RETRY_AFTER, "Mon, 30 Mar 2026 09:00:00 GMT"), (header::DATE, "Mon, 30 Mar 2026 00:00:00 GMT")]),
            Some(3600)
        );
        assert_eq!(seconds(&[(header::RETRY_AFTER, "-5")]), None);
        assert_eq!(seconds(&[]), None);
    }

    #[test]
    fn what_a_marketplace_said_is_short_and_holds_no_secret() {
        let token = Secret::new("Atza|canary");
        assert_eq!(said("bad token Atza|canary\nline 2", &[&token]), "bad token *** line 2");
        assert_eq!(said(&"あ".repeat(1000), &[]).chars().count(), TEXT_MAX);
    }

    #[test]
    fn what_became_of_a_request_is_one_of_a_few_words() {
        let with = |status| outcome(&Ok(Answer { status, headers: header::HeaderMap::new(), body: Vec::new() }));
        let words = [200, 304, 403, 404, 429, 500, 599].map(with);
        assert_eq!(words, ["ok", "ok", "forbidden", "refused", "too_many", "unwell", "unwell"]);
        let lost = |sent| outcome(&Err(CallError::NoAnswer { what: "BASE's item", why: String::new(), sent }));
        assert_eq!([lost(false), lost(true)], ["unreachable", "no_answer"]);
    }

    #[test]
    fn only_this_machine_is_reached_without_the_systems_proxy() {
        for (endpoint, here) in [
            ("http://127.0.0.1:9", true),
            ("http://[::1]:9", true),
            ("http://localhost", true),
            ("https://api.thebase.in", false),
            ("", false),
        ] {
            assert_eq!(is_here(endpoint), here, "{endpoint}");
        }
    }

    #[test]
    fn a_client_is_built_with_and_without_a_proxy() {
        client("https://api.thebase.in", None).unwrap();
        client("https://api.thebase.in", Some(&Secret::new("socks5h://user:canary@127.0.0.1:1"))).err().into_iter().for_each(|why| {
            assert!(!why.contains("canary"), "{why}");
        });
        let why = client("https://api.thebase.in", Some(&Secret::new("http://user:canary@[bad"))).unwrap_err();
        assert!(!why.contains("canary"), "{why}");
    }

    #[test]
    fn a_text_stays_one_part_of_the_path() {
        assert_eq!(path_part("m123-a_b.c~"), "m123-a_b.c~");
        assert_eq!(path_part("../admin?x=1#y"), "..%2Fadmin%3Fx%3D1%23y");
        assert_eq!(path_part("水"), "%E6%B0%B4");
    }
}
