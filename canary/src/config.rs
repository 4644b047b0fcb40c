//! From arguments to what a run works with; everything that can be checked without the network is checked here.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use slo::Slo;

use crate::args::{Family, RunArgs};
use crate::credentials::{Secret, Source};
use crate::probe::tls::Trust;

/// The objectives that were compiled in.
const SLO: &str = include_str!("../../slo.toml");
/// One attempt is given up after this many times the limit of a step: its phase is then known, and what hangs is bounded.
const ATTEMPT_LIMITS: u32 = 5;

/// What is probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether over TLS.
    pub tls: bool,
    /// The name, or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// These addresses in place of the name server's.
    pub addresses: Option<Vec<IpAddr>>,
    /// Which of them.
    pub family: Family,
}

impl Target {
    /// Reads `https://name[:port]`; plain HTTP only on this machine, since a password is sent.
    ///
    /// # Errors
    /// One line: what it got and what it takes.
    pub fn parse(text: &str, resolve: Option<&str>) -> Result<Self, String> {
        // What was given is not shown: whoever puts credentials into it also misspells the rest.
        let takes = |why: &str| format!("--target: {why}; takes https://NAME or https://NAME:PORT");
        let uri: Uri = text.trim().parse().map_err(|_| takes("is no address"))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(takes("has no scheme")),
        };
        let authority = uri.authority().ok_or_else(|| takes("has no name"))?;
        if authority.as_str().contains('@') || !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(takes("has more than a name and a port"));
        }
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() {
            return Err(takes("has no name"));
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let addresses = resolve.map(|resolve| addresses(resolve, &host)).transpose()?;
        let loopback = |address: &IpAddr| address.is_loopback();
        let local = host == "localhost"
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            || addresses.as_ref().is_some_and(|addresses| addresses.iter().all(loopback));
        if !tls && !local {
            return Err(takes("would send a password in the clear"));
        }
        Ok(Self { tls, host, port, addresses, family: Family::Any })
    }

    /// As it is shown: `https://name`, with the port where it is not the scheme's.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }

    /// The value of `Host`.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let default = if self.tls { 443 } else { 80 };
        if self.port == default { host } else { format!("{host}:{}", self.port) }
    }
}

fn addresses(resolve: &str, host: &str) -> Result<Vec<IpAddr>, String> {
    let takes = |why: String| format!("--resolve {resolve:?}: {why}; takes NAME=ADDRESS,ADDRESS");
    let (name, list) = resolve.split_once('=').ok_or_else(|| takes("has no =".to_owned()))?;
    if !name.eq_ignore_ascii_case(host) {
        return Err(takes(format!("the target's name is {host}")));
    }
    let parse = |text: &str| text.trim().parse().map_err(|_| takes(format!("{text:?} is no address")));
    let list: Vec<IpAddr> = list.split(',').map(parse).collect::<Result<_, _>>()?;
    if list.len() > telemetry::catalogue::CANARY_ADDRESSES_MAX {
        return Err(takes(format!("{} addresses are too many", list.len())));
    }
    Ok(list)
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// `requests.latency` of slo.toml: an answer, from the last byte sent to the last received. Not held against login, which
    /// hashes a password on purpose as slowly as users bear.
    pub answer: Duration,
    /// `canary.latency` of slo.toml: a whole attempt, with the name's resolution and TLS.
    pub step: Duration,
    /// An attempt is given up.
    pub attempt: Duration,
    /// A run ends, clean-up included.
    pub run: Duration,
}

/// What one run works with.
#[derive(Debug, Clone)]
pub struct Config {
    /// The canary's name.
    pub name: String,
    /// What is probed.
    pub target: Target,
    /// Whose certificates are good; `None` without TLS.
    pub trust: Option<Trust>,
    /// How long things may take.
    pub limits: Limits,
    /// Further attempts at a step that failed.
    pub retries: u32,
    /// Where plain HTTP has to redirect; `None` checks nothing.
    pub http_port: Option<u16>,
    /// Who it is.
    pub credentials: Source,
    /// Entitles to be counted as synthetic traffic.
    pub synthetic_secret: Option<Secret>,
    /// Where runs are kept.
    pub history: Option<PathBuf>,
    /// The objectives.
    pub slo: Slo,
}

