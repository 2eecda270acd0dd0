//! Plots as SVG that follows the page: text is text, colours are the page's custom properties, so
//! that one drawing serves light, dark and paper.
//!
//! `plotters` knows neither: it writes colours as numbers and places as whole pixels. So a plot is
//! drawn [`SCALE`] times too large under a `viewBox`, in colours of no meaning of their own, which
//! [`finish`] then replaces.

mod heat;
mod labels;
mod lines;
mod reliability;
mod small;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::error::ReportError;

pub(crate) use heat::{HEAT_CLASSES, HeatMap, heat_map};
pub(crate) use labels::{Bars, Dots, bar_chart, dot_chart};
pub(crate) use lines::{Axis, LineChart, Series, line_chart};
pub(crate) use reliability::reliability_chart;
pub(crate) use small::threshold_chart;

/// Drawn pixels for one of the page's: places are whole pixels while drawing.
const SCALE: f64 = 4.0;
/// `plotters` takes a font's size for more than its em.
const FONT: f64 = 1.24;

/// Text.
pub(crate) const INK: RGBColor = RGBColor(1, 1, 1);
/// Text of less weight: axes.
pub(crate) const MUTED: RGBColor = RGBColor(1, 1, 2);
/// Lines of a grid.
pub(crate) const GRID: RGBColor = RGBColor(1, 1, 3);
/// What lies below the plot.
pub(crate) const SURFACE: RGBColor = RGBColor(1, 1, 4);

/// Colours of series; each has a dash of its own too, so that none is told by colour alone.
pub(crate) const SERIES: usize = 8;
/// The dash of each series, in the page's pixels.
pub(crate) const DASHES: [&str; SERIES] =
    ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 2", "6 2 1 2 1 2"];

/// A series' colour, with its dash.
pub(crate) fn series(index: usize) -> RGBColor {
    RGBColor(2, 1, (index % SERIES) as u8)
}

/// A series' colour without a dash: for marks.
pub(crate) fn solid(index: usize) -> RGBColor {
    RGBColor(3, 1, (index % SERIES) as u8)
}

/// A heat map's colour.
fn heat(class: usize) -> RGBColor {
    RGBColor(4, 1, class as u8)
}

/// Text on a heat map's colour.
fn heat_ink(class: usize) -> RGBColor {
    RGBColor(5, 1, class as u8)
}

/// A place to draw on, in the page's pixels.
pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Whatever a drawing can fail with.
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// The page's pixels as drawn.
fn px(value: f64) -> i32 {
    (value * SCALE).round() as i32
}

/// A line's width as drawn.
fn width(value: f64) -> u32 {
    px(value).max(1) as u32
}

fn font<'a>(size: f64, color: &RGBColor) -> TextStyle<'a> {
    ("sans-serif", size * SCALE * FONT).into_font().color(color)
}

/// Draws on a canvas of the page's pixels. `title` is what a screen reader says instead.
fn draw(
    title: &str,
    size: (f64, f64),
    drawing: impl FnOnce(&Area<'_>) -> Drawn,
) -> Result<String, ReportError> {
    let mut svg = String::new();
    let pixels = (px(size.0) as u32, px(size.1) as u32);
    let backend = SVGBackend::with_string(&mut svg, pixels);
    let area = backend.into_drawing_area();
    drawing(&area)
        .and_then(|()| area.present().map_err(Into::into))
        .map_err(|error| ReportError::Plot(error.to_string()))?;
    drop(area);
    Ok(finish(&svg, title, pixels))
}

/// Puts the page's colours in the place of those drawn, and a text alternative in front.
fn finish(svg: &str, title: &str, pixels: (u32, u32)) -> String {
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let mut out = String::with_capacity(svg.len());
    let title = maud::html! { (title) }.into_string(); // quotes escaped too
    out.push_str(&format!(
        "<svg class=\"plot\" role=\"img\" viewBox=\"0 0 {} {}\" aria-label=\"{}\">",
        pixels.0, pixels.1, title
    ));
    let mut rest = body;
    // A quote followed by a hash begins a colour: quotes of texts are escaped.
    while let Some(at) = rest.find("\"#") {
        let (before, from) = rest.split_at(at + 1);
        out.push_str(before);
        match from.find('"') {
            Some(end) => {
                out.push_str(&colour(&from[..end]));
                rest = &from[end..];
            }
            None => rest = from,
        }
    }
    out.push_str(rest);
    for noise in [" opacity=\"1\"", " font-family=\"sans-serif\"", " stroke=\"none\"", "\n"] {
        out = out.replace(noise, "");
    }
    out
}

/// The page's name of a colour, and for a series the rest of its style.
fn colour(drawn: &str) -> String {
    let byte = |at: usize| u8::from_str_radix(drawn.get(at..at + 2)?, 16).ok();
    let (Some(kind), Some(_), Some(index)) = (byte(1), byte(3), byte(5)) else {
        return drawn.to_owned();
    };
    match (kind, index) {
        (1, 1) => "var(--ink)".to_owned(),
        (1, 2) => "var(--muted)".to_owned(),
        (1, 3) => "var(--grid)".to_owned(),
        (1, 4) => "var(--surface)".to_owned(),
        (2, index) => match scaled(DASHES[usize::from(index) % SERIES]) {
            dash if dash.is_empty() => format!("var(--s{index})"),
            dash => format!("var(--s{index})\" stroke-dasharray=\"{dash}"),
        },
        (3, index) => format!("var(--s{index})"),
        (4, index) => format!("var(--h{index})"),
        (5, index) => format!("var(--i{index})"),
        _ => drawn.to_owned(),
    }
}

/// A dash as drawn.
fn scaled(dash: &str) -> String {
    let lengths = dash.split_whitespace().filter_map(|length| length.parse::<f64>().ok());
    lengths.map(|length| px(length).to_string()).collect::<Vec<_>>().join(" ")
}

/// Writes a text at a place; `anchor` says which of its ends lies there.
fn text(
    area: &Area<'_>,
    (x, y): (f64, f64),
    words: &str,
    size: f64,
    color: &RGBColor,
    anchor: HPos,
) -> Drawn {
    let style = font(size, color).pos(Pos::new(anchor, VPos::Center));
    area.draw(&Text::new(words.to_owned(), (px(x), px(y)), style))?;
    Ok(())
}

/// Writes a text from bottom to top, beginning at a place.
fn text_upwards(
    area: &Area<'_>,
    (x, y): (f64, f64),
    words: &str,
    size: f64,
    color: &RGBColor,
) -> Drawn {
    let style = ("sans-serif", size * SCALE * FONT).into_font().transform(FontTransform::Rotate270);
    let style = style.color(color).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(words.to_owned(), (px(x), px(y)), style))?;
    Ok(())
}

