//! Explains why a delivery does not verify, by trying the known near misses.
//!
//! Offline only (`hookgate verify`): every guess is one more verification of a changed delivery,
//! secret or scheme, which would be a gift to an attacker in the request path. A cause is claimed
//! only where the delivery verifies with it ([`ground`]), or where what is wrong is there to be seen,
//! such as an absent header or an expired token. No finding repeats a secret.

mod absent;
mod bodies;
mod certificates;
mod contents;
mod ground;
mod headers;
mod jwts;
mod lengths;
mod neighbours;
mod public_keys;
mod rewrite;
mod secrets;
mod tags;
#[cfg(test)]
mod tests;
mod times;
mod tokens;
mod unusable;
mod urls;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;

use crate::clock::Timestamp;
use crate::delivery::Delivery;
use crate::handshake::Phase;
use crate::outcome::Rejected;
use crate::provider::{BindError, Binding, Catalogue, Provider};
use crate::verify::public_key::KeySet;
use crate::verify::scheme::Proof;
use ground::Ground;

/// Most findings that are told.
const MAX_FINDINGS: usize = 8;

/// A delivery that did not verify, and everything that was configured for it.
#[derive(Debug)]
pub struct Case<'a> {
    /// The provider.
    pub provider: &'a Arc<Provider>,
    /// All providers, among which the true sender may be.
    pub catalogue: Option<&'a Catalogue>,
    /// The pinned scheme.
    pub scheme: Option<&'a str>,
    /// The secrets.
    pub secrets: &'a [SecretString],
    /// Further settings.
    pub params: &'a BTreeMap<String, String>,
    /// Those of them that are secrets.
    pub param_secrets: &'a BTreeMap<String, SecretString>,
    /// The tolerance, where it is not the definition's.
    pub tolerance: Option<Duration>,
    /// The keys that the vendor publishes, where the scheme needs them.
    pub keys: Option<&'a KeySet>,
    /// The delivery.
    pub delivery: &'a Delivery,
    /// The clock that was assumed.
    pub now: Timestamp,
}

impl Case<'_> {
    /// Returns what was configured, as a provider takes it.
    fn binding(&self) -> Binding<'_> {
        Binding {
            scheme: self.scheme,
            secrets: self.secrets,
            params: self.params,
            param_secrets: self.param_secrets,
            tolerance: self.tolerance,
            phase: Phase::Armed,
        }
    }
}

