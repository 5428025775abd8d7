//! Two profiles beside each other: what became faster, and what slower.

use serde_json::{Value, json};

/// Operators that both have, and how much of the time before they take after.
pub(crate) fn compared(before: &Value, after: &Value) -> Value {
    let rows = |profile: &Value| profile["operators"].as_array().cloned().unwrap_or_default();
    let others = rows(after);
    let row = |one: &Value| {
        let same = |other: &&Value| ["op", "shape", "rows", "sequences"].iter().all(|name| other[name] == one[name]);
        let other = others.iter().find(same)?;
        Some(json!({
            "op": one["op"], "shape": one["shape"], "rows": one["rows"], "count": one["count"],
            "before_kernel": one["kernel"], "after_kernel": other["kernel"],
            "before_us": one["measured_us"], "after_us": other["measured_us"], "ratio": ratio(one, other),
        }))
    };
    let mut operators: Vec<Value> = rows(before).iter().filter_map(row).collect();
    // What changed the step's time most comes first.
    let change =
        |row: &Value| (row["after_us"].as_f64().unwrap_or(0.0) - row["before_us"].as_f64().unwrap_or(0.0)).abs();
    operators.sort_by(|a, b| change(b).total_cmp(&change(a)));
    json!({
        "object": "comparison", "before": about(before), "after": about(after), "steps": steps(before, after), "operators": operators,
    })
}

fn ratio(one: &Value, other: &Value) -> Option<f64> {
    Some(other["measured_us"].as_f64()? / one["measured_us"].as_f64()?).filter(|ratio| ratio.is_finite())
}

fn steps(before: &Value, after: &Value) -> Vec<Value> {
    let list = |profile: &Value| profile["steps"].as_array().cloned().unwrap_or_default();
    let others = list(after);
    let step = |one: &Value| {
        let other = others.iter().find(|other| other["shape"] == one["shape"])?;
        Some(json!({
            "shape": one["shape"], "before_us": one["measured_us"], "after_us": other["measured_us"], "ratio": ratio(one, other),
        }))
    };
    list(before).iter().filter_map(step).collect()
}

/// How a profile came about.
fn about(profile: &Value) -> Value {
    let names = ["id", "model", "created", "commit", "processor", "isa", "threads", "kernels", "note", "context"];
    names.iter().map(|name| ((*name).to_owned(), profile[name].clone())).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(id: u64, rows: &[(&str, u64, f64)]) -> Value {
        let row = |(op, rows, micros): &(&str, u64, f64)| json!({ "op": op, "shape": "s", "rows": rows, "sequences": rows, "count": 2, "kernel": "auto", "measured_us": micros });
        json!({
            "id": id, "commit": format!("c{id}"), "operators": rows.iter().map(row).collect::<Vec<_>>(),
            "steps": [{ "shape": { "rows": 1 }, "measured_us": 10.0 * id as f64 }],
        })
    }

    #[test]
    fn what_both_have_is_compared_and_what_changed_most_comes_first() {
        let before =
            profile(1, &[("product", 1, 100.0), ("attention", 1, 10.0), ("product", 8, 5.0), ("gone", 1, 1.0)]);
        let after = profile(2, &[("product", 1, 90.0), ("attention", 1, 40.0), ("product", 8, 5.0), ("new", 1, 1.0)]);
        let found = compared(&before, &after);
        let text = |row: &Value| format!("{} {} {}", row["op"].as_str().unwrap_or_default(), row["rows"], row["ratio"]);
        let rows: Vec<String> = found["operators"].as_array().expect("rows").iter().map(text).collect();
        assert_eq!(rows, ["attention 1 4.0", "product 1 0.9", "product 8 1.0"]);
        assert_eq!((&found["before"]["commit"], &found["steps"][0]["ratio"]), (&json!("c1"), &json!(2.0)));
    }
}
