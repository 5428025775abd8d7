//! Releases in made-up traffic: their verdicts and their journals.

mod before;
mod canary;
mod journal;
mod promises;
mod traffic;
mod world;
