//! The histories of several engines as one.

use std::collections::BTreeMap;

use telemetry::History;

/// All engines together: what is counted is added up, of times and shares there is the worst. `None` without an engine.
pub(super) fn together(histories: Vec<History>) -> Option<History> {
    let mut points: BTreeMap<u64, Vec<f32>> = BTreeMap::new();
    let columns = histories.first()?.columns.clone();
    for history in &histories {
        for (at, time) in history.time.iter().enumerate() {
            let sums = points.entry(*time).or_insert_with(|| vec![f32::NAN; columns.len()]);
            for ((sum, column), values) in sums.iter_mut().zip(&columns).zip(&history.values) {
                *sum = join(column, *sum, values[at]);
            }
        }
    }
    let column = |at: usize| points.values().map(|point| point[at]).collect();
    let values = (0..columns.len()).map(column).collect();
    Some(History { labels: Default::default(), time: points.keys().copied().collect(), columns, values })
}

/// Two engines' numbers at one time; not a number is none.
fn join(column: &str, one: f32, other: f32) -> f32 {
    let worst = column.contains("_p") || matches!(column, "kv_used" | "kv_kept" | "busy");
    match (one.is_nan(), other.is_nan()) {
        (true, _) => other,
        (_, true) => one,
        _ if worst => one.max(other),
        _ => one + other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_and_times_are_the_worst() {
        let history = |time: &[u64], ended: &[f32], first: &[f32]| History {
            labels: Default::default(),
            time: time.to_vec(),
            columns: vec!["ended", "first_token_p99"],
            values: vec![ended.to_vec(), first.to_vec()],
        };
        let check = |histories: Vec<History>, time: &[u64], wanted: [&[f32]; 2]| {
            let joined = together(histories).expect("there are some");
            let same = |(found, wanted): (&Vec<f32>, &[f32])| format!("{found:?}") == format!("{wanted:?}");
            assert_eq!(joined.time, time);
            assert!(joined.values.iter().zip(wanted).all(same), "{:?}", joined.values);
        };
        let one = || history(&[10, 20], &[1.0, 2.0], &[5.0, f32::NAN]);
        check(vec![one()], &[10, 20], [&[1.0, 2.0], &[5.0, f32::NAN]]);
        let other = history(&[20, 30], &[7.0, 1.0], &[3.0, f32::NAN]);
        check(vec![one(), other], &[10, 20, 30], [&[1.0, 9.0, 1.0], &[5.0, 3.0, f32::NAN]]);
        assert_eq!(together(Vec::new()), None);
    }
}
