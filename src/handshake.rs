//! Ownership checks: what a provider sends to see whether an endpoint is there and knows its secret.
//!
//! The step `handshake` of the way of a delivery. What the provider signs is answered once it is
//! verified, so that the gateway never answers for a stranger. A check that nobody signs is answered
//! before, and only with what the caller sent itself, or with an HMAC over a challenge whose
//! characters no delivery could be made of.

use std::ops::RangeInclusive;

use http::{HeaderName, HeaderValue, Method, StatusCode};
use secrecy::SecretString;

use crate::delivery::Delivery;
use crate::json::quote;
use crate::json::{Kind, Scanner, Token};
use crate::keys::{HostPattern, KeyAddress, PathPattern};
use crate::outcome::{Rejected, Reply};
use crate::verify::fields::Fields;
use crate::verify::template::{Scope, Template};
use crate::verify::{Verified, Verifier};

/// Most bytes of an answer: a challenge is a few dozen, and more would be somebody's payload.
const MAX_REPLY: usize = 4096;

/// One kind of ownership check, compiled from its definition.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// What the vendor calls it.
    pub name: String,
    /// Whether it is answered before anything is verified.
    pub unsigned: bool,
    /// Whether it is answered only while the endpoint is being set up.
    pub setup: bool,
    /// Where the secret stands that the check brings, if it brings one.
    pub capture: Option<Template>,
    /// The method, if it is a certain one.
    pub method: Option<Method>,
    /// Templates and the texts of which each must give one.
    pub when: Vec<(Template, Vec<String>)>,
    /// Templates whose pieces must be there.
    pub present: Vec<Template>,
    /// Fields (by index) that must not be there.
    pub absent: Vec<usize>,
    /// Templates whose pieces must not be there.
    pub absent_pieces: Vec<Template>,
    /// A JSON array (by index) that must be there and empty.
    pub empty: Option<usize>,
    /// Whether the body must be empty.
    pub empty_body: bool,
    /// The members that the body must have, and no others.
    pub only: Option<Vec<String>>,
    /// The fields that a form must have, and no others.
    pub only_form: Option<Vec<String>>,
    /// A token that must be the endpoint's.
    pub token: Option<TokenCheck>,
    /// The text that is answered with, and what it may be.
    pub challenge: Option<Challenge>,
    /// The status of the answer.
    pub status: StatusCode,
    /// The status where token or challenge are wrong; 401 and 400 if it is not set.
    pub refuse: Option<StatusCode>,
    /// The media type of the answer.
    pub content_type: Option<String>,
    /// Headers of the answer, each with alternatives for its value.
    pub headers: Vec<(HeaderName, Vec<Template>)>,
    /// The body of the answer.
    pub body: Body,
    /// An address that is called afterwards.
    pub confirm: Option<Confirm>,
    /// Why answering is safe, for `providers show`.
    pub safe_because: String,
}

/// What an ownership check is answered with.
#[derive(Clone, Debug)]
pub enum Body {
    /// Always the same text.
    Fixed(String),
    /// A piece of the delivery.
    Echo(Template),
    /// A JSON object of texts.
    Json(JsonReply),
}

/// A JSON object whose members are filled in.
#[derive(Clone, Debug)]
pub struct JsonReply(pub Vec<(String, Template)>);

/// A token that a check carries.
#[derive(Clone, Debug)]
pub struct TokenCheck {
    /// Where it stands.
    pub from: Template,
    /// The secret setting that it must be; one of the endpoint's own secrets if there is none.
    pub param: Option<String>,
}

/// A text that a check wants an answer to.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// Where it stands.
    pub from: Template,
    /// The characters it may have.
    pub chars: Vec<u8>,
    /// How many of them.
    pub length: RangeInclusive<usize>,
}

/// An address that is called to confirm.
#[derive(Clone, Debug)]
pub struct Confirm {
    /// Where it stands.
    pub url: Template,
    /// The hosts that it may have.
    pub hosts: Vec<HostPattern>,
    /// The path that it must have.
    pub path: PathPattern,
    /// Whether the endpoint allows it.
    pub allowed: bool,
}

