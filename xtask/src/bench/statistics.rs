//! Medians, and how far apart the measurements are.

use serde::Serialize;

/// The middle of many measurements, and the range that eight tenths of them lie in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) p10: f64,
    pub(crate) median: f64,
    pub(crate) p90: f64,
}

impl Spread {
    /// Of no measurements, zeros.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |tenths: usize| {
            let last = values.len().saturating_sub(1);
            values.get((last * tenths + 5) / 10).copied().unwrap_or_default()
        };
        Self { p10: at(1), median: at(5), p90: at(9) }
    }

    /// In another unit.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { p10: self.p10 * factor, median: self.median * factor, p90: self.p90 * factor }
    }
}

/// The middle one.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(values).median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_of_eleven() {
        let spread = Spread::of((0..=10).rev().map(f64::from));
        assert_eq!(spread, Spread { p10: 1.0, median: 5.0, p90: 9.0 });
    }

    #[test]
    fn spread_of_few() {
        assert_eq!(Spread::of([3.0]), Spread { p10: 3.0, median: 3.0, p90: 3.0 });
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(median([4.0, 1.0, 3.0]), 3.0);
    }
}
