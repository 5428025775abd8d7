//! From constraints to matchers, for one vocabulary.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{InferenceCapabilities, TokEnv};
use llguidance::{Matcher, ParserFactory, panic_utils};

use super::matcher::Fresh;
use super::vocabulary::Vocabulary;
use super::{Constraint, ConstraintError, ConstraintMatcher, schema};
use crate::Tokenizer;

/// The stack of a thread that compiles: a schema of the greatest length may refer from one definition to the next,
/// thousands deep. Only what is used of it takes memory.
const STACK: usize = 512 << 20;
/// How long compiling may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes matchers of constraints. Made once for a vocabulary, which takes a moment; shared between threads.
pub struct Constrainer {
    factory: Arc<ParserFactory>,
    fresh: Arc<Fresh>,
}

impl Constrainer {
    /// For the vocabulary of `tokenizer`; an answer may end with the tokens `stops` where the constraint is met.
    ///
    /// # Errors
    /// If the vocabulary has no form that constraints could be matched with.
    pub fn new(tokenizer: &Arc<Tokenizer>, stops: &[u32]) -> Result<Constrainer, ConstraintError> {
        let build = || {
            let env: TokEnv = Arc::new(Vocabulary::new(tokenizer, stops));
            let slices = llguidance::earley::SlicedBiasComputer::general_slices();
            ParserFactory::new(&env, InferenceCapabilities::default(), &slices)
        };
        let built = panic_utils::catch_unwind(std::panic::AssertUnwindSafe(build));
        let error = |e| ConstraintError::new("", format!("this model's vocabulary cannot be constrained: {e}"));
        let mut factory = built.map_err(error)?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Constrainer { factory: Arc::new(factory), fresh: Arc::new(Fresh::new(tokenizer)) })
    }

    /// A matcher at the beginning of an answer. Takes time in proportion to the constraint, seconds at most.
    ///
    /// # Errors
    /// If the constraint is malformed, too large, or not supported.
    pub fn compile(&self, constraint: &Constraint) -> Result<ConstraintMatcher, ConstraintError> {
        constraint.check_size()?;
        let grammar = constraint.compiled()?;
        let matcher = self.build(grammar)?;
        match matcher.get_error() {
            None => Ok(ConstraintMatcher::new(matcher, Arc::clone(&self.fresh))),
            Some(message) => Err(explain(constraint, &message)),
        }
    }

    /// On a thread of its own, which ends by itself where the time is over: what it may compute is bounded too.
    fn build(&self, grammar: TopLevelGrammar) -> Result<Matcher, ConstraintError> {
        let (sender, built) = mpsc::sync_channel(1);
        let factory = Arc::clone(&self.factory);
        let compile = move || drop(sender.send(Matcher::new(factory.create_parser(grammar))));
        let thread = std::thread::Builder::new().name("constraint".into()).stack_size(STACK).spawn(compile);
        thread.map_err(|e| ConstraintError::new("", format!("no thread could be started: {e}")))?;
        let failed = |error| match error {
            mpsc::RecvTimeoutError::Timeout => format!("compiling it takes more than {PATIENCE:?}; make it smaller"),
            mpsc::RecvTimeoutError::Disconnected => "compiling it failed".into(),
        };
        built.recv_timeout(PATIENCE).map_err(|error| ConstraintError::new("", failed(error)))
    }
}

/// The library's message for people, with the place where what it names stands.
fn explain(constraint: &Constraint, message: &str) -> ConstraintError {
    let message = message.split("\n<").next().unwrap_or_default().trim();
    let after = |start| message.split_once(start).map(|(_, rest)| rest);
    let (keyword, value) = if let Some(keys) = after("Unimplemented keys: ") {
        (keys.split('"').nth(1).unwrap_or_default(), None)
    } else if let Some(format) = after("Unknown format: ") {
        ("format", format.lines().next())
    } else if after("oneOf constraints are not supported").is_some() {
        ("oneOf", None)
    } else {
        return ConstraintError::new("", message);
    };
    let places = constraint.schemas();
    let mut found =
        places.iter().filter_map(|(at, schema)| Some(format!("{at}{}", schema::find(schema, keyword, value)?)));
    let message = match (keyword, value) {
        ("format", Some(value)) => format!("the format {value:?} is not supported"),
        ("oneOf", _) => "`oneOf` is not supported where its alternatives may overlap; use `anyOf`".into(),
        _ => format!("the keyword `{keyword}` is not supported"),
    };
    ConstraintError { path: found.next().unwrap_or_default(), message, unsupported: true }
}
