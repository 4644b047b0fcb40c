//! TLS: whose certificates are good, and what a server's certificate says, also when it is not.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use serde::{Deserialize, Serialize};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// A certificate with more names than this is shown with the first ones.
const NAMES_MAX: usize = 20;

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// Its time is over.
    Expired,
    /// Its time has not come.
    NotYetValid,
    /// It is for other names.
    WrongName,
    /// It vouches for itself, and nobody else does.
    SelfSigned,
    /// Its issuer is not trusted, or the chain to one that is has a gap.
    Untrusted,
    /// Something rarer.
    Invalid,
}

/// What a server showed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// Whom it is for.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// The DNS names and addresses it is for.
    pub names: Vec<String>,
    /// When it ends, or the one of its chain that ends first: seconds since 1970.
    pub not_after: i64,
    /// Whom that one of the chain is for; absent when it is the server's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_first: Option<String>,
    /// Until then; negative when it has expired.
    pub days_left: f64,
    /// Certificates that the server sent, its own included.
    pub chain_length: usize,
    /// What is wrong with it; absent when it is good.
    pub flaw: Option<Flaw>,
}

/// Whose certificates are good.
#[derive(Debug, Clone)]
pub struct Trust {
    verifier: Arc<WebPkiServerVerifier>,
    provider: Arc<CryptoProvider>,
    /// How many roots there are.
    pub roots: usize,
}

impl Trust {
    /// The certificates of a PEM file, or those that the machine trusts.
    ///
    /// # Errors
    /// When there are none.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = ca_file {
            let unusable = |error: String| format!("--ca-file {}: {error}", path.display());
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| unusable(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unusable("holds no certificate".to_owned()));
            }
        } else {
            // One bad file among hundreds is no reason to see nothing.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err("the machine trusts no certificates: install ca-certificates, or give --ca-file".to_owned());
            }
        }
        let (count, provider) = (roots.len(), Arc::new(aws_lc_rs::default_provider()));
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|error| format!("the trusted certificates cannot be used: {error}"))?;
        Ok(Self { verifier, provider, roots: count })
    }

    /// What one handshake needs, and what it will have seen. Nothing is resumed from an earlier one: the certificate is shown
    /// each time.
    pub(super) fn handshake(&self) -> Result<(Arc<ClientConfig>, Seen), Error> {
        let seen = Seen::default();
        let witness = Witness { verifier: Arc::clone(&self.verifier), seen: seen.clone() };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .dangerous() // the name of the method: the witness leaves the decision to webpki
            .with_custom_certificate_verifier(Arc::new(witness))
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Arc::new(config), seen))
    }
}

/// The certificate that a handshake has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen(Arc<Mutex<Option<Certificate>>>);

impl Seen {
    pub(super) fn take(&self) -> Option<Certificate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Writes down what it sees, and decides as webpki does.
#[derive(Debug)]
struct Witness {
    verifier: Arc<WebPkiServerVerifier>,
    seen: Seen,
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verdict = self.verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        let certificate = read(end_entity, intermediates, now, verdict.as_ref().err());
        *self.seen.0.lock().unwrap_or_else(PoisonError::into_inner) = certificate;
        verdict
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}

/// `None` for bytes that are no certificate: webpki has refused them then, and says so.
fn read(
    der: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
    error: Option<&Error>,
) -> Option<Certificate> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let names = parsed.subject_alternative_name().ok().flatten().map(|found| &found.value.general_names);
    let names = names.into_iter().flatten().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => <[u8; 4]>::try_from(*bytes)
            .map(|bytes| std::net::IpAddr::from(bytes).to_string())
            .or_else(|_| <[u8; 16]>::try_from(*bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string()))
            .ok(),
        _ => None,
    });
    let own = parsed.subject() == parsed.issuer();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let (not_after, ends_first) = ends_first(&parsed, intermediates, seconds, error);
    Some(Certificate {
        subject: parsed.subject().to_string(),
        issuer: parsed.issuer().to_string(),
        names: names.take(NAMES_MAX).collect(),
        not_after,
        ends_first,
        days_left: (not_after as f64 - seconds as f64) / 86_400.0,
        chain_length: intermediates.len() + 1,
        flaw: error.map(|error| flaw(error, own)),
    })
}

/// When the chain ends, and by which certificate when that is not the server's own. Where webpki has refused one that is over, it
/// is that one. Where it has refused none, one of the chain that is over was not needed: servers go on sending those.
fn ends_first(
    own: &X509Certificate<'_>,
    intermediates: &[CertificateDer<'_>],
    now: i64,
    error: Option<&Error>,
) -> (i64, Option<String>) {
    let end = |parsed: &X509Certificate<'_>| parsed.validity().not_after.timestamp();
    let parsed = intermediates.iter().filter_map(|der| Some(X509Certificate::from_der(der).ok()?.1));
    let others: Vec<(i64, String)> = parsed.map(|parsed| (end(&parsed), parsed.subject().to_string())).collect();
    let refused = match error {
        Some(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            i64::try_from(not_after.as_secs()).ok()
        }
        _ => None,
    };
    let first = match refused {
        Some(refused) if refused == end(own) => None,
        Some(refused) => others.into_iter().find(|(end, _)| *end == refused),
        None => {
            let needed = others.into_iter().filter(|(end, _)| error.is_some() || *end > now);
            needed.min_by_key(|(end, _)| *end).filter(|(other, _)| *other < end(own))
        }
    };
    first.map_or((end(own), None), |(end, subject)| (end, Some(subject)))
}

fn flaw(error: &Error, own: bool) -> Flaw {
    let Error::InvalidCertificate(error) = error else { return Flaw::Invalid };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Flaw::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Flaw::NotYetValid,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Flaw::WrongName,
        _ if own => Flaw::SelfSigned, // webpki calls it an unknown issuer, or a CA used as a server
        CertificateError::UnknownIssuer => Flaw::Untrusted,
        _ => Flaw::Invalid,
    }
}

impl Certificate {
    /// The one that ends first, for people.
    pub fn that_ends(&self) -> String {
        let of_chain = |subject: &String| format!("a certificate of its chain ({subject})");
        self.ends_first.as_ref().map_or_else(|| "the certificate".to_owned(), of_chain)
    }

    /// What is wrong with it, for people; `None` when it is good.
    pub fn fault(&self, host: &str) -> Option<String> {
        let day = |seconds| {
            Timestamp::from_second(seconds).map_or_else(|_| "a date out of range".to_owned(), |at| at.to_string())
        };
        Some(match self.flaw? {
            Flaw::Expired => format!("{} has expired at {}", self.that_ends(), day(self.not_after)),
            Flaw::NotYetValid => "the certificate is not valid yet".to_owned(),
            Flaw::WrongName => {
                let names = if self.names.is_empty() { "no name".to_owned() } else { self.names.join(", ") };
                format!("the certificate is for {names}, and not for {host}: a wrong name")
            }
            Flaw::SelfSigned => "the certificate is self-signed, and not one that is trusted".to_owned(),
            Flaw::Untrusted => {
                format!("the certificate's issuer ({}) is not trusted, or the chain has a gap", self.issuer)
            }
            Flaw::Invalid => "the certificate cannot be used".to_owned(),
        })
    }
}
