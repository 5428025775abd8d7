//! Answers the cases of a suite, all together, and judges each as it ends.

use std::time::Instant;

use super::report::{CaseReport, Report};
use super::{Case, Input, Suite};
use whinchat::{Answer, Error, GenerateOptions, Model, SamplingParams};

/// Scores `model` on `suite`; `progress` hears how many cases are done. A case that the model cannot take (too long, refused
/// by its chat template) is that case's failure.
///
/// # Errors
/// If the engine fails.
pub fn run(model: &Model, suite: &Suite, progress: &mut dyn FnMut(usize)) -> Result<Report, Error> {
    let started = Instant::now();
    let mut reports: Vec<Option<CaseReport>> = vec![None; suite.cases.len()];
    let mut asked = Vec::new();
    for (place, case) in suite.cases.iter().enumerate() {
        match prompt(model, case) {
            Ok(prompt) => asked.push((place, prompt)),
            Err(why) => reports[place] = Some(CaseReport::refused(case, why.to_string())),
        }
    }
    let mut done = suite.cases.len() - asked.len();
    progress(done);
    let prompts = asked.iter().map(|(place, prompt)| (prompt.clone(), options(&suite.cases[*place])));
    for (i, answer) in model.answers(prompts) {
        let (place, prompt) = &asked[i];
        let case = &suite.cases[*place];
        reports[*place] = Some(match answer {
            Ok(answer) => judged(case, prompt, answer),
            Err(Error::Request(why)) => CaseReport::refused(case, why),
            Err(failed) => return Err(failed),
        });
        done += 1;
        progress(done);
    }
    let cases = reports.into_iter().flatten().collect();
    Ok(Report::new(suite, model.name(), cases, started.elapsed()))
}

/// What the model is given.
fn prompt(model: &Model, case: &Case) -> Result<String, Error> {
    match &case.input {
        Input::Prompt(prompt) => Ok(prompt.clone()),
        Input::Messages(_) if case.tools.is_some() && model.chats() && !model.template_mentions("tools") => {
            Err(Error::Request("the model's chat template has no place for tools".into()))
        }
        Input::Messages(messages) => model.render_chat_with(messages, case.tools.as_ref(), &serde_json::Map::new()),
    }
}

fn options(case: &Case) -> GenerateOptions {
    GenerateOptions {
        sampling: SamplingParams { temperature: case.temperature, seed: Some(case.seed), ..SamplingParams::default() },
        max_tokens: case.max_tokens,
        templated: matches!(case.input, Input::Messages(_)),
        ..GenerateOptions::default()
    }
}

fn judged(case: &Case, prompt: &str, answer: Answer) -> CaseReport {
    let spoken = spoken(prompt, &answer.text).to_owned();
    CaseReport::judged(case, answer, &spoken)
}

/// What is said once the model has thought: without the `<think>…</think>` that an answer begins with, or that its prompt
/// has begun.
fn spoken<'a>(prompt: &str, answer: &'a str) -> &'a str {
    let thinks = answer.trim_start().starts_with("<think>") || prompt.trim_end().ends_with("<think>");
    match answer.split_once("</think>") {
        Some((_, spoken)) if thinks => spoken,
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::spoken;

    #[test]
    fn thoughts_are_not_judged() {
        let check = |prompt, answer, expected| assert_eq!(spoken(prompt, answer), expected, "{prompt} {answer}");
        check("q", "a", "a");
        check("q", "<think>\nhm\n</think>\na", "\na");
        check("q<think>\n", "hm</think>a", "a");
        check("q", "hm</think>a", "hm</think>a");
        check("q", "<think>hm", "<think>hm");
    }
}
