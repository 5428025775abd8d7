//! How long a model stays in memory when nobody uses it, as Ollama's clients write it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// How long a model stays in memory after its last answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAlive {
    /// Until it is taken away.
    #[default]
    Forever,
    /// For so long; a time of 0 lets it go at once.
    For(Duration),
}

/// The units of Go's durations, the longer names first, in seconds.
const UNITS: [(&str, f64); 7] =
    [("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

impl KeepAlive {
    /// So many seconds; below zero for ever.
    pub fn seconds(seconds: f64) -> KeepAlive {
        match Duration::try_from_secs_f64(seconds) {
            Ok(time) => KeepAlive::For(time),
            // Below zero, or longer than any machine runs.
            Err(_) => KeepAlive::Forever,
        }
    }
}

impl FromStr for KeepAlive {
    type Err = String;

    /// Reads a number of seconds, or a duration as Go writes it: `300`, `5m`, `1h30m`, `1.5h`, `500ms`; below zero is for ever.
    fn from_str(text: &str) -> Result<KeepAlive, String> {
        let (rest, sign) = match text.strip_prefix('-') {
            Some(rest) => (rest, -1.0),
            None => (text.strip_prefix('+').unwrap_or(text), 1.0),
        };
        let wrong = || format!("must be a duration, not `{text}`: write 5m, 1h30m, a number of seconds, 0 or -1");
        let plain = number(rest).filter(|(_, rest)| rest.is_empty()).map(|(number, _)| number);
        let seconds = plain.or_else(|| parts(rest));
        seconds.map(|seconds| KeepAlive::seconds(sign * seconds)).ok_or_else(wrong)
    }
}

impl fmt::Display for KeepAlive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeepAlive::Forever => f.write_str("-1"),
            KeepAlive::For(time) => write!(f, "{}s", time.as_secs_f64()),
        }
    }
}

/// Seconds in all of numbers with units, of which there is one at least.
fn parts(mut text: &str) -> Option<f64> {
    let mut seconds = 0.0;
    loop {
        let (many, rest) = number(text)?;
        let (unit, rest) = UNITS.iter().find_map(|(name, unit)| Some((unit, rest.strip_prefix(name)?)))?;
        seconds += many * unit;
        if rest.is_empty() {
            return Some(seconds);
        }
        text = rest;
    }
}

/// The number at the beginning of a text, and what follows it.
fn number(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let check = |text: &str, wanted: Option<KeepAlive>| assert_eq!(text.parse().ok(), wanted, "{text}");
        let millis = |millis| Some(KeepAlive::For(Duration::from_millis(millis)));
        check("5m", millis(300_000));
        check("1h30m", millis(5_400_000));
        check("1.5h", millis(5_400_000));
        check("500ms", millis(500));
        check("1m0.5s", millis(60_500));
        check("300", millis(300_000));
        check("0", millis(0));
        check("0s", millis(0));
        check("+2s", millis(2000));
        for forever in ["-1", "-1s", "-5m", "99999999999999999999999h"] {
            check(forever, Some(KeepAlive::Forever));
        }
        for wrong in ["", "-", "m", "5 m", "5x", "m5", "1..5s", "inf", "nan", "1e3", "five"] {
            check(wrong, None);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for keep in [KeepAlive::Forever, KeepAlive::seconds(0.0), KeepAlive::seconds(0.25), KeepAlive::seconds(5400.0)]
        {
            assert_eq!(keep.to_string().parse(), Ok(keep));
        }
    }
}
