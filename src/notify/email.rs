//! E-mail by SMTP.
use std::error::Error as _;

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor,
    message::{Mailbox, header::ContentType},
    transport::smtp::{
        Error,
        authentication::Credentials,
        client::{Tls as Connection, TlsParameters},
    },
};

use super::{
    channel::{SEND_MAX, SendError},
    text::{Message, visible},
};
use crate::{config::notify::Tls, core::value::Secret};

/// A mail is as long as somebody reads.
const CHARS_MAX: usize = 20_000;

#[derive(Debug)]
pub(super) struct Email {
    transport: Result<AsyncSmtpTransport<Tokio1Executor>, String>,
    server: String,
    from: String,
    to: Vec<String>,
}

impl Email {
    pub(super) fn new((host, port): (&str, Option<u16>), tls: Tls, login: Option<&(String, Secret)>, from: &str, to: &[String]) -> Self {
        let port = port.unwrap_or_else(|| tls.port());
        let transport = parameters(host).map(|parameters| {
            let connection = match tls {
                Tls::Starttls => Connection::Required(parameters),
                Tls::Implicit => Connection::Wrapper(parameters),
                Tls::None => Connection::None,
            };
            let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host).port(port).tls(connection).timeout(Some(SEND_MAX));
            match login {
                Some((name, password)) => builder.credentials(Credentials::new(name.clone(), password.expose().to_owned())).build(),
                None => builder.build(),
            }
        });
        Self { transport, server: format!("{host}:{port}"), from: from.to_owned(), to: to.to_vec() }
    }

    pub(super) async fn send(&self, message: &Message) -> Result<String, SendError> {
        let mail = self.mail(message)?;
        let response = self.transport()?.send(mail).await.map_err(|error| judge(&error))?;
        let said: Vec<&str> = response.message().collect();
        Ok(format!("{} took it: {}", self.server, visible(&said.join(" "))))
    }

    /// Connects, greets, logs in and asks for nothing.
    pub(super) async fn check(&self) -> Result<String, SendError> {
        match self.transport()?.test_connection().await {
            Ok(true) => Ok(format!("{} lets us in", self.server)),
            Ok(false) => Err(SendError::Unwell(format!("{} does not answer as mail servers do", self.server))),
            Err(error) => Err(judge(&error)),
        }
    }

    fn mail(&self, message: &Message) -> Result<Mail, SendError> {
        let address = |text: &str| text.parse::<Mailbox>().map_err(|error| SendError::Unusable(format!("`{}`: {error}", visible(text))));
        let mut mail = Mail::builder().from(address(&self.from)?).subject(message.title.clone()).header(ContentType::TEXT_PLAIN);
        for to in &self.to {
            mail = mail.to(address(to)?);
        }
        mail.body(message.body(CHARS_MAX, str::to_owned)).map_err(|error| SendError::Unusable(error.to_string()))
    }

    fn transport(&self) -> Result<&AsyncSmtpTransport<Tokio1Executor>, SendError> {
        self.transport.as_ref().map_err(|why| SendError::Unusable(why.clone()))
    }
}

fn parameters(host: &str) -> Result<TlsParameters, String> {
    TlsParameters::new(host.to_owned()).map_err(|error| crate::errors::chain(&error))
}

/// What a failure means. The causes are told, but not the login.
fn judge(error: &Error) -> SendError {
    let why = visible(&crate::errors::chain(error));
    let of_network = error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    if error.is_permanent() || error.is_client() {
        SendError::Refused(why)
    } else if error.is_transient() {
        SendError::Unwell(why)
    } else if error.is_timeout() || of_network && !error.to_string().contains("onnection error") {
        SendError::NoAnswer(why)
    } else {
        SendError::Unreachable(why)
    }
}
