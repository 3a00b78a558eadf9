//! Neighbours: the provider's other schemes and settings, and the schemes of other providers.

use std::sync::Arc;

use super::ground::{Change, Ground, Guess};
use crate::provider::Provider;
use crate::provider::settings::ParamKind;
use crate::signal::Assurance;
use crate::verify::proof::carrier_texts;
use crate::verify::scheme::{Proof, Scheme};

/// Most providers that are named.
const MAX_NAMED: usize = 3;
/// Most headers that a setting is tried with.
const MAX_HEADERS: usize = 40;

/// Tries what else the delivery may be signed with.
pub(super) fn guess(ground: &Ground<'_>) -> Vec<String> {
    let mut found = ground.first(other_schemes(ground));
    if found.is_empty() {
        found = ground.first(other_settings(ground));
    }
    if found.is_empty() {
        found = other_providers(ground);
    }
    found
}

fn other_schemes(ground: &Ground<'_>) -> Vec<Guess> {
    let provider = ground.verifier.provider();
    let current = &ground.scheme().name;
    // A signature that is wrong is no reason to make do with less.
    let least = match ground.tag_texts().is_empty() {
        true => Assurance::Token,
        false => ground.scheme().assurance(),
    };
    let proves = |name: &str| {
        let mut schemes = provider.schemes().iter();
        schemes.any(|one| {
            one.name == name && !matches!(one.proof, Proof::None) && one.assurance() >= least
        })
    };
    let pinned = ground.case.scheme;
    let names = provider.scheme_names().into_iter();
    let others = names.filter(|name| *name != current && pinned != Some(name) && proves(name));
    others
        .map(|name| {
            let told = format!(
                "this delivery verifies with the provider's scheme `{name}` and not with `{current}`: \
                 pin it with `scheme = \"{name}\"`, if that is what is set up at the provider's"
            );
            Guess::new(Change::Pinned(name.to_owned()), told)
        })
        .collect()
}

/// Settings that can be enumerated: choices, and the names of the headers that are there.
fn other_settings(ground: &Ground<'_>) -> Vec<Guess> {
    let case = ground.case;
    let mut guesses = Vec::new();
    for (name, rule) in &case.provider.params {
        let values: Vec<String> = match rule.kind {
            ParamKind::Choice => rule.choices.clone(),
            ParamKind::Header => {
                let names = case.delivery.headers.keys().take(MAX_HEADERS);
                names.map(|name| name.as_str().to_owned()).collect()
            }
            _ => continue,
        };
        for value in values {
            if case.params.get(name) == Some(&value) {
                continue;
            }
            let told = format!(
                "this delivery verifies if the setting `{name}` is `{value}`, which it is not now"
            );
            let mut params = case.params.clone();
            params.insert(name.clone(), value);
            guesses.push(Guess::new(Change::Params(params), told));
        }
    }
    guesses
}

/// Names the providers whose usual scheme the delivery verifies with, under the same secrets.
fn other_providers(ground: &Ground<'_>) -> Vec<String> {
    let Some(catalogue) = ground.case.catalogue else {
        return Vec::new();
    };
    let mut named = Vec::new();
    for provider in catalogue.iter() {
        if provider.name == ground.case.provider.name || needs_settings(provider) {
            continue;
        }
        let mut candidates: Vec<Option<String>> = Vec::new();
        for scheme in provider
            .schemes()
            .iter()
            .filter(|one| is_carried(ground, provider, one))
        {
            let pinned = Some(scheme.name.clone());
            if !candidates.contains(&pinned) {
                candidates.push(pinned);
            }
        }
        let fits = |scheme| ground.fits(&Change::Provider(provider.clone(), scheme));
        if candidates.into_iter().any(fits) {
            named.push(format!("`{}`", provider.name));
        }
        if named.len() == MAX_NAMED {
            break;
        }
    }
    match named.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "this delivery is signed as {} signs, with the same secret: another provider sent it, or \
             the wrong one is configured",
            named.join(" or ")
        )],
    }
}

fn needs_settings(provider: &Provider) -> bool {
    provider.params.values().any(|rule| rule.required)
}

/// Tells whether the delivery carries what a scheme could be verified by. Tokens tell no provider:
/// many look alike.
fn is_carried(ground: &Ground<'_>, provider: &Arc<Provider>, scheme: &Scheme) -> bool {
    let fields = crate::verify::fields::Fields::within(
        ground.case.delivery,
        provider.pointers(),
        &provider.documents,
    );
    let carrier = scheme.carrier();
    scheme.assurance() >= Assurance::Fields
        && scheme.keys.is_none()
        && !scheme.each
        && carrier.is_some_and(|carrier| carrier_texts(carrier, &fields).is_ok())
}
