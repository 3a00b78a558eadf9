//! Checks the proof that one scheme asks for: tags, signatures, tokens.
//!
//! No early exit over keys, tags, spellings of the URL and of the content: neither the answer nor
//! its timing tells how close a forgery came.

mod jwt;
mod tags;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use super::fields::Fields;
use super::key::{Derivation, Hash, HmacKey, Key, NamedKey};
use super::matched::Matched;
use super::public_key::{Algorithm, KeySet, split_tink};
use super::scheme::{Carrier, Proof, Token};
use super::tag::Tag;
use super::template::{Scope, Template};
use super::{Bound, describe};
use crate::clock::Timestamp;
use crate::delivery::Single;
use crate::outcome::Rejected;
pub(crate) use jwt::token_text;
pub(crate) use tags::{carrier_texts, read_tags};

/// The elements of a signature header that are not tags.
pub(crate) type Params = Vec<(String, String)>;

/// What a proof that was checked says beside being right.
#[derive(Clone, Default)]
pub(crate) struct Proven {
    /// The elements of the signature header.
    pub(crate) params: Params,
    /// The claims of a token.
    pub(crate) claims: Option<Map<String, Value>>,
    /// What was signed, where that is the token itself.
    pub(crate) signing_input: Option<Vec<u8>>,
    /// Which spelling of the content was signed.
    pub(crate) form: usize,
    /// Which of the endpoint's secrets it is proved with; none where keys are fetched.
    pub(crate) secrets: Matched,
}

impl Proven {
    /// What says nothing beside being right by these secrets.
    fn by(secrets: Matched) -> Self {
        Self {
            secrets,
            ..Self::default()
        }
    }

    pub(crate) fn scope<'s, 'd>(&'s self, fields: &'s Fields<'d>) -> Scope<'s, 'd> {
        Scope {
            params: &self.params,
            claims: self.claims.as_ref(),
            ..Scope::of(fields)
        }
    }
}

/// Makes the tag of content under a key; nothing where the key is of another kind.
type MakeTag<'m> = dyn Fn(&Key, &Scope<'_, '_>, &Template) -> Result<Option<Tag>, Rejected> + 'm;

impl Bound {
    pub(super) fn check_proof(
        &self,
        fields: &Fields<'_>,
        fetched: Option<&KeySet>,
        now: Timestamp,
    ) -> Result<Proven, Rejected> {
        match &self.scheme.proof {
            Proof::Hmac { carrier, key, .. } => {
                self.check_tags(carrier, key, fields, &|key, scope, signed| {
                    let Key::Hmac(key) = key else { return Ok(None) };
                    let mut mac = HmacKey::clone(key);
                    signed.feed(scope, &mut |piece| mac.update(piece))?;
                    Ok(Some(mac.finish()))
                })
            }
            Proof::KeyedHash { carrier, key, hash } => {
                self.check_tags(carrier, key, fields, &|key, scope, signed| {
                    let Key::Shared(secret) = key else {
                        return Ok(None);
                    };
                    keyed_hash(*hash, secret, scope, signed).map(Some)
                })
            }
            Proof::PublicKey {
                algorithm,
                carrier,
                tink,
                ..
            } => self.check_signatures(*algorithm, carrier, *tink, fields, (fetched, now)),
            Proof::Jwt(rule) => self.check_jwt(rule, fields, fetched, now),
            Proof::Token(token) => self.check_token(token, fields).map(Proven::by),
            Proof::Basic => self.check_basic(fields).map(Proven::by),
            Proof::ClientCertificate(subject) => {
                self.check_certificate(subject, fields).map(Proven::by)
            }
            Proof::None => Ok(Proven::default()),
        }
    }

    /// Compares the tags that were sent with those that the keys make of the content.
    fn check_tags(
        &self,
        carrier: &Carrier,
        key: &Derivation,
        fields: &Fields<'_>,
        make: &MakeTag<'_>,
    ) -> Result<Proven, Rejected> {
        let (tags, params) = read_tags(carrier, fields)?;
        let proven = Proven {
            params,
            ..Proven::default()
        };
        let keys = self.keys_of(key, fields)?;
        let mut matched = vec![Choice::from(0); 1 + self.scheme.also_signed.len()];
        let mut secrets = Matched::default();
        for form in &self.scheme.url_forms {
            let url = form.apply(&fields.delivery().url);
            let scope = Scope {
                url: &url,
                ..proven.scope(fields)
            };
            // A timestamp that is none is refused before anything is computed over it.
            self.signed_at(&scope)?;
            for (matched, signed) in matched.iter_mut().zip(self.scheme.signed_forms()) {
                for named in &keys {
                    let Some(computed) = make(&named.key, &scope, signed)? else {
                        continue;
                    };
                    for sent in &tags {
                        let meant = Choice::from(u8::from(sent.is_for(named, carrier)));
                        let matches = computed.matches(&sent.tag) & meant;
                        *matched |= matches;
                        secrets.note(named.place, matches);
                    }
                }
            }
        }
        // Once everything was tried, what matched is no secret.
        let form = matched.into_iter().position(bool::from);
        let proven = Proven {
            form: form.unwrap_or_default(),
            secrets,
            ..proven
        };
        self.decide(form.is_some(), proven)
    }

