//! An alarm as the tables of this folder declare it, before it is CloudFormation.

/// Whom an alarm tells, by the topics of the template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tells {
    /// Somebody is woken.
    Page,
    /// Somebody looks on the next working day.
    Ticket,
    /// Both topics: one of them may be what is broken.
    Both,
    /// Nobody: it is a part of a composite, or there to look at during a diagnosis.
    Nobody,
}

/// One metric, with `${Parameter}` where a parameter of the template is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Metric {
    /// `AWS/ApplicationELB`.
    pub(crate) namespace: String,
    /// `RequestCount`.
    pub(crate) name: &'static str,
    /// Names and values.
    pub(crate) dimensions: Vec<(&'static str, &'static str)>,
}

/// What an alarm looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Watches {
    /// A statistic of one metric.
    One(Metric, String),
    /// An expression of several.
    Math {
        /// What the expression reads, each under its id with its statistic.
        metrics: Vec<(&'static str, Metric, String)>,
        /// CloudWatch's metric math.
        expression: String,
    },
}

/// How the value is compared with the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// Breaching above.
    Above,
    /// Breaching at it and above.
    AtLeast,
    /// Breaching below.
    Below,
    /// Breaching at it and below.
    AtMost,
}

impl Comparison {
    /// CloudFormation's word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Above => "GreaterThanThreshold",
            Self::AtLeast => "GreaterThanOrEqualToThreshold",
            Self::Below => "LessThanThreshold",
            Self::AtMost => "LessThanOrEqualToThreshold",
        }
    }
}

/// What a threshold is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Threshold {
    /// A number that follows from the objectives, or one with its reason beside it.
    Number(f64),
    /// A parameter of the template.
    Parameter(&'static str),
}

/// What a period without data counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// As good: the metric exists only when something happens.
    NotBreaching,
    /// As bad: silence is the failure.
    Breaching,
}

impl Missing {
    /// CloudFormation's word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotBreaching => "notBreaching",
            Self::Breaching => "breaching",
        }
    }
}

/// One alarm.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Alarm {
    /// Without the prefix of service and environment; also its logical id in the template.
    pub(crate) name: String,
    /// Whom it tells.
    pub(crate) tells: Tells,
    /// What it looks at.
    pub(crate) watches: Watches,
    /// Seconds that make one data point.
    pub(crate) period: u64,
    /// So many breaching data points …
    pub(crate) datapoints: u32,
    /// … of so many make an alarm.
    pub(crate) periods: u32,
    /// How the value is compared.
    pub(crate) comparison: Comparison,
    /// With what.
    pub(crate) threshold: Threshold,
    /// For a percentile: `ignore` or `evaluate` when there are few samples.
    pub(crate) low_samples: Option<&'static str>,
    /// What no data counts as, and why.
    pub(crate) missing: (Missing, &'static str),
    /// What it says, in a sentence.
    pub(crate) says: String,
    /// What users notice, in a sentence.
    pub(crate) impact: &'static str,
    /// The file of `alerts/runbooks`, without `.md`.
    pub(crate) runbook: &'static str,
    /// The condition of the template under which it exists.
    pub(crate) condition: Option<&'static str>,
}

/// An alarm made of alarms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Composite {
    /// As [`Alarm::name`].
    pub(crate) name: String,
    /// Whom it tells.
    pub(crate) tells: Tells,
    /// The rule, with `${Name}` where the alarm of that logical id is meant.
    pub(crate) rule: String,
    /// What it says, in a sentence.
    pub(crate) says: String,
    /// What users notice, in a sentence.
    pub(crate) impact: &'static str,
    /// As [`Alarm::runbook`].
    pub(crate) runbook: &'static str,
}

impl Alarm {
    /// An alarm that looks at one minute at a time and alarms at once; what differs is set by the methods below.
    pub(crate) fn new(name: impl Into<String>, tells: Tells, watches: Watches) -> Self {
        let name = name.into();
        Self {
            name,
            tells,
            watches,
            period: 60,
            datapoints: 1,
            periods: 1,
            comparison: Comparison::Above,
            threshold: Threshold::Number(0.0),
            low_samples: None,
            missing: (Missing::NotBreaching, ""),
            says: String::new(),
            impact: "",
            runbook: "",
            condition: None,
        }
    }

    /// `datapoints` of `periods`, each of `period` seconds.
    pub(crate) fn within(mut self, datapoints: u32, periods: u32, period: u64) -> Self {
        (self.datapoints, self.periods, self.period) = (datapoints, periods, period);
        self
    }

    /// Breaching above.
    pub(crate) fn above(mut self, threshold: f64) -> Self {
        (self.comparison, self.threshold) = (Comparison::Above, Threshold::Number(threshold));
        self
    }

    /// Breaching at the threshold and above.
    pub(crate) fn at_least(mut self, threshold: f64) -> Self {
        (self.comparison, self.threshold) = (Comparison::AtLeast, Threshold::Number(threshold));
        self
    }

    /// Breaching at the threshold and below.
    pub(crate) fn at_most(mut self, threshold: f64) -> Self {
        (self.comparison, self.threshold) = (Comparison::AtMost, Threshold::Number(threshold));
        self
    }

    /// Breaching below.
    pub(crate) fn below(mut self, threshold: f64) -> Self {
        (self.comparison, self.threshold) = (Comparison::Below, Threshold::Number(threshold));
        self
    }

    /// No data is good, because.
    pub(crate) fn silence_is_good(mut self, because: &'static str) -> Self {
        self.missing = (Missing::NotBreaching, because);
        self
    }

    /// No data is bad, because.
    pub(crate) fn silence_is_bad(mut self, because: &'static str) -> Self {
        self.missing = (Missing::Breaching, because);
        self
    }

    /// What it says and what users notice, each a sentence.
    pub(crate) fn says(mut self, says: impl Into<String>, impact: &'static str) -> Self {
        (self.says, self.impact) = (says.into(), impact);
        self
    }

    /// Where to read on.
    pub(crate) fn runbook(mut self, runbook: &'static str) -> Self {
        self.runbook = runbook;
        self
    }
}

/// A number without what binary fractions add: 14.4 and not 14.399999999999999.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1e9).round() / 1e9
}
