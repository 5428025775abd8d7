//! The KV cache alone: prompts are looked up, whole and one after the other, as if computing took no time.

use engine::{Eviction, KvCache};

use super::replay::tokens;
use super::trace::{Job, SPAN};

/// What the cache had.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lookups {
    /// Share of a prompt that was found, averaged over prompts.
    pub by_request: f64,
    /// Share of all tokens that were found.
    pub by_token: f64,
}

/// Looks up each prompt in a cache of `blocks` blocks of `block_len` positions, and keeps it there. A prompt's last span
/// counts as a whole one, as traces hash them.
///
/// # Errors
/// If a prompt has more blocks than the cache.
pub fn look_up(jobs: &[Job], blocks: usize, block_len: usize, rule: Eviction) -> anyhow::Result<Lookups> {
    look_up_in(&KvCache::new(blocks, block_len, Some(rule)), jobs, &mut || Ok(()))
}

/// The same in any cache. `watch` is called before each prompt, and ends it if it fails.
///
/// # Errors
/// If a prompt has more blocks than the cache, or `watch` fails.
pub fn look_up_in(
    cache: &KvCache,
    jobs: &[Job],
    watch: &mut dyn FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Lookups> {
    let block_len = cache.block_len();
    let (mut shares, mut found_tokens, mut all) = (0.0, 0, 0);
    for (at, job) in (0..).zip(jobs) {
        watch()?;
        let whole = Job { prompt: job.prompt.next_multiple_of(SPAN), ..job.clone() };
        let mut tokens = tokens(&whole, at);
        // The last token of a sequence is always computed: this one is not the prompt's.
        tokens.push(0);
        cache.tick();
        let mut table = cache.find(&[], None, &tokens);
        let found = cache.used_again(&table);
        let room = cache.reserve(&mut table, found, whole.prompt, &mut Vec::new());
        anyhow::ensure!(room, "request {}: {} tokens are more than the cache has", at + 1, whole.prompt);
        cache.share(&mut table, (found / block_len, whole.prompt), None, &tokens);
        // The last is let go first: who comes back goes on from the front.
        while table.pop().is_some() {}
        let found = found.min(job.prompt);
        shares += found as f64 / job.prompt as f64;
        found_tokens += found;
        all += job.prompt;
    }
    Ok(Lookups { by_request: shares / jobs.len() as f64, by_token: found_tokens as f64 / all as f64 })
}