/// How far an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its secret is not known yet: the provider is about to tell it.
    Setup,
    /// It takes deliveries.
    Armed,
}

/// Answers a delivery that nobody signed if it is an ownership check that needs no signature.
///
/// `phase` says whether the endpoint is being set up: some checks are answered only then.
pub fn answer_unsigned(
    verifier: &Verifier,
    delivery: &Delivery,
    phase: Phase,
) -> Result<Option<Reply>, Rejected> {
    let handshakes = verifier.provider().handshakes();
    if !handshakes.iter().any(|one| one.unsigned) {
        return Ok(None);
    }
    let fields = verifier.fields(delivery);
    let replies = verifier.reply_key();
    let scope = Scope {
        replies: Some(&replies),
        ..Scope::of(&fields)
    };
    let asked = handshakes
        .iter()
        .filter(|one| one.unsigned && (!one.setup || phase == Phase::Setup))
        .find(|one| one.asked_by(&fields, &scope));
    match asked {
        Some(handshake) => handshake.reply(verifier, &scope),
        None => Ok(None),
    }
}

/// Answers a verified delivery if it is an ownership check.
pub fn answer(verifier: &Verifier, verified: &Verified<'_>) -> Result<Option<Reply>, Rejected> {
    let handshakes = verifier.provider().handshakes().iter();
    let scope = verified.scope();
    let mut signed = handshakes.filter(|one| !one.unsigned);
    match signed.find(|one| one.asked_by(verified.fields(), &scope)) {
        Some(handshake) => handshake.reply(verifier, &scope),
        None => Ok(None),
    }
}

impl Handshake {
    fn asked_by(&self, fields: &Fields<'_>, scope: &Scope<'_, '_>) -> bool {
        let delivery = fields.delivery();
        let has = |(template, values): &(Template, Vec<String>)| {
            template
                .text(scope)
                .is_some_and(|text| values.contains(&text))
        };
        let there = |template: &Template| template.bytes(scope).is_ok();
        let method = self.method.as_ref();
        method.is_none_or(|method| *method == delivery.method)
            && (!self.empty_body || delivery.body.is_empty())
            && self.when.iter().all(has)
            && self.present.iter().all(there)
            && !self.absent_pieces.iter().any(there)
            && !self.absent.iter().any(|at| fields.exists(*at))
            && self
                .empty
                .is_none_or(|at| is_empty_array(fields.composite(at)))
            && self
                .only
                .as_ref()
                .is_none_or(|names| has_only(&delivery.body, names))
            && self
                .only_form
                .as_ref()
                .is_none_or(|names| same_names(fields.form().iter().map(|(name, _)| name), names))
    }

    /// Makes the answer; nothing where it would be beyond reason, so that the delivery goes on as an
    /// ordinary one.
    fn reply(&self, verifier: &Verifier, scope: &Scope<'_, '_>) -> Result<Option<Reply>, Rejected> {
        if let Some(token) = &self.token {
            let sent = token.from.bytes(scope).unwrap_or_default();
            let right = match &token.param {
                Some(param) => verifier.token_matches(param, &sent),
                None => verifier.is_token(&sent),
            };
            if sent.is_empty() || !right {
                return Err(Rejected::HandshakeToken(
                    self.refuse.unwrap_or(StatusCode::UNAUTHORIZED),
                ));
            }
        }
        if let Some(challenge) = &self.challenge
            && !challenge.fits(scope)
        {
            return Err(Rejected::HandshakeChallenge(
                self.refuse.unwrap_or(StatusCode::BAD_REQUEST),
            ));
        }
        let confirm = match &self.confirm {
            Some(confirm) => confirm.address(scope)?,
            None => None,
        };
        let body = match &self.body {
            Body::Fixed(text) => Some(text.clone()),
            Body::Echo(template) => template.text(scope),
            Body::Json(json) => json.text(scope),
        };
        let Some(body) = body.filter(|text| text.len() <= MAX_REPLY) else {
            return Ok(None);
        };
        let mut headers = Vec::new();
        for (name, alternatives) in &self.headers {
            let text = alternatives.iter().find_map(|one| one.text(scope));
            let value = text.and_then(|text| HeaderValue::from_str(&text).ok());
            match value.filter(|value| value.len() <= MAX_REPLY) {
                Some(value) => headers.push((name.clone(), value)),
                None => return Ok(None),
            }
        }
        let captured = self.capture.as_ref().and_then(|one| one.text(scope));
        Ok(Some(Reply {
            captured: captured.map(SecretString::from),
            status: self.status,
            content_type: self.content_type.clone(),
            headers,
            body,
            confirm,
        }))
    }
}

