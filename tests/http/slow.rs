//! Those who connect and say nothing keep nobody out.
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use crate::daemon::Daemon;

#[test]
fn health_answers_while_many_connections_hang() {
    let daemon = Daemon::start();
    let mut hanging = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(&daemon.address).unwrap();
        // Some say nothing, some begin a head and some a body.
        let words: &[u8] = match number % 3 {
            0 => b"",
            1 => b"GET /health HTTP/1.1\r\nHost: loc",
            _ => b"POST /api/v1/poke HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
        };
        // Those that were sent away already cannot be written to.
        drop(stream.write_all(words));
        hanging.push(stream);
        if number % 10 == 0 {
            let begun = Instant::now();
            assert_eq!(daemon.get("/health").status, 200);
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        }
    }
}

#[test]
fn a_head_that_does_not_come_is_not_waited_for() {
    let daemon = Daemon::start();
    let mut stream = TcpStream::connect(&daemon.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: loc").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
}

#[test]
fn streams_are_counted_and_leave_room_for_others() {
    let daemon = Daemon::start();
    let open = || {
        let mut stream = TcpStream::connect(&daemon.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(format!("GET /api/v1/events HTTP/1.1\r\nHost: {}\r\n\r\n", daemon.address).as_bytes()).unwrap();
        let mut begin = vec![0; 4096];
        let length = stream.read(&mut begin).unwrap();
        (stream, String::from_utf8_lossy(&begin[..length]).into_owned())
    };
    let streams: Vec<_> = (0..16).map(|_| open()).collect();
    assert!(streams.iter().all(|(_, begin)| begin.starts_with("HTTP/1.1 200")), "{streams:?}");
    assert!(open().1.starts_with("HTTP/1.1 503"));
    assert_eq!(daemon.get("/health").status, 200);
    // They are not sent away by those who hang.
    let hanging: Vec<_> = (0..200).map(|_| TcpStream::connect(&daemon.address).unwrap()).collect();
    let (mut stream, _) = streams.into_iter().next().unwrap();
    let mut more = [0; 64];
    assert!(stream.read(&mut more).unwrap() > 0, "the stream goes on");
    drop(hanging);
}
