//! Clients that are too large for every run of the checks.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// What they need.
const REQUIREMENTS: &str = "tests/requirements-clients.txt";

/// Installs them below `target` and runs the tests that drive a server with every client there is.
///
/// # Errors
/// If Python or a package is missing, or a test fails.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let python = python(root, "target/clients-python", REQUIREMENTS)?;
    let mut tests = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    tests.args(["test", "--package", "whinchat-serve", "--features", "batches", "--test", "server", "--", "python::"]);
    ended(tests.arg("--nocapture").env("WHINCHAT_PYTHON", &python).current_dir(root))
}

/// A Python below `root` with the packages of a file; gives the interpreter.
///
/// # Errors
/// If there is no Python, or a package cannot be installed.
pub(crate) fn python(root: &Path, folder: &str, requirements: &str) -> anyhow::Result<PathBuf> {
    let folder = root.join(folder);
    let python = folder.join("bin/python");
    if !python.exists() {
        ended(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    ended(Command::new(&python).current_dir(root).args(["-m", "pip", "install", "--quiet", "-r", requirements]))?;
    Ok(python)
}

/// Runs a command to its end.
///
/// # Errors
/// If it does not start, or ends with another status than 0.
pub(crate) fn ended(command: &mut Command) -> anyhow::Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("running {name}"))?;
    ensure!(status.success(), "{name} ended with {status}");
    Ok(())
}
