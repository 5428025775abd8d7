//! Multiple choice: which of some options a model finds likeliest after a prompt, as lm-evaluation-harness scores it.

use serde_json::{Value, json};
use text::{EncodeOptions, Tokenizer};
use whinchat::Answer;

/// Options, of which one is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The options; each follows the prompt after a space.
    pub(crate) options: Vec<String>,
    /// The place of the right one.
    pub(crate) answer: usize,
}

/// A prompt with an option after it.
pub(super) struct Continuation {
    pub(super) tokens: Vec<u32>,
    /// The place of the option's first token.
    pub(super) first: usize,
}

impl Continuation {
    /// White space at the prompt's end belongs to the option, as tokenizers join it with the word that follows.
    pub(super) fn new(tokenizer: &Tokenizer, prompt: &str, option: &str) -> Continuation {
        let options = EncodeOptions { add_special: true, parse_special: true };
        let first = tokenizer.encode(prompt.trim_end(), options).len();
        Continuation { tokens: tokenizer.encode(&format!("{prompt} {option}"), options), first }
    }

    /// The log-likelihood of the option, of an answer with the log-probabilities of all these tokens.
    pub(super) fn likelihood(&self, answer: &Answer) -> f64 {
        let option = answer.prompt.get(self.first..).unwrap_or_default();
        option.iter().map(|token| token.logprob.map_or(f64::NAN, f64::from)).sum()
    }
}

/// How likely a model finds the options of a case.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scores {
    /// The log-likelihood of each, in nats; none if the model did not take the case.
    pub(crate) likelihoods: Vec<f64>,
    /// The likeliest option.
    pub(crate) chosen: Option<usize>,
    /// The option whose characters are likeliest on average.
    pub(crate) chosen_by_length: Option<usize>,
    /// Whether the latter is right.
    pub(crate) passes_by_length: bool,
}

impl Scores {
    pub(super) fn new(choice: &Choice, likelihoods: Vec<f64>) -> Scores {
        let lengths = choice.options.iter().map(|option| option.chars().count() as f64);
        let chosen_by_length = largest(likelihoods.iter().zip(lengths).map(|(likelihood, length)| likelihood / length));
        let passes_by_length = chosen_by_length == Some(choice.answer);
        Scores { chosen: largest(likelihoods.iter().copied()), chosen_by_length, passes_by_length, likelihoods }
    }

    /// Why the right option is not the likeliest.
    ///
    /// # Errors
    /// If it is not.
    pub(super) fn judge(&self, choice: &Choice) -> Result<(), String> {
        match self.chosen {
            Some(chosen) if chosen == choice.answer => Ok(()),
            Some(chosen) => Err(format!("{:?} is likelier", choice.options[chosen])),
            None => Err("the likelihood of an option is no number".into()),
        }
    }

    pub(super) fn json(&self) -> Value {
        json!({ "loglikelihoods": self.likelihoods, "chosen": self.chosen, "chosen_by_length": self.chosen_by_length })
    }
}

/// The place of the largest, of equals the first; `None` if one of them is no number.
fn largest(numbers: impl Iterator<Item = f64>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    for (i, x) in numbers.enumerate() {
        if x.is_nan() {
            return None;
        }
        best = best.filter(|(_, most)| x <= *most).or(Some((i, x)));
    }
    best.map(|(i, _)| i)
}

/// The scores of a task's choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Accuracy {
    /// Cases with options.
    pub(crate) cases: usize,
    /// Where the likeliest option is right.
    pub(crate) passed: usize,
    /// Where the one is right whose characters are likeliest on average.
    pub(crate) passed_by_length: usize,
}

impl Accuracy {
    /// The share where the option is right whose characters are likeliest on average.
    pub(crate) fn by_length(self) -> f64 {
        self.passed_by_length as f64 / self.cases.max(1) as f64
    }

    /// By the names that lm-evaluation-harness has for them.
    pub(super) fn json(self) -> Value {
        let passed = self.passed as f64 / self.cases.max(1) as f64;
        json!({ "cases": self.cases, "acc": passed, "acc_norm": self.by_length() })
    }
}
