//! Choices as grammars.

use super::{ConstraintError, quoted};

/// A grammar of these texts, of which there must be one.
pub(super) fn lark(choices: &[String]) -> Result<String, ConstraintError> {
    if choices.is_empty() {
        return Err(ConstraintError::new("", "there is nothing to choose from; write at least one text"));
    }
    let all: Vec<String> = choices.iter().map(|choice| quoted(choice)).collect();
    // One terminal, so that a choice may be the beginning of another one.
    Ok(format!("start: CHOICE\nCHOICE: {}\n", all.join("| ")))
}
