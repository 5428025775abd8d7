//! `--allow`: how much worse each number may be.

use release::Allowed;
use serde_json::{Map, Value, json};

/// Reads `median=0.2,tail=0.5`; what is not named is as it is by default.
pub(super) fn parse(text: &str) -> Result<Allowed, String> {
    let mut named = Map::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, share) = part.split_once('=').ok_or_else(|| format!("{part} has no value: {part}=0.1"))?;
        let share: f64 = share.parse().map_err(|_| format!("{part}: {share} is no number, such as 0.1"))?;
        if !(share.is_finite() && share >= 0.0) {
            return Err(format!("{part}: it must be from 0 up, such as 0.1 for a tenth"));
        }
        named.insert(name.to_owned(), json!(share));
    }
    serde_json::from_value(Value::Object(named)).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read, or a part of what is wrong.
    fn check(text: &str, expected: Result<Allowed, &str>) {
        match (parse(text), expected) {
            (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text:?}"),
            (Err(found), Err(expected)) => assert!(found.contains(expected), "{text:?}: {found}"),
            (found, _) => panic!("{text:?}: {found:?}"),
        }
    }

    #[test]
    fn names_and_shares() {
        let own = Allowed::default();
        check("", Ok(own));
        check("median=0.25", Ok(Allowed { median: 0.25, ..own }));
        check("tail=1, memory=0,", Ok(Allowed { tail: 1.0, memory: 0.0, ..own }));
        check("median", Err("median=0.1"));
        check("median=much", Err("much is no number"));
        check("median=-1", Err("from 0 up"));
        check("median=NaN", Err("from 0 up"));
        check("speed=0.1", Err("unknown field `speed`"));
    }
}
