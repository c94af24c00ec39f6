//! E-mail, against a mail server of a few lines.
use std::sync::{Arc, Mutex};

use taskrun::{
    notify::{Event, Level},
    store::notices::Outbox as _,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::bench::*;

/// What the server was told: each line of each connection.
type Heard = Arc<Mutex<Vec<String>>>;

/// Serves mail. `refuses` is answered to whatever comes after a greeting.
async fn mail_server(refuses: Option<&'static str>) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, heard) = (listener.local_addr().unwrap().port(), Heard::default());
    let ears = Arc::clone(&heard);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&ears), refuses));
        }
    });
    (port, heard)
}

async fn serve(stream: TcpStream, heard: Heard, refuses: Option<&'static str>) -> std::io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    write.write_all(b"220 mail.example ESMTP\r\n").await?;
    let mut in_data = false;
    while let Some(line) = lines.next_line().await? {
        heard.lock().unwrap().push(line.clone());
        let answer = match line.split(' ').next().unwrap_or_default() {
            "." if in_data => {
                in_data = false;
                "250 2.0.0 queued as 42"
            }
            _ if in_data => continue,
            "EHLO" => "250-mail.example\r\n250 AUTH PLAIN LOGIN",
            "QUIT" => "221 bye",
            _ if refuses.is_some() => refuses.unwrap_or_default(),
            "AUTH" => "235 in",
            "DATA" => {
                in_data = true;
                "354 go on"
            }
            _ => "250 ok",
        };
        write.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

fn mail(port: u16) -> String {
    format!(
        "  language: ja\n  email: {{ smtp: \"localhost:{port}\", tls: none, username: shop, password: \"${{PASSWORD}}\", from: \"taskrun <taskrun@example.com>\", \
         to: [owner@example.com, night@example.com] }}"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_goes_to_everybody_in_japanese() {
    let (port, heard) = mail_server(None).await;
    let bench = Bench::open(1).await;
    let office = bench.office(&mail(port)).await;
    office.notify(Event::Failed, Level::Alert, "sync_inventory", "amazon said 503\r\nBcc: everybody@example.com");
    until("the mail was taken", || heard.lock().unwrap().iter().any(|line| line == ".")).await;
    let heard = heard.lock().unwrap().join("\n");
    for part in [
        "MAIL FROM:<taskrun@example.com>",
        "RCPT TO:<owner@example.com>",
        "RCPT TO:<night@example.com>",
        "=?utf-8?b?",
        "Content-Transfer-Encoding: ",
    ] {
        assert!(heard.contains(part), "{part}: {heard}");
    }
    assert!(!heard.lines().any(|line| line.starts_with("Bcc")), "{heard}");
    assert_eq!(office.post.health().troubles(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_server_that_refuses_is_a_trouble_that_is_told() {
    let (port, _heard) = mail_server(Some("535 5.7.8 who are you")).await;
    let bench = Bench::open(1).await;
    let office = bench.office(&mail(port)).await;
    office.notify(Event::Failed, Level::Alert, "sync_inventory", "the first");
    until("the channel is known to fail", || office.post.health().troubles().concat().contains("who are you")).await;
    let tested = office.post.test(Some("email"), "here").await;
    assert!(tested[0].result.as_ref().is_err_and(|why| why.contains("refused") && !why.contains("swordfish")), "{tested:?}");
    let row = bench.store.notices(10).await.unwrap().into_iter().find(|row| row.told.notice.event == Event::Failed).unwrap();
    assert!(row.sends.is_empty(), "it waits");
}
