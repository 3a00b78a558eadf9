//! Binds a provider to an endpoint: its settings filled in, its schemes with the endpoint's keys.
//!
//! Done once, when a configuration is loaded. Nothing that binds can be verified with an empty
//! secret, and no caller can choose a weaker scheme than the endpoint's others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::Provider;
use super::settings::Settings;
use crate::handshake::Phase;
use crate::verify::{Bound, Verifier};

/// What an endpoint configures of a provider.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'a> {
    /// The scheme that the endpoint pins (`scheme = "…"`).
    pub scheme: Option<&'a str>,
    /// Its secrets in order; public keys too.
    pub secrets: &'a [SecretString],
    /// Further settings (`params`).
    pub params: &'a BTreeMap<String, String>,
    /// Those of them that are secrets.
    pub param_secrets: &'a BTreeMap<String, SecretString>,
    /// `tolerance`, where the endpoint overrides the definition's.
    pub tolerance: Option<Duration>,
    /// Whether the endpoint is being set up, and may have no secret yet.
    pub phase: Phase,
}

/// Why a provider cannot be bound to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// `scheme` names none of the provider's.
    #[error("no such scheme; there are {0}")]
    NoSuchScheme(String),
    /// `scheme` names one that a setting brings.
    #[error("scheme `{0}` needs a parameter that is not set; `hookgate providers show` lists them")]
    SchemeUnset(String),
    /// There is nothing to verify with.
    #[error("no secret is configured, so that nothing could be verified")]
    NoSecret,
    /// There is nothing that a secret could be for.
    #[error("this provider's keys are fetched, or there are none: no secret is needed")]
    NeedlessSecret,
    /// All schemes must be asked for by name.
    #[error(
        "nothing that this provider sends is proof enough to be used unasked; pin one of {0} with `scheme`"
    )]
    NotPinned(String),
    /// A secret cannot be a key of this provider.
    #[error("secret {} {why}", index + 1)]
    Secret {
        /// Which, counted from 0.
        index: usize,
        /// Why, without the secret.
        why: String,
    },
    /// The secrets belong to schemes of different strength.
    #[error(
        "these secrets belong to schemes of different strength ({0}); whoever sees the weaker one \
         could do without the stronger, so pin one with `scheme`"
    )]
    MixedStrength(String),
    /// A parameter is missing, unknown or wrong.
    #[error("{0}")]
    Param(String),
}

impl Provider {
    /// Binds the provider's schemes to an endpoint's settings and secrets.
    ///
    /// A secret belongs to the schemes that claim its prefix, or else to those that claim none. All
    /// schemes that are bound must be of one strength, so that no caller can choose a weaker one.
    pub fn verifier(self: &Arc<Self>, binding: &Binding<'_>) -> Result<Verifier, BindError> {
        let (provider, settings) = self.with_params(binding.params, binding.param_secrets)?;
        if binding.phase == Phase::Setup && binding.secrets.is_empty() {
            return Ok(Verifier::new(
                provider,
                Vec::new(),
                settings.secrets().to_vec(),
            ));
        }
        let mut schemes = provider.candidates(binding.scheme)?;
        let needs_secrets = schemes.iter().any(|bound| bound.scheme.needs_secrets());
        match (binding.secrets.is_empty(), needs_secrets) {
            (true, true) => return Err(BindError::NoSecret),
            (false, false) => return Err(BindError::NeedlessSecret),
            _ => {}
        }
        for (index, secret) in binding.secrets.iter().enumerate() {
            bind_secret(&mut schemes, index, secret)?;
        }
        schemes.retain(|bound| !bound.keys.is_empty() || !bound.scheme.needs_secrets());
        for bound in &mut schemes {
            let rule = bound.scheme.timestamp.as_ref();
            bound.tolerance = rule.and_then(|rule| binding.tolerance.or(rule.tolerance));
        }
        let Some(first) = schemes.first() else {
            let why = "fits no scheme".to_owned();
            return Err(BindError::Secret { index: 0, why });
        };
        // Variants of one scheme are told apart by what is signed, so a caller cannot choose.
        let strength = |name: &str| {
            let variants = schemes.iter().filter(|bound| bound.scheme.name == name);
            variants.map(|bound| bound.scheme.assurance()).min()
        };
        let wanted = strength(&first.scheme.name);
        if !schemes
            .iter()
            .all(|bound| strength(&bound.scheme.name) == wanted)
        {
            return Err(BindError::MixedStrength(strengths(&schemes)));
        }
        Ok(Verifier::new(
            provider,
            schemes,
            settings.secrets().to_vec(),
        ))
    }

