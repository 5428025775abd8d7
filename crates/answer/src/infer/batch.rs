//! Many requests at once, answered as they end.

use std::future::poll_fn;
use std::iter::Enumerate;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::{Cancel, InferRequest, Inference, Running};
use crate::LoadedModel;

/// Requests under way at most, however many sequences run at once.
const MOST: usize = 256;

/// What becomes of many requests, as each ends: see [`LoadedModel::infer_batch`]. Dropping it cancels those under way.
pub struct InferBatch<'m, I> {
    model: &'m LoadedModel,
    requests: Enumerate<I>,
    cancel: Cancel,
    at_once: usize,
    running: Vec<(usize, Running)>,
}

impl<'m, I> InferBatch<'m, I>
where
    I: Iterator,
    I::Item: Into<InferRequest>,
{
    pub(super) fn new(model: &'m LoadedModel, requests: I, cancel: &Cancel) -> InferBatch<'m, I> {
        // Twice what runs: the next request is there when an answer ends.
        let at_once = model.streams().saturating_mul(2).clamp(1, MOST);
        InferBatch { model, requests: requests.enumerate(), cancel: cancel.clone(), at_once, running: Vec::new() }
    }

    /// The next that has ended, with its place among the requests; `None` when all have.
    pub async fn next(&mut self) -> Option<(usize, Inference)> {
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<(usize, Inference)>> {
        while self.running.len() < self.at_once
            && let Some((place, request)) = self.requests.next()
        {
            self.running.push((place, Running::begin(self.model, request.into(), &self.cancel)));
        }
        if self.running.is_empty() {
            return Poll::Ready(None);
        }
        for at in 0..self.running.len() {
            if let Poll::Ready(inference) = Pin::new(&mut self.running[at].1).poll(cx) {
                let (place, _) = self.running.remove(at);
                return Poll::Ready(Some((place, inference)));
            }
        }
        Poll::Pending
    }
}

impl<I> Stream for InferBatch<'_, I>
where
    I: Iterator + Unpin,
    I::Item: Into<InferRequest>,
{
    type Item = (usize, Inference);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll(cx)
    }
}
