//! Chatwork: a message to a room, `GET /me` to try the token.
use std::fmt;

use reqwest::Client;
use serde::Deserialize;

use super::{
    channel::SendError,
    client::{self, Answer},
    text::Message,
};
use crate::{core::value::Secret, outbound::is_here};

/// Chatwork takes more; beyond, nobody reads.
const CHARS_MAX: usize = 2_000;
const TOKEN: &str = "x-chatworktoken";

pub(super) struct Chatwork {
    client: Result<Client, String>,
    endpoint: String,
    room: String,
    token: Secret,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct Posted {
    message_id: String,
}

#[derive(Deserialize)]
struct Me {
    name: String,
}

impl fmt::Debug for Chatwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chatwork").field("endpoint", &self.endpoint).field("room", &self.room).finish_non_exhaustive()
    }
}

impl Chatwork {
    pub(super) fn new(endpoint: &str, room: &str, token: &Secret) -> Self {
        Self { client: client::client(is_here(endpoint)), endpoint: endpoint.to_owned(), room: room.to_owned(), token: token.clone() }
    }

    pub(super) async fn send(&self, message: &Message) -> Result<String, SendError> {
        let frame = "[info][title][/title][/info]".len();
        let title = calm(&message.title);
        let text = message.body(CHARS_MAX.saturating_sub(frame + title.chars().count()), calm);
        let body = format!("[info][title]{title}[/title]{text}[/info]");
        let request = self.client()?.post(format!("{}/v2/rooms/{}/messages", self.endpoint, self.room));
        // Unread for the account that writes, too: it may be the one of the person who is to read.
        let request = request.header(TOKEN, self.token.expose()).form(&[("body", body.as_str()), ("self_unread", "1")]);
        let answer = self.judge(client::ask(request).await?)?;
        let posted =
            serde_json::from_str::<Posted>(&answer.body).map_err(|_| SendError::NoAnswer("what came back is not Chatwork's".to_owned()))?;
        Ok(format!("message {} in room {}", posted.message_id, self.room))
    }

    pub(super) async fn check(&self) -> Result<String, SendError> {
        let request = self.client()?.get(format!("{}/v2/me", self.endpoint)).header(TOKEN, self.token.expose());
        let answer = self.judge(client::ask(request).await?)?;
        let me = serde_json::from_str::<Me>(&answer.body).map_err(|_| SendError::Unwell("what came back is not Chatwork's".to_owned()))?;
        Ok(format!("the token is {}'s", super::text::visible(&me.name)))
    }

    fn client(&self) -> Result<&Client, SendError> {
        self.client.as_ref().map_err(|why| SendError::Unusable(why.clone()))
    }

    /// Without a `Retry-After`: it says when its five minutes end; a room's ten seconds are said nowhere.
    fn judge(&self, answer: Answer) -> Result<Answer, SendError> {
        let is_used_up = answer.headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        let reset = answer.instant("x-ratelimit-reset").filter(|_| is_used_up);
        let said = |answer: &Answer| serde_json::from_str::<Errors>(&answer.body).ok().map(|said| said.errors.join(" "));
        answer.judge(said).map_err(|error| match error {
            SendError::Limited { why, wait, .. } => SendError::Limited { why: self.token.scrub(&why), wait, until: reset },
            error => error,
        })
    }
}

/// Nothing in a text is a tag of Chatwork's: an error that says `[toall]` calls nobody.
fn calm(text: &str) -> String {
    text.replace('[', "［").replace(']', "］")
}
