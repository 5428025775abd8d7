//! The load of a trial: clients that each ask again as soon as they are answered.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use whinchat::{Ask, Cancel, Ending, Inference, Inferred, Input, Model, PromptText};

/// Who asks what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    /// Clients at the same time.
    pub(crate) clients: usize,
    /// Requests of a round.
    pub(crate) requests: usize,
    /// Tokens of a prompt.
    pub(crate) prompt: usize,
    /// Tokens of an answer.
    pub(crate) generate: usize,
    /// So many different first halves of prompts come again and again; none does if there are none.
    pub(crate) returning: usize,
}

/// What a round was like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Figures {
    /// Tokens of answers in a second, of all together.
    pub(crate) throughput: f64,
    /// Seconds from a request to its first token, in the mean.
    pub(crate) first_token: f64,
    /// Seconds between two tokens of an answer, in the mean.
    pub(crate) between: f64,
}

impl Load {
    /// One request by each client.
    pub(crate) fn warm(&self, model: &Model) -> anyhow::Result<()> {
        let once = Load { requests: self.clients, generate: self.generate.min(2), ..*self };
        // No round has this number: nothing of it is found again.
        once.round(model, usize::MAX).map(drop)
    }

    /// All requests of a round.
    ///
    /// # Errors
    /// If one of them fails.
    pub(crate) fn round(&self, model: &Model, round: usize) -> anyhow::Result<Figures> {
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::with_capacity(self.requests)));
        let began = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..self.clients {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.requests {
                            return;
                        }
                        let ask = self.ask(model.tokenizer().vocab(), round, number);
                        let answer = model.blocking().infer(ask, &Cancel::new());
                        done.lock().expect("nothing panics while it is held").push(answer);
                    }
                });
            }
        });
        let took = began.elapsed();
        let mut answers = Vec::with_capacity(self.requests);
        for answer in done.into_inner().expect("nothing panics while it is held") {
            match answer {
                Inference::Success(answer) => answers.push(answer),
                Inference::TimedOut(_, why) | Inference::Failed(_, why) => bail!("a request failed: {why}"),
                Inference::Cancelled(_) => bail!("a request was cancelled"),
            }
        }
        Ok(figures(&answers, took))
    }

    /// A request for an answer of just the length that was asked for.
    fn ask(&self, vocabulary: usize, round: usize, number: usize) -> Ask {
        let common = if self.returning > 0 { self.prompt / 2 } else { 0 };
        let topic = if self.returning > 0 { number % self.returning } else { 0 };
        // Tokens as if by chance, the same for both engines.
        let token = |place: usize, salt: usize| {
            let mixed =
                (place as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (salt as u64).wrapping_mul(0xD1B5_4A32_D192_ED03);
            ((mixed ^ mixed >> 31).wrapping_mul(0x94D0_49BB_1331_11EB) >> 33) as usize % vocabulary.max(1)
        };
        let own = round.wrapping_mul(1 << 20).wrapping_add(number);
        let tokens =
            (0..common).map(|place| token(place, topic)).chain((common..self.prompt).map(|place| token(place, !own)));
        let items = vec![PromptText::Tokens(tokens.map(|token| token as u32).collect())];
        let input = Input::Prompts { items, echo: false, parse_special: false, suffix: None };
        let ending = Ending {
            max_tokens: Some(self.generate),
            min_tokens: self.generate,
            ignore_eos: true,
            ..Ending::default()
        };
        Ask { ending, ..Ask::new(input) }
    }
}

fn figures(answers: &[Inferred], took: Duration) -> Figures {
    let mean = |of: &dyn Fn(&Inferred) -> Option<f64>| {
        let values: Vec<f64> = answers.iter().filter_map(of).collect();
        values.iter().sum::<f64>() / values.len() as f64
    };
    let generated: usize = answers.iter().map(|answer| answer.generated_tokens).sum();
    Figures {
        throughput: generated as f64 / took.as_secs_f64(),
        first_token: mean(&|answer| answer.first_token.map(|time| time.as_secs_f64())),
        between: mean(&|answer| {
            let rest = answer.took.saturating_sub(answer.first_token?).as_secs_f64();
            (answer.generated_tokens > 1).then(|| rest / (answer.generated_tokens - 1) as f64)
        }),
    }
}
