//! Releases in made-up traffic: their verdicts and their journals.

mod canary;
mod journal;
mod traffic;
mod world;
