//! JSON schemas by the JSON-Schema-Test-Suite: right, refused and wrong by file, never worse than llguidance alone, and as
//! docs/json-schema.md says.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::ApproximateTokEnv;
use llguidance::{Matcher, ParserFactory};
use serde_json::Value;
use text::Constraint;

use crate::common::asset;
use crate::constraints::{CONSTRAINER, takes};

/// Instances that were judged as they should be, not judged, and judged wrongly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Score {
    right: usize,
    refused: usize,
    wrong: usize,
}

impl Score {
    /// Counts an instance that was taken or not, if its schema was.
    fn count(&mut self, taken: Option<bool>, valid: bool) {
        match taken {
            None => self.refused += 1,
            Some(taken) if taken == valid => self.right += 1,
            Some(_) => self.wrong += 1,
        }
    }

    fn add(&mut self, other: Score) {
        self.right += other.right;
        self.refused += other.refused;
        self.wrong += other.wrong;
    }
}

/// What llguidance makes of schemas by itself.
struct Alone(ParserFactory);

impl Alone {
    fn new() -> Alone {
        let env = Arc::new(ApproximateTokEnv::single_byte());
        let mut factory = ParserFactory::new_simple(&(env as _)).expect("a vocabulary of bytes");
        factory.quiet();
        Alone(factory)
    }

    fn matcher(&self, schema: &Value) -> Option<Matcher> {
        let matcher = Matcher::new(self.0.create_parser(TopLevelGrammar::from_json_schema(schema.clone())));
        (!matcher.is_error()).then_some(matcher)
    }

    fn takes(mut matcher: Matcher, text: &str) -> bool {
        let tokens: Vec<u32> = text.bytes().map(u32::from).collect();
        matcher.try_consume_tokens(&tokens).is_ok_and(|taken| taken == tokens.len())
            && matcher.is_accepting().is_ok_and(|accepting| accepting)
    }
}

#[test]
fn schemas_are_right_refused_or_wrong_as_the_page_says() {
    let Some(folder) = asset("jsonschema") else { return };
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    let (alone, mut sum, mut table) = (Alone::new(), Score::default(), String::new());
    for path in &paths {
        let (ours, theirs) = scores(path, &alone);
        let name = path.file_stem().expect("a name").to_string_lossy();
        assert!(
            ours.right >= theirs.right && ours.wrong <= theirs.wrong,
            "{name}: {ours:?}, llguidance alone {theirs:?}"
        );
        row(&mut table, &name, ours);
        sum.add(ours);
    }
    assert!(sum.right > 500, "{sum:?}");
    row(&mut table, "all", sum);
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/json-schema.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    assert!(page.contains(&table), "docs/json-schema.md does not have\n{table}");
}

fn row(table: &mut String, name: &str, score: Score) {
    let Score { right, refused, wrong } = score;
    writeln!(table, "| {name} | {right} | {refused} | {wrong} |").expect("a text takes all");
}

/// Ours and llguidance's own.
fn scores(path: &Path, alone: &Alone) -> (Score, Score) {
    let groups: Value = serde_json::from_slice(&std::fs::read(path).expect("a file")).expect("JSON");
    let (mut ours, mut theirs) = (Score::default(), Score::default());
    for group in groups.as_array().expect("groups") {
        let matcher = CONSTRAINER.compile(&Constraint::JsonSchema(group["schema"].clone())).ok();
        let own = alone.matcher(&group["schema"]);
        for test in group["tests"].as_array().expect("tests") {
            let (text, valid) = (test["data"].to_string(), test["valid"] == true);
            ours.count(matcher.clone().map(|matcher| takes(matcher, &text)), valid);
            theirs.count(own.clone().map(|matcher| Alone::takes(matcher, &text)), valid);
        }
    }
    (ours, theirs)
}
