//! Many requests at once, for whoever wants whole answers.

use std::future::poll_fn;
use std::iter::Enumerate;
use std::task::{Context, Poll};

use answer::{Answer, Ask, Generation};

use crate::{Error, Model};

/// Requests under way at most, however many sequences run at once.
const MOST: usize = 256;

impl Model {
    /// Answers requests of one answer each, as many at once as run at once, and gives the answers as they end; an answer is
    /// the same whatever runs beside it. Requests are asked for as there is room.
    pub fn answers<I>(&self, asks: I) -> Answers<'_, I::IntoIter>
    where
        I: IntoIterator<Item = Ask>,
    {
        // Twice what runs: the next request is there when an answer ends.
        let at_once = self.streams().saturating_mul(2).min(MOST);
        Answers { model: self, asks: asks.into_iter().enumerate(), at_once, open: Vec::new() }
    }
}

/// Answers as they end: see [`Model::answers`]. Dropping it cancels those under way.
pub struct Answers<'m, I> {
    model: &'m Model,
    asks: Enumerate<I>,
    at_once: usize,
    open: Vec<Open>,
}

/// An answer under way.
struct Open {
    index: usize,
    generation: Generation,
    answer: Answer,
}

impl<I: Iterator<Item = Ask>> Iterator for Answers<'_, I> {
    type Item = (usize, Result<Answer, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some((index, refused)) = self.begin() {
            return Some((index, Err(refused)));
        }
        if self.open.is_empty() {
            return None;
        }
        let (at, ended) = pollster::block_on(poll_fn(|cx| self.poll(cx)));
        let open = self.open.remove(at);
        Some((open.index, ended.map(|()| open.answer)))
    }
}

impl<I: Iterator<Item = Ask>> Answers<'_, I> {
    /// Begins requests as long as there is room; stops at one that is refused.
    fn begin(&mut self) -> Option<(usize, Error)> {
        while self.open.len() < self.at_once {
            let (index, ask) = self.asks.next()?;
            match self.model.begin(&ask) {
                Ok(generation) => self.open.push(Open { index, generation, answer: Answer::default() }),
                Err(refused) => return Some((index, refused)),
            }
        }
        None
    }

    /// The place of an answer that has ended.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(usize, Result<(), Error>)> {
        for (at, open) in self.open.iter_mut().enumerate() {
            if let Poll::Ready(ended) = open.poll(cx) {
                return Poll::Ready((at, ended));
            }
        }
        Poll::Pending
    }
}

impl Open {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            match std::task::ready!(self.generation.poll_next(cx)) {
                Some(Ok(event)) => self.answer.add(event),
                Some(Err(problem)) => return Poll::Ready(Err(problem.into())),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}
