//! attempt
