//! Runs of suites on the small model, and many prompts at once.

use crate::eval::{CaseReport, Report, Suite, run};
use serde_json::{Value, json};
use whinchat::{Answer, Ask, Cancel, Ending, Error, GenerateOptions, Input, Model, Reason, Sampling};

use super::{folder, model, varied_cases};

fn report(model: &Model, files: &[(&str, &str)]) -> Report {
    let folder = folder(files);
    let suite = Suite::load(folder.path()).expect("a suite");
    let mut heard = Vec::new();
    let report = run(model, &suite, &mut |done| heard.push(done)).expect("it runs");
    assert!(heard.is_sorted() && heard.last() == Some(&suite.cases.len()), "{heard:?}");
    report
}

fn answer(case: &CaseReport) -> &Answer {
    case.answer.as_ref().expect("an answer")
}

#[test]
fn scores_do_not_depend_on_how_many_cases_run_at_once() {
    let cases = varied_cases(|_| json!({ "contains": "the" }));
    let alone = report(&model(1), &[("cases.jsonl", &cases)]);
    assert!(alone.total.passed > 0 && alone.total.passed < 40, "{} passed", alone.total.passed);
    for streams in [3, 32] {
        let together = report(&model(streams), &[("cases.jsonl", &cases)]);
        assert_eq!(together.cases, alone.cases, "{streams} at once");
        assert_eq!((together.tasks, together.total), (alone.tasks.clone(), alone.total.clone()));
    }
}

/// What the model says is expected of it, where it ended by itself; elsewhere the reason is that it did not.
#[test]
fn what_is_expected_passes() {
    let model = model(32);
    let first = report(&model, &[("cases.jsonl", &varied_cases(|_| json!({ "contains": "no such text" })))]);
    assert_eq!((first.total.passed, first.tasks.len()), (0, 2));
    let said = |i: usize| answer(&first.cases[i]);
    let expect = |i: usize| match said(i).text.trim() {
        "" => json!({ "contains": "no such text" }),
        text => json!({ "exact": text }),
    };
    let again = report(&model, &[("cases.jsonl", &varied_cases(expect))]);
    let ended = again.cases.iter().filter(|case| answer(case).reason == Some(Reason::Stop));
    assert!(ended.clone().count() > 0, "some of the answers end by themselves");
    assert!(ended.filter(|case| case.expected.get("exact").is_some()).all(CaseReport::pass));
    for case in again.cases.iter().filter(|case| answer(case).reason == Some(Reason::Length)) {
        assert!(case.reason.as_ref().is_some_and(|why| why.contains("cut off")), "{case:?}");
    }
    let text: Value = again.json();
    assert_eq!((text["total"]["cases"].as_u64(), text["cases"][0]["id"].as_str()), (Some(40), Some("case-0")));
    assert_eq!(text["cases"][1]["answer"].as_str(), Some(said(1).text.as_str()));
}

#[test]
fn what_the_model_cannot_take_is_a_failure_of_that_case() {
    let long = "a b c d e f ".repeat(200);
    let case = |id: &str, more: Value| {
        let mut case = json!({ "id": id, "task": "t", "max_tokens": 4, "expect": { "contains": "" } });
        case["expect"] = json!({ "contains": "e" });
        case.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        format!("{case}\n")
    };
    let messages = json!([{ "role": "user", "content": "Hi" }]);
    let tools = json!([{ "type": "function", "function": { "name": "f" } }]);
    let cases = case("long", json!({ "prompt": long }))
        + &case("tools", json!({ "messages": messages, "tools": tools }))
        + &case("fine", json!({ "messages": messages }));
    let report = report(&model(4), &[("cases.jsonl", &cases)]);
    let reason = |i: usize| report.cases[i].reason.clone().unwrap_or_default();
    assert!(report.cases[0].answer.is_none() && reason(0).contains("context of 256"), "{}", reason(0));
    assert!(report.cases[1].answer.is_none() && reason(1).contains("no place for tools"), "{}", reason(1));
    assert!(report.cases[2].answer.is_some());
}

