//! The exporter's HTTP client. It compresses, with less effort than the exporter's own gzip, which was half of a span's cost; and it
//! reads what a collector answers: one that says 200 may have refused some of the spans, and the exporter only throws that away.

use std::{
    future::Future,
    io::{self, Write as _},
    mem,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};
use http::header::{CONTENT_ENCODING, HeaderValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message as _;

use crate::redact::redact;

/// The most characters of a collector's reason that are kept.
const REASON_CHARACTERS_MAX: usize = 300;

/// What the last answer has refused, until somebody takes it.
#[derive(Debug, Default)]
pub(super) struct Refusal(Mutex<(u64, Option<String>)>);

impl Refusal {
    /// How many spans, and why: the reason alone is a warning of the collector's.
    pub(super) fn take(&self) -> (u64, Option<String>) {
        mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self, body: &[u8]) {
        // An answer that is none is no reason to call the spans lost: the status was good.
        let partial = ExportTraceServiceResponse::decode(body).ok().and_then(|answer| answer.partial_success);
        let refused = partial.map(|partial| {
            let spans = u64::try_from(partial.rejected_spans).unwrap_or(0);
            let why: String = redact(&partial.error_message).chars().take(REASON_CHARACTERS_MAX).collect();
            let told = spans > 0 || !why.is_empty();
            (spans, told.then(|| format!("the collector refused {spans} spans: {why}")))
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = refused.unwrap_or_default();
    }
}

/// The exporter's HTTP client.
#[derive(Debug)]
pub(super) struct Client {
    client: reqwest::blocking::Client,
    refusal: Arc<Refusal>,
}

impl Client {
    pub(super) fn new(timeout: Duration) -> Result<Self, String> {
        // A thread of its own: the blocking client must not be made within a runtime, which tests start us in.
        let made = thread::spawn(move || reqwest::blocking::Client::builder().timeout(timeout).build());
        let client = made.join().map_err(|_| "the HTTP client could not be made".to_owned())?;
        Ok(Self { client: client.map_err(|error| error.to_string())?, refusal: Arc::default() })
    }

    pub(super) fn refusal(&self) -> Arc<Refusal> {
        Arc::clone(&self.refusal)
    }
}

impl HttpClient for Client {
    // Written out, since the trait is declared by a macro for compilers without asynchronous traits.
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(async move {
            let answer = self.client.send_bytes(compressed(request)?).await?;
            if answer.status().is_success() {
                self.refusal.read(answer.body());
            }
            Ok(answer)
        })
    }
}

/// The request with its body compressed. The exporter asks each time that it tries to send a batch.
fn compressed(request: Request<Bytes>) -> io::Result<Request<Bytes>> {
    let (mut parts, body) = request.into_parts();
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    encoder.write_all(&body)?;
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    Ok(Request::from_parts(parts, encoder.finish()?.into()))
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTracePartialSuccess;

    use super::*;

    fn answer(rejected_spans: i64, error_message: &str) -> Vec<u8> {
        let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message: error_message.into() });
        ExportTraceServiceResponse { partial_success }.encode_to_vec()
    }

    fn read(body: &[u8]) -> (u64, Option<String>) {
        let refusal = Refusal::default();
        refusal.read(body);
        let taken = refusal.take();
        assert_eq!(refusal.take(), (0, None), "it is taken once");
        taken
    }

    #[test]
    fn what_was_refused_is_read_and_an_answer_without_it_refuses_nothing() {
        let why = |why: &str| Some(format!("the collector refused {why}"));
        assert_eq!(read(&answer(3, "too old, token=planted")), (3, why("3 spans: too old, token=[redacted]")));
        assert_eq!(read(&answer(0, "slow down")), (0, why("0 spans: slow down")));
        assert_eq!(read(&answer(-1, "")), (0, None));
        assert_eq!(read(&answer(0, "")), (0, None));
        assert_eq!(read(b""), (0, None));
        assert_eq!(read(b"<html>"), (0, None));
    }

    #[test]
    fn a_body_is_compressed_whatever_the_headers_say_of_it() {
        let body = Bytes::from_static(&[b'a'; 1000]);
        let request = Request::builder().header(CONTENT_ENCODING, "identity").body(body.clone()).unwrap();
        let sent = compressed(request).unwrap();
        assert_eq!(sent.headers().get_all(CONTENT_ENCODING).iter().collect::<Vec<_>>(), ["gzip"]);
        let mut plain = Vec::new();
        io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&sent.body()[..]), &mut plain).unwrap();
        assert_eq!(plain, body);
        assert!(sent.body().len() < 100);
    }

    #[test]
    fn a_reason_without_end_is_cut() {
        let (spans, why) = read(&answer(1, &"x".repeat(10_000)));
        assert!(spans == 1 && why.is_some_and(|why| why.len() < 400));
    }
}
