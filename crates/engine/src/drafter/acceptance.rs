//! How good drafts are.

/// Tokens that were right, of those that were compared; old ones count less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Acceptance {
    right: f64,
    compared: f64,
}

/// What is expected before any token was compared counts as so many.
const AT_FIRST: f64 = 2.0;

/// One of two tokens is right.
impl Default for Acceptance {
    fn default() -> Acceptance {
        Acceptance::expected(0.5)
    }
}

impl Acceptance {
    /// As if so large a share had been right so far.
    pub(crate) fn expected(share: f64) -> Acceptance {
        Acceptance { right: AT_FIRST * share, compared: AT_FIRST }
    }

    /// The probability that a token is right if those before it are.
    pub(crate) fn share(&self) -> f64 {
        (self.right / self.compared).min(0.99)
    }

    /// Takes note of a comparison, beside which those before it count `kept`.
    pub(crate) fn learn(&mut self, (right, compared): (usize, usize), kept: f64) {
        if compared > 0 {
            self.right = kept * self.right + right as f64;
            self.compared = kept * self.compared + compared as f64;
        }
    }
}
