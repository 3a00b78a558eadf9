//! The published vectors, sent to the real binary: what vendors and their SDKs signed, not us.
//!
//! The binary's clock is today's. A vector whose signature is sound and whose time has passed is
//! refused as stale, and only for that: a timestamp counts once the signature is proved. What vendors
//! publish to verify with comes from a server that plays all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use hookgate::delivery::Delivery;
use hookgate::handshake::Phase;
use hookgate::provider::vector::{ExpectedReply, Prepared, Vector, VectorFile};
use hookgate::provider::{Catalogue, Provider};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::support::gateway::http::Answer;
use crate::support::gateway::{Gateway, Seen};
use crate::support::key_server::KeyServer;

/// Most endpoints of one gateway, so that what a test looks at after each delivery stays small.
const MAX_ENDPOINTS: usize = 150;

/// Fewest vectors of a provider: those that are left out are few.
const FEWEST: usize = 7;

/// Vectors that no configuration and no request can be written for, beside those of empty secrets.
const NOT_TO_BE_WRITTEN: [&str; 4] = [
    // A public URL with a user and a password.
    "mandrill/valid-anymail-case",
    // A URL without a path, which no request has.
    "plivo/official-v2",
    "plivo/official-v2-wrong-token",
    // An endpoint that is not set up yet answers this one, and one that is does not.
    "notion/verification-token-in-body-unsigned",
];

/// One vector with what it needs of a gateway.
struct Case {
    name: String,
    provider: Arc<Provider>,
    vector: Vector,
    /// The endpoint, but for its id and path.
    endpoint: String,
    delivery: Delivery,
    /// What providers call, without the path.
    origin: String,
    /// The path, where it is signed.
    path: Option<String>,
    /// Whether its keys are trusted for the sake of an authority of its own.
    own_trust: bool,
    /// Whether the scheme bounds how old a delivery may be.
    timed: bool,
    /// The address of its keys, and what is there.
    published: Option<(String, String)>,
}

/// Cases that one gateway can be asked, with the endpoint of each.
#[derive(Default)]
struct Group {
    cases: Vec<(Case, String)>,
    /// The endpoint at each path.
    endpoints: BTreeMap<String, String>,
    published: BTreeMap<String, String>,
}

fn file(provider: &Provider) -> Option<VectorFile> {
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/tests/vectors/{}.json", provider.name);
    let text = std::fs::read_to_string(path).ok()?;
    Some(VectorFile::parse(&text).unwrap())
}

/// Every vector that an endpoint and a request can be written for, and the names of the others.
fn cases() -> (Vec<Case>, Vec<String>) {
    let (mut cases, mut left_out) = (Vec::new(), Vec::new());
    for provider in Catalogue::builtin().unwrap().iter() {
        let Some(file) = file(provider) else {
            continue;
        };
        let handshakes = file.handshake_vectors.into_iter();
        for vector in file.vectors.into_iter().chain(handshakes) {
            let name = format!("{}/{}", provider.name, vector.name);
            match case(&name, provider, vector) {
                Some(case) => cases.push(case),
                None => left_out.push(name),
            }
        }
    }
    (cases, left_out)
}

fn case(name: &str, provider: &Arc<Provider>, vector: Vector) -> Option<Case> {
    let prepared = vector.prepare(provider).ok()?;
    let mut delivery = prepared.delivery.clone();
    let (origin, target) = split(&delivery.url)?;
    // No configuration loads with an empty secret, which is another test.
    let mut secrets = prepared
        .secrets
        .iter()
        .chain(prepared.param_secrets.values());
    if secrets.any(|secret| secret.expose_secret().trim().is_empty()) {
        return None;
    }
    if NOT_TO_BE_WRITTEN.contains(&name) {
        return None;
    }
    // Hyper writes these itself.
    for header in ["content-length", "transfer-encoding", "connection", "host"] {
        delivery.headers.remove(header);
    }
    let path = target.split('?').next()?.to_owned();
    Some(Case {
        name: name.to_owned(),
        endpoint: endpoint(&prepared),
        published: prepared.published(),
        own_trust: prepared.has_own_trust(),
        provider: provider.clone(),
        path: provider.signs_url().then_some(path),
        origin: origin.to_owned(),
        delivery,
        timed: prepared.tolerance.is_some() || prepared.time_bound(),
        vector,
    })
}

fn split(url: &str) -> Option<(&str, &str)> {
    let authority = url.find("://")? + 3;
    let end = url[authority..].find(['/', '?']);
    Some(url.split_at(end.map_or(url.len(), |at| authority + at)))
}

