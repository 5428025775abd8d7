//! A suite of cases: a folder of `*.jsonl` files with an optional `suite.json`, or one such file. All of it is checked before
//! anything runs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Display};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::case::Grammars;
use super::fields::{Fields, Wrong, must_be};
use super::{Case, Expect};
use whinchat::Error;

/// Problems that are told at once.
const TOLD: usize = 20;

/// Cases, and what their scores must reach.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    /// Its name: what suite.json says, else what its folder or file is called.
    pub(crate) name: String,
    /// What it is about.
    pub(crate) description: Option<String>,
    /// The cases, by file and line.
    pub(crate) cases: Vec<Case>,
    /// The least share of passed cases, by task.
    pub(crate) minimum: BTreeMap<String, f64>,
    /// The least share of distinct sentences, by task.
    pub(crate) minimum_variety: BTreeMap<String, f64>,
}

/// What is wrong somewhere in a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SuiteProblem {
    /// The file.
    pub(crate) file: PathBuf,
    /// The line, from 1, where there are several.
    pub(crate) line: Option<usize>,
    /// The field; empty where it is the whole.
    pub(crate) field: String,
    /// What is wrong and what would fix it.
    pub(crate) message: String,
}

/// Everything that is wrong in a suite.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told())]
pub(crate) struct SuiteError {
    /// At least one.
    pub(crate) problems: Vec<SuiteProblem>,
}

impl Suite {
    /// Reads a suite and checks all of it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Suite, SuiteError> {
        let mut reader = Reader::default();
        let suite = reader.suite(path);
        if reader.problems.is_empty() { Ok(suite) } else { Err(SuiteError { problems: reader.problems }) }
    }

    /// The tasks, in the order in which cases name them.
    pub(crate) fn tasks(&self) -> Vec<&str> {
        let mut tasks: Vec<&str> = Vec::new();
        for case in &self.cases {
            if !tasks.contains(&case.task.as_str()) {
                tasks.push(&case.task);
            }
        }
        tasks
    }

    /// Keeps the cases of these tasks.
    ///
    /// # Errors
    /// If there is no such task.
    pub(crate) fn select(&mut self, tasks: &[String]) -> Result<(), Error> {
        let known = self.tasks();
        if let Some(unknown) = tasks.iter().find(|task| !known.contains(&task.as_str())) {
            let message = format!("the suite has no task {unknown:?}; its tasks are {}", known.join(", "));
            return Err(Error::Request(message));
        }
        self.cases.retain(|case| tasks.contains(&case.task));
        Ok(())
    }

    /// Keeps the first cases of each task.
    pub(crate) fn limit(&mut self, most: usize) {
        let mut kept: HashMap<String, usize> = HashMap::new();
        self.cases.retain(|case| {
            let kept = kept.entry(case.task.clone()).or_default();
            *kept += 1;
            *kept <= most
        });
    }
}

impl SuiteError {
    fn told(&self) -> String {
        let mut lines: Vec<String> = self.problems.iter().take(TOLD).map(ToString::to_string).collect();
        if self.problems.len() > TOLD {
            lines.push(format!("and {} more", self.problems.len() - TOLD));
        }
        lines.join("\n")
    }
}

impl Display for SuiteProblem {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        self.line.map_or(Ok(()), |line| write!(f, "{line}:"))?;
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Reads on whatever is wrong, and remembers it.
#[derive(Default)]
struct Reader {
    problems: Vec<SuiteProblem>,
    /// Where each id was met.
    ids: HashMap<String, (PathBuf, usize)>,
}

impl Reader {
    fn suite(&mut self, path: &Path) -> Suite {
        let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let name = whole.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let (cases, minimum, minimum_variety) = Default::default();
        let mut suite = Suite { name, description: None, cases, minimum, minimum_variety };
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(path) };
        let mut grammars = Grammars::new(folder.to_owned());
        for file in self.files(path) {
            self.file(&file, &mut grammars, &mut suite.cases);
        }
        if suite.cases.is_empty() && self.problems.is_empty() {
            self.problem(
                path,
                None,
                Wrong::new("", "there are no cases; write one JSON object a line into a .jsonl file"),
            );
        }
        let settings = folder.join("suite.json");
        if path.is_dir() && settings.exists() {
            self.settings(&settings, &mut suite);
        }
        suite
    }

