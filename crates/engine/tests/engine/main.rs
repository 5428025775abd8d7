//! The engine as its users see it: single behaviours, the thread around it, and the simulator.

mod behaviour;
mod channel;
mod driver;
mod encoder;
mod executor;
mod faults;
mod inbox;
mod liveness;
mod masks;
mod policies;
mod prefixes;
mod real;
mod records;
mod scene;
mod simulator;
mod states;