/// Writes the endpoint of a vector.
fn endpoint(settings: &Prepared) -> String {
    let text = |text: &str| Value::from(text).to_string();
    let mut lines = format!(
        "tenant = \"acme\"\nprovider = \"{}\"\n",
        settings.provider.name
    );
    let secrets: Vec<&str> = settings
        .secrets
        .iter()
        .map(|one| one.expose_secret())
        .collect();
    if !secrets.is_empty() {
        writeln!(lines, "secrets = {}", Value::from(secrets)).unwrap();
    } else if settings.phase == Phase::Setup {
        lines.push_str("state = \"setup\"\n");
    }
    if let Some(scheme) = &settings.scheme {
        writeln!(lines, "scheme = {}", text(scheme)).unwrap();
    }
    if let Some(tolerance) = settings.tolerance {
        writeln!(lines, "tolerance = \"{}s\"", tolerance.as_secs()).unwrap();
    }
    let mut params: Vec<String> = Vec::new();
    for (name, value) in &settings.params {
        params.push(format!("{name} = {}", text(value)));
    }
    for (name, secret) in &settings.param_secrets {
        params.push(format!("{name} = {}", text(secret.expose_secret())));
    }
    if !params.is_empty() {
        writeln!(lines, "params = {{ {} }}", params.join(", ")).unwrap();
    }
    lines
}

impl Group {
    /// Takes a case, or gives it back where another has its path or publishes at its address.
    fn take(&mut self, case: Case, at: usize) -> Option<Case> {
        let path = case.path.clone().unwrap_or_else(|| format!("/hooks/v{at}"));
        let full = self.endpoints.len() >= MAX_ENDPOINTS;
        let taken = match self.endpoints.get(&path) {
            Some(known) => *known != case.endpoint,
            None => full,
        };
        let elsewhere = self
            .cases
            .first()
            .is_some_and(|(first, _)| first.origin != case.origin);
        let published = case.published.as_ref().is_some_and(|(url, document)| {
            let known = self.published.get(url);
            known.is_some_and(|known| known != document)
        });
        if taken || elsewhere || published {
            return Some(case);
        }
        self.endpoints.insert(path.clone(), case.endpoint.clone());
        self.published.extend(case.published.clone());
        self.cases.push((case, path));
        None
    }

    /// Writes the endpoints, named after their place.
    fn config(&self) -> String {
        let origin = &self.cases[0].0.origin;
        let mut text = format!("[server]\npublic_url = \"{origin}\"\n");
        for (at, (path, endpoint)) in self.endpoints.iter().enumerate() {
            write!(
                text,
                "[[endpoint]]\nid = \"v{at}\"\npath = \"{path}\"\n{endpoint}"
            )
            .unwrap();
        }
        text
    }
}

fn groups(cases: Vec<Case>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, case) in cases.into_iter().enumerate() {
        let mut left = Some(case);
        for group in &mut groups {
            let Some(case) = left.take() else { break };
            left = group.take(case, at);
        }
        if let Some(case) = left {
            let mut group = Group::default();
            assert!(group.take(case, at).is_none());
            groups.push(group);
        }
    }
    groups
}

/// What came of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    /// It was authentic, and became a signal or was known.
    Authentic,
    /// It was authentic once.
    Stale,
    /// It was an ownership check, answered as it must be.
    Answered,
    /// It was authentic to whom trusts the vector's own authority, which nobody does.
    Untrusted,
    /// It was refused, as it must be.
    Refused,
}

impl Case {
    /// Judges what became of the delivery; the error says what should have.
    fn judge(&self, seen: &Seen) -> Result<Came, String> {
        let (status, outcome, reason) = seen.verdict();
        let (valid, reply) = (self.vector.valid(), self.vector.reply());
        if outcome == "handshake" {
            return match reply {
                Some(reply) => answers(&seen.answer, reply).map(|()| Came::Answered),
                None if valid == Some(true) => Ok(Came::Answered),
                None => Err("not to be answered".to_owned()),
            };
        }
        let valid = valid.unwrap_or_else(|| reply.is_some_and(|reply| reply.status < 300));
        // Some examples sign a text and call it JSON, or a form and say that it comes in parts.
        let unsound = (status, reason) == (400, "body_malformed") && !self.well_formed();
        match (valid, outcome) {
            (true, "accepted" | "duplicate" | "replayed") => Ok(Came::Authentic),
            (true, _) if unsound => Ok(Came::Authentic),
            (true, _) if self.timed && reason == "timestamp_stale" => Ok(Came::Stale),
            (true, _) if self.own_trust && reason == "key_unavailable" => Ok(Came::Untrusted),
            (true, _) => Err("authentic".to_owned()),
            (false, "rejected") => match reply {
                Some(reply) if reply.status != status => Err(format!("status {}", reply.status)),
                _ => Ok(Came::Refused),
            },
            (false, _) => Err("forged".to_owned()),
        }
    }

    fn well_formed(&self) -> bool {
        let body = &self.delivery.body;
        if self.delivery.media_type().starts_with("multipart/") {
            return body.starts_with(b"--");
        }
        body.contains(&b'=') || serde_json::from_slice::<Value>(body).is_ok()
    }
}

