//! The JSON Schema of tasks.yaml says what the loader says: the same keys everywhere, yes to what is right, no to what a schema can tell is wrong.
#![cfg(test)]

mod judge;
mod keys;
mod texts;
mod yaml;