    /// The files with cases, sorted by name.
    fn files(&mut self, path: &Path) -> Vec<PathBuf> {
        if !path.is_dir() {
            return vec![path.to_owned()];
        }
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        let entries = entries.unwrap_or_else(|e| {
            self.problem(path, None, Wrong::new("", format!("cannot be read: {e}")));
            Vec::new()
        });
        let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
        files.sort();
        files
    }

    fn file(&mut self, file: &Path, grammars: &mut Grammars, cases: &mut Vec<Case>) {
        let Some(text) = self.text(file) else { return };
        for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
            let value = serde_json::from_str(text).map_err(|e| not_json(&e));
            match value.and_then(|value: Value| Case::read(&value, grammars)) {
                Ok(case) => {
                    self.check_id(&case.id, file, line);
                    cases.push(case);
                }
                Err(wrong) => self.problem(file, Some(line), wrong),
            }
        }
    }

    fn check_id(&mut self, id: &str, file: &Path, line: usize) {
        if let Some((other, earlier)) = self.ids.get(id) {
            let message = format!("{id:?} is the id of {}:{earlier} already; choose another", other.display());
            return self.problem(file, Some(line), Wrong::new("id", message));
        }
        self.ids.insert(id.to_owned(), (file.to_owned(), line));
    }

    fn settings(&mut self, file: &Path, suite: &mut Suite) {
        let Some(text) = self.text(file) else { return };
        let value = serde_json::from_str(&text).map_err(|e| not_json(&e));
        if let Err(wrong) = value.and_then(|value: Value| settings(&value, suite)) {
            self.problem(file, None, wrong);
        }
    }

    fn text(&mut self, file: &Path) -> Option<String> {
        let text = std::fs::read_to_string(file);
        text.map_err(|e| self.problem(file, None, Wrong::new("", format!("cannot be read: {e}")))).ok()
    }

    fn problem(&mut self, file: &Path, line: Option<usize>, wrong: Wrong) {
        let Wrong { field, message } = wrong;
        if !message.is_empty() {
            self.problems.push(SuiteProblem { file: file.to_owned(), line, field, message });
        }
    }
}

fn not_json(error: &serde_json::Error) -> Wrong {
    Wrong::new("", format!("is not a JSON object: {error}; write one whole object a line"))
}

/// What suite.json says. The cases are read already.
fn settings(value: &Value, suite: &mut Suite) -> Result<(), Wrong> {
    let fields = Fields::of(value, "", &["name", "description", "minimum", "minimum_variety"])?;
    if fields.get("name").is_some() {
        suite.name = fields.text("name")?.to_owned();
    }
    if fields.get("description").is_some() {
        suite.description = Some(fields.text("description")?.to_owned());
    }
    let sentences = |case: &&Case| matches!(case.expect, Expect::Grammar(_));
    let all = suite.tasks();
    let varied = Suite { cases: suite.cases.iter().filter(sentences).cloned().collect(), ..suite.clone() };
    let minimum = shares(&fields, "minimum", &all)?;
    let minimum_variety = shares(&fields, "minimum_variety", &varied.tasks())?;
    (suite.minimum, suite.minimum_variety) = (minimum, minimum_variety);
    Ok(())
}

/// A share from 0 to 1 for each of some tasks.
fn shares(fields: &Fields, name: &str, tasks: &[&str]) -> Result<BTreeMap<String, f64>, Wrong> {
    let Some(value) = fields.get(name) else { return Ok(BTreeMap::new()) };
    let object = value.as_object().ok_or_else(|| fields.wrong(name, must_be("an object: task to share", value)))?;
    let share = |(task, share): (&String, &Value)| {
        let wrong = |message| Wrong::new(format!("{name}.{task}"), message);
        if !tasks.contains(&task.as_str()) {
            return Err(wrong(format!("is no task that has one; take it out or name one of: {}", tasks.join(", "))));
        }
        let number = share.as_f64().filter(|share| (0.0..=1.0).contains(share));
        number.map(|number| (task.clone(), number)).ok_or_else(|| wrong(must_be("a number from 0 to 1", share)))
    };
    object.iter().map(share).collect()
}
