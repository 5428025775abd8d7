//! The parts of an answer that are not meant alike: text, reasoning, calls of tools. Found across token boundaries.

/// A piece of an answer. Pieces of text or of reasoning that follow each other belong together; a call is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// The answer.
    Text(String),
    /// What the model thinks before it answers: `<think>…</think>` at the beginning.
    Reasoning(String),
    /// What stands in `<tool_call>…</tool_call>`.
    Call(String),
}

/// Where in an answer the text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Nothing but white space came: here reasoning may begin.
    Start,
    Text,
    Reasoning,
    Call,
}

impl Part {
    /// The tags that end it here, each with what it begins.
    fn exits(self) -> &'static [(&'static str, Part)] {
        match self {
            Part::Start => &[("<think>", Part::Reasoning), (OPEN_CALL, Part::Call)],
            Part::Text => &[(OPEN_CALL, Part::Call)],
            Part::Reasoning => &[("</think>", Part::Text)],
            Part::Call => &[("</tool_call>", Part::Text)],
        }
    }

    fn segment(self, text: String) -> Segment {
        match self {
            Part::Start | Part::Text => Segment::Text(text),
            Part::Reasoning => Segment::Reasoning(text),
            Part::Call => Segment::Call(text),
        }
    }
}

const OPEN_CALL: &str = "<tool_call>";

/// Whether text is in Markdown's code, where a tag is quoted and not meant.
#[derive(Clone, Copy, Debug, Default)]
struct Code {
    block: bool,
    inline: bool,
    /// Something else than backticks and blanks stands in the line.
    within: bool,
    /// Backticks at the beginning of the line.
    ticks: usize,
}

impl Code {
    fn after(mut self, text: &str) -> Code {
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

    fn quotes(self) -> bool {
        self.block || self.inline
    }
}

/// Cuts an answer into segments as its text comes; holds back what may be the beginning of a tag, and calls until they are
/// whole. White space beside a tag belongs to nobody. However the text is cut into pieces, the segments are the same.
#[derive(Clone, Debug)]
pub struct Segments {
    part: Part,
    /// At the beginning of what is held.
    code: Code,
    /// A tag was the last that came: white space is dropped.
    after_tag: bool,
    held: String,
}

impl Segments {
    /// Cuts the answer to `prompt`: a prompt that ends with `<think>` lets the answer begin with reasoning.
    pub fn after(prompt: &str) -> Segments {
        let thinks = prompt.trim_end().ends_with("<think>");
        let part = if thinks { Part::Reasoning } else { Part::Start };
        Segments { part, code: Code::default(), after_tag: thinks, held: String::new() }
    }

    /// Feeds text and gives what is now certain.
    pub fn push(&mut self, text: &str) -> Vec<Segment> {
        self.held.push_str(text);
        let mut ready = Vec::new();
        while let Some((at, tag, next)) = self.next_tag() {
            let rest = self.held.split_off(at + tag.len());
            let end = self.held[..at].trim_end().len();
            self.give(end, &mut ready);
            *self = Segments { part: next, code: Code::default(), after_tag: true, held: rest };
        }
        if self.part != Part::Call {
            self.give(self.certain(), &mut ready);
        }
        ready
    }

    /// What was held back, at the end. A call that was not ended is text, its tag included.
    pub fn finish(&mut self) -> Vec<Segment> {
        let mut held = std::mem::take(&mut self.held);
        if self.part == Part::Call {
            (self.part, self.after_tag) = (Part::Text, false);
            held.insert_str(0, OPEN_CALL);
        }
        let text = if self.after_tag { held.trim_start() } else { &held };
        if text.is_empty() { Vec::new() } else { vec![self.part.segment(text.to_owned())] }
    }

    fn next_tag(&self) -> Option<(usize, &'static str, Part)> {
        let found = |(tag, next): &(&'static str, Part)| {
            // Reasoning comes first or never; what begins in code is no call.
            let meant = |at: &usize| match next {
                Part::Reasoning => self.held[..*at].trim().is_empty(),
                Part::Call => !self.code.after(&self.held[..*at]).quotes(),
                Part::Start | Part::Text => true,
            };
            let at = self.held.match_indices(tag).map(|(at, _)| at).find(meant)?;
            Some((at, *tag, *next))
        };
        self.part.exits().iter().filter_map(found).min_by_key(|(at, _, _)| *at)
    }

    /// Up to where what is held is neither the beginning of a tag nor white space that may stand before one.
    fn certain(&self) -> usize {
        let begins = |at: &usize| self.part.exits().iter().any(|(tag, _)| tag.starts_with(&self.held[*at..]));
        let begun = self.held.match_indices('<').map(|(at, _)| at).find(begins);
        self.held[..begun.unwrap_or(self.held.len())].trim_end().len()
    }

