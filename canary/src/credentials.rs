//! Who the canary is, from the environment, a file or AWS Secrets Manager.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use aws_config::BehaviorVersion;
use aws_config::timeout::TimeoutConfig;
use serde::Deserialize;

use crate::args::CredentialArgs;

/// The longest that Secrets Manager may take, its retries included.
const SECRET_TIMEOUT: Duration = Duration::from_secs(8);
/// One attempt within that.
const SECRET_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// More than this is no file with an e-mail address and a password.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A value that cannot be printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The same without the line break that a file or a mounted secret ends with.
    pub fn trimmed(&self) -> Self {
        Self::new(self.0.trim())
    }

    /// The value itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// For the command line, whose arguments can be printed.
impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Credentials {
    /// Its e-mail address; shown nowhere either.
    pub email: Secret,
    /// Its password.
    pub password: Secret,
}

/// Where they come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From the environment or the command line.
    Given(Credentials),
    /// From a file, read before each run: it may be rotated.
    File(PathBuf),
    /// From Secrets Manager, asked before each run.
    SecretsManager(String),
}

impl Source {
    /// Takes the one that is given.
    ///
    /// # Errors
    /// When none is, or more than one; the text names the variables.
    pub fn from_args(args: &CredentialArgs) -> Result<Self, String> {
        let pair = match (&args.email, &args.password) {
            (Some(email), Some(password)) => {
                Some(Self::Given(Credentials { email: email.trimmed(), password: password.clone() }))
            }
            (None, None) => None,
            (Some(_), None) => return Err("CANARY_PASSWORD is missing beside CANARY_EMAIL".to_owned()),
            (None, Some(_)) => return Err("CANARY_EMAIL is missing beside CANARY_PASSWORD".to_owned()),
        };
        let file = args.credentials_file.clone().map(Self::File);
        let secret = args.credentials_secret.clone().map(Self::SecretsManager);
        let mut given = [pair, file, secret].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(source), None) => Ok(source),
            (None, _) => Err("there are no credentials: set CANARY_EMAIL and CANARY_PASSWORD, or \
                CANARY_CREDENTIALS_FILE, or CANARY_CREDENTIALS_SECRET"
                .to_owned()),
            (Some(_), Some(_)) => Err("there are credentials from more than one place: set CANARY_EMAIL and \
                CANARY_PASSWORD, or CANARY_CREDENTIALS_FILE, or CANARY_CREDENTIALS_SECRET"
                .to_owned()),
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// When they cannot be read or are none; the text never quotes them.
    pub async fn load(&self) -> Result<Credentials, String> {
        match self {
            Self::Given(credentials) => Ok(credentials.clone()),
            Self::File(path) => {
                let unreadable = |error| format!("CANARY_CREDENTIALS_FILE: {}: {error}", path.display());
                let size = std::fs::metadata(path).map_err(unreadable)?.len();
                if size > FILE_BYTES_MAX {
                    return Err(format!("CANARY_CREDENTIALS_FILE: {}: {size} bytes are too many", path.display()));
                }
                parsed("CANARY_CREDENTIALS_FILE", &std::fs::read_to_string(path).map_err(unreadable)?)
            }
            Self::SecretsManager(id) => parsed("CANARY_CREDENTIALS_SECRET", &secret_string(id).await?),
        }
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        match self {
            Self::Given(_) => "CANARY_EMAIL and CANARY_PASSWORD".to_owned(),
            Self::File(path) => format!("file {}", path.display()),
            Self::SecretsManager(id) => format!("AWS Secrets Manager, {id}"),
        }
    }
}

fn parsed(variable: &str, text: &str) -> Result<Credentials, String> {
    // serde's own message may quote a value.
    let takes = || format!("{variable}: takes a JSON object with email and password, both texts that are not empty");
    let Credentials { email, password } = serde_json::from_str(text).map_err(|_| takes())?;
    let credentials = Credentials { email: email.trimmed(), password };
    let empty = credentials.email.expose().is_empty() || credentials.password.expose().is_empty();
    if empty { Err(takes()) } else { Ok(credentials) }
}

async fn secret_string(id: &str) -> Result<String, String> {
    let timeouts = TimeoutConfig::builder()
        .operation_timeout(SECRET_TIMEOUT)
        .operation_attempt_timeout(SECRET_ATTEMPT_TIMEOUT)
        .build();
    let config = aws_config::defaults(BehaviorVersion::latest()).timeout_config(timeouts).load().await;
    let client = aws_sdk_secretsmanager::Client::new(&config);
    let answer = client.get_secret_value().secret_id(id).send().await.map_err(|error| {
        use aws_sdk_secretsmanager::error::ProvideErrorMetadata as _;
        let why = error.code().unwrap_or("it cannot be reached, or there are no AWS credentials").to_owned();
        format!("CANARY_CREDENTIALS_SECRET: AWS Secrets Manager does not give {id}: {why}")
    })?;
    let text = answer.secret_string().map(str::to_owned);
    text.ok_or_else(|| format!("CANARY_CREDENTIALS_SECRET: {id} holds bytes and no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_source_is_taken_and_a_refusal_names_the_variables() {
        let with = |email: Option<&str>, password: Option<&str>, secret: Option<&str>| {
            Source::from_args(&CredentialArgs {
                email: email.map(Secret::new),
                password: password.map(Secret::new),
                credentials_secret: secret.map(str::to_owned),
                ..CredentialArgs::default()
            })
        };
        assert!(matches!(with(Some("a@b"), Some("hunter22"), None), Ok(Source::Given(_))));
        assert!(with(None, None, None).unwrap_err().contains("CANARY_CREDENTIALS_FILE"));
        assert!(with(Some("a@b"), None, None).unwrap_err().starts_with("CANARY_PASSWORD"));
        let refused = with(Some("a@b"), Some("hunter22"), Some("x")).unwrap_err();
        assert!(refused.contains("more than one") && !refused.contains("hunter22"), "{refused}");
    }

    #[test]
    fn what_holds_a_password_can_be_printed() {
        let arguments = CredentialArgs {
            email: Some(Secret::new("ann@example.com")),
            password: Some(Secret::new("hunter22")),
            synthetic_secret: Some(Secret::new("hunter22")),
            ..CredentialArgs::default()
        };
        let mut ask = crate::probe::Ask::new(http::Method::POST, "/login");
        ask.body = Some(serde_json::json!({ "email": "ann@example.com", "password": "hunter22" }));
        let shown = format!("{arguments:?} {ask:?}");
        assert!(!shown.contains("hunter22") && !shown.contains("ann@") && shown.contains("/login"), "{shown}");
    }

    #[test]
    fn neither_a_refusal_nor_debug_shows_a_password() {
        for text in [r#"{"email":"a@b","password":7}"#, r#"{"email":"","password":"hunter22"}"#, "hunter22"] {
            let refused = parsed("X", text).unwrap_err();
            assert!(!refused.contains("hunter22") && !refused.contains('7'), "{refused}");
        }
        let read = parsed("X", r#"{"email":"a@b","password":"hunter22","more":1}"#).unwrap();
        assert_eq!(read.password.expose(), "hunter22");
        // The service trims an address too: what it gives back is to be the same.
        let read = parsed("X", r#"{"email":" a@b\n","password":" hunter22 "}"#).unwrap();
        assert_eq!((read.email.expose(), read.password.expose()), ("a@b", " hunter22 "));
        assert!(!format!("{read:?}").contains("hunter22") && !format!("{read:?}").contains("a@b"));
    }
}
