//! That CloudWatch would believe a request: its body is replaced after the SDK wrote its own, so the signature must be of ours.

use std::time::Duration;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_lc_rs::{digest, hmac};
use aws_sdk_cloudwatchlogs::config::{Credentials, SharedCredentialsProvider};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::{
    client::Client,
    event::{Event, Rank},
    settings::CloudWatchSettings,
};
use crate::hex;

const SECRET: &str = "not a secret";
const SOON: Duration = Duration::from_secs(30);

/// One request as it was received.
struct Received {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Received {
    async fn read(stream: &mut TcpStream) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(stream.read_buf(&mut bytes).await? > 0, "the request ended within its head");
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let mut received = Self { headers, body: bytes[end + 4..].to_vec() };
        let length: usize = received.header("content-length").parse().expect("a length");
        while received.body.len() < length {
            assert!(stream.read_buf(&mut received.body).await? > 0, "the request ended within its body");
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
        Ok(received)
    }

    /// The header of this name; there is one.
    fn header(&self, name: &str) -> &str {
        let mut found = self.headers.iter().filter(|header| header.0 == name);
        let value = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        &value.1
    }

    /// The signature that AWS's version 4 asks for: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>.
    fn signature(&self, scope: &str, signed: &str) -> String {
        let headers: String = signed.split(';').map(|name| format!("{name}:{}\n", self.header(name))).collect();
        let canonical = format!("POST\n/\n\n{headers}\n{signed}\n{}", sha256(&self.body));
        let to_sign =
            format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.header("x-amz-date"), sha256(canonical.as_bytes()));
        let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| mac(&key, part.as_bytes()));
        hex::encode(&mac(&key, to_sign.as_bytes()))
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

#[tokio::test]
async fn a_request_is_signed_with_the_body_that_is_sent() -> std::io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let credentials = Credentials::new("id", SECRET, None, None, "test");
    let sdk_config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(format!("http://{}", listener.local_addr()?))
        .credentials_provider(SharedCredentialsProvider::new(credentials));
    let sdk_config = sdk_config.build();
    let settings = CloudWatchSettings { sdk_config: Some(sdk_config), ..CloudWatchSettings::new("group") };
    let client = Client::connect(&settings, "stream").await.expect("a client");
    let events = [Event { timestamp_ms: 1, rank: Rank::Info, line: "{\"message\":\"äöü\"}".into() }];
    let received = async { Received::read(&mut listener.accept().await?.0).await };
    let both = async { tokio::join!(client.put(&events), received) };
    let (put, received) = tokio::time::timeout(SOON, both).await.expect("a request comes");
    let received = received?;
    assert_eq!(put.map(|rejected| rejected.total()), Ok(0));
    assert_eq!(received.header("content-length"), received.body.len().to_string());
    let body: serde_json::Value = serde_json::from_slice(&received.body)?;
    assert_eq!(body["logEvents"][0]["message"], "{\"message\":\"äöü\"}");
    let authorization = received.header("authorization");
    let part = |name: &str| {
        let (_, rest) = authorization.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name}"));
        rest.split(',').next().unwrap_or_default()
    };
    let scope = part("Credential").strip_prefix("id/").unwrap_or_default();
    assert_eq!(part("Signature"), received.signature(scope, part("SignedHeaders")), "{authorization}");
    Ok(())
}
