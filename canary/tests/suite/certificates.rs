//! Certificates in every bad state, each by its name.

use crate::rig::{Front, Rig};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_certificates_are_failures_of_tls_and_each_is_named() {
    let fronts = [(10, "expired"), (11, "wrong-name"), (12, "self-signed")];
    let fronts = fronts.map(|(number, certificate)| Front::good(number).with(certificate));
    let Some(rig) = Rig::start(&fronts).await else { return };
    for (number, flaw, reason) in [
        (10, "expired", "the certificate has expired at "),
        (11, "wrong-name", "the certificate is for other.example.com, and not for tasks.example.com: a wrong name"),
        (12, "self-signed", "the certificate is self-signed, and not one that is trusted"),
    ] {
        let ran = rig.run(&[number]).await.expect(2, "failed");
        let expected = format!("health at 127.0.0.{number} (tls): {reason}");
        assert!(ran.reasons().starts_with(&expected), "{expected}\n{}", ran.output);
        assert_eq!(ran.report["addresses"][0]["certificate"]["flaw"], flaw, "{}", ran.output);
        assert_eq!(ran.report["certificate"]["chain_length"], 1, "{}", ran.output);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_warns_at_30_days_and_fails_at_7() {
    let fronts = [Front::good(13).with("soon"), Front::good(14).with("very-soon"), Front::good(15).with("expired")];
    let Some(rig) = Rig::start(&[&fronts[..], &[Front::good(16)]].concat()).await else { return };
    let ran = rig.run(&[16, 13]).await.expect(1, "degraded");
    assert_eq!(ran.reasons(), "the certificate expires in 20.5 days, and 30 are the limit");
    let days = ran.report["certificate"]["days_left"].as_f64().unwrap();
    assert!((20.0..21.0).contains(&days), "{days}");
    // Every step was served all the same.
    assert!(ran.attempts().all(|attempt| attempt["fault"].is_null()), "{}", ran.output);

    let ran = rig.run(&[14]).await.expect(2, "failed");
    assert_eq!(ran.reasons(), "the certificate expires in 3.5 days, and 7 are the limit");

    // One address of two: users reach the other.
    let ran = rig.run(&[15, 16]).await.expect(1, "degraded");
    assert!(
        ran.reasons().starts_with("address 127.0.0.15 is down (tls): the certificate has expired at"),
        "{}",
        ran.output
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_chain_lasts_as_long_as_the_certificate_in_it_that_ends_first() {
    let fronts = [(63, "chain"), (64, "chain-soon"), (65, "chain-expired"), (66, "chain-missing")];
    let Some(rig) = Rig::start(&fronts.map(|(number, certificate)| Front::good(number).with(certificate))).await else {
        return;
    };
    let ran = rig.run(&[63]).await.expect(0, "ok");
    assert_eq!(ran.report["certificate"]["chain_length"], 2, "{}", ran.output);

    // The server's own certificate has 90 days in each of them.
    let ran = rig.run(&[64]).await.expect(1, "degraded");
    let reason = "a certificate of its chain (CN=an intermediate) expires in 20.5 days, and 30 are the limit";
    assert_eq!(ran.reasons(), reason);
    assert!((20.0..21.0).contains(&ran.report["certificate"]["days_left"].as_f64().unwrap()), "{}", ran.output);

    let ran = rig.run(&[65]).await.expect(2, "failed");
    let reason = "health at 127.0.0.65 (tls): a certificate of its chain (CN=an intermediate) has expired at ";
    let rest = ran.reasons().strip_prefix(reason).map(str::to_owned).unwrap_or_else(|| panic!("{}", ran.output));
    let at: jiff::Timestamp = rest.parse().unwrap();
    let certificate = &ran.report["certificate"];
    assert_eq!(certificate["not_after"], at.as_second(), "{}", ran.output);
    assert!((-4.0..-2.0).contains(&certificate["days_left"].as_f64().unwrap()), "{}", ran.output);

    let ran = rig.run(&[66]).await.expect(2, "failed");
    let reason = "the certificate's issuer (CN=an intermediate) is not trusted, or the chain has a gap";
    assert!(ran.reasons().contains(reason), "{}", ran.output);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ca_that_nobody_named_is_not_trusted() {
    let Some(rig) = Rig::start(&[Front::good(17)]).await else { return };
    // The certificate of another CA: that of a self-signed server.
    std::fs::copy(rig.nginx.directory().join("self-signed.pem"), rig.file("ca.pem")).unwrap();
    let ran = rig.run(&[17]).await.expect(2, "failed");
    assert!(ran.reasons().contains("(tls): the certificate's issuer (CN=the tests) is not trusted"), "{}", ran.output);
}