impl Config {
    /// Checks the arguments.
    ///
    /// # Errors
    /// [`Refused::Usage`] when they say nothing that can be done, [`Refused::Own`] when a file or the credentials are missing.
    pub fn from_args(args: &RunArgs) -> Result<Self, Refused> {
        let target = Target::parse(&args.target, args.resolve.as_deref()).map_err(Refused::Usage)?;
        let target = Target { family: args.family, ..target };
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !(1..=255).contains(&args.name.len()) || !args.name.chars().all(fits) {
            let takes = "takes 1 to 255 letters, digits, -, _ and .";
            return Err(Refused::Usage(format!("--name {:?}: {takes}", args.name)));
        }
        let slo = objectives(args.slo.as_deref()).map_err(Refused::Own)?;
        let trust = target.tls.then(|| Trust::load(args.ca_file.as_deref())).transpose().map_err(Refused::Own)?;
        let step = Duration::from_secs_f64(slo.canary.latency);
        let limits = Limits {
            answer: Duration::from_secs_f64(slo.requests.latency),
            step,
            attempt: step * ATTEMPT_LIMITS,
            run: args.deadline.duration(),
        };
        Ok(Self {
            name: args.name.clone(),
            http_port: (target.tls && args.http_port != 0).then_some(args.http_port),
            target,
            trust,
            limits,
            retries: args.retries,
            credentials: Source::from_args(&args.credentials).map_err(Refused::Own)?,
            synthetic_secret: args
                .credentials
                .synthetic_secret
                .as_ref()
                .map(header_value)
                .transpose()
                .map_err(Refused::Own)?,
            history: args.history.clone(),
            slo,
        })
    }
}

/// The secret of synthetic traffic, which goes into a header: one that no header takes would look like an outage.
fn header_value(secret: &Secret) -> Result<Secret, String> {
    let secret = secret.trimmed();
    if !secret.expose().is_empty() && secret.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(secret);
    }
    Err("SYNTHETIC_SECRET: takes visible characters of ASCII, at least one".to_owned())
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// The command line: exit code 64.
    Usage(String),
    /// What it points to: exit code 3.
    Own(String),
}

fn objectives(path: Option<&Path>) -> Result<Slo, String> {
    let read = match path {
        Some(path) => Slo::read(path),
        None => Slo::parse(SLO, "slo.toml"),
    };
    read.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_over_tls_or_this_machine() {
        let target = Target::parse("https://Tasks.Example.com", None).unwrap();
        assert_eq!((target.authority().as_str(), target.port), ("tasks.example.com", 443));
        assert_eq!(Target::parse("https://a:8443/", None).unwrap().authority(), "a:8443");
        assert_eq!(Target::parse("http://[::1]:3000", None).unwrap().authority(), "[::1]:3000");
        assert!(Target::parse("http://127.0.0.1:3000", None).is_ok());
        for text in ["", "tasks.example.com", "ftp://a", "http://tasks.example.com", "https://a/b", "https://a?b"] {
            assert!(Target::parse(text, None).unwrap_err().starts_with("--target"), "{text}");
        }
        for text in ["https://u:hunter22@a", "https://u:hunter22@a b", "u:hunter22@a", "http://u:hunter22@a/?b"] {
            let refused = Target::parse(text, None).unwrap_err();
            assert!(!refused.contains("hunter22"), "{text}: {refused}");
        }
    }

    #[test]
    fn a_secret_that_no_header_takes_is_refused_at_the_start_and_a_line_break_at_its_end_is_none() {
        assert_eq!(header_value(&Secret::new("hunter22\n")).unwrap().expose(), "hunter22");
        for text in ["", "\n", "hunter\n22", "hunter 22", "hunter22\u{e9}"] {
            let refused = header_value(&Secret::new(text)).unwrap_err();
            assert!(refused.starts_with("SYNTHETIC_SECRET") && !refused.contains("22"), "{refused}");
        }
    }

    #[test]
    fn given_addresses_are_the_targets() {
        let target = Target::parse("https://a:8443", Some("A=127.0.0.2,::1")).unwrap();
        assert_eq!(target.addresses.unwrap(), ["127.0.0.2".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
        for resolve in ["a", "b=127.0.0.1", "a=", "a=x", "a=127.0.0.1,"] {
            assert!(Target::parse("https://a", Some(resolve)).unwrap_err().starts_with("--resolve"), "{resolve}");
        }
        assert!(Target::parse("http://a", Some("a=10.0.0.1")).is_err());
        assert!(Target::parse("http://a", Some("a=127.0.0.9")).is_ok());
    }
}
