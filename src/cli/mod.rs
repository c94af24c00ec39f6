//! The command line. One file a command.
pub mod render;