#[test]
fn minimum_and_variety_are_told() {
    let line = |i: usize, expect: &str| {
        format!(
            "{{\"id\": \"{i}\", \"task\": \"{expect}\", \"prompt\": \"a\", \"max_tokens\": 24, \"expect\": {}}}\n",
            match expect {
                "grammar" => r#"{"grammar": "g.gbnf"}"#,
                _ => r#"{"contains": "z"}"#,
            }
        )
    };
    let cases = line(1, "grammar") + &line(2, "grammar") + &line(3, "plain");
    let settings = r#"{"minimum": {"plain": 0, "grammar": 0.5}, "minimum_variety": {"grammar": 0.9}}"#;
    let report = report(&model(4), &[("c.jsonl", &cases), ("g.gbnf", "root ::= \"x\""), ("suite.json", settings)]);
    let [grammar, plain] = &report.tasks[..] else { panic!("two tasks") };
    let variety = grammar.variety.expect("a grammar judges it");
    // The same prompt, greedily: every sentence comes twice.
    assert_eq!((variety.sentences, variety.share()), (2 * variety.distinct, 0.5));
    assert!(variety.words > 0 && grammar.is_below() && grammar.is_monotonous());
    assert!(plain.variety.is_none() && !plain.is_below());
    assert_eq!(report.below(), ["grammar: score 0.0 %, at least 50.0 %", "grammar: variety 50.0 %, at least 90.0 %"]);
}

#[test]
fn intervals_are_wilsons() {
    let folder = folder(&[("c.jsonl", &varied_cases(|_| json!({ "contains": "e" })))]);
    let suite = Suite::load(folder.path()).expect("a suite");
    let mut task = run(&model(32), &suite, &mut |_| {}).expect("it runs").total;
    let mut check = |passed: usize, cases: usize, low: f64, high: f64| {
        (task.passed, task.cases) = (passed, cases);
        let (a, b) = task.interval();
        assert!((a - low).abs() < 5e-5 && (b - high).abs() < 5e-5, "{passed} of {cases}: {a} {b}");
    };
    // By statsmodels' proportion_confint(method="wilson").
    check(0, 10, 0.0, 0.2775);
    check(10, 10, 0.7225, 1.0);
    check(95, 100, 0.8882, 0.9785);
    check(1, 2, 0.0945, 0.9055);
    check(0, 0, 0.0, 1.0);
}

fn greedy(max_tokens: usize) -> GenerateOptions {
    let ending = Ending { max_tokens: Some(max_tokens), ignore_eos: true, ..Ending::default() };
    GenerateOptions { sampling: Sampling::greedy(), ending }
}

fn ask(prompt: &str, options: &GenerateOptions) -> Ask {
    options.ask(Input::text(prompt))
}

#[test]
fn many_prompts_at_once_give_what_each_gives_alone() {
    let model = model(4);
    let prompt = |i: usize| if i == 7 { "a b c d e f ".repeat(200) } else { format!("The bird {i}") };
    let mut seen = vec![false; 30];
    for (i, inference) in model.blocking().infer_batch((0..30).map(|i| ask(&prompt(i), &greedy(1 + i))), &Cancel::new())
    {
        assert!(!std::mem::replace(&mut seen[i], true), "{i} came twice");
        match inference.success().map_err(Error::from) {
            Ok(inferred) => {
                let answer = &inferred.answers[0];
                assert_eq!(answer.usage.generated, 1 + i);
                assert_eq!(answer.text, model.generate(&prompt(i), &greedy(1 + i)).expect("an answer"), "{i}");
            }
            Err(Error::Request(why)) => assert!(i == 7 && why.contains("context of 256"), "{i}: {why}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(seen.iter().all(|seen| *seen), "{seen:?}");
}

#[test]
fn answers_stop_at_stop_strings_and_dropping_them_cancels() {
    let model = model(2);
    let whole = model.generate("The", &greedy(40)).expect("an answer");
    let stop = whole.chars().skip(20).take(2).collect::<String>();
    let mut options = greedy(200);
    options.ending.strings = vec![stop.clone()];
    let stopped: Vec<_> = model.blocking().infer_batch((0..20).map(|_| ask("The", &options)), &Cancel::new()).collect();
    assert_eq!(stopped.len(), 20);
    for (_, inference) in stopped {
        let answer = &inference.success().expect("an answer").answers[0];
        assert_eq!((Some(answer.text.as_str()), answer.reason), (whole.split(&stop).next(), Some(Reason::Stop)));
    }
    let mut answers = model.blocking().infer_batch((0..1000).map(|_| ask("The", &greedy(200))), &Cancel::new());
    assert!(answers.next().is_some());
    drop(answers);
    assert_eq!(model.generate("The", &greedy(40)).expect("there is room"), whole);
}
