//! Numbers, times and texts as people read them.

/// `1234567` as `1,234,567`.
pub(crate) fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Three decimals: figures of some thousand rows have no more.
pub(crate) fn three(value: f64) -> String {
    if value.is_finite() { format!("{value:.3}") } else { "–".to_owned() }
}

/// Three decimals, or a dash for nothing.
pub(crate) fn three_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), three)
}

/// A difference with its sign; a true minus.
pub(crate) fn signed(value: f64) -> String {
    let text = format!("{:.3}", value.abs());
    let sign = match value {
        _ if text == "0.000" => "±",
        value if value < 0.0 => "−",
        _ => "+",
    };
    format!("{sign}{text}")
}

/// An interval.
pub(crate) fn interval([low, high]: [f64; 2]) -> String {
    if low < 0.0 || high < 0.0 {
        return format!("{} to {}", signed(low), signed(high));
    }
    format!("{}–{}", three(low), three(high))
}

/// A share as a percentage.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A small number with its power of ten where it has many zeros.
pub(crate) fn small(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if (0.01..1000.0).contains(&value.abs()) {
        let text = format!("{value:.3}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    format!("{value:.1e}").replace(".0e", "e").replace('-', "−")
}

/// A probability: small ones keep a digit that says something.
pub(crate) fn probability(value: f64) -> String {
    match value {
        value if value >= 0.001 => three(value),
        value if value >= 1e-5 => format!("{value:.5}"),
        _ => "<0.00001".to_owned(),
    }
}

/// Seconds as the two largest units that matter.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds.is_nan() || seconds < 0.0 {
        return "–".to_owned();
    }
    if seconds < 10.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// Passes over the training rows: `1.67 epochs`.
pub(crate) fn epochs(passed: f64) -> String {
    let text = format!("{passed:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} epoch{}", if text == "1" { "" } else { "s" })
}

/// Seconds since 1970 as `2026-11-25 13:18 UTC`.
///
/// Days to dates as Howard Hinnant's `civil_from_days` has it.
pub(crate) fn date(seconds: f64) -> String {
    if !(0.0..4e11).contains(&seconds) {
        return "–".to_owned();
    }
    let seconds = seconds as i64;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468; // days since 0000-03-01
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year_of_era + carry;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", rest / 3600, rest % 3600 / 60)
}

/// A text for a page: no control characters, and cut where it is very long.
pub(crate) fn clean(text: &str) -> String {
    const MOST: usize = 600;
    let visible = |c: char| if c.is_control() && c != '\n' { '\u{fffd}' } else { c };
    let mut out: String = text.chars().map(visible).take(MOST).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(
            [0, 999, 1000, 43_410, 1_234_567].map(thousands).join(" "),
            "0 999 1,000 43,410 1,234,567"
        );
        assert_eq!(
            [0.0, 3e-4, 2.5e-5, 0.05, 0.125, 7.0, 1e6].map(small).join(" "),
            "0 3e−4 2.5e−5 0.05 0.125 7 1e6"
        );
        assert_eq!([0.0204, -0.0204, 0.0001].map(signed).join(" "), "+0.020 −0.020 ±0.000");
        assert_eq!(interval([0.5, 0.625]), "0.500–0.625");
        assert_eq!(interval([-0.01, 0.02]), "−0.010 to +0.020");
        assert_eq!([0.5, 0.000_25, 1e-9].map(probability).join(" "), "0.500 0.00025 <0.00001");
        assert_eq!(three(f64::NAN), "–");
        assert_eq!(
            [0.1061, 1.0, 5.0 / 3.0, 10.0].map(epochs).join("; "),
            "0.11 epochs; 1 epoch; 1.67 epochs; 10 epochs"
        );
    }

    #[test]
    fn times() {
        let said = [0.0, 9.94, 59.4, 316.1, 3700.0, 200_000.0, f64::NAN].map(duration);
        assert_eq!(said.join("; "), "0.0 s; 9.9 s; 59 s; 5 min 16 s; 1 h 1 min; 2 d 7 h; –");
        assert_eq!(date(0.0), "1970-01-01 00:00 UTC");
        assert_eq!(date(951_827_696.0), "2000-02-29 12:34 UTC");
        assert_eq!(date(1_795_612_740.7), "2026-11-25 13:19 UTC");
        assert_eq!(date(f64::NAN), "–");
    }

    #[test]
    fn texts() {
        assert_eq!(clean("a\u{0}\u{1b}[1m\nb"), "a\u{fffd}\u{fffd}[1m\nb");
        assert_eq!(clean(&"ü".repeat(601)).chars().count(), 601);
        assert_eq!(clean(&"ü".repeat(600)).chars().count(), 600);
    }
}
