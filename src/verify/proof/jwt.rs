//! Checks JSON Web Tokens (RFC 7519): signature, time, and what they claim of the delivery.

use subtle::{Choice, ConstantTimeEq};

use super::{Matched, Proven};
use crate::clock::Timestamp;
use crate::outcome::Rejected;
use crate::verify::fetched::malformed;
use crate::verify::fields::Fields;
use crate::verify::jws::{self, Jws, JwsAlgorithm};
use crate::verify::key::{Hash, HmacKey, Key};
use crate::verify::public_key::KeySet;
use crate::verify::scheme::{JwtRule, Token};
use crate::verify::tag::Tag;
use crate::verify::template::{Scope, Template};
use crate::verify::{Bound, describe};

impl Bound {
    pub(super) fn check_jwt(
        &self,
        rule: &JwtRule,
        fields: &Fields<'_>,
        fetched: Option<&KeySet>,
        now: Timestamp,
    ) -> Result<Proven, Rejected> {
        let text = token_text(&rule.token, fields)?;
        let token = jws::parse(&text).map_err(malformed)?;
        let algorithm = JwsAlgorithm::named(token.alg())
            .filter(|algorithm| rule.algorithms.contains(algorithm))
            .ok_or_else(|| {
                let how = "the token is signed with an algorithm that is not believed";
                Rejected::SignatureMalformed(how.to_owned())
            })?;
        let (matched, secrets) = match (algorithm.hash(), fetched) {
            (Some(hash), _) => self.check_shared(hash, &token),
            (None, Some(keys)) => {
                let matched = token.verify_with(algorithm, keys, now.as_second());
                (matched, Matched::default())
            }
            (None, None) => {
                return Err(Rejected::KeyUnavailable("no key was fetched".to_owned()));
            }
        };
        let proven = Proven {
            claims: Some(token.claims().clone()),
            signing_input: Some(token.signing_input().to_vec()),
            secrets,
            ..Proven::default()
        };
        let proven = self.decide(matched, proven)?;
        token
            .check_times(now.as_second(), rule.leeway)
            .map_err(malformed)?;
        self.check_claims(rule, &token, &proven, fields)?;
        Ok(proven)
    }

    fn check_shared(&self, hash: Hash, token: &Jws<'_>) -> (bool, Matched) {
        let sent = Tag::new(token.signature());
        let (mut matched, mut secrets) = (Choice::from(0), Matched::default());
        for named in &self.keys {
            let Key::Shared(secret) = &named.key else {
                continue;
            };
            if let Some(mut mac) = HmacKey::new(hash, secret) {
                mac.update(token.signing_input());
                let matches = mac.finish().matches(&sent);
                matched |= matches;
                secrets.note(named.place, matches);
            }
        }
        (bool::from(matched), secrets)
    }

    fn check_claims(
        &self,
        rule: &JwtRule,
        token: &Jws<'_>,
        proven: &Proven,
        fields: &Fields<'_>,
    ) -> Result<(), Rejected> {
        for name in &rule.require {
            if token.claim_texts(name).is_empty() {
                return Err(Rejected::ClaimMismatch(name.clone()));
            }
        }
        let has_body = !fields.delivery().body.is_empty();
        for (name, expected) in &rule.claims {
            self.check_claim(name, expected, token, proven, fields)?;
        }
        for (name, expected) in &rule.claims_if_body {
            if has_body || token.claims().contains_key(name) {
                self.check_claim(name, expected, token, proven, fields)?;
            }
        }
        Ok(())
    }

    fn check_claim(
        &self,
        name: &str,
        expected: &[Template],
        token: &Jws<'_>,
        proven: &Proven,
        fields: &Fields<'_>,
    ) -> Result<(), Rejected> {
        let mut matched = Choice::from(0);
        for form in &self.scheme.url_forms {
            let url = form.apply(&fields.delivery().url);
            let scope = Scope {
                url: &url,
                ..proven.scope(fields)
            };
            for template in expected {
                let wanted = template.bytes(&scope)?;
                for text in token.claim_texts(name) {
                    matched |= text.as_bytes().ct_eq(&wanted);
                }
            }
        }
        if bool::from(matched) {
            return Ok(());
        }
        Err(
            match expected.iter().any(|template| template.coverage().body()) {
                true => Rejected::DigestMismatch("body".to_owned()),
                false => Rejected::ClaimMismatch(name.to_owned()),
            },
        )
    }
}

/// Returns the token of a delivery, as text.
pub(crate) fn token_text(token: &Token, fields: &Fields<'_>) -> Result<String, Rejected> {
    let sent = token.value.bytes(&Scope::of(fields))?;
    let what = || describe(&token.value);
    let sent = token.behind_prefix(&sent).ok_or_else(|| {
        Rejected::SignatureMalformed(format!("{} has no `{}` before it", what(), token.prefix))
    })?;
    if sent.is_empty() {
        return Err(Rejected::SignatureMissing(what()));
    }
    String::from_utf8(sent.to_vec())
        .map_err(|_| Rejected::SignatureMalformed(format!("{} is not text", what())))
}
