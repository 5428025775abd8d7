//! Answers the cases of a suite, all together, and judges each as it ends.

use std::collections::HashMap;
use std::time::Instant;

use super::choice::Continuation;
use super::report::{CaseReport, Report};
use super::{Case, Expect, Input, Scores, Suite};
use whinchat::{Answer, Ask, Cancel, Chat, Ending, Error, GenerateOptions, Model, PromptText, Sampling};

/// Scores `model` on `suite`; `progress` hears how many cases are done. A case that the model cannot take (too long, refused
/// by its chat template) is that case's failure.
///
/// # Errors
/// If the engine fails.
pub(crate) fn run(model: &Model, suite: &Suite, progress: &mut dyn FnMut(usize)) -> Result<Report, Error> {
    let started = Instant::now();
    let mut reports: Vec<Option<CaseReport>> = vec![None; suite.cases.len()];
    let mut asked = Vec::new();
    for (place, case) in suite.cases.iter().enumerate() {
        match refusal(model, case) {
            None => asked.extend((0..questions(case)).map(|option| (place, option))),
            Some(why) => reports[place] = Some(CaseReport::refused(case, why)),
        }
    }
    let done = |reports: &[Option<CaseReport>]| reports.iter().flatten().count();
    progress(done(&reports));
    let asks = asked.iter().map(|(place, option)| ask(model, &suite.cases[*place], *option));
    let mut open: HashMap<usize, Vec<Option<Answer>>> = HashMap::new();
    for (i, inference) in model.blocking().infer_batch(asks, &Cancel::new()) {
        let (place, option) = asked[i];
        let case = &suite.cases[place];
        match inference.success().map_err(Error::from) {
            Ok(mut inferred) => {
                let answers = open.entry(place).or_insert_with(|| vec![None; questions(case)]);
                answers[option] = Some(inferred.answers.pop().unwrap_or_default());
                if reports[place].is_none() && answers.iter().all(Option::is_some) {
                    let answers = open.remove(&place).into_iter().flatten().flatten().collect();
                    reports[place] = Some(judged(model, case, answers));
                }
            }
            Err(Error::Request(why)) => reports[place] = Some(CaseReport::refused(case, why)),
            Err(failed) => return Err(failed),
        }
        progress(done(&reports));
    }
    let cases = reports.into_iter().flatten().collect();
    Ok(Report::new(suite, model.name(), cases, started.elapsed()))
}

/// How many questions a case asks: one, or one for each option.
fn questions(case: &Case) -> usize {
    if let Expect::Choice(choice) = &case.expect { choice.options.len() } else { 1 }
}

/// What came of a case, by the answers to all its questions.
fn judged(model: &Model, case: &Case, mut answers: Vec<Answer>) -> CaseReport {
    let Expect::Choice(choice) = &case.expect else {
        return CaseReport::judged(case, answers.pop().unwrap_or_default());
    };
    let likelihood = |(option, answer): (&String, &Answer)| {
        Continuation::new(model.tokenizer(), case.input.question(), option).likelihood(answer)
    };
    let likelihoods = choice.options.iter().zip(&answers).map(likelihood).collect();
    CaseReport::chosen(case, choice, Scores::new(choice, likelihoods))
}

/// Why a model that chats does not take a case with tools.
fn refusal(model: &Model, case: &Case) -> Option<String> {
    let lacks = case.tools.is_some() && model.chats() && !model.template_mentions("tools");
    lacks.then(|| "the model's chat template has no place for tools".into())
}

/// What the model is asked, of a case with options by one of them.
fn ask(model: &Model, case: &Case, option: usize) -> Ask {
    if let Expect::Choice(choice) = &case.expect {
        return score(Continuation::new(model.tokenizer(), case.input.question(), &choice.options[option]));
    }
    let temperature = Some(case.temperature);
    let sampling = Sampling { temperature, seed: Some(case.seed), ..plain() };
    let ending = Ending { max_tokens: Some(case.max_tokens), ..Ending::default() };
    let input = match &case.input {
        Input::Prompt(prompt) => whinchat::Input::text(prompt.as_str()),
        Input::Messages(messages) => {
            whinchat::Input::Chat(Chat { tools: case.tools.clone(), ..Chat::new(messages.clone()) })
        }
    };
    GenerateOptions { sampling, ending }.ask(input)
}

/// Asks for the log-probabilities of these tokens and nothing else.
fn score(continuation: Continuation) -> Ask {
    let items = vec![PromptText::Tokens(continuation.tokens)];
    let input = whinchat::Input::Prompts { items, echo: false, parse_special: false, suffix: None };
    let ask = GenerateOptions { sampling: plain(), ..GenerateOptions::max_tokens(0) }.ask(input);
    Ask { prompt_logprobs: Some(0), ..ask }
}

/// The model's own distribution, whatever its settings suggest: a suite says itself how it is sampled.
fn plain() -> Sampling {
    Sampling {
        top_k: Some(0),
        top_p: Some(1.0),
        min_p: Some(0.0),
        repetition_penalty: Some(1.0),
        ..Sampling::default()
    }
}
