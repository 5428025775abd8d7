//! Sessions: what the KV cache has of a conversation or a prompt, taken out and put back.

use std::time::Duration;

use engine::{Adapter, SavedPrefix};

use crate::{Input, Kind, LoadedModel, Problem};

/// A step that takes longer than this is not waited for.
const PATIENCE: Duration = Duration::from_secs(60);

impl LoadedModel {
    /// What the KV cache has of the first prompt of `input`, shared by who has this salt and is answered with this adapter. Waits
    /// for the step that is computed now.
    ///
    /// # Errors
    /// If the prompt cannot be made, nothing of it is in the cache, or the engine has ended.
    pub fn save_session(
        &self,
        input: &Input,
        salt: Option<&str>,
        adapter: Option<&Adapter>,
    ) -> Result<SavedPrefix, Problem> {
        let tokens = self.first_prompt(input)?;
        let salt = engine::prefix_salt(adapter, salt.map(Into::into));
        let saved = self.engine().save_prefix(tokens, salt).recv_timeout(PATIENCE);
        saved.map_err(|_| busy())?.ok_or_else(|| {
            let message = "The KV cache has no whole block of this prompt: it is too short, was not asked yet, or was forgotten. \
                           Ask it first.";
            Problem::new(Kind::InvalidValue, message)
        })
    }

    /// Puts a session back into the KV cache; gives its tokens.
    ///
    /// # Errors
    /// If it is another model's, there is no room, or the engine has ended.
    pub fn restore_session(&self, saved: SavedPrefix) -> Result<usize, Problem> {
        let restored = self.engine().restore_prefix(saved).recv_timeout(PATIENCE).map_err(|_| busy())?;
        restored.map_err(|why| Problem::new(Kind::InvalidValue, format!("The session cannot be restored: {why}.")))
    }
}

fn busy() -> Problem {
    Problem::new(Kind::Internal, "The engine is at work on one step for long, or has ended. Try again.")
}
