//! W3C trace context: which trace a call belongs to, across processes.

use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use keystile_domain::entropy;
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::{SpanContext, TraceContextExt as _, TraceFlags, TraceState},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::SystemEntropy;

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
const BAGGAGE: HeaderName = HeaderName::from_static("baggage");

/// The part of the traces that begin here or outside that are kept. Belongs to the global
/// subscriber, and is as global: set when that exports spans.
static RATIO: OnceLock<f64> = OnceLock::new();

pub(super) fn begin(sample_ratio: f64) {
    // Only who takes the global subscriber gets here, which is once.
    let _ = RATIO.set(sample_ratio);
}

/// Are spans exported? Where not, no work is done for them.
pub(crate) fn exporting() -> bool {
    RATIO.get().is_some()
}

/// Whose context arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A service's or an identified caller's.
    Known,
    /// Anybody's: which trace it belongs to is taken. Whether that is kept is decided here, and what
    /// else it says of it is not passed on.
    Outside,
}

/// Makes `span` continue the trace of whoever called it in this process, or else of `headers`.
pub(crate) fn local_or(span: &Span, headers: &HeaderMap, from: Incoming) {
    if Span::current().context().span().span_context().is_valid() {
        return;
    }
    let ratio = RATIO.get().copied().unwrap_or_default();
    if let Some(parent) = extract(headers, from, ratio) {
        // It fails for a span that nobody exports.
        let _ = span.set_parent(parent);
    }
}

/// Writes the context of `span` over what `headers` have.
pub(super) fn inject(span: &Span, headers: &mut HeaderMap) {
    headers.remove(PARENT);
    headers.remove(STATE);
    TraceContextPropagator::new().inject_context(&span.context(), &mut Carrier(headers));
}

/// Tells an outside app which trace `span` belongs to, and nothing else of it. Where no traces are
/// exported, the headers stay as they are.
pub fn outside(span: &Span, headers: &mut HeaderMap) {
    if exporting() {
        inject(span, headers);
        headers.remove(STATE);
        headers.remove(BAGGAGE);
    }
}

fn extract(headers: &HeaderMap, from: Incoming, ratio: f64) -> Option<Context> {
    let mut given = headers.get_all(PARENT).iter();
    let parent = match (given.next(), given.next()) {
        (Some(parent), None) => parent.to_str().ok().filter(|text| is_well_formed(text))?,
        _ => return None,
    };
    let state = headers.get(STATE).and_then(|state| state.to_str().ok());
    let given = Given { parent, state };
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &given);
    let known = Some(context.span().span_context().clone()).filter(SpanContext::is_valid)?;
    Some(match from {
        Incoming::Known => context,
        Incoming::Outside => {
            let (trace, span) = (known.trace_id(), known.span_id());
            let flags = TraceFlags::default().with_sampled(kept(ratio));
            let known = SpanContext::new(trace, span, flags, true, TraceState::NONE);
            Context::new().with_remote_span_context(known)
        }
    })
}

/// By chance and not by the trace's id, which its sender could choose.
fn kept(ratio: f64) -> bool {
    let drawn = u32::from_be_bytes(entropy::bytes(&SystemEntropy));
    f64::from(drawn) < ratio * (f64::from(u32::MAX) + 1.0)
}

/// W3C Trace Context §3.2.2, to the letter: the propagator takes more than that.
fn is_well_formed(parent: &str) -> bool {
    let bytes = parent.as_bytes();
    let digits = |range: std::ops::Range<usize>| {
        bytes
            .get(range)
            .is_some_and(|part| part.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')))
    };
    let dash = |at: usize| bytes.get(at) == Some(&b'-');
    let fields = digits(0..2) && digits(3..35) && digits(36..52) && digits(53..55);
    // A later version may say more after the flags; this one may not, and ff is none.
    let end = bytes.len() == 55 || (!parent.starts_with("00") && dash(55));
    fields && dash(2) && dash(35) && dash(52) && end && !parent.starts_with("ff")
}

struct Given<'a> {
    parent: &'a str,
    state: Option<&'a str>,
}

impl Extractor for Given<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            "traceparent" => Some(self.parent),
            "tracestate" => self.state,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec!["traceparent", "tracestate"]
    }
}

struct Carrier<'a>(&'a mut HeaderMap);

impl Injector for Carrier<'_> {
    fn set(&mut self, key: &str, value: String) {
        let name = HeaderName::try_from(key);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value))
            && !value.is_empty()
        {
            self.0.insert(name, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(parents: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(PARENT, HeaderValue::from_static(parent));
        }
        headers.insert(STATE, HeaderValue::from_static("vendor=canary"));
        headers
    }

    #[test]
    fn a_well_formed_parent_is_continued() {
        for (parent, sampled) in [
            (GOOD, true),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00", false),
            ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-03", true),
            ("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-says", true),
        ] {
            let context = extract(&headers(&[parent]), Incoming::Known, 0.0).expect(parent);
            let context = context.span().span_context().clone();
            assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
            assert_eq!(context.is_sampled(), sampled, "{parent}");
            assert_eq!(context.trace_state().get("vendor"), Some("canary"));
            assert!(context.is_remote());
        }
    }

    #[test]
    fn any_other_parent_begins_a_trace_of_its_own() {
        for parent in [
            "",
            "00",
            "canary",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "+0-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(extract(&headers(&[parent]), Incoming::Known, 0.0).is_none(), "{parent:?}");
        }
        assert!(extract(&headers(&[]), Incoming::Known, 0.0).is_none(), "none");
        assert!(extract(&headers(&[GOOD, GOOD]), Incoming::Known, 0.0).is_none(), "two");
    }

    #[test]
    fn strangers_name_the_trace_and_decide_nothing_of_it() {
        let unsampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        for parent in [GOOD, unsampled] {
            for (ratio, sampled) in [(0.0, false), (1.0, true)] {
                let context = extract(&headers(&[parent]), Incoming::Outside, ratio);
                let context = context.expect("continues").span().span_context().clone();
                assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
                assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
                assert_eq!(context.is_sampled(), sampled, "{parent} {ratio}");
                assert_eq!(context.trace_state().header(), "");
                assert!(context.is_remote());
            }
        }
        let kept = (0..1000).filter(|_| kept(0.5)).count();
        assert!((300..700).contains(&kept), "{kept}");
    }

    #[test]
    fn without_an_exported_span_nothing_is_sent_on() {
        let mut sent = headers(&[GOOD]);
        inject(&Span::none(), &mut sent);
        assert!(sent.is_empty(), "{sent:?}");
    }
}
