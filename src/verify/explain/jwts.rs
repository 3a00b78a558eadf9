//! JSON Web Tokens: what their header and their claims say. Claims are no secret; signatures and
//! whole tokens are never shown.

use super::ground::Ground;
use super::times::told;
use crate::outcome::Rejected;
use crate::verify::jws::{self, Jws, JwsAlgorithm};
use crate::verify::proof::token_text;
use crate::verify::public_key::KeySet;
use crate::verify::scheme::{JwtRule, Proof};
use crate::verify::template::Scope;

/// Most characters of a value that are shown.
const MAX_SHOWN: usize = 120;

/// Explains what a token says and should not, or the other way round.
pub(super) fn explain(ground: &Ground<'_>, rejected: &Rejected) -> Vec<String> {
    let Proof::Jwt(rule) = &ground.scheme().proof else {
        return Vec::new();
    };
    let Ok(text) = token_text(&rule.token, &ground.fields) else {
        return Vec::new();
    };
    let token = match jws::parse(&text) {
        Ok(token) => token,
        Err(fault) => return vec![unreadable(&fault)],
    };
    match rejected {
        Rejected::TokenExpired => time(&token, "exp", ground),
        Rejected::TokenNotYetValid => time(&token, "nbf", ground),
        Rejected::ClaimMismatch(name) => vec![claim(ground, rule, &token, name)],
        Rejected::DigestMismatch(_) => digest(&token),
        Rejected::SignatureMalformed(_) => algorithm(rule, &token),
        Rejected::SignatureMismatch { .. } | Rejected::KeyUnavailable(_) => keys(ground, &token),
        _ => Vec::new(),
    }
}

fn unreadable(fault: &jws::JwsFault) -> String {
    match fault {
        jws::JwsFault::Parts => "the token is cut, or no JSON Web Token: it does not have three \
                                 parts with dots between them"
            .to_owned(),
        jws::JwsFault::Unsigned => {
            "the token is not signed (its algorithm is `none`, or its signature was stripped): \
             anybody can make one like it"
                .to_owned()
        }
        fault => format!("the token cannot be read: {fault}; it is cut or of another kind"),
    }
}

fn time(token: &Jws<'_>, name: &str, ground: &Ground<'_>) -> Vec<String> {
    let Some(time) = token.claims().get(name).and_then(serde_json::Value::as_f64) else {
        return Vec::new();
    };
    // Seconds since 1970 fit, and one that does not is shown as the nearest that does.
    let time = time as i64;
    let now = ground.case.now.as_second();
    vec![match name {
        "exp" => format!(
            "the signature is right, but the token expired {} ago: the delivery was held up or \
             recorded earlier (check it with --at), or this clock is ahead",
            told(now.saturating_sub(time))
        ),
        _ => format!(
            "the signature is right, but the token becomes valid in {}: this clock is behind, or \
             the provider's is ahead",
            told(time.saturating_sub(now))
        ),
    }]
}

fn claim(ground: &Ground<'_>, rule: &JwtRule, token: &Jws<'_>, name: &str) -> String {
    let called = match name {
        "aud" => "audience (claim `aud`)".to_owned(),
        "iss" => "issuer (claim `iss`)".to_owned(),
        name => format!("claim `{name}`"),
    };
    let carried = token.claim_texts(name);
    if carried.is_empty() {
        return format!("the signature is right, but the token has no {called}");
    }
    let fields = &ground.fields;
    let scope = Scope {
        claims: Some(token.claims()),
        ..Scope::of(fields)
    };
    let rules = rule.claims.iter().chain(&rule.claims_if_body);
    let wanted: Vec<String> = rules
        .filter(|(known, _)| known == name)
        .flat_map(|(_, templates)| templates)
        .filter_map(|template| template.text(&scope))
        .collect();
    let wanted = match wanted.is_empty() {
        true => "something else".to_owned(),
        false => list(&wanted),
    };
    format!(
        "the signature is right, but the token's {called} is {}, and must be {wanted}: it was made \
         for another endpoint or by another sender, or the setting for it is wrong",
        list(&carried)
    )
}

fn list(texts: &[String]) -> String {
    let shown = |text: &String| {
        let text: String = text.chars().take(MAX_SHOWN).collect();
        format!("`{}`", text.escape_debug())
    };
    let each: Vec<String> = texts.iter().take(4).map(shown).collect();
    each.join(" or ")
}

fn digest(token: &Jws<'_>) -> Vec<String> {
    let is_digest = |name: &&String| {
        ["hash", "sha", "digest"]
            .iter()
            .any(|one| name.contains(one))
    };
    let named: Vec<&String> = token.claims().keys().filter(is_digest).collect();
    match named.as_slice() {
        [] => vec![
            "the token is signed, but carries no hash of the body: nothing binds what arrived to it"
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}

fn algorithm(rule: &JwtRule, token: &Jws<'_>) -> Vec<String> {
    let believed = |name: &str| {
        JwsAlgorithm::named(name).is_some_and(|algorithm| rule.algorithms.contains(&algorithm))
    };
    if believed(token.alg()) {
        return Vec::new();
    }
    let names: Vec<&str> = rule.algorithms.iter().map(|one| one.name()).collect();
    vec![format!(
        "the token says that its algorithm is {}, and {} is believed here: it comes from another \
         sender, or somebody tries to have a weaker one believed",
        list(&[token.alg().to_owned()]),
        names.join(" or ")
    )]
}

fn keys(ground: &Ground<'_>, token: &Jws<'_>) -> Vec<String> {
    if ground.scheme().keys.is_none() {
        return shared(token);
    }
    let Some(set) = ground.case.keys else {
        return Vec::new();
    };
    let ids: Vec<&str> = set.keys().filter_map(|key| key.id.as_deref()).collect();
    match token.kid() {
        Some(kid) if !ids.is_empty() && !ids.contains(&kid) => vec![format!(
            "the token names key {}, which is not in the key set ({} key(s)): the document is out \
             of date, or the token is another issuer's",
            list(&[kid.to_owned()]),
            set.keys().count()
        )],
        Some(kid) => vec![named(set, token, kid, ground)],
        None => Vec::new(),
    }
}

fn named(set: &KeySet, token: &Jws<'_>, kid: &str, ground: &Ground<'_>) -> String {
    let now = ground.case.now.as_second();
    let key = set.find(kid);
    let kid = list(&[kid.to_owned()]);
    if key.is_some_and(|key| !key.is_valid_at(now)) {
        return format!("key {kid}, which the token names, is not valid at this time");
    }
    let other = key.and_then(|key| key.algorithm.as_deref());
    match other.filter(|other| *other != token.alg()) {
        Some(other) => format!(
            "key {kid} is meant for {other}, and the token is signed with {}",
            list(&[token.alg().to_owned()])
        ),
        None => format!(
            "the token names key {kid}, which is in the key set, but is not signed with it: it was \
             changed, or made by somebody else"
        ),
    }
}

/// The tag of a token under a shared secret has the length of its hash.
fn shared(token: &Jws<'_>) -> Vec<String> {
    let hash = JwsAlgorithm::named(token.alg()).and_then(JwsAlgorithm::hash);
    let (Some(hash), have) = (hash, token.signature().len()) else {
        return Vec::new();
    };
    match have < hash.length() {
        true => vec![format!(
            "the token is cut: its signature has {have} bytes, and one of {} has {}",
            token.alg(),
            hash.length()
        )],
        false => Vec::new(),
    }
}
