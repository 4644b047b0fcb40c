//! Trace context: W3C Trace Context level 1 (`traceparent`) in and out, and the load balancer's
//! `X-Amzn-Trace-Id` when that is all there is.
//!
//! Every request has one, sampled or not, so that each log line and each answer carries a trace id. `tracestate` is
//! not passed on: we add nothing to it and call nobody who reads it.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    clock, hex,
    random::{random_bytes, random_u64},
};

// Names that are parsed once: as text, each look-up would parse them again.
static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
static AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// `00-<32 hex>-<16 hex>-<2 hex>`.
const TRACEPARENT_LENGTH: usize = 55;

/// Where a request stands in its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The id of the whole trace, never zero.
    pub trace_id: [u8; 16],
    /// The id of our own span in it, fresh for each request, never zero.
    pub span_id: [u8; 8],
    /// The caller's span, if it named one.
    pub parent_span_id: Option<[u8; 8]>,
    /// Whether the caller records this trace; `None` if it leaves that to us.
    pub parent_sampled: Option<bool>,
    /// Whether this trace is recorded: as the caller does, until the sampler has decided.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads the caller's context: `traceparent`, else `X-Amzn-Trace-Id`, else a new trace. A header that does not
    /// follow its specification counts as absent.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        only_value(headers, &TRACEPARENT)
            .and_then(Self::from_traceparent)
            .or_else(|| only_value(headers, &AMZN_TRACE_ID).and_then(Self::from_amzn_trace_id))
            .unwrap_or_else(Self::new_root)
    }

    /// A new trace, not sampled. The id is one that X-Ray takes as well: it begins with the seconds since 1970,
    /// big-endian, and 96 random bits follow.
    pub fn new_root() -> Self {
        // X-Ray's field has 32 bits: it wraps in 2106.
        let seconds = clock::since_epoch().as_secs() as u32;
        let mut trace_id: [u8; 16] = random_bytes();
        trace_id[..4].copy_from_slice(&seconds.to_be_bytes());
        trace_id[15] |= 1; // never all zero, even with a clock at 1970
        Self::child_of(trace_id, None, None)
    }

    fn child_of(trace_id: [u8; 16], parent_span_id: Option<[u8; 8]>, parent_sampled: Option<bool>) -> Self {
        let span_id = random_u64().max(1).to_be_bytes();
        Self { trace_id, span_id, parent_span_id, parent_sampled, sampled: parent_sampled == Some(true) }
    }

    fn from_traceparent(value: &[u8]) -> Option<Self> {
        let head = value.get(..TRACEPARENT_LENGTH)?;
        let version = hex::decode::<1>(&head[..2])?[0];
        // A later version may append fields behind a dash; version 00 has none, and ff is forbidden.
        let rest_fits = match version {
            0 => value.len() == TRACEPARENT_LENGTH,
            0xff => false,
            _ => value.get(TRACEPARENT_LENGTH).is_none_or(|byte| *byte == b'-'),
        };
        let dashes = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
        if !rest_fits || !dashes {
            return None;
        }
        let trace_id = non_zero(hex::decode(&head[3..35])?)?;
        let parent = non_zero(hex::decode(&head[36..52])?)?;
        let flags = hex::decode::<1>(&head[53..55])?[0];
        Some(Self::child_of(trace_id, Some(parent), Some(flags & 1 == 1)))
    }

    /// `Root=1-<8 hex>-<24 hex>;Parent=<16 hex>;Sampled=1`, in any order, with fields such as `Self` skipped.
    fn from_amzn_trace_id(value: &[u8]) -> Option<Self> {
        let (mut root, mut parent, mut sampled) = (None, None, None);
        for field in value.split(|byte| *byte == b';') {
            let field = field.trim_ascii();
            if let Some(id) = field.strip_prefix(b"Root=") {
                root = Some(amzn_root(id)?);
            } else if let Some(id) = field.strip_prefix(b"Parent=") {
                parent = hex::decode(id).and_then(non_zero);
            } else if let Some(flag) = field.strip_prefix(b"Sampled=") {
                sampled = match flag {
                    b"1" => Some(true),
                    b"0" => Some(false),
                    _ => None, // `?` asks us to decide
                };
            }
        }
        root.map(|trace_id| Self::child_of(trace_id, parent, sampled))
    }

    /// The trace id in hexadecimal, 32 digits.
    pub fn trace_id_hex(&self) -> String {
        hex::encode(&self.trace_id)
    }

    /// The id of our span in hexadecimal, 16 digits.
    pub fn span_id_hex(&self) -> String {
        hex::encode(&self.span_id)
    }

    /// `01` when sampled, else `00`.
    pub const fn trace_flags(&self) -> &'static str {
        if self.sampled { "01" } else { "00" }
    }

    /// The header to send on or back: version 00, our span as the parent.
    pub fn traceparent(&self) -> HeaderValue {
        let mut text = [b'-'; TRACEPARENT_LENGTH];
        text[..2].copy_from_slice(b"00");
        hex::encode_into(&self.trace_id, &mut text[3..35]);
        hex::encode_into(&self.span_id, &mut text[36..52]);
        text[53..].copy_from_slice(self.trace_flags().as_bytes());
        #[expect(clippy::expect_used, reason = "digits and dashes are always a header value")]
        HeaderValue::from_bytes(&text).expect("hexadecimal digits and dashes")
    }
}

/// The value of a header that must not come twice.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value.as_bytes())
}

fn amzn_root(id: &[u8]) -> Option<[u8; 16]> {
    let id = id.strip_prefix(b"1-")?;
    if id.len() != 33 || id[8] != b'-' {
        return None;
    }
    let mut trace_id = [0; 16];
    trace_id[..4].copy_from_slice(&hex::decode::<4>(&id[..8])?);
    trace_id[4..].copy_from_slice(&hex::decode::<12>(&id[9..])?);
    non_zero(trace_id)
}

fn non_zero<const N: usize>(id: [u8; N]) -> Option<[u8; N]> {
    (id != [0; N]).then_some(id)
}
