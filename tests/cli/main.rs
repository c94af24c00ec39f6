//! The command line as people and scripts meet it: the real binary, its output and its exit codes. No test needs the network.
#![cfg(test)]
#![cfg(unix)]

mod accounts;
mod backup;
mod commands;
mod daemon;
mod doctor;
mod history;
mod init;
mod logs;
mod market;
mod next;
mod once;
mod practice;
mod products;
mod queue;
mod secrets;
mod service;
mod settings;
mod shop;
mod simulate;
mod supplies;
mod urgent;
