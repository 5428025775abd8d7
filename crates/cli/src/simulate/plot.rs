//! How the times to the first token are distributed, as a picture: a curve for each setting.

use plotters::prelude::*;

/// A curve: its name, and times in milliseconds in ascending order.
pub type Curve = (String, Vec<f64>);

/// Colours that are told apart on white.
const COLORS: [RGBColor; 6] = [BLUE, RED, RGBColor(0, 130, 60), RGBColor(230, 130, 0), RGBColor(130, 40, 150), BLACK];

/// Points of a curve at most.
const POINTS: usize = 400;

/// The share of requests whose first token came within a time, as SVG. Curves without points are left out.
///
/// # Errors
/// If the drawing fails.
pub fn svg(curves: &[Curve]) -> anyhow::Result<String> {
    let mut text = String::new();
    let all = || curves.iter().flat_map(|(_, times)| times.first().into_iter().chain(times.last())).copied();
    let least = all().fold(f64::INFINITY, f64::min).max(0.01);
    let most = all().fold(least, f64::max).max(least * 10.0);
    {
        let area = SVGBackend::with_string(&mut text, (900, 540)).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(52)
            .caption("Time to first token", ("sans-serif", 20))
            .build_cartesian_2d((least..most).log_scale(), 0.0..100.0)?;
        chart.configure_mesh().x_desc("milliseconds").y_desc("% of requests").draw()?;
        for ((name, times), color) in curves.iter().filter(|(_, times)| !times.is_empty()).zip(COLORS.iter().cycle()) {
            chart
                .draw_series(LineSeries::new(points(times), color.stroke_width(2)))?
                .label(name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 18, y)], color.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .draw()?;
        area.present()?;
    }
    Ok(text)
}

fn points(times: &[f64]) -> impl Iterator<Item = (f64, f64)> {
    let step = times.len().div_ceil(POINTS);
    let point = move |at: usize| (times[at].max(0.01), 100.0 * (at + 1) as f64 / times.len() as f64);
    (0..times.len()).step_by(step).chain(std::iter::once(times.len() - 1)).map(point)
}
