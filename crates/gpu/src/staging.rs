//! Uploads: pieces that are on their way to the device while the next ones are packed.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Hands pieces to the device. Only few are on their way at once, so that they take little memory of the host.
#[derive(Debug)]
pub(crate) struct Staging {
    device: wgpu::Device,
    queue: wgpu::Queue,
    under_way: Mutex<VecDeque<wgpu::SubmissionIndex>>,
}

/// Pieces on their way at most.
const UNDER_WAY: usize = 4;

impl Staging {
    pub(crate) fn new(device: wgpu::Device, queue: wgpu::Queue) -> Staging {
        Staging { device, queue, under_way: Mutex::default() }
    }

    /// Writes pieces of a buffer, each from a byte on. Returns when they have been copied, which is before they are there; what is
    /// submitted later sees them.
    pub(crate) fn write(&self, buffer: &wgpu::Buffer, pieces: &[(u64, &[u8])]) {
        for &(at, bytes) in pieces.iter().filter(|(_, bytes)| !bytes.is_empty()) {
            self.queue.write_buffer(buffer, at, bytes);
        }
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        under_way.push_back(self.queue.submit([]));
        if under_way.len() > UNDER_WAY {
            let submission_index = under_way.pop_front();
            // A device that is lost says so with the next step.
            let _ = self.device.poll(wgpu::PollType::Wait { submission_index, timeout: None });
        }
    }
}
