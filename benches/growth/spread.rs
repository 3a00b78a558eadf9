//! Median and spread of what was measured.

use std::fmt;

/// Of many values the median, and between which all but a tenth at either end lie.
pub(crate) struct Spread {
    low: f64,
    median: f64,
    high: f64,
}

impl Spread {
    /// Sorts values.
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |tenths: usize| {
            let place = values.len() * tenths / 10;
            values.get(place).copied().unwrap_or(f64::NAN)
        };
        Self {
            low: at(1),
            median: at(5),
            high: at(9),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { low, median, high } = self;
        write!(f, "{median:6.1} µs ({low:.1} to {high:.1})")
    }
}
