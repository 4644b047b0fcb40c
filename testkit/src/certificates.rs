//! Certificates of the test's own: an authority, and what it signs, with as many days left as a test wants.

use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

const DAY: Duration = Duration::from_secs(86_400);
/// Certificates began so long ago.
const AGE: Duration = Duration::from_secs(30 * 86_400);

/// Who signs. Clients trust its own certificate.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one, and its certificate as a PEM file for clients.
    pub fn create(file: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a CA");
        std::fs::write(file, authority.pem()).expect("a file");
        Self(authority)
    }

    /// One that this one vouches for, with so many days left as a certificate of [`Authority::sign`]. No client trusts it by itself.
    pub fn intermediate(&self, days: i32) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "an intermediate");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        last(&mut params, days);
        Self(CertifiedIssuer::signed_by(params, KeyPair::generate().expect("a key"), &self.0).expect("a CA"))
    }

    /// As [`Authority::sign`], with the authority's own certificate behind it, as a server sends both.
    pub fn sign_with_chain(&self, directory: &Path, file: &str, name: &str, days: i32) {
        self.sign(directory, file, name, days);
        let path = directory.join(format!("{file}.pem"));
        let own = std::fs::read_to_string(&path).expect("a file");
        std::fs::write(path, own + &self.0.pem()).expect("a file");
    }

    /// Writes `<file>.pem` and `<file>.key` into a directory: a certificate of this name, good for so many days and a half,
    /// or, below 0, expired so many days ago.
    pub fn sign(&self, directory: &Path, file: &str, name: &str, days: i32) {
        let (params, key) = parameters(name, days);
        write(directory, file, &params.signed_by(&key, &self.0).expect("a certificate"), &key);
    }
}

/// The same, signed by itself.
pub fn self_signed(directory: &Path, file: &str, name: &str, days: i32) {
    let (params, key) = parameters(name, days);
    write(directory, file, &params.self_signed(&key).expect("a certificate"), &key);
}

fn parameters(name: &str, days: i32) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    last(&mut params, days);
    (params, KeyPair::generate().expect("a key"))
}

fn last(params: &mut CertificateParams, days: i32) {
    let now = SystemTime::now(); // whoever checks it asks the machine's clock
    let far = DAY * days.unsigned_abs();
    params.not_before = (now - AGE).into();
    params.not_after = if days < 0 { now - far } else { now + far + DAY / 2 }.into();
}

fn write(directory: &Path, file: &str, certificate: &rcgen::Certificate, key: &KeyPair) {
    std::fs::write(directory.join(format!("{file}.pem")), certificate.pem()).expect("a file");
    std::fs::write(directory.join(format!("{file}.key")), key.serialize_pem()).expect("a file");
}
