//! Token masks: which tokens may come next.

use std::sync::{Arc, Mutex};

use engine::{MaskError, MaskState, Request, SamplingParams, StopRules, TokenMask, TokenSet};

use crate::scene::Scene;

/// A mask that allows, at each position of the answer, what its script says; the last line is repeated. It notes what it
/// was told.
struct Script {
    lines: Vec<Line>,
    told: Arc<Mutex<Vec<u32>>>,
}

#[derive(Clone)]
enum Line {
    Allow(Vec<u32>),
    /// This token only, which need not be chosen.
    Must(u32),
    /// This token only, and it is the last.
    Last(u32),
    Fail,
    Panic,
}

impl Script {
    fn line(&self) -> &Line {
        &self.lines[self.told.lock().unwrap().len().min(self.lines.len() - 1)]
    }
}

impl TokenMask for Script {
    fn fill(&mut self, allowed: &mut TokenSet) -> Result<(), MaskError> {
        assert!(allowed.is_empty());
        match self.line() {
            Line::Allow(tokens) => tokens.iter().for_each(|token| allowed.allow(*token)),
            Line::Must(token) | Line::Last(token) => allowed.allow(*token),
            Line::Fail => return Err(MaskError("the grammar is too large".to_owned())),
            Line::Panic => std::panic::resume_unwind(Box::new("no such rule")),
        }
        Ok(())
    }

    fn accept(&mut self, token: u32) -> Result<MaskState, MaskError> {
        let last = matches!(self.line(), Line::Last(_));
        self.told.lock().unwrap().push(token);
        Ok(if last { MaskState::Complete } else { MaskState::Open })
    }

    fn forced(&mut self) -> Result<Vec<u32>, MaskError> {
        let rest = self.lines.iter().skip(self.told.lock().unwrap().len());
        let forced = rest.map_while(|line| if let Line::Must(token) = line { Some(*token) } else { None });
        Ok(forced.collect())
    }
}

/// Submits a request with a mask for each continuation; gives what each mask will be told.
fn ask(scene: &mut Scene, prompt: usize, scripts: &[&[Line]], max_tokens: usize) -> Vec<Arc<Mutex<Vec<u32>>>> {
    let told: Vec<Arc<Mutex<Vec<u32>>>> = scripts.iter().map(|_| Arc::default()).collect();
    let stop = StopRules { max_tokens, min_tokens: 0, tokens: [7].into() };
    let params = SamplingParams { seed: Some(11), logprobs: Some(3), ..SamplingParams::default() };
    scene.ask_as((0..prompt as u32).collect(), scripts.len(), |mut request| {
        for ((continuation, lines), told) in request.continuations.iter_mut().zip(scripts).zip(&told) {
            continuation.mask = Some(Box::new(Script { lines: lines.to_vec(), told: Arc::clone(told) }));
        }
        Request { stop, params, ..request }
    });
    told
}

fn allow(tokens: &[u32]) -> Line {
    Line::Allow(tokens.to_vec())
}

/// The end of a continuation with this script: tokens and reason.
fn check(lines: &[Line], expect: &str) {
    let mut scene = Scene::new(64, 4, 16);
    let told = ask(&mut scene, 3, &[lines], 5);
    scene.finish();
    let inbox = scene.inboxes[0].lock().unwrap();
    assert_eq!(inbox.broken, None);
    let reason = inbox.finish.as_ref().map(|finish| &finish.reason);
    assert_eq!(format!("{:?} {reason:?}", inbox.tokens), expect);
    // It is told of every token but a stop token.
    let told = told[0].lock().unwrap();
    assert!(inbox.tokens.starts_with(&told) && inbox.tokens.len() - told.len() <= 1, "{told:?}");
}

#[test]
fn a_mask_decides_which_tokens_come_and_when_it_ends() {
    check(&[allow(&[1]), allow(&[2]), allow(&[31])], "[1, 2, 31, 31, 31] Some(Length)");
    check(&[allow(&[1]), allow(&[7])], "[1, 7] Some(Stop(7))");
    check(&[allow(&[1]), Line::Last(2), allow(&[3])], "[1, 2] Some(Complete)");
    // A stop token is the reason even if the mask ends with it.
    check(&[Line::Last(7)], "[7] Some(Stop(7))");
    let nothing = "[1] Some(Failed(\"the token mask allows no token of the vocabulary here\"))";
    check(&[allow(&[1]), allow(&[])], nothing);
    check(&[allow(&[1]), allow(&[32, 99, u32::MAX])], nothing);
    check(&[allow(&[1]), Line::Fail], "[1] Some(Failed(\"the token mask failed: the grammar is too large\"))");
    check(&[allow(&[1]), Line::Panic], "[1] Some(Failed(\"the token mask panicked: no such rule\"))");
}

