//! What every store has to do, held against each of them: the rules one by one, then both beside each other on random traces; and what only a
//! file can get wrong.
#![cfg(test)]
mod catalogue;
mod file;
mod model;
mod order;
mod orphans;
mod overlap;
mod queue;
mod queue_walk;
mod records;
mod settings;
mod shop;
mod tokens;
mod upkeep;
mod world;
