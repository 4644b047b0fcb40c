//! The recording rules of each objective, under the names and labels that Sloth gives them, so that dashboards made for
//! Sloth work here.

use std::fmt::Write;

use slo::{Period, Slo};

use super::alert;
use super::sli::{SERVICE, Sli, all};
use super::yaml::{literal, number};
use crate::tree::Item;

/// A window up to this long is read from the series themselves; a longer one is summed from recorded rates.
const DIRECT_MAX_SECONDS: u64 = 6 * 3600;

/// How often the short windows are computed. The sums over the whole window take one sample each time.
pub(super) const SHORT_SECONDS: u64 = 30;
/// How often the long ones are; less than the five minutes for which Prometheus believes a sample.
const LONG_SECONDS: u64 = 120;

/// One rule.
pub struct Recording {
    /// The series.
    pub record: String,
    /// The expression.
    pub expr: String,
    /// The window its `sloth_window` names.
    pub window: Option<Period>,
    /// What else its labels say.
    pub labels: Vec<(&'static str, String)>,
}

/// The shortest window: what all sums are made of.
pub fn base(slo: &Slo) -> Period {
    slo.burn.iter().map(|burn| burn.short).min().unwrap_or(slo.window)
}

/// Every window of an error ratio, ascending, the budget's own at the end.
pub fn windows(slo: &Slo) -> Vec<Period> {
    let mut windows: Vec<Period> = slo.burn.iter().flat_map(|burn| [burn.short, burn.long]).collect();
    windows.push(slo.window);
    windows.sort();
    windows.dedup();
    windows
}

/// Whether a window is read from the series themselves.
pub fn is_direct(slo: &Slo, window: Period) -> bool {
    window.seconds() <= DIRECT_MAX_SECONDS || window == base(slo)
}

/// The rules of one objective that are computed often, and those that are computed less often.
pub fn of(slo: &Slo, sli: &Sli) -> (Vec<Recording>, Vec<Recording>) {
    let base = base(slo);
    let matcher = sli.matcher();
    let plain = |record: String, expr: String| Recording { record, expr, window: None, labels: Vec::new() };
    let mut short = vec![
        plain(format!("slo:sli_bad:rate{base}"), sli.bad("rate", base)),
        plain(format!("slo:sli_total:rate{base}"), sli.total("rate", base)),
    ];
    let mut long = Vec::new();
    for window in windows(slo) {
        let record = format!("slo:sli_error:ratio_rate{window}");
        if is_direct(slo, window) {
            short.push(Recording { record, expr: sli.ratio(window), window: Some(window), labels: Vec::new() });
        } else {
            let expr = sli.ratio_of_sums(base, window);
            long.push(Recording { record, expr, window: Some(window), labels: Vec::new() });
        }
    }
    let mut longs: Vec<Period> = slo.burn.iter().map(|burn| burn.long).chain([slo.window]).collect();
    longs.sort();
    longs.dedup();
    for window in longs {
        let record = format!("slo:sli_total:increase{window}");
        if is_direct(slo, window) {
            short.push(plain(record, sli.total("increase", window)));
        } else {
            // Each recorded rate stands for the time to the next one. An average times the window would take a first
            // hour for the whole of it, and the guards against little traffic would be open after a fresh start.
            long.push(plain(
                record,
                format!("sum_over_time(slo:sli_total:rate{base}{{{matcher}}}[{window}]) * {SHORT_SECONDS}"),
            ));
        }
    }
    let of_budget = |ratio: String| {
        format!(
            "{ratio}{{{matcher}}}\n  / on (sloth_id, sloth_slo, sloth_service) group_left\n\
             slo:error_budget:ratio{{{matcher}}}"
        )
    };
    short.extend([
        plain("slo:objective:ratio".to_owned(), format!("vector({})", number(sli.objective))),
        plain("slo:error_budget:ratio".to_owned(), format!("vector({})", number(sli.budget()))),
        plain("slo:time_period:days".to_owned(), format!("vector({})", number(days(slo.window)))),
        plain("slo:current_burn_rate:ratio".to_owned(), of_budget(format!("slo:sli_error:ratio_rate{base}"))),
        Recording {
            record: "sloth_slo_info".to_owned(),
            expr: "vector(1)".to_owned(),
            window: None,
            labels: vec![
                ("sloth_mode", "ops".to_owned()),
                ("sloth_objective", number(sli.objective * 100.0)),
                ("sloth_spec", "slo.toml".to_owned()),
                ("sloth_version", "1".to_owned()),
            ],
        },
    ]);
    long.extend([
        plain("slo:period_burn_rate:ratio".to_owned(), of_budget(format!("slo:sli_error:ratio_rate{}", slo.window))),
        plain(
            "slo:period_error_budget_remaining:ratio".to_owned(),
            format!("1 - slo:period_burn_rate:ratio{{{matcher}}}"),
        ),
    ]);
    (short, long)
}

/// As Prometheus writes so many seconds.
fn span(seconds: u64) -> String {
    Period::from_seconds(seconds).map_or_else(|| format!("{seconds}s"), |period| period.to_string())
}

fn days(period: Period) -> f64 {
    period.seconds() as f64 / 86_400.0
}

/// The names of the groups of an objective in the order in which they build on each other.
pub(super) fn groups(slo: &str) -> [String; 2] {
    [format!("{SERVICE}-{slo}-short"), format!("{SERVICE}-{slo}-long")]
}

/// The recording rules of an objective: what its file starts with.
pub(super) fn rendered(slo: &Slo, sli: &Sli) -> String {
    let mut text = format!(
        "# {}\n# Names and labels are Sloth's. Windows above {}h are sums of recorded rates, so that a busy hour \
        weighs more than a\n\
         # quiet one.\ngroups:\n",
        sli.sentence,
        DIRECT_MAX_SECONDS / 3600
    );
    let (short, long) = of(slo, sli);
    for ((group, interval), rules) in
        groups(sli.slo).iter().zip([SHORT_SECONDS, LONG_SECONDS].map(span)).zip([short, long])
    {
        let _ = write!(text, "  - name: {group}\n    interval: {interval}\n    rules:\n");
        rules.iter().for_each(|rule| rule.render(sli, &mut text));
    }
    text
}

impl Recording {
    fn render(&self, sli: &Sli, text: &mut String) {
        let expr = if self.expr.contains(['\n', '"', ':']) { literal(&self.expr, 10) } else { self.expr.clone() };
        let _ = write!(text, "      - record: {}\n        expr: {expr}\n        labels:\n", self.record);
        let own = [("sloth_id", sli.id()), ("sloth_service", SERVICE.to_owned()), ("sloth_slo", sli.slo.to_owned())];
        let window = self.window.map(|window| ("sloth_window", window.to_string()));
        for (name, value) in own.iter().chain(&window).chain(&self.labels) {
            let plain = value.chars().all(|c| c.is_ascii_lowercase() || c == '-');
            let value = if plain { value.clone() } else { format!("\"{value}\"") };
            let _ = writeln!(text, "          {name}: {value}");
        }
    }
}

/// What `ops list` prints of them.
pub fn items(slo: &Slo) -> Vec<Item> {
    let mut items = Vec::new();
    for sli in all(slo) {
        items.push(Item {
            kind: "objective",
            name: sli.slo.to_owned(),
            summary: sli.sentence.clone(),
            file: "slo.toml".to_owned(),
        });
        let (short, long) = of(slo, &sli);
        for rule in short.iter().chain(&long) {
            items.push(Item {
                kind: "recording",
                name: format!("{}{{{}}}", rule.record, sli.matcher()),
                summary: rule.expr.split_whitespace().collect::<Vec<_>>().join(" "),
                file: alert::path(&alert::of_objective(sli.slo)),
            });
        }
    }
    items
}
