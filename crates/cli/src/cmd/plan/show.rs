//! Plans, profiles and comparisons as tables.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::Value;

/// A plan: operators that are alike in one line.
pub(super) fn plan(out: &mut impl Write, plan: &Value) -> anyhow::Result<()> {
    let shape = &plan["shape"];
    writeln!(
        out,
        "{}: {} on {}, {} threads; a step of {} sequences with {} rows each after {} positions",
        text(&plan["model"]),
        text(&plan["source"]),
        text(&plan["isa"]),
        plan["threads"],
        shape["sequences"],
        shape["rows"],
        shape["context"]
    )?;
    let applied: Vec<String> = list(&plan["fusion"])
        .iter()
        .filter(|rule| rule["fired"].as_u64() > Some(0))
        .map(|rule| format!("{} {}", text(&rule["rule"]), rule["fired"]))
        .collect();
    writeln!(out, "rules of fusion: {}\n", applied.join(", "))?;
    writeln!(
        out,
        "{:<16} {:<44} {:>5} {:>12} {:>12} {:>10}",
        "operator", "shape", "count", "bytes", "GOP", "at best µs"
    )?;
    let mut groups: BTreeMap<(String, String), [f64; 4]> = BTreeMap::new();
    for operator in list(&plan["operators"]) {
        let cost = &operator["cost"];
        let sum = groups.entry((text(&operator["op"]), text(&operator["shape"]))).or_default();
        for (sum, more) in sum.iter_mut().zip([1.0, bytes(cost), operations(cost), number(&cost["predicted_us"])]) {
            *sum += more;
        }
    }
    for ((op, shape), [count, bytes, operations, micros]) in &groups {
        row(out, (op, shape), (*count, *bytes, *operations, *micros))?;
    }
    let total = &plan["total"];
    let count = list(&plan["operators"]).len() as f64;
    row(out, ("all", ""), (count, bytes(total), operations(total), number(&total["predicted_us"])))?;
    let arena = indicatif::HumanBytes(plan["arena_bytes"].as_u64().unwrap_or(0));
    Ok(writeln!(out, "\nroom for values: {arena}; --json shows every operator, value and weight")?)
}

fn row(
    out: &mut impl Write,
    (op, shape): (&str, &str),
    (count, bytes, operations, micros): (f64, f64, f64, f64),
) -> std::io::Result<()> {
    let (bytes, gop) = (indicatif::HumanBytes(bytes as u64).to_string(), operations / 1e9);
    writeln!(out, "{op:<16} {:<44} {count:>5} {bytes:>12} {gop:>12.4} {micros:>10.1}", short(shape))
}

/// A profile.
pub(super) fn profile(out: &mut impl Write, profile: &Value) -> anyhow::Result<()> {
    let machine = &profile["machine"];
    writeln!(
        out,
        "{} on {}, {} threads; memory {:.1} GB/s, 8-bit {:.0} GOP/s, f32 {:.0} GFLOP/s\n",
        text(&profile["model"]),
        text(&profile["isa"]),
        profile["threads"],
        number(&machine["read_gb_s"]),
        number(&machine["int8_gop_s"]),
        number(&machine["f32_gflop_s"])
    )?;
    let (operator, shape, count, rows, kernel) = ("operator", "shape", "count", "rows", "kernel");
    writeln!(
        out,
        "{operator:<16} {shape:<44} {count:>5} {rows:>5} {kernel:<14} {:>10} {:>10} {:>6}",
        "at best µs", "µs", "of it"
    )?;
    for row in list(&profile["operators"]) {
        let (best, took) = (number(&row["predicted_us"]), number(&row["measured_us"]));
        writeln!(
            out,
            "{:<16} {:<44} {:>5} {:>5} {:<14} {best:>10.1} {took:>10.1} {:>5.0}%",
            text(&row["op"]),
            short(&text(&row["shape"])),
            row["count"].to_string(),
            row["rows"].to_string(),
            text(&row["kernel"]),
            100.0 * best / took
        )?;
    }
    for step in list(&profile["steps"]) {
        let (best, took) = (number(&step["predicted_us"]), number(&step["measured_us"]));
        let rows = number(&step["shape"]["sequences"]) * number(&step["shape"]["rows"]);
        writeln!(out, "a step of {rows} rows: {took:.0} µs, {best:.0} at best")?;
    }
    Ok(())
}

/// Two profiles.
pub(super) fn comparison(out: &mut impl Write, comparison: &Value) -> anyhow::Result<()> {
    for side in ["before", "after"] {
        let about = &comparison[side];
        let words = ["model", "commit", "processor", "isa", "note"].map(|name| text(&about[name]));
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        let kernels: Vec<String> = list(&about["kernels"]).iter().map(text).collect();
        writeln!(out, "{side:<7} {}, {} threads {}", words.join(", "), about["threads"], kernels.join(" "))?;
    }
    writeln!(
        out,
        "\n{:<16} {:<44} {:>5} {:>10} {:>10} {:>7}",
        "operator", "shape", "rows", "before µs", "after µs", "ratio"
    )?;
    for row in list(&comparison["operators"]) {
        let (before, after) = (number(&row["before_us"]), number(&row["after_us"]));
        let (op, shape, rows) = (text(&row["op"]), text(&row["shape"]), row["rows"].to_string());
        writeln!(out, "{op:<16} {:<44} {rows:>5} {before:>10.1} {after:>10.1} {:>7.3}", short(&shape), after / before)?;
    }
    for step in list(&comparison["steps"]) {
        let rows = number(&step["shape"]["sequences"]) * number(&step["shape"]["rows"]);
        let (before, after) = (number(&step["before_us"]), number(&step["after_us"]));
        writeln!(
            out,
            "a step of {rows} rows: {before:.0} µs before, {after:.0} µs after, ratio {:.3}",
            after / before
        )?;
    }
    Ok(())
}

fn bytes(cost: &Value) -> f64 {
    ["read_bytes", "written_bytes", "weight_bytes", "memory_bytes"].iter().map(|name| number(&cost[name])).sum()
}

fn operations(cost: &Value) -> f64 {
    number(&cost["int8_operations"]) + number(&cost["f32_operations"])
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Long shapes are cut.
fn short(shape: &str) -> String {
    match shape.char_indices().nth(43) {
        Some((at, _)) if shape.chars().count() > 44 => format!("{}…", &shape[..at]),
        _ => shape.to_owned(),
    }
}
