//! Stop strings, found across token boundaries and never leaked.

/// Passes text through until a stop string appears; holds back what could be the beginning of one.
///
/// The stop string that is whole first wins (of two that end at the same place the longer), whatever the pieces the text
/// comes in.
///
/// ```
/// let mut stops = text::StopStrings::new(vec!["\n\n".into()]);
/// assert_eq!(stops.push("One.\n"), ("One.".into(), false));
/// assert_eq!(stops.push("Two.\n\nThree."), ("\nTwo.".into(), true));
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopStrings {
    stops: Vec<String>,
    held: String,
    found: Option<usize>,
    include: bool,
}

impl StopStrings {
    /// Watches for any of `stops` (empty ones are ignored).
    pub fn new(mut stops: Vec<String>) -> StopStrings {
        stops.retain(|s| !s.is_empty());
        StopStrings { stops, held: String::new(), found: None, include: false }
    }

    /// Shows the stop string that is found, too.
    #[must_use]
    pub fn including(mut self, include: bool) -> StopStrings {
        self.include = include;
        self
    }

    /// Feeds text. Gives what is now certain to be no part of a stop string, and whether one was found (then nothing
    /// after the text given is to be shown).
    pub fn push(&mut self, text: &str) -> (String, bool) {
        if self.stops.is_empty() {
            return (text.to_owned(), false);
        }
        self.held.push_str(text);
        let (at, found) = self.certain();
        self.found = found;
        let found = found.is_some();
        let rest = self.held.split_off(at);
        let mut shown = std::mem::replace(&mut self.held, if found { String::new() } else { rest });
        if self.include {
            shown += self.found().unwrap_or_default();
        }
        (shown, found)
    }

    /// The stop string that was found.
    pub fn found(&self) -> Option<&str> {
        self.found.map(|index| self.stops[index].as_str())
    }

    /// What was held back, at the end.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// How much of what is held is certain, and which stop string follows it.
    fn certain(&self) -> (usize, Option<usize>) {
        let held = self.held.as_str();
        let ends = |(i, s): (usize, &String)| held.find(s.as_str()).map(|at| (at + s.len(), at, i));
        if let Some((_, at, i)) = self.stops.iter().enumerate().filter_map(ends).min() {
            return (at, Some(i));
        }
        let longest = self.stops.iter().map(String::len).max().unwrap_or(0);
        let from = held.floor_char_boundary(held.len().saturating_sub(longest));
        let mut ends = held[from..].char_indices().map(|(at, _)| from + at);
        let begun = ends.find(|at| self.stops.iter().any(|s| s.starts_with(&held[*at..])));
        (begun.unwrap_or(held.len()), None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(stops: &[&str], pieces: &[&str], expected: &[(&str, bool)], rest: &str) {
        let mut stop = StopStrings::new(stops.iter().map(|s| (*s).to_owned()).collect());
        let given: Vec<(String, bool)> = pieces.iter().map(|p| stop.push(p)).collect();
        let given: Vec<(&str, bool)> = given.iter().map(|(t, f)| (t.as_str(), *f)).collect();
        assert_eq!(given, expected, "{stops:?} {pieces:?}");
        assert_eq!(stop.finish(), rest);
        assert_eq!(stop.found().is_some(), given.last().is_some_and(|(_, found)| *found));
    }

    #[test]
    fn stops_across_pieces() {
        check(&["END"], &["a E", "N", "D b"], &[("a ", false), ("", false), ("", true)], "");
        check(&["END"], &["a E", "Nx"], &[("a ", false), ("ENx", false)], "");
        check(&["END"], &["a EN"], &[("a ", false)], "EN");
        check(&["\n\n", ""], &["a\n", "b\n", "\nc"], &[("a", false), ("\nb", false), ("", true)], "");
        check(&["éé"], &["aé", "é"], &[("a", false), ("", true)], "");
        check(&[], &["a"], &[("a", false)], "");
    }

    #[test]
    fn what_was_found_may_be_shown() {
        let mut stop = StopStrings::new(vec!["END".into()]).including(true);
        let given = ["a E", "N", "D b"].map(|piece| stop.push(piece));
        assert_eq!(given, [("a ".into(), false), (String::new(), false), ("END".into(), true)]);
        assert_eq!(stop.finish(), "");
    }

    #[test]
    fn the_first_to_be_whole_wins() {
        check(&["b", "abc"], &["xab"], &[("xa", true)], "");
        check(&["bc", "abc"], &["xabc"], &[("x", true)], "");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn as_a_search_in_the_whole(
            pieces in prop::collection::vec("[abé]{0,3}", 0..8),
            stops in prop::collection::vec("[abé]{0,4}", 0..3),
        ) {
            let whole = pieces.concat();
            let mut ends = whole.char_indices().map(|(at, c)| at + c.len_utf8());
            let naive = ends.find_map(|end| {
                let stops = stops.iter().filter(|s| !s.is_empty() && whole[..end].ends_with(s.as_str()));
                stops.map(|s| (end - s.len(), s)).min()
            });
            let mut stop = StopStrings::new(stops.clone());
            let mut shown = String::new();
            let mut stopped = false;
            for piece in &pieces {
                let (text, found) = stop.push(piece);
                shown.push_str(&text);
                stopped |= found;
                if stopped { break; }
            }
            if !stopped {
                shown.push_str(&stop.finish());
            }
            prop_assert_eq!(stopped, naive.is_some());
            prop_assert_eq!(shown, &whole[..naive.map_or(whole.len(), |(at, _)| at)]);
            prop_assert_eq!(stop.found(), naive.map(|(_, stop)| stop.as_str()));
        }
    }
}
