//! The report's pictures, as SVG.

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Matrix, Report};

type Drawn = Result<(), Box<dyn std::error::Error>>;
type Draw<'a> = &'a dyn Fn(&Area<'_>) -> Drawn;
type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (900, 460);
const COLORS: [RGBColor; 6] = [BLUE, RED, RGBColor(0, 130, 60), RGBColor(230, 130, 0), RGBColor(130, 40, 150), BLACK];
const FONT: (&str, i32) = ("sans-serif", 14);

/// Titles and pictures of what the report has.
pub(super) fn all(report: &Report) -> Vec<(&'static str, String)> {
    let front = |area: &Area<'_>| pareto(report, area);
    let layers = |area: &Area<'_>| sensitivity(report, area);
    let positions = |area: &Area<'_>| by_position(report, area);
    let recovery = |area: &Area<'_>| by_step(report, area);
    let pictures: [(&str, Draw<'_>); 4] = [
        ("Size and divergence", &front),
        ("Sensitivity by layer", &layers),
        ("Divergence by position", &positions),
        ("Recovery of pruned variants", &recovery),
    ];
    pictures.into_iter().filter_map(|(title, draw)| Some((title, svg(draw)?))).collect()
}

/// A picture; none if there is nothing to draw or it cannot be drawn.
fn svg(draw: Draw<'_>) -> Option<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).ok()?;
        draw(&area).ok()?;
        area.present().ok()?;
    }
    Some(text)
}

/// The smallest and the largest of the numbers above zero, with some room.
fn range(numbers: impl Iterator<Item = f64>) -> Result<std::ops::Range<f64>, &'static str> {
    let numbers = numbers.filter(|x| x.is_finite() && *x > 0.0);
    let (low, high) = numbers.fold((f64::INFINITY, 0.0), |(low, high), x| (x.min(low), x.max(high)));
    if high > 0.0 { Ok(low * 0.8..high * 1.25) } else { Err("nothing to draw") }
}

/// Variants by size and divergence, and what mixtures are predicted to reach.
fn pareto(report: &Report, area: &Area<'_>) -> Drawn {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let variants = || report.variants.iter().filter(|v| v.kl_mean > 0.0 && v.kl_mean.is_finite());
    let x = range(variants().map(|v| megabytes(v.bytes)))?;
    let y = range(variants().map(|v| v.kl_mean))?;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(x.clone().log_scale(), y.log_scale())?;
    let mesh = chart.configure_mesh().x_desc("MB").y_desc("mean KL divergence").label_style(FONT).draw();
    mesh?;
    let predicted = report.front.iter().map(|point| (megabytes(point.bytes), point.loss));
    let predicted: Vec<_> = predicted.filter(|(bytes, loss)| x.contains(bytes) && *loss > 0.0).collect();
    chart.draw_series(LineSeries::new(predicted, BLACK.mix(0.3)))?;
    for variant in variants() {
        let best = !report.variants.iter().any(|other| variant.is_dominated_by(other));
        let color = if best { COLORS[0] } else { RGBColor(150, 150, 150) };
        let at = (megabytes(variant.bytes), variant.kl_mean);
        chart.draw_series([Circle::new(at, 5, color.filled())])?;
        chart.draw_series([EmptyElement::at(at) + Text::new(variant.name.clone(), (8, -6), FONT)])?;
    }
    Ok(())
}

/// The layer and the stem of a tensor's name: `blk.3.attn_q.weight` → 3, `attn_q`.
fn place(matrix: &Matrix) -> Option<(usize, &str)> {
    let mut parts = matrix.name.strip_prefix("blk.")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?))
}

/// What the matrices of a layer cost at four bits, or the next type to that, a line for each kind of matrix.
fn sensitivity(report: &Report, area: &Area<'_>) -> Drawn {
    let cost = |matrix: &Matrix| {
        let smallest = matrix.choices.iter().filter(|choice| choice.2 > 0.0).min_by_key(|choice| choice.1);
        smallest.map(|choice| choice.2)
    };
    let points: Vec<(usize, &str, f64)> =
        report.sensitivity.iter().filter_map(|m| place(m).zip(cost(m))).map(|((l, stem), c)| (l, stem, c)).collect();
    let layers = points.iter().map(|point| point.0).max().ok_or("nothing to draw")?;
    let y = range(points.iter().map(|point| point.2))?;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..(layers as f64).max(1.0), y.log_scale())?;
    chart.configure_mesh().x_desc("layer").y_desc("predicted KL at the smallest type").label_style(FONT).draw()?;
    let mut stems: Vec<&str> = points.iter().map(|point| point.1).collect();
    stems.sort_unstable();
    stems.dedup();
    for (stem, color) in stems.into_iter().zip(COLORS.iter().cycle()) {
        let of = points.iter().filter(|point| point.1 == stem).map(|point| (point.0 as f64, point.2));
        let line = chart.draw_series(LineSeries::new(of, color.stroke_width(2)))?;
        line.label(stem).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).label_font(FONT).draw()?;
    Ok(())
}

/// Divergence in parts of a chunk, a line for each variant.
fn by_position(report: &Report, area: &Area<'_>) -> Drawn {
    let parts = report.variants.iter().map(|v| v.quality.kl_by_position.len()).max().unwrap_or(0);
    let y = range(report.variants.iter().flat_map(|v| v.quality.kl_by_position.iter().copied()))?;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..100.0, y.log_scale())?;
    chart.configure_mesh().x_desc("% of the scored part").y_desc("mean KL divergence").label_style(FONT).draw()?;
    for (variant, color) in report.variants.iter().zip(COLORS.iter().cycle()) {
        let at = |(i, kl): (usize, &f64)| (100.0 * (i as f64 + 0.5) / parts as f64, *kl);
        let points = variant.quality.kl_by_position.iter().enumerate().map(at).filter(|(_, kl)| *kl > 0.0);
        let line = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2));
        line.label(variant.name.as_str()).legend(legend);
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).label_font(FONT).draw()?;
    Ok(())
}

/// What matrices lose before recovery and after each of its steps, a line for each pruned variant.
fn by_step(report: &Report, area: &Area<'_>) -> Drawn {
    let all = report.recoveries();
    let steps = all.iter().map(|own| own.lost.len()).max().ok_or("nothing to draw")?;
    let y = range(all.iter().flat_map(|own| own.lost.iter().copied()))?;
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(70)
        .build_cartesian_2d(0.0..(steps as f64 - 1.0).max(1.0), y.log_scale())?;
    chart.configure_mesh().x_desc("step").y_desc("part of the products that is lost").label_style(FONT).draw()?;
    for (own, color) in all.iter().zip(COLORS.iter().cycle()) {
        let points =
            own.lost.iter().enumerate().map(|(step, lost)| (step as f64, *lost)).filter(|(_, lost)| *lost > 0.0);
        let line = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
        let legend = move |(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2));
        line.label(own.variant).legend(legend);
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).label_font(FONT).draw()?;
    Ok(())
}
