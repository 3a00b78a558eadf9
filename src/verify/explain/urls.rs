//! URLs: what a proxy or a setting makes of the one that the provider called.
//!
//! Findings show URLs without their query, which may hold a token.

use std::collections::BTreeSet;

use super::ground::{Change, Ground, Guess};
use crate::delivery::Single;
use crate::verify::scheme::{Proof, Scheme};
use crate::verify::template::{Source, Template};

/// Most URLs that are tried.
const MAX_URLS: usize = 400;
/// Most leading segments of a path that are dropped.
const MAX_SEGMENTS: usize = 4;

/// Tries other URLs, where the URL is signed.
pub(super) fn guess(ground: &Ground<'_>) -> Vec<String> {
    let settings = ground.first(settings(ground));
    if !settings.is_empty() || !reads_url(ground.scheme()) {
        return settings;
    }
    let case = ground.case;
    ground.first(candidates(ground, &case.delivery.url).into_iter().map(|one| {
        let told = format!(
            "the signature fits the URL {}, and not {}: {}; set `server.public_url` to what the \
             provider calls",
            shown(&one.url),
            shown(&case.delivery.url),
            one.how.join(", ")
        );
        let mut delivery = case.delivery.clone();
        delivery.url = one.url;
        Guess::new(Change::Delivery(delivery), told)
    }))
}

/// Tells whether the proof reads the URL.
fn reads_url(scheme: &Scheme) -> bool {
    let url = |source: &Source| {
        matches!(
            source,
            Source::Url
                | Source::Origin
                | Source::Path
                | Source::RawQuery
                | Source::SortedQuery(_)
                | Source::SortedParams(_)
        )
    };
    let reads = |template: &Template| template.sources().any(url);
    let claims = match &scheme.proof {
        Proof::Jwt(rule) => rule
            .claims
            .iter()
            .chain(&rule.claims_if_body)
            .any(|(_, templates)| templates.iter().any(reads)),
        _ => false,
    };
    claims || scheme.signed_forms().any(reads)
}

/// Settings that name the URL, where the vendor signs the one that it was given.
fn settings(ground: &Ground<'_>) -> Vec<Guess> {
    let case = ground.case;
    let mut guesses = Vec::new();
    for (name, value) in case.params {
        if !value.contains("://") {
            continue;
        }
        let called = Candidate {
            url: case.delivery.url.clone(),
            how: Vec::new(),
        };
        let of_setting = candidates(ground, value);
        for candidate in std::iter::once(called).chain(of_setting).take(MAX_URLS / 4) {
            if candidate.url == *value {
                continue;
            }
            let told = format!(
                "the signature fits if `{name}` is {}, and it is set to {}: the vendor signs the \
                 URL as it was entered there, to the letter",
                shown(&candidate.url),
                shown(value)
            );
            let mut params = case.params.clone();
            params.insert(name.clone(), candidate.url);
            guesses.push(Guess::new(Change::Params(params), told));
        }
    }
    guesses
}

/// A URL, and how it differs from the one that is known.
struct Candidate {
    url: String,
    how: Vec<String>,
}

/// A spelling of a part, and what it is called where it is another.
type Part = (String, Option<String>);

fn candidates(ground: &Ground<'_>, url: &str) -> Vec<Candidate> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut all = Vec::new();
    let schemes = schemes(scheme);
    let authorities = authorities(ground, authority);
    let paths = paths(ground, path);
    let queries = queries(query);
    for (scheme, a) in &schemes {
        for (authority, b) in &authorities {
            for (path, c) in &paths {
                for (query, d) in &queries {
                    let how: Vec<String> = [a, b, c, d].into_iter().flatten().cloned().collect();
                    if !how.is_empty() {
                        let url = format!("{scheme}://{authority}{path}{query}");
                        all.push(Candidate { url, how });
                    }
                }
            }
        }
    }
    // The fewer differences, the likelier.
    all.sort_by_key(|one| one.how.len());
    let mut known = BTreeSet::new();
    all.retain(|one| one.url != url && known.insert(one.url.clone()));
    all.truncate(MAX_URLS);
    all
}

fn schemes(scheme: &str) -> Vec<Part> {
    let other = if scheme == "https" { "http" } else { "https" };
    let told = format!("{other} instead of {scheme}");
    vec![(scheme.to_owned(), None), (other.to_owned(), Some(told))]
}

