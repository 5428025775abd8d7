//! Sentences and words of an answer.

/// Cuts a text after each `.`, `!` and `?` that white space or the end follows. Closing quotes may stand between; what goes
/// on with a small letter after them is one sentence: "Oh!" said the wren.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let mut all = Vec::new();
    let mut start = 0;
    for (at, _) in text.match_indices(['.', '!', '?']) {
        let after = &text[at + 1..];
        let rest = after.trim_start_matches(['"', '\'', '”', '’', '»', ')']);
        let goes_on = rest.len() < after.len() && rest.trim_start().starts_with(char::is_lowercase);
        if (rest.is_empty() || rest.starts_with(char::is_whitespace)) && !goes_on {
            let end = text.len() - rest.len();
            all.push(&text[start..end]);
            start = end;
        }
    }
    all.push(&text[start..]);
    all.into_iter().map(str::trim).filter(|sentence| !sentence.is_empty()).collect()
}

/// The words of a text in lower case: letters and digits, with apostrophes and hyphens between them.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    let inside = |c: char| c.is_alphanumeric() || "'’-".contains(c);
    let words = text.split(move |c| !inside(c)).map(|word| word.trim_matches(|c: char| !c.is_alphanumeric()));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[&str]) {
        assert_eq!(sentences(text), expected, "{text:?}");
    }

    #[test]
    fn sentences_end_with_their_signs() {
        check("", &[]);
        check(" \n", &[]);
        check("A bird.", &["A bird."]);
        check("A bird. It sings!  Does it?\nYes", &["A bird.", "It sings!", "Does it?", "Yes"]);
        check("He said \"Hi.\" Then he went. (So.) Fine.", &["He said \"Hi.\"", "Then he went.", "(So.)", "Fine."]);
        check("“Oh!” 3.14 is pi... Really?!", &["“Oh!”", "3.14 is pi...", "Really?!"]);
        check(".. a", &["..", "a"]);
        check(
            "\"Oh!\" said Ida. \"Who?\"\ncalled the wren. \"Me.\" Ida",
            &["\"Oh!\" said Ida.", "\"Who?\"\ncalled the wren.", "\"Me.\"", "Ida"],
        );
    }

    #[test]
    fn words_are_letters_and_digits() {
        let all: Vec<String> = words("The bird's \"well-known\" song - É 42, the.").collect();
        assert_eq!(all, ["the", "bird's", "well-known", "song", "é", "42", "the"]);
    }
}
