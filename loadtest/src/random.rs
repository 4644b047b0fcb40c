//! Random numbers that a seed repeats: SplitMix64. Nothing secret is made of them.

/// A generator; the same seed gives the same numbers on every machine.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator with this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The generator of one part of a run: parts do not disturb one another, whatever order they run in.
    pub fn part(seed: u64, number: u64) -> Self {
        let mut own = Self(seed ^ number.wrapping_mul(0xd134_2543_de82_ef95));
        own.number();
        own
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to just below 1.
    pub fn fraction(&mut self) -> f64 {
        (self.number() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// From 0 to just below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((self.fraction() * bound as f64) as usize).min(bound.saturating_sub(1))
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, values: &'a [T]) -> Option<&'a T> {
        values.get(self.below(values.len()))
    }

    /// A rank below `count` of which low ones are likelier: the chance falls like 1 / (rank + 1)^exponent, as the use of
    /// most things does (Zipf). The continuous form: exact ranks do not matter here, and no table has to be kept.
    pub fn rank(&mut self, count: usize, exponent: f64) -> usize {
        let (n, u) = (count as f64 + 1.0, self.fraction());
        let value = if (exponent - 1.0).abs() < 1e-9 {
            n.powf(u)
        } else {
            let power = 1.0 - exponent;
            (u * (n.powf(power) - 1.0) + 1.0).powf(1.0 / power)
        };
        (value as usize).saturating_sub(1).min(count.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_seed_gives_the_same_numbers() {
        let take = |seed| {
            let mut random = Random::part(seed, 7);
            [random.number(), random.number()]
        };
        assert_eq!(take(1), take(1));
        assert_ne!(take(1), take(2));
    }

    proptest! {
        #[test]
        fn a_rank_is_one_of_those_there_are(seed: u64, count in 1..10_000_usize, exponent in 0.0..2.0_f64) {
            prop_assert!(Random::new(seed).rank(count, exponent) < count);
        }
    }

    #[test]
    fn low_ranks_are_likelier_and_an_exponent_of_0_is_even() {
        let count_below_10 = |exponent| {
            let mut random = Random::new(1);
            (0..10_000).filter(|_| random.rank(100, exponent) < 10).count()
        };
        assert!((900..1_100).contains(&count_below_10(0.0)), "{}", count_below_10(0.0));
        assert!((4_900..5_500).contains(&count_below_10(1.0)), "{}", count_below_10(1.0));
    }
}
