//! Whether plain HTTP leads to HTTPS.

use std::net::IpAddr;

use http::{Method, Uri, header};
use tokio::task::JoinSet;

use crate::config::Target;
use crate::probe::{Ask, Exchange, Prober};
use crate::report::Redirect;

/// Plain HTTP at every address that is up; `hidden` takes secrets out of where it leads. The load balancer answers it itself: the
/// service sees nothing of it.
pub(crate) async fn redirect(prober: &Prober, port: u16, up: &[IpAddr], hidden: impl Fn(&str) -> String) -> Redirect {
    let mut asked = JoinSet::new();
    for address in up.iter().copied() {
        let mut plain = prober.plain(port);
        plain.target.addresses = Some(vec![address]); // the name has been asked for often enough
        asked.spawn(async move { plain.ask(address, &Ask::new(Method::GET, "/health")).await });
    }
    let mut found = Vec::new();
    while let Some(asked) = asked.join_next().await {
        found.extend(asked.ok().map(|exchange| (exchange.address, redirected(&exchange, &prober.target, &hidden))));
    }
    // Bad ones first, else by their address.
    found.sort_by_key(|(address, redirect)| (redirect.ok, *address));
    let bad = found.iter().filter(|(_, redirect)| !redirect.ok).count();
    let first = found.into_iter().next().map(|(_, redirect)| redirect);
    let mut first = first.unwrap_or_else(|| Redirect { ok: false, detail: format!("port {port} was not asked") });
    if bad > 1 {
        first.detail += &format!("; {} more addresses do not either", bad - 1);
    }
    first
}

fn redirected(exchange: &Exchange, target: &Target, hidden: impl Fn(&str) -> String) -> Redirect {
    let port = format!("port {} of {}", exchange.address.port(), exchange.address.ip());
    let bad = |detail: String| Redirect { ok: false, detail };
    let reply = match &exchange.result {
        Ok(reply) => reply,
        Err(fault) => return bad(format!("{port} gives no answer ({}): {}", fault.phase.as_str(), fault.reason)),
    };
    let location = reply.headers.get(header::LOCATION).and_then(|location| location.to_str().ok());
    let status = reply.status.as_u16();
    match location {
        Some(location) if matches!(status, 301 | 302 | 307 | 308) => {
            let short: String = hidden(location).chars().take_while(|c| *c != '?').take(100).collect();
            Redirect { ok: leads_to(location, target), detail: format!("{port} answers {status} to {short}") }
        }
        _ => bad(format!("{port} answers {status} and does not redirect")),
    }
}

/// Whether that is the target itself, over TLS: its name and its port, which need not be said where it is 443.
fn leads_to(location: &str, target: &Target) -> bool {
    let Ok(uri) = location.parse::<Uri>() else { return false };
    let https = uri.scheme_str().is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"));
    let host = uri.host().map(|host| host.trim_matches(['[', ']']));
    let port = uri.port_u16().unwrap_or(443);
    https && host.is_some_and(|host| host.eq_ignore_ascii_case(&target.host)) && port == target.port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_has_to_lead_to_the_port_that_is_probed() {
        let at = |target: &str| Target::parse(target, None).expect("a target");
        let (usual, other) = (at("https://a.example"), at("https://a.example:8443"));
        for (location, to_usual, to_other) in [
            ("https://a.example", true, false),
            ("https://a.example/health", true, false),
            ("https://A.example:443/health?x=1", true, false),
            ("https://a.example:8443/health", false, true),
            ("https://a.example:9999/health", false, false),
            ("http://a.example/health", false, false),
            ("https://a.example@elsewhere/", false, false),
            ("https://a.example.elsewhere/", false, false),
            ("/health", false, false),
        ] {
            assert_eq!((leads_to(location, &usual), leads_to(location, &other)), (to_usual, to_other), "{location}");
        }
    }
}