    /// Returns the provider as it is where an endpoint sets this.
    pub fn with_settings(self: &Arc<Self>, settings: &Settings) -> Result<Arc<Self>, BindError> {
        let Some(source) = &self.source else {
            return Ok(self.clone());
        };
        let filled = Self::fill_in(&source.file, &source.text, settings);
        let mut filled = filled.map_err(|error| {
            let why = crate::telemetry::explain(&error);
            BindError::Param(format!(
                "{} cannot be set like this: {why}",
                self.about.title
            ))
        })?;
        filled.declared.clone_from(&self.declared);
        filled.conditional.clone_from(&self.conditional);
        Ok(Arc::new(filled))
    }

    /// Returns the provider as it is for an endpoint with these params, and the settings they make.
    pub fn with_params(
        self: &Arc<Self>,
        params: &BTreeMap<String, String>,
        param_secrets: &BTreeMap<String, SecretString>,
    ) -> Result<(Arc<Self>, Settings), BindError> {
        let title = &self.about.title;
        let settings = Settings::check(&self.params, params, param_secrets)
            .map_err(|why| BindError::Param(format!("{title} {why}")))?;
        Ok((self.with_settings(&settings)?, settings))
    }

    /// Returns the schemes that an endpoint can use: those of the name that it pins, or all that
    /// need not be asked for by name.
    fn candidates(&self, pinned: Option<&str>) -> Result<Vec<Bound>, BindError> {
        let wanted = self.schemes.iter().filter(|scheme| match pinned {
            Some(name) => scheme.name == name,
            None => !scheme.opt_in,
        });
        let bound: Vec<Bound> = wanted
            .map(|scheme| Bound {
                scheme: scheme.clone(),
                keys: Vec::new(),
                tolerance: None,
                pinned: pinned.is_some(),
            })
            .collect();
        if bound.is_empty() {
            let names = self.scheme_names().join(", ");
            return Err(match pinned {
                Some(name) if self.has_scheme(name) => BindError::SchemeUnset(name.to_owned()),
                Some(_) => BindError::NoSuchScheme(names),
                None => BindError::NotPinned(names),
            });
        }
        Ok(bound)
    }
}

/// Makes the keys of one secret, for the schemes that it belongs to.
fn bind_secret(
    schemes: &mut [Bound],
    index: usize,
    secret: &SecretString,
) -> Result<(), BindError> {
    let claimed = schemes
        .iter()
        .any(|bound| bound.scheme.claims(secret.expose_secret()));
    let mut taken = false;
    for bound in &mut *schemes {
        let takes = bound.pinned
            || bound.scheme.claims(secret.expose_secret())
            || (!claimed && bound.scheme.for_secrets.is_empty());
        if takes && bound.scheme.needs_secrets() {
            taken = true;
            let key = bound.scheme.key(secret, index).map_err(str::to_owned);
            let key = key.map_err(|why| BindError::Secret { index, why })?;
            bound.keys.push(key);
        }
    }
    match taken {
        true => Ok(()),
        false => {
            let why = format!("begins with none of {}", prefixes(schemes));
            Err(BindError::Secret { index, why })
        }
    }
}

fn prefixes(schemes: &[Bound]) -> String {
    let all = schemes.iter().flat_map(|bound| &bound.scheme.for_secrets);
    all.map(|prefix| format!("`{prefix}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn strengths(schemes: &[Bound]) -> String {
    let each = schemes.iter().map(|bound| {
        format!(
            "{}: {}",
            bound.scheme.name,
            bound.scheme.assurance().as_str()
        )
    });
    each.collect::<Vec<_>>().join(", ")
}
