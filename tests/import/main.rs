//! Moving in: what `taskrun import` makes of other systems' settings fires when they did, and what cannot be taken over is said.
#![cfg(test)]

mod crontabs;
mod does;
mod hostile;
mod office;
mod vixie;
mod world;
