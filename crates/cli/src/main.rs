//! The program: one binary, a subcommand for each thing people do.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(whinchat_cli::run_with(std::env::args_os()))
}
