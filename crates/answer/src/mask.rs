//! Token masks of constraints, made while the model computes: when a token has been chosen, what may follow it is found out
//! beside the next step, and is there when the step has its logits.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{MaskError, MaskState, TokenMask, TokenSet};
use text::{ConstraintError, ConstraintMatcher};

/// A thread that makes masks beforehand. It ends with the last of those who could ask it.
#[derive(Clone)]
pub(crate) struct MaskMaker(Sender<Arc<Mutex<State>>>);

/// Where one answer is, and what may come there, if that has been found out.
struct State {
    matcher: ConstraintMatcher,
    /// Words of a mask of this vocabulary; 0 until one has been asked for.
    len: usize,
    made: Option<Result<Vec<u32>, ConstraintError>>,
    /// Kept for its memory.
    spare: Vec<u32>,
}

impl MaskMaker {
    /// Starts the thread. Where there can be none, masks are made when they are asked for.
    pub(crate) fn start() -> MaskMaker {
        let (sender, asked) = channel::<Arc<Mutex<State>>>();
        let work = move || asked.iter().for_each(|state| lock(&state).make());
        // Without a thread nobody receives, which is no different from one that is busy.
        drop(std::thread::Builder::new().name("masks".into()).spawn(work));
        MaskMaker(sender)
    }

    /// One answer's mask.
    pub(crate) fn mask(&self, matcher: ConstraintMatcher) -> Mask {
        let state = State { matcher, len: 0, made: None, spare: Vec::new() };
        Mask { state: Arc::new(Mutex::new(state)), maker: self.clone() }
    }
}

impl State {
    /// Finds out what may come, if that is not known.
    fn make(&mut self) {
        if self.made.is_some() || self.len == 0 {
            return;
        }
        let mut words = std::mem::take(&mut self.spare);
        words.resize(self.len, 0);
        self.made = Some(self.matcher.fill(&mut words).map(|()| words));
    }
}

/// One continuation's.
pub(crate) struct Mask {
    state: Arc<Mutex<State>>,
    maker: MaskMaker,
}

impl TokenMask for Mask {
    fn fill(&mut self, allowed: &mut TokenSet) -> Result<(), MaskError> {
        let words = allowed.words_mut();
        let mut state = lock(&self.state);
        if state.len != words.len() {
            (state.len, state.made) = (words.len(), None);
        }
        state.make();
        match &state.made {
            Some(Ok(made)) => words.copy_from_slice(made),
            Some(Err(error)) => return Err(failed(error.clone())),
            None => words.fill(0),
        }
        Ok(())
    }

    fn accept(&mut self, token: u32) -> Result<MaskState, MaskError> {
        let mut state = lock(&self.state);
        if let Some(Ok(words)) = state.made.take() {
            state.spare = words;
        }
        if state.matcher.accept(token).map_err(failed)? {
            return Ok(MaskState::Complete);
        }
        drop(state);
        // If nobody takes it, the mask is made when it is asked for.
        _ = self.maker.0.send(Arc::clone(&self.state));
        Ok(MaskState::Open)
    }

    fn forced(&mut self) -> Result<Vec<u32>, MaskError> {
        Ok(lock(&self.state).matcher.forced())
    }
}

/// A panic while a mask was made is told of by the matcher itself.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(error: ConstraintError) -> MaskError {
    MaskError(error.message)
}
