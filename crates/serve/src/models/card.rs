//! What is said of a model, also when it is not in memory any more.

use answer::{LoadedModel, Sampling};

/// What clients ask of a model before they use it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Card {
    /// When it was loaded, in seconds since 1970.
    pub(crate) created: u64,
    /// Tokens of prompt and answer at most.
    pub(crate) context: usize,
    /// Ids of its vocabulary.
    pub(crate) vocab: usize,
    /// What holds where a request is silent.
    pub(crate) sampling: Sampling,
    /// Whether it has a chat template.
    pub(crate) chat: bool,
    /// Whether its template knows tools, and thoughts.
    pub(crate) tools: bool,
    pub(crate) thinking: bool,
}

impl Card {
    pub(super) fn of(model: &LoadedModel) -> Card {
        // Known by what the chat template speaks of.
        let mentions = |word| model.info.template.as_ref().is_ok_and(|template| template.mentions(word));
        Card {
            created: model.info.created,
            context: model.context(),
            vocab: model.info.tokenizer.vocab(),
            sampling: model.info.sampling.clone(),
            chat: model.info.template.is_ok(),
            tools: mentions("tools"),
            thinking: mentions("enable_thinking") || mentions("reasoning_content") || mentions("<think>"),
        }
    }
}
