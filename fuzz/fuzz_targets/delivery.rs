//! The way of a delivery from the bytes received to the redacted draft, over every scheme there is.
//!
//! Input: a byte that picks the scheme, then a request: its URL in a line, its headers in a line
//! each, an empty line, the body. Two things are tried with it. As it is, it must be refused, since
//! nobody who knows the key has signed it. Signed, and with the secret planted wherever [`MARKER`]
//! stands, it must verify, and the secret must be nowhere in the envelope that comes of it.

#![no_main]

#[expect(dead_code, reason = "shared with the property tests, which use all of it")]
#[path = "../../tests/properties/cases.rs"]
mod cases;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hookgate::delivery::Delivery;
use hookgate::envelope::{Parts, seal};
use hookgate::handshake;
use hookgate::redact::{Redactor, Rules};
use hookgate::signal::{Draft, Signal};
use hookgate::verify::{Verified, Verifier};
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

use cases::{Case, Seed, bind, cases, now, verify};

/// Stands where the endpoint's secret is planted.
const MARKER: &[u8] = b"$SECRET";
/// Most headers of a request, as the listener has it.
const MAX_HEADERS: usize = 100;
/// The key that nothing is ever signed with. The fuzzer watches comparisons, so that this one must
/// not be looked for in any text.
const UNKNOWN: Seed = *b"a key that is in no input at all";
/// The key that inputs are signed with.
const KNOWN: Seed = *b"a key that is planted everywhere";

/// One scheme, ready to verify and to redact.
struct Target {
    case: Case,
    unknown: Vec<Verifier>,
    known: Verifier,
    secret: String,
    redactor: Redactor,
}

static TARGETS: LazyLock<Vec<Target>> =
    LazyLock::new(|| cases().into_iter().map(Target::new).collect());

fuzz_target!(|input: &[u8]| {
    let Some((first, request)) = input.split_first() else {
        return;
    };
    let target = &TARGETS[usize::from(*first) % TARGETS.len()];
    target.refuses(&read(&target.case, request));
    let planted = plant(request, target.secret.as_bytes());
    target.takes(read(&target.case, &planted));
});

impl Target {
    fn new(case: Case) -> Self {
        let unknown = case.keys(&UNKNOWN).configured;
        let secret = case.keys(&KNOWN).configured;
        let rules = Rules {
            sensitive: case.provider.sensitive.clone(),
            secrets: vec![secret.clone().into()],
            ..Rules::default()
        };
        let pinned = case.bind(&[&unknown]).unwrap();
        // Where the secret does not tell the scheme, one must be pinned.
        let unpinned = bind(&case.provider, None, &[&unknown]).ok();
        Self {
            unknown: [Some(pinned), unpinned].into_iter().flatten().collect(),
            known: case.verifier(&KNOWN),
            secret,
            redactor: Redactor::new(&rules).unwrap(),
            case,
        }
    }

    fn refuses(&self, delivery: &Delivery) {
        for verifier in &self.unknown {
            let forged = verify(verifier, delivery).is_ok();
            assert!(!forged, "{} verifies a forgery", self.case);
        }
    }

    fn takes(&self, mut delivery: Delivery) {
        let scheme = &self.case.scheme;
        let signing = self.case.keys(&KNOWN).signing;
        let signed = (self.case.provider).sign(Some(&scheme.name), &signing, &mut delivery, now());
        // What lacks a piece of the signed content cannot be signed.
        if signed.is_err() {
            return;
        }
        match verify(&self.known, &delivery) {
            Ok(verified) => self.seals(&verified),
            Err(rejected) => {
                let sound = scheme.equal.is_empty() && !delivery.body.is_empty();
                assert!(!sound, "{}: signed, and {rejected}", self.case);
            }
        }
    }

    fn seals(&self, verified: &Verified<'_>) {
        let provider = &self.case.provider;
        handshake::answer(provider.handshakes(), verified);
        let [tenant, endpoint] = ["acme", "in"].map(Arc::<str>::from);
        let source = hookgate::signal::source(&tenant, &endpoint);
        let event = provider.events.identify(verified, &source, None).unwrap();
        let delivery = verified.delivery();
        let sealed = seal(
            &Parts {
                tenant: &tenant,
                endpoint: &endpoint,
                provider: &provider.name,
                credential_ref: None,
                assurance: verified.assurance(),
                event_id: event.id.as_deref(),
                event_type: &event.event_type,
                time: event.time,
                received: now(),
                traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                media_type: &delivery.media_type(),
                body: &delivery.body,
                body_sha256: verified.body_sha256(),
                content_digest: &event.content_digest,
                signalid: event.signalid,
                identity: event.identity,
                keep_marks: Duration::from_secs(60),
            },
            &self.redactor,
        );
        // A body that cannot be redacted becomes no signal.
        if let Ok(draft) = sealed {
            self.is_sound(&draft);
        }
    }

    fn is_sound(&self, draft: &Draft) {
        for id_conflict in [false, true] {
            let envelope = draft.envelope.whole(id_conflict);
            let text = std::str::from_utf8(&envelope).unwrap();
            serde_json::from_str::<IgnoredAny>(text).unwrap();
            assert!(!text.contains(&self.secret), "{}: {text}", self.case);
            let signal = Signal::from_envelope(envelope.clone()).unwrap();
            assert_eq!(signal.signalid, draft.signalid);
        }
        let told = format!("{draft:?}");
        assert!(!told.contains(&self.secret), "{}: {told}", self.case);
    }
}

/// Reads a request; what is no header is passed over.
fn read(case: &Case, request: &[u8]) -> Delivery {
    let end = find(request, b"\n\n").unwrap_or(request.len());
    let (head, body) = (&request[..end], request.get(end + 2..).unwrap_or_default());
    let mut lines = head.split(|byte| *byte == b'\n');
    let url = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let mut headers = HeaderMap::new();
    for line in lines.take(MAX_HEADERS) {
        let Some(colon) = find(line, b": ") else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(&line[colon + 2..]);
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let mut delivery = case.with_body(body.to_vec(), headers);
    // An empty line stands for the URL that this body would be sent to.
    if !url.is_empty() {
        delivery.url = url;
    }
    delivery
}

/// Writes the secret wherever the marker stands.
fn plant(request: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut planted = Vec::with_capacity(request.len());
    let mut rest = request;
    while let Some(at) = find(rest, MARKER) {
        planted.extend_from_slice(&rest[..at]);
        planted.extend_from_slice(secret);
        rest = &rest[at + MARKER.len()..];
    }
    planted.extend_from_slice(rest);
    planted
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
