//! Markdown's code, where a tag is quoted and not meant.

/// Whether text is in code.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Code {
    block: bool,
    inline: bool,
    /// Something else than backticks and blanks stands in the line.
    within: bool,
    /// Backticks at the beginning of the line.
    ticks: usize,
}

impl Code {
    pub(super) fn after(mut self, text: &str) -> Code {
        for c in text.chars() {
            match c {
                '\n' => self = Code { block: self.block, ..Code::default() },
                '`' => {
                    self.ticks += usize::from(!self.within);
                    self.inline = !self.inline && !self.block;
                    if self.ticks == 3 && !self.within {
                        (self.block, self.inline) = (!self.block, false);
                    }
                }
                c => self.within |= !c.is_whitespace(),
            }
        }
        self
    }

    pub(super) fn quotes(self) -> bool {
        self.block || self.inline
    }
}
