//! The engine as its users see it: single behaviours, the thread around it, and the simulator.

mod behaviour;
mod driver;
mod executor;
mod inbox;
mod simulator;
