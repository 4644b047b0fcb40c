//! Small statistics: a slope, a rank test, a median.

/// The middle value; 0 without any.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The slope of a line through points, by Theil and Sen: the median of the slopes between all pairs, which a few outliers do
/// not move. 0 with fewer than two points. At most 400 points are looked at, evenly spread.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let step = points.len().div_ceil(400).max(1);
    let points: Vec<(f64, f64)> = points.iter().copied().step_by(step).collect();
    let mut slopes = Vec::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let others = points[index + 1..].iter().filter(|other| other.0 > *x);
        slopes.extend(others.map(|(other_x, other_y)| (other_y - y) / (other_x - x)));
    }
    median(&slopes)
}

/// How surely two sets of values differ, in standard deviations of the rank test by Mann and Whitney: beyond 3 either way,
/// chance would do that once in 370 times. Positive when the second set is larger. 0 where there is too little to say.
pub fn shift(before: &[f64], after: &[f64]) -> f64 {
    let (n, m) = (before.len() as f64, after.len() as f64);
    if n < 5.0 || m < 5.0 {
        return 0.0;
    }
    let mut wins = 0.0;
    for value in after {
        for other in before {
            wins += if value > other {
                1.0
            } else if value == other {
                0.5
            } else {
                0.0
            };
        }
    }
    (wins - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_slope_is_that_of_the_many() {
        let mut points: Vec<(f64, f64)> = (0..100).map(|x| (f64::from(x), 2.0 * f64::from(x) + 5.0)).collect();
        points[50].1 = 1e9;
        assert!((slope(&points) - 2.0).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 1.0)]), 0.0);
    }

    #[test]
    fn noise_is_no_shift_and_a_shift_is_none_of_noise() {
        let noise = |seed, offset: f64| -> Vec<f64> {
            let mut random = Random::new(seed);
            (0..60).map(|_| offset + random.fraction()).collect()
        };
        for seed in 0..20 {
            assert!(shift(&noise(seed, 1.0), &noise(seed + 100, 1.0)).abs() < 3.5, "{seed}");
            assert!(shift(&noise(seed, 1.0), &noise(seed + 100, 1.5)) > 5.0, "{seed}");
        }
    }
}
