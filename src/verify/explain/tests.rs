//! Every kind of guess, with a made-up provider.

mod delivered;
mod proven;
mod signed;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method};
use secrecy::SecretString;

use super::*;
use crate::provider::Catalogue;
use crate::verify::key::{Hash, HmacKey};

const NOW: i64 = 1_767_607_200;
const SECRET: &str = "acorn-secret";

/// A provider that signs `TIME.BODY`.
const TIMED: &str = r#"
name = "acorn"
title = "Acorn"
category = "example"
docs = ["https://acorn.example/"]
secret = "Somewhere."
retries = "Never."
[[scheme]]
name = "v1"
kind = "hmac"
hash = "sha256"
signed = "{header:acorn-time}.{body}"
tag = { from = "{header:acorn-signature}", prefix = "v1=", encoding = "hex" }
timestamp = { from = "{header:acorn-time}", unit = "seconds", tolerance = 300 }
[event]
type = ["{body:/type}"]
[sample]
content_type = "application/json"
body = '{}'
"#;

/// Returns the provider whose `[[scheme]]` is this.
fn provider(scheme: &str) -> Arc<Provider> {
    let (before, rest) = TIMED.split_once("[[scheme]]").unwrap();
    let (_, after) = rest.split_once("[event]").unwrap();
    let text = format!("{before}{scheme}\n[event]{after}");
    let text =
        format!("{text}\n[[vector]]\nname = \"none\"\nsecret = \"x\"\nexpect = \"invalid\"\n");
    Arc::new(Provider::parse("acorn.toml", &text).unwrap())
}

fn timed() -> Arc<Provider> {
    let (_, rest) = TIMED.split_once("[[scheme]]").unwrap();
    let (scheme, _) = rest.split_once("[event]").unwrap();
    provider(&format!("[[scheme]]{scheme}"))
}

fn hmac(hash: Hash, secret: &str, content: &[u8]) -> Vec<u8> {
    let mut mac = HmacKey::new(hash, secret.as_bytes()).unwrap();
    mac.update(content);
    mac.finish().bytes().to_vec()
}

fn delivery(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Delivery {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
    }
    Delivery {
        method: Method::POST,
        url: url.to_owned(),
        headers: map,
        body: Bytes::copy_from_slice(body),
        caller: [127, 0, 0, 1].into(),
        via_trusted_proxy: false,
    }
}

struct Setup<'a> {
    secrets: &'a [&'a str],
    params: &'a [(&'a str, &'a str)],
    catalogue: Option<&'a Catalogue>,
}

const SET: Setup<'static> = Setup {
    secrets: &[SECRET],
    params: &[],
    catalogue: None,
};

fn case<T>(
    setup: &Setup<'_>,
    provider: &Arc<Provider>,
    delivery: &Delivery,
    look: impl FnOnce(&Case<'_>) -> T,
) -> T {
    let secrets: Vec<SecretString> = setup.secrets.iter().map(|&one| one.into()).collect();
    let params = setup.params.iter();
    let params = params.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    look(&Case {
        provider,
        catalogue: setup.catalogue,
        scheme: None,
        secrets: &secrets,
        params: &params.collect(),
        param_secrets: &BTreeMap::new(),
        tolerance: None,
        keys: None,
        delivery,
        now: Timestamp::from_second(NOW).unwrap(),
    })
}

/// Explains a delivery that must be refused; no line may hold a secret.
fn told(setup: &Setup<'_>, provider: &Arc<Provider>, delivery: &Delivery) -> Vec<String> {
    let lines = case(setup, provider, delivery, |case| {
        let verifier = provider.verifier(&Binding {
            scheme: None,
            secrets: case.secrets,
            params: case.params,
            param_secrets: case.param_secrets,
            tolerance: None,
            phase: Phase::Armed,
        });
        let rejected = verifier
            .unwrap()
            .verify(delivery, case.now, None)
            .map(|_| ())
            .unwrap_err();
        explain(case, &rejected)
    });
    for secret in setup.secrets {
        let bare = secret.trim().trim_matches('"');
        assert!(!lines.iter().any(|line| line.contains(bare)), "{lines:?}");
    }
    lines
}

fn has(lines: &[String], text: &str) {
    assert!(
        lines.iter().skip(1).any(|line| line.contains(text)),
        "{text:?}: {lines:?}"
    );
}

/// A delivery of `acorn`, whose tag is made over `content` and written by `write`.
fn acorn(content: &[u8], body: &[u8], time: &str, write: impl Fn(&[u8]) -> String) -> Delivery {
    let tag = write(&hmac(Hash::Sha256, SECRET, content));
    let headers = [("acorn-time", time), ("acorn-signature", &*tag)];
    delivery("https://gw.example/hooks/a", &headers, body)
}

fn v1(tag: &[u8]) -> String {
    format!("v1={}", hex::encode(tag))
}

const TIME: &str = "1767607200";
const BODY: &[u8] = br#"{"type":"nut"}"#;

fn content(body: &[u8]) -> Vec<u8> {
    [TIME.as_bytes(), b".", body].concat()
}
