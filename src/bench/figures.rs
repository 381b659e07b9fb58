//! Time series as SVG: throughput and latency of each setting of an experiment, on top of each other.

use plotters::prelude::*;

use super::BenchError;
use super::plan::Experiment;
use super::report::{CellReport, Point, Report};

/// In pixels; a page scales it.
const SIZE: (u32, u32) = (760, 300);
/// Told apart on light and on dark, and by eyes that see no red or no green.
const COLORS: [RGBColor; 8] = [
    RGBColor(0x2f, 0x7e, 0xd8),
    RGBColor(0xe0, 0x7b, 0x00),
    RGBColor(0x12, 0x9e, 0x75),
    RGBColor(0xc0, 0x50, 0x9e),
    RGBColor(0x8a, 0x6d, 0xe0),
    RGBColor(0x1b, 0xa3, 0xc6),
    RGBColor(0xb5, 0x8a, 0x1c),
    RGBColor(0x7a, 0x86, 0x94),
];
const FONT: &str = "sans-serif";

/// One figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Figure {
    /// Its file's name without `.svg`.
    pub(super) id: String,
    pub(super) title: String,
    /// Black on nothing, so that a page can give it its own ink and ground.
    pub(super) svg: String,
}

/// A line: its name and its points.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
}

/// The figures of all experiments of a report: of each load two.
pub(super) fn figures(report: &Report) -> Result<Vec<Figure>, BenchError> {
    let mut figures = Vec::new();
    for experiment in Experiment::ALL {
        let mut loads: Vec<Option<f64>> = Vec::new();
        for cell in report.cells.iter().filter(|cell| cell.experiment == experiment) {
            if !loads.contains(&cell.load) {
                loads.push(cell.load);
            }
        }
        for load in loads {
            let cells: Vec<_> = report
                .cells
                .iter()
                .filter(|cell| (cell.experiment, cell.load) == (experiment, load))
                .collect();
            figures.extend(pair(experiment, load, &cells)?);
        }
    }
    Ok(figures)
}

fn pair(experiment: Experiment, load: Option<f64>, cells: &[&CellReport]) -> Result<[Figure; 2], BenchError> {
    let (id, at) = match load {
        Some(load) => (format!("{experiment}-load-{load}"), format!("load {load}")),
        None => (format!("{experiment}-closed"), "closed loop".to_owned()),
    };
    let killed_s = cells.first().and_then(|cell| Some(cell.failure.as_ref()?.at_s));
    let make = |what: &str, axis: &str, of: fn(&Point) -> Option<f64>| {
        Ok::<_, BenchError>(Figure {
            id: format!("{id}-{what}"),
            title: format!("{experiment}, {at}: {what}"),
            svg: draw(axis, &lines(cells, of), killed_s)
                .map_err(|error| BenchError::Figure(error.to_string()))?,
        })
    };
    Ok([
        make("throughput", "results/s", |point| Some(point.throughput_per_s))?,
        make("latency", "mean latency, s", |point| point.latency_mean_ms.map(|ms| ms / 1000.0))?,
    ])
}

/// A line for each setting, the mean of its seeds.
fn lines(cells: &[&CellReport], of: fn(&Point) -> Option<f64>) -> Vec<Line> {
    let mut settings: Vec<&str> = Vec::new();
    for cell in cells {
        if !settings.contains(&cell.setting.as_str()) {
            settings.push(&cell.setting);
        }
    }
    let line = |setting: &str| {
        let cells: Vec<_> = cells.iter().filter(|cell| cell.setting == setting).collect();
        let longest = cells.iter().map(|cell| cell.series.len()).max().unwrap_or(0);
        let point = |index: usize| {
            let points: Vec<_> = cells.iter().filter_map(|cell| cell.series.get(index)).collect();
            let values: Vec<f64> = points.iter().filter_map(|point| of(point)).collect();
            (!values.is_empty()).then(|| (points[0].at_s, values.iter().sum::<f64>() / values.len() as f64))
        };
        Line { name: setting.to_owned(), points: (0..longest).filter_map(point).collect() }
    };
    settings.into_iter().map(line).collect()
}

type DrawError = DrawingAreaErrorKind<std::io::Error>;

fn draw(axis: &str, lines: &[Line], killed_s: Option<f64>) -> Result<String, DrawError> {
    let all = || lines.iter().flat_map(|line| &line.points);
    let x_max = all().map(|(x, _)| *x).fold(1.0, f64::max);
    let y_max = all().map(|(_, y)| *y).fold(0.0, f64::max) * 1.15;
    let y_max = if y_max > 0.0 { y_max } else { 1.0 };
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(10)
            .margin_right(26)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(0.0..x_max, 0.0..y_max)?;
        chart
            .configure_mesh()
            .x_desc("s")
            .y_desc(axis)
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 14))
            .bold_line_style(BLACK.mix(0.15))
            .light_line_style(TRANSPARENT)
            .axis_style(BLACK.mix(0.6))
            .draw()?;
        if let Some(at) = killed_s {
            let line = PathElement::new([(at, 0.0), (at, y_max)], BLACK.mix(0.5).stroke_width(2));
            chart
                .draw_series([line])?
                .label("kill")
                .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], BLACK.mix(0.5).stroke_width(2)));
        }
        for (line, color) in lines.iter().zip(COLORS.iter().cycle()) {
            let style = color.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style))?
                .label(line.name.clone())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .label_font((FONT, 14))
            .border_style(TRANSPARENT)
            .draw()?;
        root.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_names_its_lines_and_has_them() {
        let line = |name: &str, y: f64| Line { name: name.into(), points: vec![(0.0, y), (5.0, y + 1.0)] };
        let svg = draw("results/s", &[line("score 0.3/0.7", 1.0), line("eta", 2.0)], Some(2.0)).unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        for word in ["score 0.3/0.7", "eta", "kill", "results/s", "#2F7ED8", "#E07B00"] {
            assert!(svg.contains(word), "{word}: {svg}");
        }
        draw("nothing", &[Line { name: "none".into(), points: Vec::new() }], None).unwrap();
    }
}
