//! The engine as its users see it: single behaviours, the thread around it, and the simulator.

mod admission;
mod behaviour;
mod channel;
mod drafter;
mod driver;
mod encoder;
mod executor;
mod faults;
mod handover;
mod hybrids;
mod inbox;
mod interposed;
mod liveness;
mod masks;
mod memory;
mod pipeline;
mod policies;
mod prefixes;
mod real;
mod records;
mod remote;
mod scene;
mod sessions;
mod simulator;
mod states;
mod tiers;