impl Challenge {
    fn fits(&self, scope: &Scope<'_, '_>) -> bool {
        let text = self.from.bytes(scope).unwrap_or_default();
        self.length.contains(&text.len()) && text.iter().all(|byte| self.chars.contains(byte))
    }
}

impl Confirm {
    /// Returns the address to call, if the endpoint allows it. One that is not pinned refuses the
    /// delivery either way.
    fn address(&self, scope: &Scope<'_, '_>) -> Result<Option<KeyAddress>, Rejected> {
        let text = self.url.text(scope).unwrap_or_default();
        let address = KeyAddress::pinned_with_query(&text, &self.hosts, &self.path);
        let refused =
            |why| Rejected::SignatureMalformed(format!("the address to confirm is refused: {why}"));
        let address = address.map_err(refused)?;
        Ok(Some(address).filter(|_| self.allowed))
    }
}

impl JsonReply {
    pub(crate) fn makes_hmac(&self) -> bool {
        self.0.iter().any(|(_, template)| template.makes_hmac())
    }

    /// Writes the object; nothing where a member cannot be filled in.
    fn text(&self, scope: &Scope<'_, '_>) -> Option<String> {
        let mut out = vec![b'{'];
        for (at, (name, template)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            quote(name, &mut out);
            out.push(b':');
            quote(&template.text(scope)?, &mut out);
        }
        out.push(b'}');
        String::from_utf8(out).ok()
    }
}

fn is_empty_array(text: Option<&str>) -> bool {
    let inside = text.and_then(|text| text.strip_prefix('[')?.strip_suffix(']'));
    inside.is_some_and(|inside| inside.trim().is_empty())
}

/// Tells whether a body is a JSON object of exactly these members, each once.
fn has_only(body: &[u8], names: &[String]) -> bool {
    let read = || {
        let mut scanner = Scanner::new(body).ok()?;
        if scanner.next_token().ok()?? != Token::Open(Kind::Object) {
            return None;
        }
        let mut found = Vec::new();
        while let Token::Key(name) = scanner.next_token().ok()?? {
            found.push(name.text().into_owned());
            if let Token::Open(_) = scanner.next_token().ok()?? {
                scanner.skip_rest().ok()?;
            }
        }
        scanner.next_token().ok()?.is_none().then_some(found)
    };
    read().is_some_and(|found| same_names(found.iter(), names))
}

fn same_names<'n>(found: impl Iterator<Item = &'n String>, wanted: &[String]) -> bool {
    let (mut found, mut wanted): (Vec<_>, Vec<_>) = (found.collect(), wanted.iter().collect());
    found.sort();
    wanted.sort();
    found == wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_exactly_the_members_that_are_asked_for() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert!(has_only(br#"{"b":[1,{"c":2}],"a":1}"#, &names));
        for body in [
            r#"{"a":1}"#,
            r#"{"a":1,"b":1,"c":1}"#,
            r#"{"a":1,"b":1,"a":1}"#,
            r#"{"a":1,"b":1} x"#,
            "[]",
            "",
        ] {
            assert!(!has_only(body.as_bytes(), &names), "{body}");
        }
    }

    #[test]
    fn an_empty_array_is_empty() {
        assert!(is_empty_array(Some("[ ]")));
        assert!(!is_empty_array(Some("[0]")));
        assert!(!is_empty_array(Some("{}")));
        assert!(!is_empty_array(None));
    }
}
