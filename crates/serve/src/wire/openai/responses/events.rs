//! The events of a stream, numbered.

use serde_json::Value;

use crate::wire::Frame;

/// Events that are ready to be sent, each with its number.
#[derive(Default)]
pub(super) struct Say {
    frames: Vec<Frame>,
    next: u64,
}

impl Say {
    /// An event of this kind with these fields, an object.
    pub(super) fn event(&mut self, kind: &'static str, mut fields: Value) {
        fields["type"] = kind.into();
        fields["sequence_number"] = self.next.into();
        self.next += 1;
        self.frames.push(Frame::named(kind, &fields));
    }

    /// What has become ready.
    pub(super) fn take(&mut self) -> Vec<Frame> {
        std::mem::take(&mut self.frames)
    }
}
