//! The HTTP API of the real daemon, over TCP: who is let in, whether the document is true, the metrics, the examples of the manual.
#![cfg(test)]

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
