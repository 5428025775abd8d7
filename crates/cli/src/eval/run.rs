//! Answers the cases of a suite, all together, and judges each as it ends.

use std::time::Instant;

use super::report::{CaseReport, Report};
use super::{Case, Input, Suite};
use whinchat::{Ask, Cancel, Chat, Ending, Error, GenerateOptions, Model, Sampling};

/// Scores `model` on `suite`; `progress` hears how many cases are done. A case that the model cannot take (too long, refused
/// by its chat template) is that case's failure.
///
/// # Errors
/// If the engine fails.
pub(crate) fn run(model: &Model, suite: &Suite, progress: &mut dyn FnMut(usize)) -> Result<Report, Error> {
    let started = Instant::now();
    let mut reports: Vec<Option<CaseReport>> = vec![None; suite.cases.len()];
    let mut places = Vec::new();
    for (place, case) in suite.cases.iter().enumerate() {
        match refusal(model, case) {
            None => places.push(place),
            Some(why) => reports[place] = Some(CaseReport::refused(case, why)),
        }
    }
    let mut done = suite.cases.len() - places.len();
    progress(done);
    let asks = places.iter().map(|place| ask(&suite.cases[*place]));
    for (i, inference) in model.blocking().infer_batch(asks, &Cancel::new()) {
        let case = &suite.cases[places[i]];
        reports[places[i]] = Some(match inference.success().map_err(Error::from) {
            Ok(mut inferred) => CaseReport::judged(case, inferred.answers.pop().unwrap_or_default()),
            Err(Error::Request(why)) => CaseReport::refused(case, why),
            Err(failed) => return Err(failed),
        });
        done += 1;
        progress(done);
    }
    let cases = reports.into_iter().flatten().collect();
    Ok(Report::new(suite, model.name(), cases, started.elapsed()))
}

/// Why a model that chats does not take a case with tools.
fn refusal(model: &Model, case: &Case) -> Option<String> {
    let lacks = case.tools.is_some() && model.chats() && !model.template_mentions("tools");
    lacks.then(|| "the model's chat template has no place for tools".into())
}

/// What the model is asked.
fn ask(case: &Case) -> Ask {
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
