//! What a request went through while it ran, step by step, in few words.

use std::time::Duration;

/// Phases of a request at most; what comes after is added to the last of its kind.
const MOST: usize = 64;

/// A time in which one thing happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase {
    /// What.
    pub kind: PhaseKind,
    /// When the first of its steps began, by the engine's clock.
    pub started: Duration,
    /// When the last of its steps ended.
    pub ended: Duration,
    /// Rows that were computed, over all continuations.
    pub rows: usize,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseKind {
    /// A step computed a chunk of its prompt.
    Prefill,
    /// Steps computed its answer.
    Decode,
    /// One of its sequences has lost its blocks to others and waits to be computed again.
    Preempted,
}

/// Adds a step to the phases of a request: steps that decode are one phase until something else happens, each chunk of the
/// prompt is one of its own. A preemption lasts until the next step.
pub(crate) fn add(phases: &mut Vec<Phase>, step: Phase) {
    let full = phases.len() >= MOST;
    if let Some(last) = phases.last_mut().filter(|last| last.kind == PhaseKind::Preempted) {
        last.ended = last.ended.max(step.started);
    }
    let goes_on = |last: &Phase| match step.kind {
        PhaseKind::Prefill => last.kind == step.kind && last.started == step.started,
        PhaseKind::Decode => last.kind == step.kind,
        PhaseKind::Preempted => false,
    };
    let last = if full {
        phases.iter_mut().rfind(|last| last.kind == step.kind)
    } else {
        phases.last_mut().filter(|last| goes_on(last))
    };
    match last {
        Some(last) => (last.ended, last.rows) = (step.ended, last.rows + step.rows),
        None if full => {}
        None => phases.push(step),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PhaseKind::{Decode, Preempted, Prefill};

    /// Steps of a millisecond each, at these milliseconds, become these phases.
    fn check(steps: &[(PhaseKind, u64, usize)], expected: &[(PhaseKind, u64, u64, usize)]) {
        let mut phases = Vec::new();
        for (kind, at, rows) in steps {
            let (started, length) = (Duration::from_millis(*at), u64::from(*kind != Preempted));
            let ended = started + Duration::from_millis(length);
            add(&mut phases, Phase { kind: *kind, started, ended, rows: *rows });
        }
        let millis = |time: Duration| time.as_millis() as u64;
        let found: Vec<_> = phases.iter().map(|p| (p.kind, millis(p.started), millis(p.ended), p.rows)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn chunks_stand_alone_and_tokens_together() {
        check(&[], &[]);
        check(
            &[(Prefill, 5, 8), (Prefill, 6, 3), (Decode, 7, 1), (Decode, 9, 1)],
            &[(Prefill, 5, 6, 8), (Prefill, 6, 7, 3), (Decode, 7, 10, 2)],
        );
        // Two groups of continuations compute the prompt in one step.
        check(&[(Prefill, 5, 8), (Prefill, 5, 8)], &[(Prefill, 5, 6, 16)]);
        check(
            &[(Decode, 1, 1), (Preempted, 2, 0), (Prefill, 9, 4), (Decode, 10, 1)],
            &[(Decode, 1, 2, 1), (Preempted, 2, 9, 0), (Prefill, 9, 10, 4), (Decode, 10, 11, 1)],
        );
    }

    #[test]
    fn there_is_an_end_to_it() {
        let steps: Vec<_> = (0..1000).flat_map(|at| [(Prefill, 2 * at, 2), (Decode, 2 * at + 1, 1)]).collect();
        let mut phases = Vec::new();
        for (kind, at, rows) in steps {
            let started = Duration::from_millis(at);
            add(&mut phases, Phase { kind, started, ended: started + Duration::from_millis(1), rows });
        }
        assert_eq!(phases.len(), MOST);
        assert_eq!(phases.iter().map(|phase| phase.rows).sum::<usize>(), 3000);
        assert_eq!(phases.last().map(|phase| phase.ended), Some(Duration::from_millis(2000)));
    }
}
