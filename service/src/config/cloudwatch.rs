//! From the text of `CLOUDWATCH_*` to the shipper's settings. Half a configuration is refused: what it asks for would not
//! happen, and nobody would notice until the logs are needed.

use std::path::PathBuf;

use telemetry::CloudWatchSettings;
use telemetry::cloudwatch::{
    RETENTION_DAYS, RETENTIONS, SPOOL_BYTES_MAX, SpoolSettings, is_log_group, is_log_stream, is_namespace,
};

use super::args::CloudWatchArgs;
use super::parse::{ConfigError, given, number};

const MEGABYTE: u64 = 1024 * 1024;

pub(super) fn settings(args: CloudWatchArgs) -> Result<Option<CloudWatchSettings>, ConfigError> {
    let log_stream = given(args.cloudwatch_log_stream);
    let retention_days = given(args.cloudwatch_log_retention_days);
    let metrics_namespace = given(args.cloudwatch_metrics_namespace);
    let directory = given(args.cloudwatch_spool_dir);
    let spool_max = given(args.cloudwatch_spool_max_mb);
    let Some(log_group) = given(args.cloudwatch_log_group) else {
        let alone = [
            ("CLOUDWATCH_LOG_STREAM", log_stream),
            ("CLOUDWATCH_LOG_RETENTION_DAYS", retention_days),
            ("CLOUDWATCH_METRICS_NAMESPACE", metrics_namespace),
            ("CLOUDWATCH_SPOOL_DIR", directory),
            ("CLOUDWATCH_SPOOL_MAX_MB", spool_max),
        ];
        let alone = alone.into_iter().find_map(|(variable, value)| Some((variable, value?)));
        return alone.map_or(Ok(None), |(variable, value)| {
            let got = format!("{value:?} without CLOUDWATCH_LOG_GROUP");
            Err(ConfigError::new(variable, got, "a value only together with CLOUDWATCH_LOG_GROUP"))
        });
    };
    if spool_max.is_some() && directory.is_none() {
        let takes = "a value only together with CLOUDWATCH_SPOOL_DIR";
        return Err(ConfigError::new("CLOUDWATCH_SPOOL_MAX_MB", "a value without CLOUDWATCH_SPOOL_DIR", takes));
    }
    let group = "1 to 512 letters, digits and any of _-/.#";
    let stream = "1 to 512 characters, neither : nor *";
    let namespace = "1 to 255 letters, digits and any of _-/.#:, not starting with : or AWS/";
    let log_group = checked("CLOUDWATCH_LOG_GROUP", log_group, is_log_group, group)?;
    let log_stream = log_stream.map(|name| checked("CLOUDWATCH_LOG_STREAM", name, is_log_stream, stream));
    let metrics_namespace =
        metrics_namespace.map(|name| checked("CLOUDWATCH_METRICS_NAMESPACE", name, is_namespace, namespace));
    let bytes_max = match spool_max {
        Some(text) => number("CLOUDWATCH_SPOOL_MAX_MB", &text, 1, MEGABYTE)? * MEGABYTE,
        None => SPOOL_BYTES_MAX,
    };
    Ok(Some(CloudWatchSettings {
        log_stream: log_stream.transpose()?,
        retention_days: retention_days.map_or(Ok(RETENTION_DAYS), |text| retention(&text))?,
        metrics_namespace: metrics_namespace.transpose()?,
        spool: directory.map(|directory| SpoolSettings { directory: PathBuf::from(directory), bytes_max }),
        ..CloudWatchSettings::new(log_group)
    }))
}

fn checked(
    variable: &'static str,
    name: String,
    is_one: impl Fn(&str) -> bool,
    takes: &'static str,
) -> Result<String, ConfigError> {
    if is_one(&name) { Ok(name) } else { Err(ConfigError::new(variable, format!("{name:?}"), takes)) }
}

fn retention(text: &str) -> Result<i32, ConfigError> {
    let days = text.trim().parse().ok().filter(|days| RETENTIONS.contains(days));
    let list = || RETENTIONS.map(|days| days.to_string()).join(", ");
    days.ok_or_else(|| {
        ConfigError::new("CLOUDWATCH_LOG_RETENTION_DAYS", format!("{text:?}"), format!("one of {}", list()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(set: &[(&str, &str)]) -> Result<Option<CloudWatchSettings>, String> {
        let value = |name: &str| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let args = CloudWatchArgs {
            cloudwatch_log_group: value("GROUP"),
            cloudwatch_log_stream: value("STREAM"),
            cloudwatch_log_retention_days: value("RETENTION"),
            cloudwatch_metrics_namespace: value("NAMESPACE"),
            cloudwatch_spool_dir: value("DIR"),
            cloudwatch_spool_max_mb: value("MAX"),
        };
        settings(args).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_set_or_only_empty_ones_ship_nothing() {
        assert!(matches!(given(&[]), Ok(None)));
        assert!(matches!(given(&[("GROUP", ""), ("STREAM", ""), ("DIR", "")]), Ok(None)));
    }

    #[test]
    fn half_a_configuration_is_refused_by_the_name_of_its_half() {
        for (name, variable) in [
            ("STREAM", "CLOUDWATCH_LOG_STREAM"),
            ("RETENTION", "CLOUDWATCH_LOG_RETENTION_DAYS"),
            ("NAMESPACE", "CLOUDWATCH_METRICS_NAMESPACE"),
            ("DIR", "CLOUDWATCH_SPOOL_DIR"),
            ("MAX", "CLOUDWATCH_SPOOL_MAX_MB"),
        ] {
            let error = given(&[(name, "30")]).err().unwrap_or_default();
            assert!(error.starts_with(variable) && error.contains("CLOUDWATCH_LOG_GROUP"), "{error}");
        }
        let error = given(&[("GROUP", "g"), ("MAX", "30")]).err().unwrap_or_default();
        assert!(error.starts_with("CLOUDWATCH_SPOOL_MAX_MB") && error.contains("CLOUDWATCH_SPOOL_DIR"), "{error}");
    }

    #[test]
    fn bad_values_are_refused_in_one_line() {
        for (name, value) in
            [("GROUP", "a b"), ("STREAM", "a:b"), ("NAMESPACE", "AWS/Logs"), ("RETENTION", "31"), ("MAX", "0")]
        {
            let error = given(&[(name, value), ("GROUP", "g"), ("DIR", "d")]).err().unwrap_or_default();
            assert!(error.starts_with("CLOUDWATCH_") && error.contains(value) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn a_whole_configuration_is_taken() {
        let all = [
            ("GROUP", "/ecs/api"),
            ("STREAM", "s"),
            ("NAMESPACE", "TaskApi"),
            ("RETENTION", "7"),
            ("DIR", "d"),
            ("MAX", "2"),
        ];
        let settings = given(&all).ok().flatten().map(|settings| {
            let bytes = settings.spool.map(|spool| spool.bytes_max);
            (settings.log_group, settings.log_stream, settings.retention_days, settings.metrics_namespace, bytes)
        });
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(settings, Some(("/ecs/api".into(), name("s"), 7, name("TaskApi"), Some(2 * MEGABYTE))));
    }
}