fn line(area: &Area<'_>, from: (f64, f64), to: (f64, f64), color: &RGBColor, wide: f64) -> Drawn {
    let ends = vec![(px(from.0), px(from.1)), (px(to.0), px(to.1))];
    area.draw(&PathElement::new(ends, color.stroke_width(width(wide))))?;
    Ok(())
}

fn rectangle(area: &Area<'_>, from: (f64, f64), to: (f64, f64), color: &RGBColor) -> Drawn {
    let corners = [(px(from.0), px(from.1)), (px(to.0), px(to.1))];
    area.draw(&Rectangle::new(corners, color.filled()))?;
    Ok(())
}

fn disc(area: &Area<'_>, at: (f64, f64), radius: f64, color: &RGBColor) -> Drawn {
    area.draw(&Circle::new((px(at.0), px(at.1)), px(radius), color.filled()))?;
    Ok(())
}

/// A name in at most `most` characters.
fn shortened(name: &str, most: usize) -> String {
    match name.char_indices().nth(most) {
        Some(_) => name.chars().take(most - 1).chain(['…']).collect(),
        None => name.to_owned(),
    }
}

/// Round numbers from `low` to `high`, about `wanted` of them: 1, 2 or 5 times a power of ten apart.
fn ticks(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![low];
    }
    let rough = span / wanted.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    let step = steps.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last.min(first + 100)).map(|index| index as f64 * step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_the_pages_and_texts_stay_texts() {
        let svg = draw("a <title> \"quoted\"", (100.0, 50.0), |area| {
            line(area, (0.0, 0.0), (9.5, 9.0), &series(1), 2.0)?;
            disc(area, (5.0, 5.0), 2.0, &solid(1))?;
            text(area, (5.0, 5.0), "\"#010101\" <script>alert(1)</script>", 12.0, &INK, HPos::Left)
        })
        .unwrap();
        assert!(
            svg.starts_with("<svg class=\"plot\" role=\"img\" viewBox=\"0 0 400 200\""),
            "{svg}"
        );
        assert!(svg.contains("aria-label=\"a &lt;title&gt; &quot;quoted&quot;\""), "{svg}");
        assert!(svg.contains("stroke=\"var(--s1)\" stroke-dasharray=\"28 12\""), "{svg}");
        assert!(svg.contains("fill=\"var(--s1)\""), "{svg}");
        assert!(svg.contains("38,36"), "half pixels are kept: {svg}");
        assert!(!svg.contains("<script>") && svg.contains("&lt;script&gt;"), "{svg}");
        assert!(svg.contains("fill=\"var(--ink)\""), "{svg}");
        assert!(!svg.contains("=\"#"), "a colour was left: {svg}");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(3.0, 47.0, 4), [20.0, 40.0]);
        assert_eq!(ticks(0.0, 6785.0, 4), [0.0, 2000.0, 4000.0, 6000.0]);
        assert_eq!(ticks(2.0, 2.0, 4), [2.0]);
        assert_eq!(ticks(0.0, f64::INFINITY, 4), [0.0]);
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(shortened("kürzer", 6), "kürzer");
        assert_eq!(shortened("kürzeres", 6), "kürze…");
    }
}
