//! What is seen of an engine from outside: the records of requests, and what its draft model was asked.

use std::sync::{Arc, Mutex};

use engine::{DraftModel, EngineConfig, HiddenInputs, Observer, RequestRecord, StepReport};

use super::dice::Dice;
use crate::drafter::Timed;
use crate::executor::{Bench, Fake};

/// Records of requests, and the draft model's bench if there is one.
#[derive(Clone, Default)]
pub(super) struct Seen {
    pub(super) records: Arc<Mutex<Vec<RequestRecord>>>,
    draft: Option<Arc<Mutex<Bench>>>,
}

impl Seen {
    /// A draft model that is right now and then, sometimes.
    pub(super) fn drafting(&mut self, config: &EngineConfig, dice: &mut Dice) -> Option<DraftModel> {
        if config.max_draft == 0 || !dice.chance(0.7) {
            return None;
        }
        let fake = Fake::new(dice.upto(40) + 1, dice.upto(9) + 1, dice.upto(60) + 2, dice.upto(8) + 1);
        self.draft = Some(Arc::clone(&fake.bench));
        let off = usize::from(dice.chance(0.2));
        let hidden = dice.chance(0.5).then(|| HiddenInputs { model: 2, own: 2, input: [2, 4, 5][dice.upto(3)] });
        let fake = hidden.into_iter().fold(fake, Fake::for_heads);
        let executor = Box::new(Timed::new(fake, &Arc::default(), (0, 0), off));
        Some(DraftModel { executor, context: dice.upto(80) + 1, hidden, tokens: None })
    }

    /// What was wrong with a batch of the draft model, if anything was.
    pub(super) fn broken(&self) -> Option<String> {
        self.draft.as_ref().and_then(|bench| bench.lock().unwrap().broken.clone())
    }
}

/// Keeps the records of requests.
impl Observer for Seen {
    fn step(&mut self, _: &StepReport) {}

    fn ended(&mut self, record: &RequestRecord) {
        self.records.lock().unwrap().push(record.clone());
    }
}

/// Whether an error tells of a fault of the executor.
pub(super) fn is_fault(text: &str) -> bool {
    ["on fire", "out of cheese", "burnt down", "logits where", "NaN"].iter().any(|fault| text.contains(fault))
}