    /// Returns the keys that a delivery names, or all of them where it names none.
    fn keys_of(&self, key: &Derivation, fields: &Fields<'_>) -> Result<Vec<&NamedKey>, Rejected> {
        let Some(template) = &key.id else {
            return Ok(self.keys.iter().collect());
        };
        let id = template.bytes(&Scope::of(fields))?;
        let named = |key: &&NamedKey| key.id.as_deref().map(str::as_bytes) == Some(&id);
        let keys: Vec<&NamedKey> = self.keys.iter().filter(named).collect();
        if keys.is_empty() {
            return Err(Rejected::UnknownKey(describe(template)));
        }
        Ok(keys)
    }

    fn check_signatures(
        &self,
        algorithm: Algorithm,
        carrier: &Carrier,
        tink: bool,
        fields: &Fields<'_>,
        (fetched, now): (Option<&KeySet>, Timestamp),
    ) -> Result<Proven, Rejected> {
        let (tags, params) = read_tags(carrier, fields)?;
        let proven = Proven {
            params,
            ..Proven::default()
        };
        if self.scheme.keys.is_some() && fetched.is_none() {
            return Err(Rejected::KeyUnavailable("no key was fetched".to_owned()));
        }
        let (mut matched, mut secrets) = (false, Matched::default());
        for form in &self.scheme.url_forms {
            let url = form.apply(&fields.delivery().url);
            let scope = Scope {
                url: &url,
                ..proven.scope(fields)
            };
            self.signed_at(&scope)?;
            for signed in self.scheme.signed_forms() {
                let message = signed.bytes(&scope)?;
                for sent in &tags {
                    let (key_id, signature) = match (tink, split_tink(sent.tag.bytes())) {
                        (false, _) => (None, sent.tag.bytes()),
                        (true, Some((id, signature))) => (Some(id.to_string()), signature),
                        (true, None) => continue,
                    };
                    for named in self.keys.iter().filter(|key| sent.is_for(key, carrier)) {
                        if let Key::Public(key) = &named.key {
                            let verifies = key.verify(algorithm, &message, signature);
                            matched |= verifies;
                            secrets.note(named.place, Choice::from(u8::from(verifies)));
                        }
                    }
                    for key in fetched.into_iter().flat_map(KeySet::keys) {
                        let named = key_id.is_none() || key.id == key_id;
                        matched |= named
                            && key.is_valid_at(now.as_second())
                            && key.key.verify(algorithm, &message, signature);
                    }
                }
            }
        }
        self.decide(matched, Proven { secrets, ..proven })
    }

    pub(super) fn check_token(
        &self,
        token: &Token,
        fields: &Fields<'_>,
    ) -> Result<Matched, Rejected> {
        let sent = token.value.bytes(&Scope::of(fields))?;
        self.compare_token(token.behind_prefix(&sent).unwrap_or_default())
    }

    /// Reads user and password (RFC 7617). The name of the scheme may be in any case.
    fn check_basic(&self, fields: &Fields<'_>) -> Result<Matched, Rejected> {
        let value = match fields.delivery().header("authorization") {
            Single::One(value) => value,
            Single::Absent => {
                return Err(Rejected::SignatureMissing(
                    "header authorization".to_owned(),
                ));
            }
            Single::Repeated => {
                return Err(Rejected::SignatureAmbiguous(
                    "header authorization".to_owned(),
                ));
            }
        };
        let malformed = || {
            let how = "header authorization is not of the form `Basic BASE64`";
            Rejected::SignatureMalformed(how.to_owned())
        };
        let text = std::str::from_utf8(value).map_err(|_| malformed())?;
        let (scheme, encoded) = text.split_once(' ').ok_or_else(malformed)?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return Err(malformed());
        }
        let sent = STANDARD.decode(encoded).map_err(|_| malformed())?;
        self.compare_token(&sent)
    }

    fn check_certificate(
        &self,
        subject: &Template,
        fields: &Fields<'_>,
    ) -> Result<Matched, Rejected> {
        if !fields.delivery().via_trusted_proxy {
            let what = "a trusted proxy that says whose certificate it is".to_owned();
            return Err(Rejected::SignatureMissing(what));
        }
        self.compare_token(&subject.bytes(&Scope::of(fields))?)
    }

    fn compare_token(&self, sent: &[u8]) -> Result<Matched, Rejected> {
        let digest = Sha256::digest(sent);
        let (mut matched, mut secrets) = (Choice::from(0), Matched::default());
        for named in &self.keys {
            if let Key::Token(expected) = &named.key {
                let matches = digest.as_slice().ct_eq(expected);
                matched |= matches;
                secrets.note(named.place, matches);
            }
        }
        // An empty token is never a key's, but the rule is worth its own line.
        if sent.is_empty() || !bool::from(matched) {
            return Err(Rejected::TokenInvalid {
                secrets: self.keys.len(),
            });
        }
        Ok(secrets)
    }

    fn decide<T>(&self, matched: bool, proof: T) -> Result<T, Rejected> {
        match matched {
            true => Ok(proof),
            false => Err(Rejected::SignatureMismatch {
                secrets: self.keys.len(),
            }),
        }
    }
}

/// Makes a plain digest of content with the secret in it.
pub(crate) fn keyed_hash(
    hash: Hash,
    secret: &[u8],
    scope: &Scope<'_, '_>,
    signed: &Template,
) -> Result<Tag, Rejected> {
    let mut digest = hash.digest();
    let scope = Scope {
        secret: Some(secret),
        ..*scope
    };
    signed.feed(&scope, &mut |piece| digest.update(piece))?;
    Ok(Tag::new(&digest.finalize()))
}
