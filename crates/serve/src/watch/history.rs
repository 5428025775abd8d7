//! The history outlives the process in the database of files and batches. What is measured goes there by name, so that versions
//! with other numbers can read it.

use std::collections::BTreeMap;
use std::sync::Arc;

use batch::{Store, StoredPoint};
use serde_json::{Map, Value, json};
use telemetry::{COLUMNS, Labels, POINT_SECONDS, POINTS_KEPT, Point};

use crate::App;

/// Seconds that are kept.
const DAY: u64 = POINTS_KEPT as u64 * POINT_SECONDS;

/// Keeps new points.
pub(super) async fn keep(app: &Arc<App>, points: Vec<(Labels, Point)>) {
    let Some(batches) = app.batches.get().filter(|_| !points.is_empty()).cloned() else { return };
    let kept = tokio::task::spawn_blocking(move || {
        let oldest = points.iter().map(|(_, point)| point.time).max().unwrap_or_default().saturating_sub(DAY);
        let rows: Vec<_> = points.iter().map(|(labels, point)| row(labels, point)).collect();
        batches.store().add_points(&rows, oldest as i64)
    });
    match kept.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!("the history is not kept: {error}"),
        Err(error) => tracing::error!("the history is not kept: {error}"),
    }
}

/// A point as it is kept.
fn row(labels: &Labels, point: &Point) -> StoredPoint {
    let Labels { model, variant, device } = labels;
    let measured = COLUMNS.iter().zip(point.values).filter(|(_, value)| value.is_finite());
    let values: Map<String, Value> = measured.map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    StoredPoint {
        engine: json!([model, variant, device]).to_string(),
        time: point.time as i64,
        values: Value::from(values).to_string(),
    }
}

/// Gives the history the points of earlier processes. What cannot be read is left out.
pub(crate) fn restore(app: &App, store: &Store) {
    let rows = match store.points() {
        Ok(rows) => rows,
        Err(error) => return tracing::warn!("the history cannot be read: {error}"),
    };
    let mut engines: BTreeMap<Labels, Vec<Point>> = BTreeMap::new();
    for (labels, point) in rows.iter().filter_map(point) {
        engines.entry(labels).or_default().push(point);
    }
    for (labels, points) in engines {
        app.watch.telemetry.restore(labels, points);
    }
}

fn point(row: &StoredPoint) -> Option<(Labels, Point)> {
    let [model, variant, device] = serde_json::from_str(&row.engine).ok()?;
    let values: Map<String, Value> = serde_json::from_str(&row.values).ok()?;
    let value = |name: &str| values.get(name).and_then(Value::as_f64).map_or(f32::NAN, |value| value as f32);
    let point = Point { time: u64::try_from(row.time).ok()?, values: COLUMNS.map(value) };
    Some((Labels { model, variant, device }, point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_come_back_as_they_were() {
        let labels = Labels::model("a \"model\"");
        let mut values = std::array::from_fn(|at| at as f32 / 3.0);
        values[4] = f32::NAN;
        let (found, back) = point(&row(&labels, &Point { time: 1_700_000_000, values })).expect("a point");
        assert_eq!((found, back.time), (labels, 1_700_000_000));
        for (at, (value, back)) in values.into_iter().zip(back.values).enumerate() {
            assert!(value == back || at == 4 && back.is_nan(), "{at}: {back}, not {value}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_left_out() {
        let stored = |engine: &str, time, values: &str| StoredPoint {
            engine: engine.to_owned(),
            time,
            values: values.to_owned(),
        };
        for row in [stored("[]", 1, "{}"), stored("x", 1, "{}"), stored("[\"a\",\"\",\"\"]", -1, "{}")] {
            assert_eq!(point(&row), None);
        }
        let (_, fewer) = point(&stored("[\"a\",\"\",\"\"]", 10, "{\"ended\":3,\"new\":1}")).expect("a point");
        assert!(fewer.values[0] == 3.0 && fewer.values[1].is_nan());
    }
}
