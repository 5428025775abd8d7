//! Where machines put the parts of an answer; calls that are not yet certain wait here.

use super::{Part, ToolDelta};

#[derive(Debug)]
pub(super) struct Output {
    ready: Vec<Part>,
    /// Of the open call, if calls are given whole.
    waiting: Vec<ToolDelta>,
    /// Calls begun so far.
    begun: usize,
    open: bool,
    parallel: bool,
    pieces: bool,
    /// All that was read of calls so far is given: none of it may become text.
    settled: bool,
}

impl Output {
    pub(super) fn new(parallel: bool, pieces: bool) -> Output {
        Output { ready: Vec::new(), waiting: Vec::new(), begun: 0, open: false, parallel, pieces, settled: false }
    }

    pub(super) fn take(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.ready)
    }

    pub(super) fn text(&mut self, text: &str) {
        match self.ready.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Text(last)) => last.push_str(text),
            _ => self.ready.push(Part::Text(text.to_owned())),
        }
    }

    pub(super) fn reasoning(&mut self, text: &str) {
        match self.ready.last_mut() {
            _ if text.is_empty() => {}
            Some(Part::Reasoning(last)) => last.push_str(text),
            _ => self.ready.push(Part::Reasoning(text.to_owned())),
        }
    }

    /// Begins a call.
    pub(super) fn begin(&mut self, name: &str) {
        (self.open, self.settled) = (true, self.pieces);
        self.begun += 1;
        self.delta(Some(name.to_owned()), String::new());
    }

    /// More of the open call's arguments.
    pub(super) fn arguments(&mut self, text: &str) {
        if !text.is_empty() {
            self.delta(None, text.to_owned());
        }
    }

    /// The open call is whole.
    pub(super) fn end(&mut self) {
        (self.open, self.settled) = (false, true);
        for delta in std::mem::take(&mut self.waiting) {
            self.give(delta);
        }
    }

    /// The open call is malformed: what of it is not yet given never will be.
    pub(super) fn abandon(&mut self) {
        if self.open && !self.pieces {
            self.begun -= 1;
        }
        (self.open, self.settled) = (false, false);
        self.waiting.clear();
    }

    /// Whether what was read of calls is given, so that it cannot become text any more. Asked after each reading.
    pub(super) fn settled(&mut self) -> bool {
        let settled = self.settled;
        self.settled &= self.open;
        settled
    }

    /// Whether the open call is given in part, so that it cannot become text any more.
    pub(super) fn is_given(&self) -> bool {
        self.open && self.pieces
    }

    pub(super) fn has_enough(&self) -> bool {
        !self.parallel && self.begun > usize::from(self.open)
    }

    pub(super) fn calls(&self) -> usize {
        self.begun
    }

    fn delta(&mut self, name: Option<String>, arguments: String) {
        let delta = ToolDelta { index: self.begun - 1, name, arguments };
        if self.pieces { self.give(delta) } else { merge(&mut self.waiting, delta) }
    }

    fn give(&mut self, delta: ToolDelta) {
        if delta.index > 0 && !self.parallel {
            return;
        }
        match self.ready.last_mut() {
            Some(Part::ToolCall(last)) if last.index == delta.index => last.arguments.push_str(&delta.arguments),
            _ => self.ready.push(Part::ToolCall(delta)),
        }
    }
}

fn merge(waiting: &mut Vec<ToolDelta>, delta: ToolDelta) {
    match waiting.last_mut() {
        Some(last) if delta.name.is_none() => last.arguments.push_str(&delta.arguments),
        _ => waiting.push(delta),
    }
}
