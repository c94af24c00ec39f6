//! The store in memory: for the simulation.
