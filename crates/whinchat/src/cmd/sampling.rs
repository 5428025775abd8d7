//! The sampling options of `run` and `chat`.

use clap::Args;
use whinchat::{GenerateOptions, Model, Penalties, SamplingParams};

/// How tokens are chosen; what is not given comes from the model, else is neutral.
#[derive(Args)]
pub(super) struct SamplingArgs {
    /// Most tokens to generate.
    #[arg(long, short = 'n', default_value_t = 512, value_name = "TOKENS", allow_negative_numbers = true)]
    max_tokens: usize,
    /// 0 always takes the most likely token.
    #[arg(long, allow_negative_numbers = true, value_parser = non_negative)]
    temperature: Option<f32>,
    /// Keep the k most likely tokens; 0 keeps all.
    #[arg(long, allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// Keep the most likely tokens whose probability reaches p.
    #[arg(long, allow_negative_numbers = true, value_parser = share)]
    top_p: Option<f32>,
    /// Keep tokens with at least this share of the best one's probability.
    #[arg(long, allow_negative_numbers = true, value_parser = share)]
    min_p: Option<f32>,
    /// Locally typical sampling; 1 is off.
    #[arg(long, allow_negative_numbers = true, value_parser = share)]
    typical_p: Option<f32>,
    /// Penalty on tokens that occurred; 1 is off.
    #[arg(long, allow_negative_numbers = true, value_parser = positive)]
    repetition_penalty: Option<f32>,
    /// Subtracted for each occurrence in the answer.
    #[arg(long, allow_negative_numbers = true)]
    frequency_penalty: Option<f32>,
    /// Subtracted once for tokens in the answer.
    #[arg(long, allow_negative_numbers = true)]
    presence_penalty: Option<f32>,
    /// Makes the answer repeatable.
    #[arg(long, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Go on past the model's end tokens.
    #[arg(long)]
    ignore_eos: bool,
    /// End before this text; may be given several times.
    #[arg(long, value_name = "TEXT")]
    stop: Vec<String>,
}

impl SamplingArgs {
    pub(super) fn options(&self, model: &Model) -> GenerateOptions {
        let own = model.generation();
        let neutral = SamplingParams::default();
        let penalties = Penalties {
            repetition: self.repetition_penalty.or(own.repetition_penalty).unwrap_or(1.0),
            frequency: self.frequency_penalty.unwrap_or(0.0),
            presence: self.presence_penalty.unwrap_or(0.0),
        };
        let sampling = SamplingParams {
            temperature: self.temperature.or(own.temperature).unwrap_or(neutral.temperature),
            top_k: self.top_k.or(own.top_k).unwrap_or(neutral.top_k),
            top_p: self.top_p.or(own.top_p).unwrap_or(neutral.top_p),
            min_p: self.min_p.or(own.min_p).unwrap_or(neutral.min_p),
            typical_p: self.typical_p.unwrap_or(neutral.typical_p),
            penalties,
            seed: self.seed,
            ..neutral
        };
        let stop = self.stop.clone();
        let (max_tokens, ignore_eos) = (self.max_tokens, self.ignore_eos);
        GenerateOptions { sampling, max_tokens, stop, ignore_eos, ..GenerateOptions::default() }
    }
}

fn number(text: &str, what: &str, fits: impl Fn(f32) -> bool) -> Result<f32, String> {
    text.parse().ok().filter(|x: &f32| x.is_finite() && fits(*x)).ok_or_else(|| format!("must be a number {what}"))
}

fn non_negative(text: &str) -> Result<f32, String> {
    number(text, "of at least 0", |x| x >= 0.0)
}

fn positive(text: &str) -> Result<f32, String> {
    number(text, "above 0", |x| x > 0.0)
}

fn share(text: &str) -> Result<f32, String> {
    number(text, "from 0 to 1", |x| (0.0..=1.0).contains(&x))
}