/// Compares the answer to an ownership check; the error says what it should have been.
fn answers(answer: &Answer, reply: &ExpectedReply) -> Result<(), String> {
    let body = String::from_utf8_lossy(&answer.body);
    let json = || serde_json::from_str::<Value>(&body).ok();
    let header = |(name, value): (&String, &String)| {
        let empty = body.is_empty() && name.eq_ignore_ascii_case("content-type");
        empty || answer.header(name) == value
    };
    let fits = answer.status.as_u16() == reply.status
        && reply.body.as_ref().is_none_or(|text| body == *text)
        && reply
            .body_json
            .as_ref()
            .is_none_or(|one| json().as_ref() == Some(one))
        && reply
            .body_contains
            .as_ref()
            .is_none_or(|part| body.contains(part))
        && reply.headers.iter().all(header);
    fits.then_some(())
        .ok_or_else(|| format!("{reply:?}, not {answer:?}"))
}

#[tokio::test]
async fn what_vendors_signed_is_authentic_to_the_gateway_and_what_was_forged_is_not() {
    let (cases, left_out) = cases();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut came: BTreeMap<Came, usize> = BTreeMap::new();
    for case in &cases {
        *counts.entry(case.provider.name.to_string()).or_default() += 1;
    }
    let (mut wrong, mut refused_as_stale) = (Vec::new(), Vec::new());
    let mut proven: BTreeSet<String> = BTreeSet::new();
    for group in groups(cases) {
        let hosts: BTreeSet<&str> = group
            .published
            .keys()
            .filter_map(|url| url.strip_prefix("https://")?.split('/').next())
            .collect();
        let hosts: Vec<&str> = hosts.into_iter().collect();
        let server = KeyServer::start(&hosts).await;
        for (url, document) in &group.published {
            let url = url.split('?').next().unwrap();
            server.publishes(url, document);
            // What confirms a subscription is called at the same host.
            let host = url.split('/').nth(2).unwrap();
            server.publishes(&format!("https://{host}/"), "");
        }
        let config = format!("{}{}", group.config(), server.section());
        let gateway = Gateway::start_in(server.dir(), &config).await;
        for (case, path) in &group.cases {
            let (_, target) = split(&case.delivery.url).unwrap();
            let query = target.find('?').map_or("", |at| &target[at..]);
            let mut delivery = case.delivery.clone();
            delivery.url = format!("http://gateway{path}{query}");
            let seen = gateway.deliver(&delivery).await;
            match case.judge(&seen) {
                Ok(one) => {
                    *came.entry(one).or_default() += 1;
                    if one != Came::Refused {
                        proven.insert(case.provider.name.to_string());
                    } else if seen.verdict().2 == "timestamp_stale" {
                        // A time counts once the proof holds, so that these must be of old ones.
                        refused_as_stale.push(case.name.clone());
                    }
                }
                Err(expected) => wrong.push(format!("{}: {expected}: {}", case.name, seen.line)),
            }
        }
        gateway.finish().await;
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let catalogue = Catalogue::builtin().unwrap();
    let published = catalogue.iter().filter(|provider| file(provider).is_some());
    let names: Vec<String> = published
        .map(|provider| provider.name.to_string())
        .collect();
    assert_eq!(names.len(), catalogue.names().count());
    assert_eq!(counts.keys().cloned().collect::<Vec<_>>(), names);
    assert_eq!(proven.into_iter().collect::<Vec<_>>(), names);
    let few: Vec<_> = counts
        .iter()
        .filter(|(_, count)| **count < FEWEST)
        .collect();
    assert!(few.is_empty(), "{few:?}");
    for (one, least) in [
        (Came::Authentic, 220),
        (Came::Stale, 100),
        (Came::Answered, 35),
        (Came::Refused, 1350),
    ] {
        assert!(came[&one] >= least, "{one:?}: {came:?}");
    }
    let known = |name: &&String| {
        let words = ["empty", "blank", "null"];
        words.iter().any(|word| name.contains(word)) || NOT_TO_BE_WRITTEN.contains(&name.as_str())
    };
    let (_, left_out): (Vec<&String>, Vec<_>) = left_out.iter().partition(known);
    assert!(left_out.is_empty(), "{left_out:?}");
    // Where a token is proved its time counts like its other claims. Mailgun's time and nonce are
    // signed without anything between them, so that its proof of another time holds.
    let tokens = [
        "azure-event-grid/jwt-",
        "google-pubsub-push/",
        "messagebird/",
        "monday/",
    ];
    let untimely = |name: &String| {
        let words = [
            "stale",
            "expired",
            "future",
            "old",
            "seconds",
            "milli",
            "exp",
            "out-of-date",
        ];
        if tokens.iter().any(|token| name.starts_with(token)) || name == "mailgun/boundary-shift" {
            return true;
        }
        words.iter().any(|word| name.contains(word))
    };
    refused_as_stale.retain(|name| !untimely(name));
    assert!(refused_as_stale.is_empty(), "{refused_as_stale:?}");
}
