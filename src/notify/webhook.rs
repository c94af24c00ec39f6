//! Webhooks: a JSON object by POST. Slack's and Discord's forms are known; any other can be written as a template.
use std::{collections::BTreeMap, fmt};

use reqwest::{Client, Url, header};
use serde_json::{Value, json};

use super::{
    channel::SendError,
    client,
    text::{Message, Piece},
};
use crate::{config::notify::Preset, core::value::Secret, outbound::is_here};

/// Slack cuts longer texts into several messages.
const SLACK_MAX: usize = 3_000;
/// Discord refuses longer ones.
const DISCORD_MAX: usize = 2_000;
const GENERIC_MAX: usize = 8_000;

pub(super) struct Webhook {
    client: Result<Client, String>,
    url: Secret,
    preset: Preset,
    template: Option<String>,
    headers: BTreeMap<String, Secret>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("preset", &self.preset).finish_non_exhaustive()
    }
}

impl Webhook {
    pub(super) fn new(url: &Secret, preset: Preset, template: Option<&str>, headers: &BTreeMap<String, Secret>) -> Self {
        let client = client::client(is_here(url.expose()));
        Self { client, url: url.clone(), preset, template: template.map(ToOwned::to_owned), headers: headers.clone() }
    }

    pub(super) async fn send(&self, message: &Message) -> Result<String, SendError> {
        let client = self.client.as_ref().map_err(|why| SendError::Unusable(why.clone()))?;
        let mut request = client.post(self.url()?).header(header::CONTENT_TYPE, "application/json").body(self.body(message)?);
        for (name, value) in &self.headers {
            request = request.header(name, value.expose());
        }
        let answer = client::ask(request).await?.judge(|_| None)?;
        Ok(format!("HTTP {}", answer.status))
    }

    /// There is no way to try a webhook without a message, but its host must be there.
    pub(super) async fn check(&self) -> Result<String, SendError> {
        let url = self.url()?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or(443);
        let found = tokio::net::lookup_host((host.trim_start_matches('[').trim_end_matches(']'), port)).await;
        match found.map(|mut found| found.next()) {
            Ok(Some(_)) => Ok(format!("{host} has an address; more can't be tried without a message")),
            Ok(None) | Err(_) => Err(SendError::Unreachable(format!("{host} has no address"))),
        }
    }

    fn url(&self) -> Result<Url, SendError> {
        Url::parse(self.url.expose()).map_err(|_| SendError::Unusable("`url` does not hold a URL".to_owned()))
    }

    fn body(&self, message: &Message) -> Result<String, SendError> {
        let title = &message.title;
        Ok(match (self.preset, &self.template) {
            (Preset::Slack, _) => {
                let title = calm_slack(title);
                let text = message.body(SLACK_MAX.saturating_sub(title.chars().count() + 3), calm_slack);
                json!({ "text": format!("*{title}*\n{text}") }).to_string()
            }
            (Preset::Discord, _) => {
                let title = calm_discord(title);
                let text = message.body(DISCORD_MAX.saturating_sub(title.chars().count() + 5), calm_discord);
                json!({ "content": format!("**{title}**\n{text}"), "allowed_mentions": { "parse": [] } }).to_string()
            }
            (Preset::Generic, Some(template)) => fill(template, message)?,
            (Preset::Generic, None) => json!({
                "number": message.number, "title": title, "text": message.body(GENERIC_MAX, str::to_owned), "level": message.level.word(),
                "practice": message.practice, "notices": message.pieces.iter().map(piece).collect::<Vec<_>>(),
            })
            .to_string(),
        })
    }
}

fn piece(piece: &Piece) -> Value {
    json!({
        "event": piece.event, "level": piece.level.word(), "subject": piece.subject, "text": piece.why, "run": piece.run, "count": piece.count,
        "first_at": piece.first_at.map(|at| at.to_string()), "last_at": piece.last_at.map(|at| at.to_string()),
    })
}

/// Fills a template's places, each with what can stand within a JSON text.
fn fill(template: &str, message: &Message) -> Result<String, SendError> {
    let first = message.pieces.first();
    let value = |place: &str| match place {
        "title" => message.title.clone(),
        "text" => message.body(GENERIC_MAX, str::to_owned),
        "level" => message.level.word().to_owned(),
        "event" => first.map(|piece| piece.event.to_owned()).unwrap_or_default(),
        "subject" => first.map(|piece| piece.subject.clone()).unwrap_or_default(),
        _ => String::new(),
    };
    let mut filled = String::new();
    for (number, part) in template.split("{{").enumerate() {
        let (place, rest) = if number == 0 { ("", part) } else { part.split_once("}}").unwrap_or((part, "")) };
        let escaped = Value::from(value(place.trim())).to_string();
        filled.push_str(escaped.trim_start_matches('"').strip_suffix('"').unwrap_or_default());
        filled.push_str(rest);
    }
    match serde_json::from_str::<Value>(&filled) {
        Ok(_) => Ok(filled),
        Err(error) => Err(SendError::Unusable(format!("its `template` makes no JSON: {error}"))),
    }
}

/// Nothing in a text is a link or calls anybody at Slack.
fn calm_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Nothing in a text is markup at Discord. Whom it names is not called: `allowed_mentions` sees to that.
fn calm_discord(text: &str) -> String {
    let mut calm = String::new();
    for c in text.chars() {
        if matches!(c, '*' | '_' | '~' | '|' | '[' | ']' | '\\' | '<' | '>') {
            calm.push('\\');
        }
        calm.push(c);
    }
    calm
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_stays_json_whatever_is_filled_in() {
        let message = Message::plain(7, "a \"quoted\" title\\", "line\nbreak\u{202e}");
        let filled = fill(r#"{"t": "{{title}}", "x": ["{{ text }}", "{{level}}"]}"#, &message).unwrap();
        let value: Value = serde_json::from_str(&filled).unwrap();
        assert_eq!(value["t"], "a \"quoted\" title\\");
        assert!(value["x"][0].as_str().unwrap().contains("line"), "{filled}");
        assert!(matches!(fill("{{{title}}", &message), Err(SendError::Unusable(_))));
    }

    #[test]
    fn nobody_is_called_by_a_text() {
        assert_eq!(calm_slack("<!channel> & co"), "&lt;!channel&gt; &amp; co");
        assert_eq!(calm_discord("[x](http://evil)"), "\\[x\\](http://evil)");
    }
}
