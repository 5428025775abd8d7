//! What becomes of a step: tokens are chosen from its logits, told, and their sequences go on or end.

use super::Scheduler;
use crate::sequence::Sequence;
use crate::{ExecutorError, FinishReason, SampleError, SampledToken, Sampler, StepReport};

/// A continuation's next token.
pub(crate) type Drawn = Result<SampledToken, SampleError>;

impl Scheduler {
    /// Chooses a token for each continuation of each sequence that the batch completes, in the batch's order. `logits`
    /// has a row for each such sequence.
    pub(crate) fn sample(&self, sampler: &mut Sampler, logits: &[f32], drawn: &mut Vec<Drawn>) {
        drawn.clear();
        let completed = self.batched.iter().map(|&at| &self.running[at]).filter(|sequence| sequence.completes());
        for (sequence, row) in completed.zip(logits.chunks_exact(self.limits.vocab)) {
            let draw = |output| sampler.sample(row, &sequence.spec.params, &sequence.draw(output));
            drawn.extend(sequence.outputs.iter().map(draw));
        }
    }

    /// Brings the sequences of the batch up to date with what was `drawn`, or ends them if it failed; reports the step.
    pub(crate) fn commit(&mut self, outcome: Result<(), ExecutorError>, drawn: &mut Vec<Drawn>) -> StepReport {
        match outcome {
            Ok(()) => self.advance(drawn),
            Err(error) => self.fail(&error),
        }
        self.sweep();
        self.close()
    }

    fn advance(&mut self, drawn: &mut Vec<Drawn>) {
        let mut drawn = drawn.drain(..);
        let mut forks = Vec::new();
        for &at in &self.batched {
            let sequence = &mut self.running[at];
            let completes = sequence.completes();
            sequence.cached += std::mem::take(&mut sequence.rows);
            if !completes {
                continue;
            }
            let first = forks.len();
            forks.extend((1..sequence.outputs.len()).map(|_| sequence.fork()));
            for continuation in std::iter::once(sequence).chain(&mut forks[first..]) {
                self.report.finished += match drawn.next().expect("a token was drawn for each continuation") {
                    Ok(token) => continuation.accept(token),
                    Err(error) => continuation.finish(&FinishReason::Failed(error.to_string())),
                };
                self.report.tokens += 1;
            }
        }
        // An ended sequence has no place in the order.
        forks.retain(|fork| !fork.ended());
        self.running.retain(|sequence| !sequence.ended());
        self.running.append(&mut forks);
        self.running.sort_unstable_by_key(Sequence::order);
    }

    fn fail(&mut self, error: &ExecutorError) {
        for &at in &self.batched {
            let sequence = &mut self.running[at];
            sequence.rows = 0;
            self.report.finished += sequence.finish(&FinishReason::Failed(error.to_string()));
        }
    }

    /// Completes the report and starts the next one.
    fn close(&mut self) -> StepReport {
        let mut report = std::mem::take(&mut self.report);
        report.running = self.running.len();
        report.waiting = self.waiting.len();
        report.stalled = self.running.iter().chain(&self.waiting).filter(|sequence| sequence.stalled()).count();
        report.blocks_used = self.cache.blocks().used();
        self.totals.steps += u64::from(report.rows() > 0);
        self.totals.prompt_tokens += report.prefill_rows as u64;
        self.totals.generated_tokens += report.tokens as u64;
        report
    }
}
