//! Secrets that a provider cannot use at all: what they look like, and what would work.

use secrecy::{ExposeSecret, SecretString};

use super::Case;
use super::ground::counts;
use super::secrets::{derivation, encodings, spellings};
use crate::provider::{BindError, Binding};
use crate::verify::fields::Fields;
use crate::verify::key::KeyEncoding;
use crate::verify::scheme::{Proof, Scheme};
use crate::verify::template::Scope;

/// Explains why a secret cannot be bound.
pub(super) fn explain(case: &Case<'_>, error: &BindError) -> Vec<String> {
    let BindError::Secret { index, .. } = error else {
        return Vec::new();
    };
    let Some(secret) = case.secrets.get(*index) else {
        return Vec::new();
    };
    let text = secret.expose_secret();
    let mut schemes = case.provider.schemes().iter();
    let scheme = schemes.find(|one| match case.scheme {
        Some(name) => one.name == name,
        None => !one.opt_in,
    });
    let mut guesses: Vec<(String, String)> = spellings(text);
    guesses.extend(encodings(text));
    guesses.extend(scheme.and_then(|scheme| named(case, scheme, text)));
    let fitting = guesses
        .into_iter()
        .find(|(guess, _)| fits(case, *index, guess));
    let told = fitting.map(|(_, told)| told);
    let looks = || scheme.and_then(|scheme| looks(scheme, text));
    told.or_else(looks).into_iter().collect()
}

/// The key alone, where a secret is written `ID:KEY`.
fn named(case: &Case<'_>, scheme: &Scheme, text: &str) -> Option<(String, String)> {
    let key = derivation(scheme).filter(|key| key.named)?;
    let provider = case.provider;
    let fields = Fields::within(case.delivery, provider.pointers(), &provider.documents);
    let id = key.id.as_ref()?.text(&Scope::of(&fields))?;
    let told = format!(
        "the secret is the key alone: write it as `ID:KEY`; the delivery names its key `{id}`, and \
         with that id it verifies"
    );
    Some((format!("{id}:{text}"), told))
}

fn fits(case: &Case<'_>, index: usize, guess: &str) -> bool {
    let mut secrets: Vec<SecretString> = case.secrets.to_vec();
    if let Some(secret) = secrets.get_mut(index) {
        *secret = guess.into();
    }
    let binding = Binding {
        secrets: &secrets,
        ..case.binding()
    };
    let bound = case.provider.verifier(&binding);
    bound.is_ok_and(|verifier| counts(&verifier.verify(case.delivery, case.now, case.keys)))
}

/// Tells what a secret looks like, and what is wanted instead.
fn looks(scheme: &Scheme, text: &str) -> Option<String> {
    let bare = text.trim().trim_matches(['"', '\'']);
    if bare.contains("PRIVATE KEY") {
        return Some(
            "it is a private key, and the public one is needed; a private key that was copied here \
             should be replaced"
                .to_owned(),
        );
    }
    let wanted = match &scheme.proof {
        Proof::Basic => return Some("write it as USER:PASSWORD".to_owned()),
        Proof::PublicKey { key, .. } => key.encoding,
        _ => match derivation(scheme) {
            Some(key) if key.named && !bare.contains(':') => {
                return Some("write it as ID:KEY, as the vendor shows both".to_owned());
            }
            Some(key) => key.encoding,
            None => return None,
        },
    };
    let found = match bare {
        _ if bare != text => "it has white space or quotation marks around it",
        _ if bare.starts_with("-----BEGIN") => "it is PEM",
        _ if !bare.is_empty() && hex::decode(bare).is_ok() => "it looks like hex",
        _ if KeyEncoding::Base64
            .decode(bare)
            .is_ok_and(|bytes| bytes.starts_with(&[0x30])) =>
        {
            "it looks like DER in base64"
        }
        _ if KeyEncoding::Base64.decode(bare).is_ok() => "it looks like base64",
        _ => "it is in neither hex nor base64",
    };
    Some(format!("{found}, and {} is wanted", wanted.name()))
}
