//! An AWS that evaluates alarms: LocalStack, which makes what a CloudFormation template says, and tells an SQS queue.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::held::Held;

const START_TIMEOUT: Duration = Duration::from_secs(120);
/// LocalStack's account and the region that is asked.
const REGION: &str = "eu-west-1";

/// Calls one operation with boto3, which signs and knows each service's protocol: input and output are JSON.
const CALL: &str = "\
import boto3, json, sys
call = json.load(sys.stdin)
client = boto3.client(call['service'], endpoint_url=call['endpoint'], region_name=call['region'],
                      aws_access_key_id='test', aws_secret_access_key='test')
print(json.dumps(getattr(client, call['operation'])(**call['input']), default=str))
";

/// A running server.
pub struct LocalStack {
    address: SocketAddr,
    _server: Held,
    _directory: TempDir,
}

impl LocalStack {
    /// A server of this test's own; `None` where it is not installed: the caller skips.
    pub fn start() -> Option<Self> {
        let python = crate::root().join(".tools/localstack/bin/python");
        if !python.is_file() || crate::program("python").is_none() {
            crate::skip("localstack");
            return None;
        }
        let directory = TempDir::new().expect("a temporary directory");
        let (address, log) = (crate::free_address(), directory.path().join("log"));
        let mut command = Command::new(python);
        command.args(["-m", "localstack.runtime.main"]).current_dir(directory.path());
        for (name, value) in [("DISABLE_EVENTS", "1"), ("SKIP_SSL_CERT_DOWNLOAD", "1"), ("DNS_ADDRESS", "0")] {
            command.env(name, value);
        }
        // What it unpacks and keeps goes with the test.
        command.env("TMPDIR", directory.path()).env("LOCALSTACK_VOLUME_DIR", directory.path());
        command.env("GATEWAY_LISTEN", address.to_string());
        let server = Held::start(&command, &log).listens(address, &log, START_TIMEOUT);
        Some(Self { address, _server: server, _directory: directory })
    }

    /// Where it listens, as `http://…`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Calls an operation of a service, both as boto3 has them: `cloudwatch`, `describe_alarms`.
    ///
    /// # Errors
    /// What boto3 says, when the server refuses.
    pub fn call(&self, service: &str, operation: &str, input: &Value) -> Result<Value, String> {
        let call = serde_json::json!({
            "service": service, "operation": operation, "input": input, "endpoint": self.endpoint(), "region": REGION,
        });
        let python = crate::program("python").expect("found at the start");
        python_with(&python, CALL, &call.to_string())
    }
}

fn python_with(python: &Path, script: &str, input: &str) -> Result<Value, String> {
    let mut command = Command::new(python);
    command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python starts");
    child.stdin.take().expect("stdin is piped").write_all(input.as_bytes()).expect("python reads");
    let output = child.wait_with_output().expect("python ends");
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(error.lines().last().unwrap_or_default().to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())
}
