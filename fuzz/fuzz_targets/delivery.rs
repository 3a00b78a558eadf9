//! The way of a delivery from the bytes received to the redacted draft, over every scheme there is,
//! and the readers on that way by themselves.
//!
//! Input: a byte that says what is tried (see [`run`]), and what it is tried with. For `d` that is a
//! line that names the scheme, then a request: its URL in a line, its headers in a line each, an empty
//! line, the body. As it is, it must be refused, since nobody who knows the key has signed it. Signed,
//! and with the secret planted wherever [`MARKER`] stands, it must verify, and the secret must be
//! nowhere in the envelope that comes of it.

#![no_main]

#[expect(
    dead_code,
    reason = "shared with the property tests, which use all of it"
)]
#[path = "../../tests/properties/cases.rs"]
mod cases;
mod readers;
#[path = "../../tests/properties/samples.rs"]
mod samples;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hookgate::delivery::Delivery;
use hookgate::envelope::{Parts, seal};
use hookgate::handshake;
use hookgate::identify::Event;
use hookgate::redact::{Redactor, Rules};
use hookgate::signal::{Draft, Signal};
use hookgate::verify::Verified;
use hookgate::verify::scheme::Proof;
use http::{HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

use cases::{Case, Endpoint, Seed, cases, now};

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
    unknown: Vec<Endpoint>,
    known: Endpoint,
    /// Nothing where the keys are fetched.
    secret: Option<String>,
    signs_anything: bool,
    redactor: Redactor,
}

static TARGETS: LazyLock<Vec<Target>> = LazyLock::new(|| {
    // What proves nothing takes everything, and what was signed once with one key nothing else.
    let tried = |case: &Case| !matches!(case.scheme.proof, Proof::None) && !case.is_recorded();
    cases().into_iter().filter(tried).map(Target::new).collect()
});

fuzz_target!(|input: &[u8]| run(input));

fn run(input: &[u8]) {
    let Some((mode, rest)) = input.split_first() else {
        return;
    };
    match mode {
        b'b' => readers::batch(rest),
        b'f' => readers::form(rest),
        b'j' => readers::token(rest),
        b'k' => readers::keys(rest),
        b'p' => readers::definition(rest),
        _ => {
            let (name, request) = readers::line(rest);
            let target = &TARGETS[place(name)];
            target.refuses(&read(&target.case, request));
            let secret = target.secret.as_deref().unwrap_or_default();
            let planted = plant(request, secret.as_bytes());
            target.takes(read(&target.case, &planted));
        }
    }
}

/// Finds the scheme of a name; any other text stands for any scheme.
fn place(name: &[u8]) -> usize {
    let named = |target: &Target| target.case.to_string().as_bytes() == name;
    let sum = || {
        name.iter()
            .fold(0, |sum: usize, byte| sum * 31 % 65_521 + usize::from(*byte))
    };
    let found = TARGETS.iter().position(named);
    found.unwrap_or_else(|| sum() % TARGETS.len())
}

impl Target {
    fn new(case: Case) -> Self {
        let secret = case.keys(&KNOWN).configured;
        let rules = Rules {
            sensitive: case.provider.sensitive.clone(),
            secrets: secret.iter().map(|text| text.clone().into()).collect(),
            ..Rules::default()
        };
        // Where the secret does not tell the scheme, one must be pinned.
        let unknown = [Some(case.pinned(&UNKNOWN)), case.unpinned(&UNKNOWN)];
        Self {
            unknown: unknown.into_iter().flatten().collect(),
            known: case.pinned(&KNOWN),
            secret,
            redactor: Redactor::new(&rules).unwrap(),
            signs_anything: case.signs_anything(),
            case,
        }
    }

    fn refuses(&self, delivery: &Delivery) {
        for endpoint in &self.unknown {
            let forged = endpoint.verify(delivery).is_ok();
            assert!(!forged, "{} verifies a forgery", self.case);
        }
    }

    fn takes(&self, mut delivery: Delivery) {
        // What lacks a piece of the signed content cannot be signed.
        if self.case.try_sign(now(), &KNOWN, &mut delivery).is_err() {
            return;
        }
        match self.known.verify(&delivery) {
            Ok(verified) => self.seals(&verified),
            Err(rejected) => {
                // What the URL must hold is not there in any URL.
                let in_url = !self.case.scheme.equal.is_empty();
                let sound = self.signs_anything && !in_url && !delivery.body.is_empty();
                assert!(!sound, "{}: signed, and {rejected}", self.case);
            }
        }
    }

    fn seals(&self, verified: &Verified<'_>) {
        let provider = &self.case.provider;
        let _ = handshake::answer(&self.known.verifier, verified);
        let [tenant, endpoint] = ["acme", "in"].map(Arc::<str>::from);
        let source = hookgate::signal::source(&tenant, &endpoint);
        // A batch that is too large is refused.
        let Ok(events) = provider.events.identify(verified, &source, None, "once") else {
            return;
        };
        for event in events {
            self.seal(verified, &event, (&tenant, &endpoint));
        }
    }

    fn seal(
        &self,
        verified: &Verified<'_>,
        event: &Event,
        (tenant, endpoint): (&Arc<str>, &Arc<str>),
    ) {
        let delivery = verified.delivery();
        let (media_type, body) = match &event.document {
            Some(document) => ("application/json".to_owned(), document),
            None => (delivery.content_type().into_owned(), &delivery.body),
        };
        let sealed = seal(
            &Parts {
                tenant,
                endpoint,
                provider: &self.case.provider.name,
                credential_ref: None,
                assurance: verified.assurance(),
                event_id: event.id.as_deref(),
                event_type: &event.event_type,
                time: event.time,
                received: now(),
                traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                media_type: &media_type,
                body,
                body_sha256: verified.body_sha256(),
                content_digest: &event.content_digest,
                signalid: event.signalid,
                identity: event.identity,
                keep_marks: Duration::from_secs(60),
                spool: true,
                seal_to: None,
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
            assert!(!self.tells(text), "{}: {text}", self.case);
            let signal = Signal::from_envelope(envelope.clone()).unwrap();
            assert_eq!(signal.signalid, draft.signalid);
        }
        let told = format!("{draft:?}");
        assert!(!self.tells(&told), "{}: {told}", self.case);
    }

    /// Tells whether a text holds the secret.
    fn tells(&self, text: &str) -> bool {
        self.secret
            .as_ref()
            .is_some_and(|secret| text.contains(secret.as_str()))
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
