//! What is put under load, and the guard that keeps load away from everything else.

use std::net::IpAddr;

use hyper::Uri;

/// Parts of a host's name by which production is known.
const PRODUCTION: [&str; 3] = ["prod", "production", "live"];
/// Parts of a host's name by which a place for tests is known. A name without any of them may be anything, production too.
const TESTING: [&str; 17] = [
    "staging",
    "stage",
    "stg",
    "test",
    "testing",
    "dev",
    "development",
    "qa",
    "uat",
    "perf",
    "load",
    "loadtest",
    "preprod",
    "sandbox",
    "preview",
    "local",
    "internal",
];

/// A base address: `http://host:port` or `https://host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Name or address, IPv6 without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path, `/` where there is none.
    pub path: String,
}

impl Target {
    /// Reads a base address.
    ///
    /// # Errors
    /// When it is none; the text says what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let refused = || format!("{text:?} is no address of a server; it takes http://HOST:PORT or https://HOST");
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(refused()),
        };
        // A name and password in an address end up in reports.
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(refused)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if host.is_empty() {
            return Err(refused());
        }
        let port = authority.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        Ok(Self { tls, host, port, path })
    }

    /// Whether it is this machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// As reports show it.
    pub fn display(&self) -> String {
        let path = if self.path == "/" { "" } else { &self.path };
        format!("{}://{}{path}", if self.tls { "https" } else { "http" }, self.authority())
    }

    /// The `Host` header.
    pub fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Whether its name is that of production, or of nothing that is known to be for tests. An address has no name to go by.
    fn may_be_production(&self) -> bool {
        let any = |list: &[&str]| self.host.split(['.', '-', '_']).any(|word| list.contains(&word));
        self.host.parse::<IpAddr>().is_err() && (any(&PRODUCTION) || !any(&TESTING))
    }
}

/// What the person who starts a run has allowed.
#[derive(Debug, Clone, Default)]
pub struct Permission {
    /// Hosts beside this machine.
    pub allowed: Vec<String>,
    /// Whether production was meant.
    pub production: bool,
    /// The host, typed a second time.
    pub confirmed: Option<String>,
}

impl Permission {
    /// Whether this target may be put under load.
    ///
    /// # Errors
    /// When not; one line that says how it would be.
    pub fn check(&self, target: &Target) -> Result<(), String> {
        let host = &target.host;
        if target.is_loopback() {
            return Ok(());
        }
        if target.may_be_production() && !(self.production && self.confirmed.as_ref() == Some(host)) {
            return Err(format!(
                "{host} may be production, by its name: load on it reaches real users; it takes --production and --confirm {host}"
            ));
        }
        let listed = self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
        if listed || (self.production && self.confirmed.as_ref() == Some(host)) {
            return Ok(());
        }
        Err(format!("{host} is neither this machine nor on the list of hosts for tests; --allow-host {host} adds it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        Target::parse(text).expect("an address")
    }

    #[test]
    fn only_a_base_address_is_a_target() {
        assert_eq!(target("https://Staging.example.com").authority(), "staging.example.com");
        assert_eq!(target("http://[::1]:3000").authority(), "[::1]:3000");
        for text in ["", "localhost:3000", "ftp://a", "http://", "http://u:p@host/", "http://a b/"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_goes_and_everything_else_has_to_be_named() {
        let nothing = Permission::default();
        for own in ["http://127.0.0.1:3000", "http://127.9.9.9", "http://localhost:1", "http://[::1]:3000"] {
            assert_eq!(nothing.check(&target(own)), Ok(()), "{own}");
        }
        for other in ["http://10.0.0.1", "https://staging.example.com", "http://127.0.0.1.test"] {
            assert!(nothing.check(&target(other)).expect_err(other).contains("--allow-host"), "{other}");
        }
        let staging = Permission { allowed: vec!["staging.example.com".into()], ..Permission::default() };
        assert_eq!(staging.check(&target("https://STAGING.example.com")), Ok(()));
    }

    #[test]
    fn a_name_that_says_nothing_is_taken_for_production_even_when_it_is_listed() {
        for name in ["api.example.com", "tasks.example.com", "live-tasks.test", "127.0.0.1.example.com"] {
            let listed = Permission { allowed: vec![name.to_owned()], ..Permission::default() };
            let refused = listed.check(&target(&format!("https://{name}"))).expect_err(name);
            assert!(refused.contains("--production and --confirm"), "{refused}");
        }
        for name in ["tasks-staging.example.com", "api.dev.example.com", "10.0.0.1"] {
            let listed = Permission { allowed: vec![name.to_owned()], ..Permission::default() };
            assert_eq!(listed.check(&target(&format!("http://{name}"))), Ok(()), "{name}");
        }
    }

    #[test]
    fn production_takes_a_flag_and_a_confirmation_and_a_listing_is_not_enough() {
        let target = target("https://api.prod.example.com");
        let listed = Permission { allowed: vec![target.host.clone()], ..Permission::default() };
        assert!(listed.check(&target).expect_err("a listing").contains("--production and --confirm"));
        let flag = Permission { production: true, ..listed.clone() };
        assert!(flag.check(&target).is_err());
        let other = Permission { confirmed: Some("api.example.com".into()), ..flag.clone() };
        assert!(other.check(&target).is_err());
        assert_eq!(Permission { confirmed: Some(target.host.clone()), ..flag }.check(&target), Ok(()));
    }
}
