//! Stop strings, found across token boundaries and never leaked.

/// Passes text through until a stop string appears; holds back what could be the beginning of one.
pub struct StopStrings {}

impl StopStrings {
    /// Watches for any of `stops` (empty ones are ignored).
    pub fn new(stops: Vec<String>) -> StopStrings {
        let _ = stops;
        todo!()
    }

    /// Feeds text. Gives what is now certain to be no part of a stop string, and whether one was found (then nothing
    /// after the text given is to be shown).
    pub fn push(&mut self, text: &str) -> (String, bool) {
        let _ = text;
        todo!()
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> String {
        todo!()
    }
}
