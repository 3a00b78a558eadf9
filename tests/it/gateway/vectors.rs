//! The published vectors, sent to the real binary: what vendors and their SDKs signed, not us.
//!
//! The binary's clock is today's. A vector whose signature is sound and whose time has passed is
//! refused as stale, and only for that: a timestamp counts once the signature is proved.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use hookgate::delivery::Delivery;
use hookgate::provider::Catalogue;
use http::{HeaderMap, HeaderName, Method};
use serde_json::Value;

use crate::support::gateway::Gateway;

/// One vector with what it needs of an endpoint.
struct Case {
    name: String,
    provider: String,
    scheme: Option<String>,
    secrets: Vec<String>,
    /// Whether the scheme bounds how old a delivery may be.
    timed: bool,
    vector: Value,
}

/// Every vector whose secrets a configuration may hold.
fn cases() -> Vec<Case> {
    let catalogue = Catalogue::builtin().unwrap();
    let mut cases = Vec::new();
    for provider in catalogue.iter() {
        let path = format!(
            "{}/tests/vectors/{}.json",
            env!("CARGO_MANIFEST_DIR"),
            provider.name
        );
        let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for vector in file["vectors"].as_array().unwrap() {
            let name = vector["name"].as_str().unwrap();
            let one = [&vector["secret"], &vector["public_key"]];
            let many = vector["secrets"].as_array().into_iter().flatten();
            let secrets: Vec<String> = one
                .into_iter()
                .chain(many)
                .filter_map(|secret| Some(secret.as_str()?.to_owned()))
                .collect();
            let place = vector["auth"].as_u64().unwrap_or(0);
            let scheme = &provider.schemes()[place as usize];
            // No configuration loads with an empty secret, which is another test.
            let keys = secrets.iter().map(|secret| secret.clone().into());
            if secrets.is_empty()
                || keys
                    .map(|secret| scheme.key(&secret))
                    .any(|key| key.is_err())
            {
                continue;
            }
            let rule = scheme.timestamp.as_ref();
            cases.push(Case {
                name: format!("{}/{name}", provider.name),
                provider: provider.name.to_string(),
                timed: rule.is_some_and(|rule| rule.tolerance.is_some()),
                scheme: vector["auth"].is_u64().then(|| scheme.name.clone()),
                secrets,
                vector: vector.clone(),
            });
        }
    }
    cases
}

impl Case {
    fn endpoint(&self, id: &str, path: &str) -> String {
        let mut text = format!(
            "[[endpoint]]\nid = \"{id}\"\npath = \"{path}\"\ntenant = \"acme\"\nprovider = \"{}\"\n\
             secrets = {}\n",
            self.provider,
            Value::from(self.secrets.clone()),
        );
        if let Some(scheme) = &self.scheme {
            writeln!(text, "scheme = \"{scheme}\"").unwrap();
        }
        text
    }

    fn delivery(&self, url: &str) -> Delivery {
        let mut headers = HeaderMap::new();
        for (name, value) in self.vector["headers"].as_object().unwrap() {
            let name: HeaderName = name.parse().unwrap();
            let values = value.as_array().cloned();
            for value in values.unwrap_or_else(|| vec![value.clone()]) {
                headers.append(&name, value.as_str().unwrap().parse().unwrap());
            }
        }
        let body = self.vector["body"].as_str().expect("a body of text");
        Delivery {
            method: Method::POST,
            url: url.to_owned(),
            headers,
            body: Bytes::from(body.to_owned()),
            caller: [127, 0, 0, 1].into(),
        }
    }

    fn valid(&self) -> bool {
        self.vector["expect"] == "valid"
    }

    /// Tells whether the body is what its content type says: some vendors' examples sign a text and
    /// call it JSON.
    fn well_formed(&self) -> bool {
        let body = self.vector["body"].as_str().unwrap_or_default();
        body.contains('=') || serde_json::from_str::<Value>(body).is_ok()
    }

    /// Returns the URL to call, with the query that the vendor called.
    fn url(&self, path: &str) -> String {
        let called = self.vector["url"].as_str().unwrap_or_default();
        match called.split_once('?') {
            Some((_, query)) => format!("http://gateway{path}?{query}"),
            None => format!("http://gateway{path}"),
        }
    }
}

#[tokio::test]
async fn what_vendors_signed_is_authentic_to_the_gateway_and_what_was_forged_is_not() {
    let cases: Vec<Case> = cases()
        .into_iter()
        .filter(|case| case.provider != "twilio")
        .collect();
    let endpoints = cases
        .iter()
        .enumerate()
        .map(|(at, case)| case.endpoint(&format!("v{at}"), &format!("/hooks/v{at}")));
    let gateway = Gateway::start(&endpoints.collect::<String>()).await;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (at, case) in cases.iter().enumerate() {
        let delivery = case.delivery(&case.url(&format!("/hooks/v{at}")));
        let seen = gateway.deliver(&delivery).await;
        let (status, outcome, reason) = seen.verdict();
        let name = &case.name;
        match (case.valid(), case.timed) {
            (true, true) => assert_eq!((status, reason), (401, "timestamp_stale"), "{name}"),
            (true, false) if !case.well_formed() => {
                assert_eq!((status, reason), (400, "body_malformed"), "{name}");
            }
            (true, false) if outcome == "handshake" => {}
            (true, false) => assert_eq!((outcome, reason), ("accepted", "confirmed"), "{name}"),
            (false, _) => assert_eq!(outcome, "rejected", "{name}"),
        }
        *counts.entry(case.provider.clone()).or_default() += 1;
        if !case.valid()
            && !["stale", "expired", "future", "seconds"]
                .iter()
                .any(|word| name.contains(word))
        {
            assert_ne!(reason, "timestamp_stale", "{name}: its proof is forged");
        }
    }
    let providers = Catalogue::builtin().unwrap().names().count();
    assert_eq!(counts.len(), providers - 1, "{counts:?}");
    assert!(counts.values().all(|count| *count >= 7), "{counts:?}");
    gateway.finish().await;
}

#[tokio::test]
async fn what_twilio_signed_is_authentic_under_the_url_that_it_called() {
    let cases: Vec<Case> = cases()
        .into_iter()
        .filter(|case| case.provider == "twilio")
        .collect();
    let (mut valid, mut forged) = (0, 0);
    for public in ["https://mycompany.com", "https://mycompany.com:1234"] {
        let endpoint = cases[0].endpoint("twilio", "/myapp.php");
        let endpoint = endpoint.replace("scheme = ", "# either scheme, not ");
        let gateway =
            Gateway::start(&format!("[server]\npublic_url = \"{public}\"\n{endpoint}")).await;
        let called = |case: &&Case| {
            let url = case.vector["url"].as_str().unwrap();
            url.starts_with(&format!("{public}/")) && case.secrets == ["12345"]
        };
        for case in cases.iter().filter(called) {
            let delivery = case.delivery(case.vector["url"].as_str().unwrap());
            let seen = gateway.deliver(&delivery).await;
            let (_, outcome, _) = seen.verdict();
            // Several vectors sign one event in different ways.
            let authentic = ["accepted", "duplicate", "replayed"].contains(&outcome);
            assert_eq!(authentic, case.valid(), "{}: {outcome}", case.name);
            *(if case.valid() {
                &mut valid
            } else {
                &mut forged
            }) += 1;
        }
        gateway.finish().await;
    }
    assert!(valid >= 7 && forged >= 10, "{valid} valid, {forged} forged");
}
