//! When which setting is worth a change: a function for each.

use super::{ENOUGH, Facts, Gain, Recommendation, WINDOW, command};
use crate::{Gauges, SeriesView};

/// All of them.
pub(super) const RULES: [fn(&Facts<'_>) -> Option<Recommendation>; 10] = [
    more_sequences,
    more_positions,
    fewer_bytes_a_position,
    shorter_steps,
    larger_cache,
    second_tier,
    fewer_threads,
    more_threads,
    longer_context,
    shorter_context,
];

/// Requests wait for a place although the KV cache has room.
fn more_sequences(facts: &Facts<'_>) -> Option<Recommendation> {
    let window = facts.requests()?;
    let (queue, first, slots) = (window.queue?, window.first_token?, facts.limits.slots);
    let (used, Gauges { running, waiting, .. }) = (facts.used(), facts.view.now);
    let full = slots > 0 && running >= slots && waiting > 0;
    // As many as the cache has room for, and twice as many at most.
    let room = (0.9 / used.max(0.05)).min(2.0);
    let more = (slots as f64 * room) as usize;
    let waits = queue.mean / first.mean.max(1e-9);
    (full && room >= 1.25 && waits > 0.3).then(|| {
        let reason = format!(
            "All {slots} places are taken and requests wait {:.0} ms for one, {:.0} % of the time to their first token, while {:.0} % \
             of the KV cache is in use.",
            queue.mean,
            100.0 * waits,
            100.0 * used
        );
        // Places come free as much more often; what decodes beside slows everybody a little.
        let gain = waits * (1.0 - slots as f64 / more as f64) * 0.8;
        facts.recommend("--max-sequences", more, reason, ("first_token", gain))
    })
}

/// What was computed twice because sequences lost their blocks, as a share of the work, and why that is said.
fn lost(facts: &Facts<'_>) -> Option<(f64, String)> {
    let (window, steps) = (facts.requests()?, facts.steps()?);
    let lost = window.requests.preemptions as f64 / window.requests.ended as f64;
    let mean = (window.tokens.prompt + window.tokens.generated) as f64 / window.requests.ended as f64;
    let again = window.requests.preemptions as f64 * mean / (steps.work.prefill_rows.max(1)) as f64;
    let reason = format!(
        "{} of {} requests lost their blocks in ten minutes and were computed again; {:.0} % of the KV cache is in use.",
        window.requests.preemptions,
        window.requests.ended,
        100.0 * facts.used()
    );
    (lost > 0.05 && facts.used() > 0.8).then_some((again.min(0.5), reason))
}

/// Sequences lose their blocks, and the machine has memory for more of them.
fn more_positions(facts: &Facts<'_>) -> Option<Recommendation> {
    let (gain, reason) = lost(facts).filter(|_| facts.has_memory() && facts.positions() > 0)?;
    Some(facts.recommend("--kv-tokens", 2 * facts.positions(), reason, ("throughput", gain)))
}

/// Sequences lose their blocks: the same memory holds twice the positions in eight bits.
fn fewer_bytes_a_position(facts: &Facts<'_>) -> Option<Recommendation> {
    let (gain, reason) = lost(facts)?;
    Some(facts.recommend("--kv-type", "q8_0", reason, ("throughput", gain)))
}

/// Prompts hold up the sequences that decode beside them.
fn shorter_steps(facts: &Facts<'_>) -> Option<Recommendation> {
    let (window, steps) = (facts.requests()?, facts.steps()?);
    let (between, decode, mixed) = (window.between?, steps.decode?, steps.mixed?);
    let goal = (3.0 * decode.p50).ceil();
    (between.p99 > 5.0 * between.p50 && mixed.p50 > 4.0 * decode.p50).then(|| {
        let reason = format!(
            "One token in a hundred comes {:.0} ms after the one before it, half of them after {:.0} ms: steps with prompts take \
             {:.0} ms, others {:.0} ms.",
            between.p99, between.p50, mixed.p50, decode.p50
        );
        facts.recommend("--max-step-ms", format!("{goal:.0}"), reason, ("between", 1.0 - goal / between.p99))
    })
}

/// Prompts begin alike, and what they begin with is thrown out before it comes again: by which share a first token would come sooner.
fn thrown_out(facts: &Facts<'_>) -> Option<(f64, f64)> {
    let (window, kv) = (facts.requests()?, facts.view.now.kv);
    let (found, full) = (window.tokens.cached as f64 / window.tokens.prompt.max(1) as f64, kv.used + kv.kept);
    let spills = kv.spilled > 0 && kv.restored > 0;
    let short = found > 0.1 && full as f64 > 0.95 * kv.blocks as f64 && facts.used() < 0.6 && !spills;
    short.then_some((found, found * (1.0 - found) * 0.5))
}

fn larger_cache(facts: &Facts<'_>) -> Option<Recommendation> {
    let (found, gain) = thrown_out(facts).filter(|_| facts.has_memory() && facts.positions() > 0)?;
    let reason = format!(
        "{:.0} % of prompts is found in the KV cache, which is full of what is kept for later, and the machine has memory for more.",
        100.0 * found
    );
    Some(facts.recommend("--kv-tokens", 2 * facts.positions(), reason, ("first_token", gain)))
}

fn second_tier(facts: &Facts<'_>) -> Option<Recommendation> {
    let (found, gain) = thrown_out(facts).filter(|_| !facts.has_memory())?;
    let reason = format!(
        "{:.0} % of prompts is found in the KV cache, which is full of what is kept for later: a second tier, in any folder on a fast \
         disk, holds more of it.",
        100.0 * found
    );
    Some(facts.recommend("--kv-spill", "/var/tmp", reason, ("first_token", gain)))
}

/// Others use cores that this program's threads wait for: a step ends with its last thread.
fn fewer_threads(facts: &Facts<'_>) -> Option<Recommendation> {
    let (steps, machine) = (facts.steps()?, facts.machine?);
    let (decode, free) = (steps.decode?, machine.cores - machine.others);
    let fewer = (free + 0.3).floor().max(1.0);
    (machine.others > 0.7 && machine.threads > fewer).then(|| {
        let reason = format!(
            "Other processes use {:.1} of {} cores, and {} threads compute: half of the steps take {:.1} ms, one in ten {:.1} ms.",
            machine.others, machine.cores, machine.threads, decode.p50, decode.p90
        );
        let gain = 0.5 * (1.0 - decode.p50 / decode.p90.max(1e-9));
        facts.recommend("--threads", fewer, reason, ("between", gain))
    })
}

/// Cores have nothing to do while the engine has.
fn more_threads(facts: &Facts<'_>) -> Option<Recommendation> {
    let (window, steps, machine) = (facts.requests()?, facts.steps()?, facts.machine?);
    let idle = machine.cores - machine.threads - machine.others;
    (steps.busy > 0.5 && machine.threads > 0.0 && idle >= 0.7).then(|| {
        let more = machine.threads + idle.round();
        let reason = format!(
            "{} threads compute {:.0} % of the time, and {idle:.1} of {} cores are idle; {} requests ended in ten minutes.",
            machine.threads,
            100.0 * steps.busy,
            machine.cores,
            window.requests.ended
        );
        // Memory feeds no more than some of them.
        let gain = (0.5 * (more / machine.threads - 1.0)).min(1.0);
        facts.recommend("--threads", more, reason, ("throughput", gain))
    })
}

/// Sequences end because the context does.
fn longer_context(facts: &Facts<'_>) -> Option<Recommendation> {
    let (window, context) = (facts.hour()?, facts.limits.context);
    let length = window.length?;
    let cut = window.requests.cut as f64 / window.requests.ended as f64;
    (context > 0 && length.p90 >= 0.97 * context as f64 && cut >= 0.05).then(|| {
        let reason = format!(
            "One request in ten has {:.0} tokens, prompt and answer, where the context ends with {context}; {:.0} % of the answers are cut.",
            length.p90,
            100.0 * cut
        );
        facts.recommend("--context", 2 * context, reason, ("complete", cut.min(0.1)))
    })
}

/// Memory is short, and the KV cache is as large as it is for sequences that never come.
fn shorter_context(facts: &Facts<'_>) -> Option<Recommendation> {
    let (length, machine, context) = (facts.hour()?.length?, facts.machine?, facts.limits.context);
    let positions = |context: usize| context.max(context / 4 * facts.limits.slots);
    // As large as it is by default; who has given a size has chosen.
    let usual = facts.positions().abs_diff(positions(context)) <= facts.view.now.kv.block_len;
    let enough = ((2.0 * length.max) as usize).max(512).next_power_of_two();
    (machine.available < 0.1 && usual && context > 0 && enough <= context / 2).then(|| {
        let reason = format!(
            "{:.0} % of the memory is available, and the KV cache has room for sequences of {context} tokens; the longest of the last hour \
             had {:.0}.",
            100.0 * machine.available,
            length.max
        );
        let gain = 1.0 - positions(enough) as f64 / positions(context) as f64;
        facts.recommend("--context", enough, reason, ("memory", gain))
    })
}

/// Of several variants of a model, the one that answers faster and no worse.
pub(crate) fn better_variant(engines: &[Facts<'_>]) -> Vec<Recommendation> {
    let speed = |series: &SeriesView| {
        let window = series.windows.get(WINDOW).filter(|window| window.requests.ended >= ENOUGH)?;
        Some((window.between?.p50, window.quality.unwrap_or(1.0)))
    };
    let better = engines.iter().filter_map(|facts| {
        let (slow, good) = speed(facts.everybody)?;
        let others = engines.iter().filter(|other| other.view.labels.model == facts.view.labels.model);
        let known = others.filter_map(|other| speed(other.everybody).map(|(p50, quality)| (p50, quality, other)));
        let (fast, quality, other) = known.min_by(|a, b| a.0.total_cmp(&b.0))?;
        let (gain, labels) = (1.0 - fast / slow, &other.view.labels);
        (gain >= 0.15 && quality >= good - 0.01).then(|| Recommendation {
            labels: facts.view.labels.clone(),
            setting: "variant",
            value: format!("{} on {}", labels.variant, labels.device),
            reason: format!(
                "It has a token every {fast:.1} ms, this one every {slow:.1} ms, and its answers are as good."
            ),
            gain: Gain { of: "between", share: gain },
            command: command::instead(facts, other),
        })
    });
    better.collect()
}
