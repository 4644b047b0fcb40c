//! The head decision: whether a trace is recorded, taken from its ids before any span exists.

use std::fmt;

use crate::trace_context::TraceContext;

/// `OTEL_TRACES_SAMPLER` with its argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether the caller's decision is obeyed where there is one.
    parent_based: bool,
    /// The share of the other traces that is recorded, from 0 to 1.
    ratio: f64,
}

/// Which of the two variables is wrong, and what it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SamplerError {
    /// `OTEL_TRACES_SAMPLER` names none of the samplers.
    Name,
    /// `OTEL_TRACES_SAMPLER_ARG` is not a share from 0 to 1.
    Ratio,
}

impl SamplerError {
    /// The environment variable to correct.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Name => "OTEL_TRACES_SAMPLER",
            Self::Ratio => "OTEL_TRACES_SAMPLER_ARG",
        }
    }
}

impl fmt::Display for SamplerError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Name => {
                "always_on, always_off, traceidratio, parentbased_always_on, parentbased_always_off or \
                 parentbased_traceidratio"
            }
            Self::Ratio => "a number from 0 to 1, the share of traces to record",
        })
    }
}

impl Default for Sampler {
    /// The specification's: all traces, unless the caller says no.
    fn default() -> Self {
        Self { parent_based: true, ratio: 1.0 }
    }
}

impl Sampler {
    /// Reads the two variables as the specification of OpenTelemetry has them; the argument counts for the samplers with
    /// a ratio and is 1 when it is missing.
    ///
    /// # Errors
    ///
    /// Which of the two cannot be used. An argument that no sampler of this name reads is checked all the same.
    pub fn parse(name: Option<&str>, argument: Option<&str>) -> Result<Self, SamplerError> {
        let ratio = match argument.map(|text| text.trim().parse::<f64>()) {
            None => 1.0,
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            Some(_) => return Err(SamplerError::Ratio),
        };
        let name = name.unwrap_or("parentbased_always_on").trim();
        let (parent_based, rest) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let ratio = match rest {
            "always_on" => 1.0,
            "always_off" => 0.0,
            "traceidratio" => ratio,
            _ => return Err(SamplerError::Name),
        };
        Ok(Self { parent_based, ratio })
    }

    /// Whether this trace is recorded. The same for every service that sees the same trace id and ratio: the lower 63
    /// bits of the id are compared with the ratio's part of their range, as OpenTelemetry's SDKs do.
    pub fn samples(&self, trace: &TraceContext) -> bool {
        const RANGE: f64 = (1_u64 << 63) as f64;
        if let (true, Some(decided)) = (self.parent_based, trace.parent_sampled) {
            return decided;
        }
        let [.., a, b, c, d, e, f, g, h] = trace.trace_id;
        let low = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        self.ratio >= 1.0 || low < (self.ratio * RANGE) as u64
    }
}

impl fmt::Display for Sampler {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unless = if self.parent_based { ", the caller's decision first" } else { "" };
        write!(formatter, "{} of traces{unless}", self.ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_samplers_of_the_specification_are_taken_and_no_others() {
        let of = |name, argument| Sampler::parse(name, argument).map(|sampler| (sampler.parent_based, sampler.ratio));
        assert_eq!(of(None, None), Ok((true, 1.0)));
        assert_eq!(of(Some("always_off"), None), Ok((false, 0.0)));
        assert_eq!(of(Some("always_on"), Some("0.5")), Ok((false, 1.0)));
        assert_eq!(of(Some("parentbased_always_off"), None), Ok((true, 0.0)));
        assert_eq!(of(Some("parentbased_traceidratio"), Some("0.05")), Ok((true, 0.05)));
        assert_eq!(of(Some("traceidratio"), None), Ok((false, 1.0)));
        for name in ["", "jaeger_remote", "parentbased_", "ALWAYS_ON", "parentbased_parentbased_always_on"] {
            assert_eq!(of(Some(name), None), Err(SamplerError::Name), "{name}");
        }
        for argument in ["", "-0.1", "1.1", "NaN", "half", "1e400"] {
            assert_eq!(of(Some("traceidratio"), Some(argument)), Err(SamplerError::Ratio), "{argument}");
        }
    }

    #[test]
    fn a_callers_decision_is_obeyed_and_absent_the_ratio_decides() {
        let trace = |parent_sampled| TraceContext { parent_sampled, ..TraceContext::new_root() };
        let never = Sampler { parent_based: true, ratio: 0.0 };
        assert!(never.samples(&trace(Some(true))));
        assert!(!never.samples(&trace(None)));
        let always = Sampler { parent_based: true, ratio: 1.0 };
        assert!(!always.samples(&trace(Some(false))));
        assert!(always.samples(&trace(None)));
        assert!(Sampler { parent_based: false, ratio: 1.0 }.samples(&trace(Some(false))));
        assert!(!Sampler { parent_based: false, ratio: 0.0 }.samples(&trace(Some(true))));
    }

    #[test]
    fn a_ratio_of_a_tenth_takes_about_a_tenth() {
        let sampler = Sampler { parent_based: true, ratio: 0.1 };
        let taken = (0..20_000).filter(|_| sampler.samples(&TraceContext::new_root())).count();
        assert!((1700..2300).contains(&taken), "{taken}");
    }

    proptest! {
        #[test]
        fn what_a_small_ratio_takes_a_larger_one_takes_too(id: [u8; 16], a in 0.0..=1.0_f64, b in 0.0..=1.0_f64) {
            let trace = TraceContext { trace_id: id, parent_sampled: None, ..TraceContext::new_root() };
            let takes = |ratio| Sampler { parent_based: true, ratio }.samples(&trace);
            prop_assert!(!takes(a.min(b)) || takes(a.max(b)));
            prop_assert!(takes(1.0) && !takes(0.0));
        }
    }
}
