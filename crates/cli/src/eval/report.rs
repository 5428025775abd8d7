//! Scores, added up by task.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::sentences::{sentences, words};
use super::{Accuracy, Case, Choice, Expect, Scores, Suite, judge};
use whinchat::{Answer, Reason, ToolCall};

/// Everything that came of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    /// The suite's name.
    pub(crate) suite: String,
    /// The model's name.
    pub(crate) model: String,
    /// The tasks, in the suite's order.
    pub(crate) tasks: Vec<TaskReport>,
    /// All cases together.
    pub(crate) total: TaskReport,
    /// The cases, in the suite's order.
    pub(crate) cases: Vec<CaseReport>,
    /// How long it took.
    pub(crate) time: Duration,
}

/// The scores of a task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TaskReport {
    /// The task.
    pub(crate) task: String,
    /// Its cases.
    pub(crate) cases: usize,
    /// Those that passed.
    pub(crate) passed: usize,
    /// The least share that must pass.
    pub(crate) minimum: Option<f64>,
    /// How varied its sentences are, where they are judged by a grammar.
    pub(crate) variety: Option<Variety>,
    /// The least share of sentences that must be distinct.
    pub(crate) minimum_variety: Option<f64>,
    /// How often the likeliest option is right, where there are options.
    pub(crate) accuracy: Option<Accuracy>,
}

/// How varied the sentences of a task's answers are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variety {
    /// All sentences.
    pub(crate) sentences: usize,
    /// Those that differ from each other.
    pub(crate) distinct: usize,
    /// Words that differ from each other.
    pub(crate) words: usize,
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CaseReport {
    /// The case's name.
    pub(crate) id: String,
    /// Its task.
    pub(crate) task: String,
    /// What was asked last.
    pub(crate) question: String,
    /// What was expected, as the suite has it.
    pub(crate) expected: Value,
    /// The sentences of the answer, where a grammar judges them.
    pub(crate) sentences: Option<Vec<String>>,
    /// How likely its options are, where it has some.
    pub(crate) scores: Option<Scores>,
    /// The answer; none if the model did not take the case, or nothing is generated for it.
    pub(crate) answer: Option<Answer>,
    /// Why it failed; none if it passed.
    pub(crate) reason: Option<String>,
}

impl Report {
    pub(super) fn new(suite: &Suite, model: &str, cases: Vec<CaseReport>, time: Duration) -> Report {
        let task = |task: &str| {
            let of_task: Vec<&CaseReport> = cases.iter().filter(|case| case.task == task).collect();
            TaskReport {
                minimum: suite.minimum.get(task).copied(),
                minimum_variety: suite.minimum_variety.get(task).copied(),
                variety: variety(&of_task),
                ..TaskReport::of(task, &of_task)
            }
        };
        let tasks = suite.tasks().into_iter().map(task).collect();
        let total = TaskReport::of("total", &cases.iter().collect::<Vec<_>>());
        Report { suite: suite.name.clone(), model: model.to_owned(), tasks, total, cases, time }
    }

    /// The tasks that do not reach what the suite asks for, in words.
    pub(crate) fn below(&self) -> Vec<String> {
        let text = |what: &str, task: &TaskReport, got: f64, minimum: Option<f64>| {
            format!("{}: {what} {:.1} %, at least {:.1} %", task.task, 100.0 * got, 100.0 * minimum.unwrap_or_default())
        };
        let mut all = Vec::new();
        for task in &self.tasks {
            if task.is_below() {
                all.push(text("score", task, task.score(), task.minimum));
            }
            if task.is_monotonous() {
                let got = task.variety.unwrap_or_default().share();
                all.push(text("variety", task, got, task.minimum_variety));
            }
        }
        all
    }

    /// Tokens generated for all answers.
    pub(crate) fn generated_tokens(&self) -> usize {
        self.cases.iter().filter_map(|case| case.answer.as_ref()).map(|answer| answer.usage.generated).sum()
    }

    /// Tokens generated in a second, prompts and all.
    pub(crate) fn tokens_per_second(&self) -> f64 {
        self.generated_tokens() as f64 / self.time.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// All of it as JSON.
    pub(crate) fn json(&self) -> Value {
        json!({
            "suite": self.suite,
            "model": self.model,
            "tasks": self.tasks.iter().map(TaskReport::json).collect::<Vec<_>>(),
            "total": self.total.json(),
            "below": self.below(),
            "cases": self.cases.iter().map(CaseReport::json).collect::<Vec<_>>(),
            "seconds": self.time.as_secs_f64(),
            "generated_tokens": self.generated_tokens(),
            "tokens_per_second": self.tokens_per_second(),
        })
    }
}

impl TaskReport {
    fn of(task: &str, cases: &[&CaseReport]) -> TaskReport {
        let passed = cases.iter().filter(|case| case.reason.is_none()).count();
        let (minimum, variety, minimum_variety) = (None, None, None);
        let accuracy = accuracy(cases);
        TaskReport { task: task.to_owned(), cases: cases.len(), passed, minimum, variety, minimum_variety, accuracy }
    }

    /// The share of cases that passed.
    pub(crate) fn score(&self) -> f64 {
        share(self.passed, self.cases)
    }

