//! The program: one binary, a subcommand for each thing people do.

mod cmd;
mod cores;
mod eval;
mod keys;
mod machine;
mod sessions;
mod simulate;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cmd::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if terminal::is_broken_pipe(&e) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {}", terminal::whole_message(&e));
            ExitCode::FAILURE
        }
    }
}
