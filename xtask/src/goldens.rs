//! Runs the scripts that write fixtures from independent oracles.

use anyhow::{Context, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `xtask/goldens/NAME.py`, or all scripts whose names do not start with `_`.
///
/// # Errors
/// If there is no such script, Python cannot be started, or a script fails.
pub(crate) fn run(root: &Path, name: Option<&str>) -> anyhow::Result<()> {
    let python = std::env::var_os("WHINCHAT_PYTHON").unwrap_or_else(|| "python3".into());
    for script in scripts(&root.join("xtask/goldens"), name)? {
        eprintln!("{}", script.display());
        let status = Command::new(&python).arg(&script).current_dir(root).status();
        let status = status.with_context(|| format!("cannot start {}; set WHINCHAT_PYTHON", python.display()))?;
        ensure!(status.success(), "{} failed; see xtask/goldens/README.md for what it needs", script.display());
    }
    Ok(())
}

fn scripts(folder: &Path, name: Option<&str>) -> anyhow::Result<Vec<PathBuf>> {
    let mut scripts = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if path.extension().is_some_and(|e| e == "py") && name.map_or(!stem.starts_with('_'), |n| n == stem) {
            scripts.push(path);
        }
    }
    scripts.sort();
    match name {
        Some(name) if scripts.is_empty() => bail!("there is no script {name}.py in {}", folder.display()),
        _ => Ok(scripts),
    }
}