    /// Where the score of endlessly many such cases would lie, with 95 % confidence (Wilson 1927).
    pub(crate) fn interval(&self) -> (f64, f64) {
        const Z: f64 = 1.959_963_984_540_054;
        if self.cases == 0 {
            return (0.0, 1.0);
        }
        let (n, p) = (self.cases as f64, self.score());
        let middle = p + Z * Z / (2.0 * n);
        let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
        let bound = |x: f64| (x / (1.0 + Z * Z / n)).clamp(0.0, 1.0);
        (bound(middle - spread), bound(middle + spread))
    }

    /// Whether fewer cases passed than must.
    pub(crate) fn is_below(&self) -> bool {
        self.minimum.is_some_and(|minimum| self.score() < minimum)
    }

    /// Whether fewer sentences are distinct than must be.
    pub(crate) fn is_monotonous(&self) -> bool {
        self.minimum_variety.is_some_and(|minimum| self.variety.unwrap_or_default().share() < minimum)
    }

    fn json(&self) -> Value {
        json!({
            "task": self.task,
            "cases": self.cases,
            "passed": self.passed,
            "score": self.score(),
            "interval": self.interval(),
            "minimum": self.minimum,
            "variety": self.variety.map(|variety| json!({
                "share": variety.share(),
                "sentences": variety.sentences,
                "distinct": variety.distinct,
                "words": variety.words,
                "minimum": self.minimum_variety,
            })),
            "choices": self.accuracy.map(Accuracy::json),
            "below": self.is_below() || self.is_monotonous(),
        })
    }
}

impl Variety {
    /// The share of sentences that are distinct.
    pub(crate) fn share(&self) -> f64 {
        share(self.distinct, self.sentences)
    }
}

impl CaseReport {
    /// There is an answer; what the model thought before it is not judged.
    pub(super) fn judged(case: &Case, answer: Answer) -> CaseReport {
        let reason = judge(&case.expect, &answer).err();
        let mut report = CaseReport::new(case, reason);
        if let Some(all) = &mut report.sentences {
            all.extend(sentences(&answer.text).into_iter().map(str::to_owned));
        }
        CaseReport { answer: Some(answer), ..report }
    }

    /// One of its options is the likeliest.
    pub(super) fn chosen(case: &Case, choice: &Choice, scores: Scores) -> CaseReport {
        CaseReport { scores: Some(scores.clone()), ..CaseReport::new(case, scores.judge(choice).err()) }
    }

    /// There is no answer, for this reason.
    pub(super) fn refused(case: &Case, reason: String) -> CaseReport {
        CaseReport::new(case, Some(reason))
    }

    fn new(case: &Case, reason: Option<String>) -> CaseReport {
        CaseReport {
            id: case.id.clone(),
            task: case.task.clone(),
            question: case.input.question().to_owned(),
            expected: case.expected.clone(),
            sentences: matches!(case.expect, Expect::Grammar(_)).then(Vec::new),
            scores: matches!(case.expect, Expect::Choice(_)).then(Scores::default),
            answer: None,
            reason,
        }
    }

    /// Whether the answer was what is expected.
    pub(crate) fn pass(&self) -> bool {
        self.reason.is_none()
    }

    /// The case as JSON.
    pub(crate) fn json(&self) -> Value {
        let answer = self.answer.as_ref();
        json!({
            "id": self.id,
            "task": self.task,
            "pass": self.pass(),
            "question": self.question,
            "expected": self.expected,
            "answer": answer.map(|answer| answer.text.as_str()),
            "reason": self.reason,
            "choice": self.scores.as_ref().map(Scores::json),
            "calls": answer.map(|answer| answer.calls.iter().map(call).collect::<Vec<_>>()),
            "finish_reason": answer.and_then(|answer| answer.reason).map(|reason| match reason {
                Reason::Stop => "stop",
                Reason::Length => "length",
                Reason::ToolCalls => "tool_calls",
            }),
            "prompt_tokens": answer.map(|answer| answer.usage.prompt),
            "generated_tokens": answer.map(|answer| answer.usage.generated),
        })
    }
}

fn call(call: &ToolCall) -> Value {
    let arguments: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| call.arguments.as_str().into());
    json!({ "name": call.name, "arguments": arguments })
}

/// How varied the sentences of some answers are; none if none of them is judged by sentences.
fn variety(cases: &[&CaseReport]) -> Option<Variety> {
    let varied: Vec<&[String]> = cases.iter().filter_map(|case| case.sentences.as_deref()).collect();
    if varied.is_empty() {
        return None;
    }
    let all: Vec<&str> = varied.into_iter().flatten().map(String::as_str).collect();
    let distinct: HashSet<&str> = all.iter().copied().collect();
    let words: HashSet<String> = distinct.iter().flat_map(|sentence| words(sentence)).collect();
    Some(Variety { sentences: all.len(), distinct: distinct.len(), words: words.len() })
}

/// How often the likeliest option of some cases is right; none if none of them has options.
fn accuracy(cases: &[&CaseReport]) -> Option<Accuracy> {
    let choices: Vec<(&CaseReport, &Scores)> =
        cases.iter().filter_map(|case| Some((*case, case.scores.as_ref()?))).collect();
    let count = |passes: fn(&CaseReport, &Scores) -> bool| choices.iter().filter(|(case, s)| passes(case, s)).count();
    let (passed, passed_by_length) = (count(|case, _| case.pass()), count(|_, scores| scores.passes_by_length));
    (!choices.is_empty()).then_some(Accuracy { cases: choices.len(), passed, passed_by_length })
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