fn authorities(ground: &Ground<'_>, authority: &str) -> Vec<Part> {
    let mut all = vec![(authority.to_owned(), None)];
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (authority, None),
    };
    if let Some(port) = port {
        all.push((host.to_owned(), Some(format!("without the port {port}"))));
    }
    for port in ["443", "80"] {
        let told = format!("with the port {port}");
        all.push((format!("{host}:{port}"), Some(told)));
    }
    for name in [
        "x-forwarded-host",
        "host",
        "x-original-host",
        "x-forwarded-server",
    ] {
        if let Some(value) = header(ground, name) {
            let first = value
                .split(',')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
            all.push((first, Some(format!("the host that header {name} names"))));
        }
    }
    if let Some(value) = header(ground, "forwarded") {
        // RFC 7239 section 4: elements separated by commas, pairs by semicolons.
        let pairs = value
            .split([',', ';'])
            .filter_map(|pair| pair.split_once('='));
        let hosts = pairs.filter(|(name, _)| name.trim().eq_ignore_ascii_case("host"));
        for (_, host) in hosts.take(2) {
            let host = host.trim().trim_matches('"').to_owned();
            all.push((
                host,
                Some("the host that header forwarded names".to_owned()),
            ));
        }
    }
    if let Some(port) = header(ground, "x-forwarded-port") {
        let told = "with the port that header x-forwarded-port names".to_owned();
        all.push((format!("{host}:{port}"), Some(told)));
    }
    all
}

fn paths(ground: &Ground<'_>, path: &str) -> Vec<Part> {
    let mut all = vec![(path.to_owned(), None)];
    match path.strip_suffix('/') {
        Some(bare) => all.push((
            bare.to_owned(),
            Some("without the trailing slash".to_owned()),
        )),
        None => all.push((format!("{path}/"), Some("with a trailing slash".to_owned()))),
    }
    if let Some(prefix) = header(ground, "x-forwarded-prefix") {
        let prefix = prefix.trim_end_matches('/').to_owned();
        let told = "with the path prefix that header x-forwarded-prefix names";
        all.push((format!("{prefix}{path}"), Some(told.to_owned())));
        if let Some(rest) = path.strip_prefix(&prefix) {
            let told = "without the path prefix that header x-forwarded-prefix names";
            all.push((rest.to_owned(), Some(told.to_owned())));
        }
    }
    for name in [
        "x-original-uri",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-uri",
    ] {
        if let Some(value) = header(ground, name) {
            let value = value.split_once("://").map_or(value.as_str(), |(_, rest)| {
                rest.find('/').and_then(|at| rest.get(at..)).unwrap_or("/")
            });
            let path = value.split('?').next().unwrap_or_default().to_owned();
            all.push((path, Some(format!("the path that header {name} names"))));
        }
    }
    let mut rest = path;
    for dropped in 1..=MAX_SEGMENTS {
        let Some(at) = rest.get(1..).and_then(|tail| tail.find('/')) else {
            break;
        };
        let (segment, tail) = rest.split_at(at + 1);
        let told = match dropped {
            1 => format!("without the path prefix `{segment}`"),
            _ => format!("without the first {dropped} segments of the path"),
        };
        all.push((tail.to_owned(), Some(told)));
        rest = tail;
    }
    all
}

fn queries(query: Option<&str>) -> Vec<Part> {
    let Some(query) = query else {
        return vec![
            (String::new(), None),
            ("?".to_owned(), Some("with an empty query".to_owned())),
        ];
    };
    let pairs = || form_urlencoded::parse(query.as_bytes());
    let decoded: Vec<String> = pairs()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let encoded = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs())
        .finish();
    let percent = encoded.replace('+', "%20");
    let mut sorted: Vec<&str> = query.split('&').collect();
    sorted.sort_unstable();
    vec![
        (format!("?{query}"), None),
        (String::new(), Some("without the query".to_owned())),
        (
            format!("?{}", decoded.join("&")),
            Some("with the query decoded".to_owned()),
        ),
        (
            format!("?{encoded}"),
            Some("with the query encoded, `+` for blanks".to_owned()),
        ),
        (
            format!("?{percent}"),
            Some("with the query encoded, `%20` for blanks".to_owned()),
        ),
        (
            format!("?{}", sorted.join("&")),
            Some("with the query sorted".to_owned()),
        ),
    ]
}

fn header(ground: &Ground<'_>, name: &str) -> Option<String> {
    match ground.case.delivery.header(name) {
        Single::One(value) => String::from_utf8(value.to_vec()).ok(),
        _ => None,
    }
}

/// A URL as it may be shown: without user information and query.
pub(super) fn shown(url: &str) -> String {
    let (before, query) = match url.split_once('?') {
        Some((before, _)) => (before, "?…"),
        None => (url, ""),
    };
    let bare = match before.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => before.to_owned(),
    };
    format!("`{bare}{query}`")
}