    /// Gives what is held up to `end`.
    fn give(&mut self, end: usize, ready: &mut Vec<Segment>) {
        let given: String = self.held.drain(..end).collect();
        self.code = self.code.after(&given);
        let text = if self.after_tag { given.trim_start() } else { &given };
        if !text.is_empty() {
            self.part = if self.part == Part::Start { Part::Text } else { self.part };
            self.after_tag = false;
            ready.push(self.part.segment(text.to_owned()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The segments of an answer that comes in `pieces`, those that belong together put together.
    fn segments(prompt: &str, pieces: &[&str]) -> Vec<Segment> {
        let mut cutter = Segments::after(prompt);
        let mut all: Vec<Segment> = pieces.iter().flat_map(|piece| cutter.push(piece)).collect();
        all.extend(cutter.finish());
        all.dedup_by(|next, last| match (last, next) {
            (Segment::Text(a), Segment::Text(b)) | (Segment::Reasoning(a), Segment::Reasoning(b)) => {
                a.push_str(b);
                true
            }
            _ => false,
        });
        all
    }

    /// `expected` has a line for each segment: `t` text, `r` reasoning, `c` call.
    fn check(prompt: &str, answer: &str, expected: &[&str]) {
        let show = |segment: &Segment| match segment {
            Segment::Text(text) => format!("t {text}"),
            Segment::Reasoning(text) => format!("r {text}"),
            Segment::Call(text) => format!("c {text}"),
        };
        let got: Vec<String> = segments(prompt, &[answer]).iter().map(show).collect();
        assert_eq!(got, expected, "{answer}");
        let chars: Vec<String> = answer.chars().map(String::from).collect();
        let chars: Vec<&str> = chars.iter().map(String::as_str).collect();
        assert_eq!(segments(prompt, &chars).iter().map(show).collect::<Vec<_>>(), expected, "{answer}, by characters");
    }

    #[test]
    fn answers_are_cut_at_their_tags() {
        check("", "", &[]);
        check("", " Hello <b> \n", &["t  Hello <b> \n"]);
        check("", "<think>\nhm\n\nso\n</think>\n\nyes", &["r hm\n\nso", "t yes"]);
        check("", "\n<think>\n\n</think>\n\nyes\n", &["t yes\n"]);
        check("", "<tool_call>\n{}\n</tool_call>\n<tool_call>[]</tool_call>\n", &["c {}", "c []"]);
        check("", "<think>a</think>b <tool_call>c</tool_call> d", &["r a", "t b", "c c", "t d"]);
    }

    #[test]
    fn prompts_may_begin_the_reasoning() {
        check("<|assistant|><think>\n", "\nhm</think>yes", &["r hm", "t yes"]);
        check("<|assistant|><think>\n\n</think>\n\n", "yes</think>", &["t yes</think>"]);
        check("<think>", "it never ends ", &["r it never ends "]);
    }

    #[test]
    fn what_only_looks_like_a_tag_is_text() {
        check("", "a <think>b</think>", &["t a <think>b</think>"]);
        check("", "a <tool_call", &["t a <tool_call"]);
        check("", "a </tool_call> </think>", &["t a </tool_call> </think>"]);
        check("", "a <tool_call> {\"name", &["t a<tool_call> {\"name"]);
        check("", "<think>a<tool_call>b</tool_call>", &["r a<tool_call>b</tool_call>"]);
        check("", "`<tool_call>` <tool_call>{}</tool_call>", &["t `<tool_call>`", "c {}"]);
        check("", "```\n<tool_call>{}</tool_call>\n```", &["t ```\n<tool_call>{}</tool_call>\n```"]);
    }

    #[test]
    fn text_is_given_as_soon_as_it_is_certain() {
        let mut cutter = Segments::after("");
        assert_eq!(cutter.push("a <b "), [Segment::Text("a <b".into())]);
        assert_eq!(cutter.push("c<too"), [Segment::Text(" c".into())]);
        assert_eq!(cutter.push("l"), []);
        assert_eq!(cutter.push("s"), [Segment::Text("<tools".into())]);
        assert_eq!(cutter.push("<tool_call>{}"), []);
        assert_eq!(cutter.push("</tool_call>"), [Segment::Call("{}".into())]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn every_cut_gives_the_same_segments(
            parts in prop::collection::vec("<think>|</think>|<tool_call>|</tool_call>|```|[a<é` \n]{1,3}", 0..10),
            cuts in prop::collection::vec(0usize..80, 0..8),
            thinks: bool,
        ) {
            let answer = parts.concat();
            let prompt = if thinks { "<think>" } else { "" };
            let mut cuts: Vec<usize> = cuts.into_iter().filter(|at| answer.is_char_boundary(*at)).collect();
            cuts.extend([0, answer.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&str> = cuts.windows(2).map(|w| &answer[w[0]..w[1]]).collect();
            prop_assert_eq!(segments(prompt, &pieces), segments(prompt, &[&answer]));
        }
    }
}
