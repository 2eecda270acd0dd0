//! Numbers as people write them.

/// `f32` as the shortest decimal that reads back to it: 0.3, and not 0.30000001192092896. What is written as JSON or
/// TOML goes through an `f64`, which would show the latter.
pub fn shortest_decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_digits_are_made_up_and_none_is_lost() {
        for value in [0.3_f32, 0.1, 1.0, 0.0, 1e-12, 0.702_345_6, f32::MAX, f32::MIN_POSITIVE] {
            let shortest = shortest_decimal(value);
            assert_eq!(shortest as f32, value);
            assert_eq!(format!("{shortest:?}"), format!("{value:?}"));
        }
        assert!(shortest_decimal(f32::NAN).is_nan() && shortest_decimal(f32::INFINITY) > 1e300);
    }
}
