//! The HTTP API of the real daemon, over TCP: who is let in, whether the document is true, the metrics, the examples of the manual.
#![cfg(test)]
#![cfg(unix)]
#![expect(clippy::disallowed_methods, reason = "real processes, real files and real waits have the system's time")]

mod browser;
mod daemon;
mod dashboard;
mod docs;
mod guard;
mod listen;
mod metrics;
mod openapi;
mod prometheus;
mod slow;
