//! Documents that the program writes of itself.

use anyhow::{Context, ensure};
use std::path::Path;
use std::process::Command;

/// Writes the manual pages and the page of all commands below `root`; pages of commands that are gone go too.
///
/// # Errors
/// If the program cannot be built or a file not be written.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    let pages = root.join("docs/man");
    if pages.exists() {
        std::fs::remove_dir_all(&pages).with_context(|| pages.display().to_string())?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut program = Command::new(cargo);
    program.args(["run", "--quiet", "--package", "whinchat-cli", "--bin", "whinchat", "--"]);
    program.args(["man", "--out", "docs/man", "--markdown", "docs/cli.md"]);
    let status = program.current_dir(root).status().context("running cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(())
}