/// An answer with this script, whose tokens are chosen one by one or not; gives its tokens, the reason and the batches that it
/// took.
fn forced(lines: &[Line], max_tokens: usize, logprobs: Option<usize>) -> (Vec<u32>, String, usize) {
    let mut scene = Scene::new(64, 4, 16);
    let told: Arc<Mutex<Vec<u32>>> = Arc::default();
    scene.ask_as(vec![1, 2, 3], 1, |mut request| {
        request.continuations[0].mask = Some(Box::new(Script { lines: lines.to_vec(), told: Arc::clone(&told) }));
        let stop = StopRules { max_tokens, min_tokens: 0, tokens: [7].into() };
        Request { stop, params: SamplingParams { logprobs, ..SamplingParams::default() }, ..request }
    });
    scene.finish();
    let inbox = scene.inboxes[0].lock().unwrap();
    assert_eq!(inbox.broken, None);
    assert!(inbox.tokens.starts_with(&told.lock().unwrap()));
    let reason = format!("{:?}", inbox.finish.as_ref().map(|finish| &finish.reason));
    (inbox.tokens.clone(), reason, scene.batches())
}

#[test]
fn tokens_without_a_choice_are_appended_at_once() {
    use Line::{Last, Must};
    let check = |lines: &[Line], max_tokens: usize, tokens: &[u32], reason: &str, fewer: usize| {
        let (chosen, by_choice, all) = forced(lines, max_tokens, Some(0));
        let (appended, at_once, steps) = forced(lines, max_tokens, None);
        assert_eq!((chosen.as_slice(), by_choice.as_str()), (tokens, reason), "{tokens:?}");
        assert_eq!((appended.as_slice(), at_once.as_str()), (tokens, reason), "{tokens:?}");
        assert_eq!(all - steps, fewer, "{tokens:?}");
    };
    check(&[allow(&[1]), Must(2), Must(3), allow(&[4]), Must(5), Last(6)], 9, &[1, 2, 3, 4, 5, 6], "Some(Complete)", 3);
    // The most tokens hold, and so do stop tokens.
    check(&[allow(&[1]), Must(2), Must(3), allow(&[4])], 2, &[1, 2], "Some(Length)", 1);
    check(&[allow(&[1]), Must(2), Must(7), Must(3)], 9, &[1, 2, 7], "Some(Stop(7))", 2);
}

#[test]
fn a_mask_wins_over_biases_and_minimum_length() {
    let ask = |scene: &mut Scene, min_tokens| {
        let stop = StopRules { max_tokens: 2, min_tokens, tokens: [7].into() };
        let logit_bias = vec![(3, 100.0), (4, -100.0)];
        let params = SamplingParams { logit_bias, ..SamplingParams::default() };
        scene.ask_as(vec![1], 1, |mut request| {
            let lines = vec![allow(&[4]), allow(&[7])];
            request.continuations[0].mask = Some(Box::new(Script { lines, told: Arc::default() }));
            Request { stop, params, ..request }
        });
    };
    let mut scene = Scene::new(64, 4, 16);
    ask(&mut scene, 0);
    ask(&mut scene, 2);
    scene.finish();
    assert_eq!(scene.inboxes[0].lock().unwrap().tokens, [4, 7]);
    let nothing = "1 tokens, Failed(\"no token is allowed: the model, the request's biases and its minimum length rule \
                   out all of them\") 1+1";
    scene.check_clients(&["2 tokens, Stop(7) 1+2", nothing]);
}

#[test]
fn each_continuation_has_its_own_mask_and_preemption_does_not_disturb_it() {
    let even: Vec<u32> = (0..32).filter(|token| token % 2 == 0).collect();
    let odd: Vec<u32> = (0..32).filter(|token| token % 2 == 1 && *token != 7).collect();
    let scripts: [&[Line]; 3] = [&[allow(&even)], &[allow(&odd)], &[allow(&even), allow(&odd)]];
    let answers = |blocks: usize| {
        let mut scene = Scene::new(64, 4, blocks);
        let told = ask(&mut scene, 5, &scripts, 14);
        let preempted = scene.finish();
        let answers: Vec<Vec<u32>> = scene.inboxes.iter().map(|inbox| inbox.lock().unwrap().tokens.clone()).collect();
        let told: Vec<Vec<u32>> = told.iter().map(|told| told.lock().unwrap().clone()).collect();
        assert_eq!(told, answers);
        (answers, preempted)
    };
    let (answers_alone, none) = answers(40);
    let (answers_again, preempted) = answers(6);
    assert_eq!((none, preempted > 0), (0, true));
    assert_eq!(answers_again, answers_alone);
    let fits = |answer: &[u32], odd: u32| answer.len() == 14 && answer.iter().all(|token| token % 2 == odd);
    assert!(fits(&answers_alone[0], 0) && fits(&answers_alone[1], 1), "{answers_alone:?}");
    assert!(answers_alone[2][0] % 2 == 0 && answers_alone[2][1..].iter().all(|token| token % 2 == 1));
}
