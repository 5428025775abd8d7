//! The shape of the sources: every limit of the style guide that a program can check.

mod rules;
mod scan;

use anyhow::Context;
use std::path::Path;

/// Names a breach: the rule, the file, the item in it if there is one, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    rule: &'static str,
    place: String,
    message: String,
}

/// Every breach in the tree at `root` that `xtask/tidy-exceptions.txt` does not allow, and every exception not needed.
///
/// # Errors
/// If a file cannot be read or an exception lacks a reason.
pub(crate) fn problems(root: &Path) -> anyhow::Result<Vec<String>> {
    let mut findings = Vec::new();
    visit(root, root, &mut findings)?;
    let text = std::fs::read_to_string(root.join("xtask/tidy-exceptions.txt")).context("xtask/tidy-exceptions.txt")?;
    let exceptions = exceptions(&text)?;
    let mut problems: Vec<String> = findings
        .iter()
        .filter(|f| !exceptions.iter().any(|(rule, place)| (*rule, *place) == (f.rule, f.place.as_str())))
        .map(|f| format!("{}: {}: {}", f.place, f.rule, f.message))
        .collect();
    for (rule, place) in exceptions {
        if !findings.iter().any(|f| (f.rule, f.place.as_str()) == (rule, place)) {
            problems
                .push(format!("{place}: {rule}: nothing to except any more; delete it from xtask/tidy-exceptions.txt"));
        }
    }
    Ok(problems)
}

/// Checks every file below `folder`, leaving out what git ignores and hidden folders other than those of the project.
fn visit(root: &Path, folder: &Path, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        let name = entry.file_name().into_string().unwrap_or_default();
        if entry.file_type()?.is_dir() {
            let hidden = name.starts_with('.') && name != ".ci" && name != ".cargo";
            if !hidden && !matches!(name.as_str(), "target" | "__pycache__" | "artifacts" | "node_modules") {
                visit(root, &path, findings)?;
            }
            continue;
        }
        let relative = path.strip_prefix(root)?.to_string_lossy().replace('\\', "/");
        let size = entry.metadata()?.len();
        rules::size(&relative, size, findings);
        if rules::is_source(&relative) {
            let text = std::fs::read_to_string(&path).with_context(|| relative.clone())?;
            rules::source(&relative, &text, findings);
        }
    }
    Ok(())
}

/// Reads lines of `rule place reason`, where `#` starts a comment line.
fn exceptions(text: &str) -> anyhow::Result<Vec<(&str, &str)>> {
    let lines = text.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let parse = |line| {
        let mut words = str::split_whitespace(line);
        let (rule, place, reason) = (words.next(), words.next(), words.next());
        rule.zip(place).filter(|_| reason.is_some()).with_context(|| format!("want `rule place reason`, not `{line}`"))
    };
    lines.map(parse).collect()
}
