//! What may be asked for. Numbers beyond this are slips, and are refused before anything is opened or allocated for them.

use std::ops::RangeInclusive;

use crate::{Error, LoadOptions};

/// Positions of a sequence.
pub const CONTEXT: RangeInclusive<u64> = 1..=1 << 24;

/// Positions of the KV cache.
pub const KV_TOKENS: RangeInclusive<u64> = 1..=1 << 26;

/// Rows of a step.
pub const BATCH_TOKENS: RangeInclusive<u64> = 1..=1 << 16;

/// Sequences that run at once.
pub const SEQUENCES: RangeInclusive<u64> = 1..=1 << 12;

/// Answers that wait.
pub const QUEUE: RangeInclusive<u64> = 1..=1 << 20;

/// Tokens of prompts that wait.
pub const QUEUE_TOKENS: RangeInclusive<u64> = 1..=1 << 32;

/// Threads that compute.
pub const THREADS: RangeInclusive<u64> = 1..=1 << 10;

/// Whether every number of `options` is one that may be asked for.
pub(crate) fn check(options: &LoadOptions) -> Result<(), Error> {
    let numbers = [
        ("context", options.context, CONTEXT),
        ("kv-tokens", options.cache.kv_tokens, KV_TOKENS),
        ("max-batch-tokens", options.max_batch_tokens, BATCH_TOKENS),
        ("max-sequences", options.max_sequences, SEQUENCES),
        ("threads", options.threads, THREADS),
    ];
    for (name, value, range) in numbers {
        let Some(value) = value.filter(|value| !range.contains(&(*value as u64))) else { continue };
        let (least, most) = range.into_inner();
        return Err(Error::Request(format!("--{name} {value}: must be from {least} to {most}")));
    }
    match (options.context, options.cache.kv_tokens) {
        (Some(context), Some(kv)) if kv < context => Err(Error::Request(format!(
            "--kv-tokens {kv}: the KV cache holds at least one sequence of --context {context}; raise one or lower the other"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CacheOptions;

    #[test]
    fn what_is_out_of_range_is_named() {
        let none = LoadOptions::default;
        let kv = |tokens| CacheOptions { kv_tokens: Some(tokens), ..CacheOptions::default() };
        let said = |options: LoadOptions| check(&options).map_or_else(|e| e.to_string(), |()| String::new());
        let refuse =
            |options: LoadOptions, part: &str| assert!(said(options.clone()).contains(part), "{}", said(options));
        refuse(LoadOptions { context: Some(0), ..none() }, "--context 0: must be from 1 to 16777216");
        refuse(LoadOptions { context: Some(usize::MAX), ..none() }, "--context 18446744073709551615");
        refuse(LoadOptions { cache: kv(0), ..none() }, "--kv-tokens 0: must be from 1 to 67108864");
        refuse(LoadOptions { max_batch_tokens: Some(1 << 20), ..none() }, "--max-batch-tokens 1048576");
        refuse(LoadOptions { max_sequences: Some(0), ..none() }, "--max-sequences 0: must be from 1 to 4096");
        refuse(LoadOptions { threads: Some(1 << 20), ..none() }, "--threads 1048576");
        let short = LoadOptions { context: Some(100), cache: kv(99), ..none() };
        refuse(short.clone(), "at least one sequence of --context 100");
        assert_eq!(said(LoadOptions { cache: kv(100), ..short }), "");
        assert_eq!(said(none()), "");
    }
}
