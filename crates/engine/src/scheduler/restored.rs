//! What a waiting sequence could have from the second tier.

use super::{Contents, Scheduler, SequenceId};
use crate::{BlockId, TierKey};

/// What the cache has of a sequence, and the names of all that it could have.
pub(crate) struct Wanted {
    pub(crate) id: SequenceId,
    /// The names of its blocks, of all but the last token.
    pub(crate) keys: Vec<TierKey>,
    /// Blocks from the first on that the cache has.
    pub(crate) found: Vec<BlockId>,
    /// Of these, those that it can go on from as it is.
    pub(crate) usable: usize,
    /// Whether a state is wanted too.
    pub(crate) recurrent: bool,
}

impl Scheduler {
    /// Gives blocks names that hold elsewhere.
    pub(crate) fn keep_keys(&self) {
        self.cache.keep_keys();
    }

    /// What the cache lacks of a sequence in the queue that has not been looked after before.
    pub(crate) fn wanted(&mut self, id: SequenceId, contents: &impl Contents) -> Option<Wanted> {
        let sequence = self.waiting.iter_mut().find(|sequence| sequence.id == id)?;
        if std::mem::replace(&mut sequence.prefix.looked_after, true) || sequence.scores() {
            return None;
        }
        let (salt, tokens) = (sequence.arrival.cache_salt.as_deref(), contents.tokens(id));
        let found = self.cache.find(&[], salt, tokens);
        let usable = self.cache.resume(&[], salt, tokens).blocks.len();
        let known = tokens.split_last().map_or(&[][..], |(_, known)| known);
        let mut key = TierKey::root(salt);
        let names = known.chunks_exact(self.cache.block_len()).map(|tokens| {
            key = key.then(tokens);
            key
        });
        Some(Wanted { id, keys: names.collect(), found, usable, recurrent: self.cache.is_recurrent() })
    }

    /// Lets the sequence and others find blocks that came back: those of a table after the first `before`. Gives how many of
    /// the table can be found.
    pub(crate) fn share_restored(
        &self,
        id: SequenceId,
        table: &mut [BlockId],
        before: usize,
        contents: &impl Contents,
    ) -> usize {
        let Some(sequence) = self.waiting.iter().find(|sequence| sequence.id == id) else { return before };
        let (salt, filled) = (sequence.arrival.cache_salt.as_deref(), table.len() * self.cache.block_len());
        self.cache.share(table, (before, filled), salt, contents.tokens(id))
    }
}