/// Something that looks for causes by trying guesses.
type Family = fn(&Ground<'_>) -> Vec<String>;

/// Explains a refusal: what was found, then what most likely caused it.
pub fn explain(case: &Case<'_>, rejected: &Rejected) -> Vec<String> {
    let mut findings = vec![rejected.to_string()];
    if let Ok(verifier) = case.provider.verifier(&case.binding())
        && let Some(ground) = Ground::new(case, &verifier)
    {
        findings.extend(causes(&ground, rejected));
    }
    let mut known = BTreeSet::new();
    findings.retain(|finding| known.insert(finding.clone()));
    findings.truncate(MAX_FINDINGS);
    findings
}

/// Explains why the secrets of a case cannot be used at all, beyond what the error says.
pub fn explain_unusable(case: &Case<'_>, error: &BindError) -> Vec<String> {
    unusable::explain(case, error)
}

fn causes(ground: &Ground<'_>, rejected: &Rejected) -> Vec<String> {
    let mut found = times::explain(ground, rejected);
    found.extend(headers::explain(ground, rejected));
    if found.is_empty() && is_missing(rejected) {
        found.extend(absent::explain(ground, rejected));
    }
    found.extend(jwts::explain(ground, rejected));
    found.extend(certificates::explain(ground, rejected));
    for family in families(ground, rejected, !found.is_empty()) {
        let more = family(ground);
        // One thing that explains the refusal is enough: a second would be a coincidence.
        if !more.is_empty() {
            found.extend(more);
            break;
        }
    }
    if found.is_empty() && matches!(rejected, Rejected::SignatureMalformed(_)) {
        found = lengths::explain(ground);
    }
    if found.is_empty() {
        found.extend(hint(ground, rejected).map(str::to_owned));
    }
    found
}

fn is_missing(rejected: &Rejected) -> bool {
    matches!(
        rejected,
        Rejected::SignatureMissing(_) | Rejected::TimestampMissing(_)
    )
}

/// Returns what may explain a refusal, the likelier first.
fn families(ground: &Ground<'_>, rejected: &Rejected, explained: bool) -> &'static [Family] {
    match rejected {
        // Whatever is absent may stand elsewhere, or belong to another scheme.
        _ if is_missing(rejected) => &[tokens::guess, tags::guess, neighbours::guess],
        _ if explained => &[],
        Rejected::TokenInvalid { .. } => &[secrets::guess, tokens::guess, neighbours::guess],
        Rejected::DigestMismatch(_) => &[bodies::guess, urls::guess, neighbours::guess],
        Rejected::UnexpectedValue(_) | Rejected::ContentType(_) => &[neighbours::guess],
        Rejected::SignatureMalformed(_) if ground.scheme().carrier().is_none() => {
            &[tokens::guess, neighbours::guess]
        }
        Rejected::SignatureMalformed(_) => &[tags::guess, neighbours::guess],
        Rejected::SignatureMismatch { .. } | Rejected::UnknownKey(_) => &[
            public_keys::other_kind,
            secrets::guess,
            bodies::guess,
            tags::guess,
            urls::guess,
            contents::guess,
            tokens::guess,
            neighbours::guess,
        ],
        _ => &[],
    }
}

/// Says what to look at where no near miss fits.
fn hint(ground: &Ground<'_>, rejected: &Rejected) -> Option<&'static str> {
    const SHARED: &str = "no near miss fits: most likely the secret belongs to another endpoint or \
        account, or the body was changed on its way (anything but the exact bytes received fails)";
    const PUBLIC: &str = "no near miss fits: most likely the public key is that of another app or \
        environment (sandbox and live have keys of their own), or the body was changed on its way \
        (anything but the exact bytes received fails)";
    const TOKEN: &str = "no near miss fits: most likely the secret belongs to another endpoint or \
        account, or was replaced on one side only";
    Some(match rejected {
        Rejected::SignatureMismatch { .. } => match ground.scheme().proof {
            Proof::PublicKey { .. } => PUBLIC,
            Proof::Jwt(_) if ground.scheme().keys.is_some() => PUBLIC,
            _ => SHARED,
        },
        Rejected::TokenInvalid { .. } => TOKEN,
        Rejected::DigestMismatch(_) => {
            "the signature itself is right, but what it vouches for is not what arrived: the body or \
             the URL was changed on its way"
        }
        Rejected::UnexpectedValue(_) => {
            "a fixed part of the proof, such as its version, is another than this provider sends: it \
             comes from a newer version of the scheme, or from somebody else"
        }
        Rejected::UnknownKey(_) => {
            "configure the secret of the key that the delivery names, as `ID:KEY`; ids are compared \
             to the letter"
        }
        Rejected::SignatureMalformed(_) => {
            "the proof is not in the form in which this provider writes it: it is of another version, \
             of another provider, or was changed on its way"
        }
        Rejected::ContentType(_) => {
            "the provider signs the fields of a form, and no form arrived: the content type was \
             changed on its way, or the webhook is set up for another format"
        }
        Rejected::HandshakeToken(_) => {
            "the token that was entered at the provider's is another than the one configured here"
        }
        Rejected::HandshakeChallenge(_) => {
            "an answer to it could pass for a signature over something else; the provider does not \
             send challenges like this"
        }
        Rejected::Method(_) => {
            "something between changed the method, or somebody else called: a browser, a monitor, a \
             redirect that was followed with GET"
        }
        Rejected::BodyMalformed(_) => {
            "a proxy or a recording tool dropped the body, or consumed it before it was recorded"
        }
        _ => return None,
    })
}
