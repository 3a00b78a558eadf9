//! `hookgate verify`: one recorded delivery, verified offline and explained.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::paint::say;
use super::{Definitions, Failure, read_whole, secret_of, secrets};
use crate::clock::{self, Timestamp};
use crate::delivery::Delivery;
use crate::handshake::{self, Phase};
use crate::identify::Event;
use crate::outcome::Rejected;
use crate::provider::settings::{Given, ParamKind};
use crate::provider::vector::RecordedDelivery;
use crate::provider::{BindError, Binding, Provider};
use crate::signal;
use crate::verify::Verifier;
use crate::verify::explain::{Case, explain, explain_unusable};
use crate::verify::public_key::KeySet;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The provider whose signature it should carry
    #[arg(long, value_name = "NAME", required_unless_present = "definition")]
    provider: Option<String>,
    #[command(flatten)]
    definitions: Definitions,
    /// A secret or public key: env:NAME, file:PATH or the text itself; may be repeated
    #[arg(long = "secret", value_name = "SECRET")]
    secrets: Vec<String>,
    /// The scheme to pin, where the provider has several
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    /// A further setting of the endpoint; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    params: Vec<(String, String)>,
    /// The document of keys that the provider publishes, for schemes that fetch theirs: what its
    /// address returned
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The clock to assume, in seconds since 1970 (default: now)
    #[arg(long, value_name = "UNIX")]
    at: Option<i64>,
    /// The public URL that the provider called, where the recorded one is not it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The delivery as JSON, {method, url, headers, body | body_base64}; `-` reads stdin
    file: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let provider = &arguments
        .definitions
        .provider(arguments.provider.as_deref())?;
    let (catalogue, _) = arguments.definitions.read()?;
    let secrets = secrets(&arguments.secrets)?;
    let mut delivery = read(&arguments.file)?;
    if let Some(url) = &arguments.url {
        delivery.url.clone_from(url);
    }
    let now = match arguments.at {
        None => clock::now(),
        Some(at) => Timestamp::from_second(at)
            .map_err(|_| Failure::unusable("--at is beyond the times that can be told"))?,
    };
    let (params, param_secrets) = params(provider, &arguments.params)?;
    let scheme = arguments.scheme.as_deref();
    let binding = Binding {
        scheme,
        secrets: &secrets,
        params: &params,
        param_secrets: &param_secrets,
        tolerance: None,
        phase: Phase::Armed,
    };
    let bound = provider.verifier(&binding);
    let mut case = Case {
        provider,
        catalogue: Some(&catalogue),
        scheme,
        secrets: &secrets,
        params: &params,
        param_secrets: &param_secrets,
        tolerance: None,
        keys: None,
        delivery: &delivery,
        now,
    };
    let verifier = bound.map_err(|error| unusable(&case, &error))?;
    let keys = match &arguments.keys {
        None => None,
        Some(file) => published_keys(&verifier, &delivery, file, now)?,
    };
    case.keys = keys.as_ref();
    Ok(decide(&verifier, &case))
}

/// Says why the secrets cannot be used, and what would work.
fn unusable(case: &Case<'_>, error: &BindError) -> Failure {
    let mut told = vec![format!("{}: {error}", case.provider.about.title)];
    told.extend(explain_unusable(case, error));
    Failure::unusable(told.join("; "))
}

/// Tells secret settings, which may be references, from the others.
pub(super) fn params(provider: &Provider, written: &[(String, String)]) -> Result<Given, Failure> {
    let (mut params, mut param_secrets) = (BTreeMap::new(), BTreeMap::new());
    for (name, text) in written {
        let rule = provider.params.get(name);
        match rule.is_some_and(|rule| rule.kind == ParamKind::Secret) {
            true => drop(param_secrets.insert(name.clone(), secret_of(text)?)),
            false => drop(params.insert(name.clone(), text.clone())),
        }
    }
    Ok((params, param_secrets))
}

/// Reads the document that a delivery's keys would be fetched from.
fn published_keys(
    verifier: &Verifier,
    delivery: &Delivery,
    file: &Path,
    now: Timestamp,
) -> Result<Option<KeySet>, Failure> {
    let unusable = |why: String| Failure::unusable(format!("{}: {why}", file.display()));
    let document = std::fs::read(file).map_err(|error| unusable(error.to_string()))?;
    // What does not lead to an address is refused by the verification itself, with its reason.
    let Ok(Some(order)) = verifier.order_keys(delivery) else {
        return Ok(None);
    };
    let keys = order.reading.read(&document, now.as_second());
    keys.map(Some).map_err(unusable)
}

fn decide(verifier: &Verifier, case: &Case<'_>) -> ExitCode {
    match verdict(verifier, case) {
        Ok(verdict) => {
            say(&verdict.to_string());
            ExitCode::SUCCESS
        }
        Err(rejected) => {
            say(&refusal(case, &rejected).to_string());
            ExitCode::FAILURE
        }
    }
}

fn verdict(verifier: &Verifier, case: &Case<'_>) -> Result<serde_json::Value, Rejected> {
    if let Some(reply) = handshake::answer_unsigned(verifier, case.delivery, Phase::Armed)? {
        return Ok(json!({
            "verdict": "valid",
            "handshake": { "status": reply.status.as_u16(), "body": reply.body },
        }));
    }
    // Says why there is no address to fetch keys from, before it says that there are no keys.
    verifier.order_keys(case.delivery)?;
    let verified = verifier.verify(case.delivery, case.now, case.keys)?;
    let source = signal::source("-", "-");
    let rules = &verifier.provider().events;
    let events = rules.identify(&verified, &source, None, "")?;
    let show = |event: &Event| {
        json!({
            "event_id": event.id,
            "event_type": event.event_type,
            "event_id_signed": event.id_signed,
        })
    };
    let mut verdict = json!({ "verdict": "valid" });
    let first = events.first().map(show);
    if let (Some(verdict), Some(first)) = (
        verdict.as_object_mut(),
        first.as_ref().and_then(|first| first.as_object()),
    ) {
        verdict.extend(first.clone());
        verdict.insert("assurance".to_owned(), verified.assurance().as_str().into());
        if events.len() > 1 {
            verdict.insert("events".to_owned(), events.iter().map(show).collect());
        }
    }
    Ok(verdict)
}

fn refusal(case: &Case<'_>, rejected: &Rejected) -> serde_json::Value {
    json!({
        "verdict": "invalid",
        "reason": rejected.reason(),
        "explain": explain(case, rejected),
    })
}

fn read(file: &str) -> Result<Delivery, Failure> {
    let unusable = |why: String| Failure::unusable(format!("{file}: {why}"));
    let text = read_whole(file).map_err(unusable)?;
    let recorded: RecordedDelivery = serde_json::from_slice(&text)
        .map_err(|error| unusable(format!("not a recorded delivery: {error}")))?;
    recorded.delivery().map_err(unusable)
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not of the form KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
