//! Clients that are too large for every run of the checks.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

/// What they need.
const REQUIREMENTS: &str = "tests/requirements-clients.txt";

/// Installs them below `target` and runs the tests that drive a server with every client there is.
///
/// # Errors
/// If Python or a package is missing, or a test fails.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let folder = root.join("target/clients-python");
    let python = folder.join("bin/python");
    if !python.exists() {
        ended(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    ended(Command::new(&python).current_dir(root).args(["-m", "pip", "install", "--quiet", "-r", REQUIREMENTS]))?;
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["test", "--package", "whinchat-serve", "--features", "batches", "--test", "server", "--", "python::"]);
    ended(tests.arg("--nocapture").env("WHINCHAT_PYTHON", &python).current_dir(root))
}

fn ended(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("running {name}"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}
