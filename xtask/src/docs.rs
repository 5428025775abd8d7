//! Documents that the program writes of itself.

use anyhow::{Context, ensure};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

/// Writes the manual pages and the pages of commands, models, settings and fields, and the document of all operations, below `root`; pages of commands that are gone go too.
///
/// # Errors
/// If the program cannot be built or a file not be written.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    commands(root)?;
    // What models run is the table of architectures; what proves it are the fixtures of the crate's tests, so a test writes the page.
    by_test(root, "whinchat-model", "documentation", "the_page_of_models_is_what_the_code_says")?;
    by_test(root, "whinchat-config", "documentation", "the_page_of_settings_is_what_the_code_says")?;
    by_test(root, "whinchat-serve", "server", "fields::the_page_of_fields_is_what_the_code_says")?;
    by_test(root, "whinchat-serve", "server", "described::the_document_is_what_the_code_says")
}

/// Has a test write the page that it compares.
fn by_test(root: &Path, package: &str, target: &str, test_name: &str) -> anyhow::Result<()> {
    let mut test = Command::new(cargo());
    test.args(["test", "--quiet", "--package", package, "--test", target, "--", "--exact", test_name]);
    let status = test.env("WHINCHAT_WRITE_DOCS", "1").current_dir(root).status().context("running cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(())
}

fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn commands(root: &Path) -> anyhow::Result<()> {
    let pages = root.join("docs/man");
    if pages.exists() {
        std::fs::remove_dir_all(&pages).with_context(|| pages.display().to_string())?;
    }
    let mut program = Command::new(cargo());
    program.args(["run", "--quiet", "--package", "whinchat-cli", "--bin", "whinchat", "--"]);
    program.args(["man", "--out", "docs/man", "--markdown", "docs/cli.md"]);
    let status = program.current_dir(root).status().context("running cargo")?;
    ensure!(status.success(), "cargo ended with {status}");
    Ok(())
}
