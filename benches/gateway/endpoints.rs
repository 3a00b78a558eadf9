//! Endpoints of other providers beside the one under load, and what it takes to read them all.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use hookgate::clock;
use hookgate::handshake::Phase;
use hookgate::provider::settings::{ParamKind, Value};
use hookgate::provider::{Binding, Catalogue, Provider};
use secrecy::SecretString;
use std::sync::Arc;

use crate::servers::configuration;

/// A few of the providers.
const FEW: [&str; 8] = [
    "discord",
    "github",
    "gitlab",
    "shopify",
    "slack",
    "standard-webhooks",
    "stripe",
    "twilio",
];

/// Secrets one of which is a key of any scheme.
const SECRETS: [&str; 6] = [
    "user:password",
    "b5f4344f729eedf5fce48fc53df51c0126d21a45c09b84b7f4bb279a9297eb32",
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "tfQ0T3Ke7fX85I/FPfUcASbSGkXAm4S39LsnmpKX6zI=",
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAwpb91cEYuyJNQepZAVfP\nZIlPZfNUefH+n6w9SW3fykqKu938cR7WadQv87oF2VuT+fDt7kqeRziTmPSUhqPU\nys/V2Q1rlfJuXbE+Gga37t7zwd0egQ+KyOEHQOpcTwKmtZ81ieGHynAQzsn1We3j\nwt760MsCPJ7GMT141ByQM+yW1Bx+4SG3IGjXWyqOWrcXsxAvIXkpUD/jK/L958Cg\nnZEgz0BSEh0QxYLITnW1lLokSx/dTianWPFEhMC9BgijempgNXHNfcVirg1lPSyg\nz7KqoKUN0oHqWLr2U1A+7kqrl6O2nx3CKs1bj1hToT1+p4kcMoHXA7kA+VBLUpEs\nVwIDAQAB\n-----END PUBLIC KEY-----",
];

/// Writes endpoints of a few providers.
pub(crate) fn of_few() -> anyhow::Result<String> {
    let catalogue = Catalogue::builtin()?;
    let each = FEW.into_iter().map(|name| {
        let provider = catalogue.get(name).context("no such provider")?;
        endpoint_of(provider)
    });
    each.collect()
}

/// Writes an endpoint of every provider.
pub(crate) fn of_every() -> anyhow::Result<String> {
    Catalogue::builtin()?.iter().map(endpoint_of).collect()
}

/// Writes an endpoint with the first secret that fits one of a provider's schemes.
fn endpoint_of(provider: &Arc<Provider>) -> anyhow::Result<String> {
    let (mut params, mut param_secrets) = (BTreeMap::new(), BTreeMap::new());
    for (name, rule) in provider.params.iter().filter(|(_, rule)| rule.required) {
        match (rule.kind, &rule.example) {
            (ParamKind::Secret, _) => {
                param_secrets.insert(name.clone(), SecretString::from("unused"));
            }
            (_, Some(Value::Text(text))) => drop(params.insert(name.clone(), text.clone())),
            (_, Some(Value::List(list))) => drop(params.insert(name.clone(), list.join(","))),
            (_, None) => {}
        }
    }
    let candidates = std::iter::once(&[][..]).chain(SECRETS.iter().map(std::slice::from_ref));
    for secrets in candidates {
        for scheme in provider.scheme_names() {
            let secrets: Vec<SecretString> = secrets.iter().map(|&text| text.into()).collect();
            let bound = provider.verifier(&Binding {
                scheme: Some(scheme),
                secrets: &secrets,
                params: &params,
                param_secrets: &param_secrets,
                tolerance: None,
                phase: Phase::Armed,
            });
            if bound.is_ok() {
                return Ok(write(provider, scheme, &secrets, &params, &param_secrets));
            }
        }
    }
    anyhow::bail!("no secret fits {}", provider.name)
}

fn write(
    provider: &Provider,
    scheme: &str,
    secrets: &[SecretString],
    params: &BTreeMap<String, String>,
    param_secrets: &BTreeMap<String, SecretString>,
) -> String {
    use secrecy::ExposeSecret;
    let name = &provider.name;
    let secrets: Vec<&str> = secrets.iter().map(ExposeSecret::expose_secret).collect();
    let hidden = param_secrets
        .iter()
        .map(|(name, secret)| (name, secret.expose_secret()));
    let shown = params.iter().map(|(name, text)| (name, text.as_str()));
    let params: Vec<String> = shown
        .chain(hidden)
        .map(|(name, text)| format!("{name} = {text:?}"))
        .collect();
    format!(
        "[[endpoint]]\nid = \"other-{name}\"\ntenant = \"acme\"\nprovider = \"{name}\"\n\
         scheme = \"{scheme}\"\nsecrets = {secrets:?}\nparams = {{ {} }}\n",
        params.join(", ")
    )
}

/// How long it takes to compile the catalogue, and then to read a configuration with an endpoint of
/// every provider, as at the start and in `hookgate check`; and how many providers there are.
pub(crate) fn reading() -> anyhow::Result<(Duration, Duration, usize)> {
    let began = clock::instant();
    let count = Catalogue::builtin()?.names().count();
    let catalogue = clock::instant().saturating_duration_since(began);
    let text = of_every()?;
    let began = clock::instant();
    configuration(&text)?;
    Ok((
        catalogue,
        clock::instant().saturating_duration_since(began),
        count,
    ))
}
