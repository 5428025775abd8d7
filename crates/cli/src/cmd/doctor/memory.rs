//! Memory: what the models take, and what is left of the machine's and the container's.

use indicatif::HumanBytes;
use whinchat::machine::{MemoryLeft, memory_left};

use super::{Finding, Patient};

const CHECK: &str = "memory";

/// What a model takes, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) name: String,
    pub(super) lazy: bool,
    /// From the start: weights, states, and the values of a step.
    pub(super) fixed: u64,
    /// As it is used: the KV cache.
    pub(super) pool: u64,
}

pub(super) fn check(patient: &Patient) -> Vec<Finding> {
    let taken = patient.candidates.iter().filter_map(|one| {
        let prepared = one.prepared.as_ref().ok()?;
        let (memory, values) = (&prepared.memory, prepared.scratch_bytes());
        let fixed = [memory.draft_weights, memory.states, values].into_iter().fold(memory.weights, u64::saturating_add);
        Some(Taken {
            name: one.name.clone(),
            lazy: one.lazy,
            fixed,
            pool: memory.kv_pool.saturating_add(memory.draft_kv_pool),
        })
    });
    judge(&taken.collect::<Vec<_>>(), memory_left())
}

/// What is to be said of models on a machine with so much left.
pub(super) fn judge(taken: &[Taken], left: MemoryLeft) -> Vec<Finding> {
    let Some(available) = left.least() else {
        return vec![Finding::warning(
            CHECK,
            "the system does not say how much is left",
            "compare with the sizes of the models",
        )];
    };
    let limited = left.group.is_some_and(|group| group == available);
    let whose = if limited { "that the control group allows" } else { "of the machine" };
    let fix = if limited { "raise the container's limit, or take" } else { "end other programs, or take" };
    let fix = format!("{fix} a smaller model, fewer bits (whinchat convert), or a smaller --kv-tokens");
    let sum = |part: fn(&Taken) -> u64| taken.iter().filter(|one| !one.lazy).map(part).fold(0_u64, u64::saturating_add);
    let (fixed, most) = (sum(|one| one.fixed), sum(|one| one.fixed.saturating_add(one.pool)));
    let [fixed_text, most_text, left_text] = [fixed, most, available].map(HumanBytes);
    let mut findings = vec![match () {
        () if fixed > available => {
            let what = format!(
                "weights and values take {fixed_text}, but {left_text} {whose} are left: it would be killed or swap"
            );
            Finding::fails(CHECK, what, fix.clone())
        }
        () if most > available => {
            let what = format!("with a full KV cache it takes {most_text}, but {left_text} {whose} are left");
            Finding::warning(CHECK, what, fix.clone())
        }
        () => Finding::fine(
            CHECK,
            format!("it takes {fixed_text}, with a full KV cache {most_text}; {left_text} {whose} are left"),
        ),
    }];
    for one in taken.iter().filter(|one| one.lazy && one.fixed.saturating_add(fixed) > available) {
        let (name, size) = (&one.name, HumanBytes(one.fixed));
        let what =
            format!("{name}, when it is asked for, takes {size} besides, and is refused while others are in memory");
        findings.push(Finding::warning(CHECK, what, "a short --keep-alive makes room for it".to_owned()));
    }
    findings
}
