//! Names of prefixes that hold outside a process too: a hash of all tokens from the first on, and of whose they are.

use std::fmt::Write;
use std::sync::Arc;

use graph::Adapter;
use sha2::{Digest, Sha256};

/// What separates the prefixes of a request in the cache from those of others: its salt, and the adapter that computes them. No
/// salt of a request is that of one with an adapter.
pub fn prefix_salt(adapter: Option<&Adapter>, salt: Option<Arc<str>>) -> Option<Arc<str>> {
    let Some(adapter) = adapter else {
        // What begins as an adapter's gets a beginning that none of these has.
        return salt.map(|salt| if salt.starts_with('\0') { format!("\0\0{salt}").into() } else { salt });
    };
    let mut all = String::from("\0lora ");
    adapter.id().iter().for_each(|byte| _ = write!(all, "{byte:02x}"));
    if let Some(salt) = salt {
        all.push('/');
        all.push_str(&salt);
    }
    Some(all.into())
}

/// Names what is kept of a prefix outside the cache: the keys and values of its last block, or the state after it. Different
/// prefixes, salts and kinds have different names (SHA-256).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TierKey(pub [u8; 32]);

impl TierKey {
    /// Of the empty prefix.
    pub(crate) fn root(salt: Option<&str>) -> TierKey {
        let mut hash = Sha256::new();
        hash.update([u8::from(salt.is_some())]);
        hash.update(salt.unwrap_or_default());
        TierKey(hash.finalize().into())
    }

    /// Of the prefix that goes on with these tokens.
    pub(crate) fn then(&self, tokens: &[u32]) -> TierKey {
        let mut hash = Sha256::new_with_prefix(self.0);
        tokens.iter().for_each(|token| hash.update(token.to_le_bytes()));
        TierKey(hash.finalize().into())
    }

    /// Of the state after it.
    pub(crate) fn state(&self) -> TierKey {
        TierKey(Sha256::new_with_prefix(self.0).chain_update("state").finalize().into())
    }
}
