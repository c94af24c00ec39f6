//! The truth about cron, as other implementations agree on it: every vector in `data/cron-vectors.tsv` holds.
#![cfg(test)]
use jiff::{Timestamp, tz::TimeZone};
use taskrun::core::cron::CronExpr;

const VECTORS: &str = include_str!("data/cron-vectors.tsv");

struct Vector<'a> {
    id: &'a str,
    expression: &'a str,
    zone: &'a str,
    from: &'a str,
    expect: &'a str,
}

fn vectors() -> Vec<Vector<'static>> {
    let read = |line: &'static str| match line.split('\t').collect::<Vec<_>>().as_slice() {
        [id, _source, _dialect, expression, zone, from, expect, _note] => Vector { id, expression, zone, from, expect },
        other => panic!("a vector has 8 columns: {other:?}"),
    };
    VECTORS.lines().skip(1).map(read).collect()
}

/// What is wrong with our answer to a vector, if anything.
fn disagreement(vector: &Vector<'_>) -> Option<String> {
    let parsed = CronExpr::parse(vector.expression);
    let expr = match (parsed, vector.expect) {
        (Err(_), "REJECT") => return None,
        (Ok(_), "REJECT") => return Some("was not rejected".to_owned()),
        (Err(misread), _) => return Some(format!("was rejected: {misread}")),
        (Ok(expr), _) => expr,
    };
    let zone = TimeZone::get(vector.zone).unwrap();
    let mut at: Timestamp = vector.from.parse().unwrap();
    if vector.expect == "NONE" {
        return expr.next_after(at, &zone).map(|next| format!("fires at {next}"));
    }
    for expected in vector.expect.split(' ') {
        let expected: Timestamp = expected.parse().unwrap();
        let next = expr.next_after(at, &zone);
        if next != Some(expected) {
            return Some(format!("after {at}: expected {expected}, got {next:?}"));
        }
        at = expected;
    }
    None
}

#[test]
fn every_vector_holds() {
    let vectors = vectors();
    let wrong: Vec<String> = vectors
        .iter()
        .filter_map(|vector| Some(format!("{} `{}` in {}: {}", vector.id, vector.expression, vector.zone, disagreement(vector)?)))
        .collect();
    println!("{} vectors, {} wrong", vectors.len(), wrong.len());
    assert!(wrong.is_empty(), "{} of {} vectors:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
    assert_eq!(vectors.len(), 1269, "no vector is lost");
}
