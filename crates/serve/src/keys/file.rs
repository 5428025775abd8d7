//! The file of keys: of each its name, role, limits and SHA-256, never the key itself.
//!
//! A key has 256 random bits, so a fast hash is enough: there is nothing to guess that a slow one would protect.

use std::num::NonZeroU32;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

/// What every key begins with: whoever finds one knows what it is.
const PREFIX: &str = "wc-";

/// Letters of a name at most.
const LONGEST: usize = 64;

/// What a key may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Use the models.
    #[default]
    User,
    /// All.
    Admin,
    /// Read metrics, and nothing else.
    Metrics,
}

/// What a key may take; without a limit where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyLimits {
    /// Requests in a minute; so many at once at first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<NonZeroU32>,
    /// Tokens of prompts and answers in a minute. They are counted as they come: what a request takes over the limit, the next
    /// ones wait for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Requests at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<NonZeroU32>,
}

/// What a file says of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyEntry {
    /// Who holds it: the tenant of its requests.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What it may take.
    #[serde(flatten)]
    pub limits: KeyLimits,
    /// When it was created, in seconds since 1970.
    pub created: u64,
    /// The key's SHA-256, as 64 hexadecimal digits.
    pub sha256: KeyHash,
}

/// The SHA-256 of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyHash(pub(super) [u8; 32]);

/// The keys of a server; names and keys are there once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KeyFile {
    keys: Vec<KeyEntry>,
}

impl KeyFile {
    /// Reads a file: JSON, as [`KeyFile::to_text`] writes it.
    ///
    /// # Errors
    /// If it is not JSON, has a field that keys do not have, or a name or a key twice; the text says where.
    pub fn parse(text: &str) -> Result<KeyFile, String> {
        let read: Read = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let mut file = KeyFile::default();
        for entry in read.keys {
            file.add(entry.into())?;
        }
        Ok(file)
    }

    /// The file's text.
    pub fn to_text(&self) -> String {
        // Nothing of it can fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// All keys, in the order of the file.
    pub fn keys(&self) -> &[KeyEntry] {
        &self.keys
    }

    /// Adds a new key made of 32 random bytes, and gives it: nobody can find it out later.
    ///
    /// # Errors
    /// If the name is none, or another key has it.
    pub fn create(
        &mut self,
        name: &str,
        (role, limits): (Role, KeyLimits),
        random: [u8; 32],
        created: u64,
    ) -> Result<String, String> {
        let key = format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(random));
        let sha256 = KeyHash(Sha256::digest(key.as_bytes()).into());
        self.add(KeyEntry { name: name.to_owned(), role, limits, created, sha256 })?;
        Ok(key)
    }

    /// Takes a key away; says whether there was one of this name.
    pub fn revoke(&mut self, name: &str) -> bool {
        let before = self.keys.len();
        self.keys.retain(|entry| entry.name != name);
        self.keys.len() < before
    }

    fn add(&mut self, entry: KeyEntry) -> Result<(), String> {
        check_name(&entry.name)?;
        if self.keys.iter().any(|other| other.name == entry.name) {
            return Err(format!(
                "there is a key of the name {} already; revoke it first, or take another name",
                entry.name
            ));
        }
        if let Some(other) = self.keys.iter().find(|other| other.sha256 == entry.sha256) {
            return Err(format!("{} and {} are the same key", other.name, entry.name));
        }
        self.keys.push(entry);
        Ok(())
    }
}

/// A name is written into logs, and set apart by a slash from what clients call their salts.
fn check_name(name: &str) -> Result<(), String> {
    let letters = name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c));
    if letters && !name.is_empty() && name.len() <= LONGEST {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no name of a key: it has 1 to {LONGEST} letters (a to z, A to Z), digits, '-', '_', '.' or '@'"
    ))
}

/// The file as it is read: strictly, so that a limit with a wrong name is no missing limit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    keys: Vec<ReadEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadEntry {
    name: String,
    #[serde(default)]
    role: Role,
    requests_per_minute: Option<NonZeroU32>,
    tokens_per_minute: Option<NonZeroU32>,
    concurrency: Option<NonZeroU32>,
    #[serde(default)]
    created: u64,
    sha256: KeyHash,
}

impl From<ReadEntry> for KeyEntry {
    fn from(read: ReadEntry) -> KeyEntry {
        let ReadEntry { name, role, requests_per_minute, tokens_per_minute, concurrency, created, sha256 } = read;
        let limits = KeyLimits { requests_per_minute, tokens_per_minute, concurrency };
        KeyEntry { name, role, limits, created, sha256 }
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let digits: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyHash, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom("sha256 must have 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(de::Error::custom)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(KeyHash(hash))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let mut file = KeyFile::default();
        let limits = KeyLimits { tokens_per_minute: NonZeroU32::new(9), ..KeyLimits::default() };
        let first = file.create("alice@lab", (Role::User, limits), [1; 32], 7).expect("a name");
        let second = file.create("prometheus", (Role::Metrics, KeyLimits::default()), [2; 32], 8).expect("a name");
        assert!(first.starts_with("wc-") && first.len() == 46 && first != second, "{first}");
        let text = file.to_text();
        assert!(
            !text.contains(&first) && !text.contains(&second) && text.contains("\"tokens_per_minute\": 9"),
            "{text}"
        );
        assert_eq!(KeyFile::parse(&text), Ok(file.clone()));
        assert!(file.revoke("alice@lab") && !file.revoke("alice@lab"));
        assert_eq!(file.keys().iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["prometheus"]);
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_with_the_reason() {
        let check = |text: &str, why: &str| {
            let said = KeyFile::parse(text).expect_err(text);
            assert!(said.contains(why), "{text}: {said}");
        };
        let hash = "0".repeat(64);
        let key = |more: &str| format!(r#"{{"keys": [{{"name": "a", "sha256": "{hash}"{more}}}]}}"#);
        assert!(KeyFile::parse(&key("")).is_ok());
        check("", "EOF");
        check("[]", "invalid length 0");
        check("{}", "missing field `keys`");
        check(&key(r#", "token_per_minute": 1"#), "unknown field `token_per_minute`");
        check(&key(r#", "tokens_per_minute": 0"#), "nonzero");
        check(&key(r#", "role": "root""#), "unknown variant `root`");
        check(r#"{"keys": [{"name": "a"}]}"#, "missing field `sha256`");
        check(r#"{"keys": [{"name": "a", "sha256": "00"}]}"#, "64 hexadecimal digits");
        check(&key("").replace("00", "0g"), "64 hexadecimal digits");
        check(&key("").replace("\"a\"", "\"a/b\""), "is no name of a key");
        check(&key("").replace("\"a\"", "\"\""), "is no name of a key");
        let entry = |name: &str, digit: &str| format!(r#"{{"name": "{name}", "sha256": "{}"}}"#, digit.repeat(64));
        let both = |first: String, second: String| format!(r#"{{"keys": [{first}, {second}]}}"#);
        check(&both(entry("a", "0"), entry("a", "1")), "a key of the name a already");
        check(&both(entry("a", "0"), entry("b", "0")), "a and b are the same key");
    }
}
