//! `hookgate verify`: one recorded delivery, verified offline and explained.

use std::collections::BTreeMap;
use std::io::Read;
use std::process::ExitCode;

use clap::Args;
use secrecy::SecretString;
use serde_json::json;

use super::paint::say;
use super::{Failure, provider, secrets};
use crate::clock::{self, Timestamp};
use crate::delivery::Delivery;
use crate::outcome::Rejected;
use crate::provider::vector::RecordedDelivery;
use crate::provider::{Binding, Catalogue, Provider};
use crate::signal;
use crate::verify::explain::{Case, explain};

/// Most bytes of a recorded delivery.
const MAX_INPUT: u64 = 64 << 20;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The provider whose signature it should carry
    #[arg(long, value_name = "NAME")]
    provider: String,
    /// A secret or public key: env:NAME, file:PATH or the text itself; may be repeated
    #[arg(long = "secret", value_name = "SECRET")]
    secrets: Vec<String>,
    /// The scheme to pin, where the provider has several
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    /// A further setting of the endpoint; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    params: Vec<(String, String)>,
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
    let catalogue = Catalogue::builtin()?;
    let provider = provider(&catalogue, &arguments.provider)?;
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
    let params: BTreeMap<String, String> = arguments.params.iter().cloned().collect();
    let scheme = arguments.scheme.as_deref();
    let case = Case {
        provider,
        scheme,
        secrets: &secrets,
        params: &params,
        delivery: &delivery,
        now,
    };
    decide(provider, &secrets, &case)
}

fn decide(
    provider: &std::sync::Arc<Provider>,
    secrets: &[SecretString],
    case: &Case<'_>,
) -> Result<ExitCode, Failure> {
    let binding = Binding {
        scheme: case.scheme,
        secrets,
        params: case.params,
        tolerance: None,
    };
    let verifier = provider
        .verifier(&binding)
        .map_err(|error| Failure::unusable(format!("{}: {error}", provider.about.title)))?;
    let identified = verifier
        .verify(case.delivery, case.now)
        .and_then(|verified| {
            let source = signal::source("-", "-");
            provider.events.identify(&verified, &source, None)
        });
    match identified {
        Ok(event) => {
            let verdict = json!({
                "verdict": "valid",
                "event_id": event.id,
                "event_type": event.event_type,
                "event_id_signed": event.id_signed,
            });
            say(&verdict.to_string());
            Ok(ExitCode::SUCCESS)
        }
        Err(rejected) => {
            say(&refusal(case, &rejected).to_string());
            Ok(ExitCode::FAILURE)
        }
    }
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
    let mut text = Vec::new();
    let read = if file == "-" {
        std::io::stdin().take(MAX_INPUT).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(MAX_INPUT).read_to_end(&mut text))
    };
    read.map_err(|error| unusable(error.to_string()))?;
    let recorded: RecordedDelivery = serde_json::from_slice(&text)
        .map_err(|error| unusable(format!("not a recorded delivery: {error}")))?;
    recorded.delivery().map_err(unusable)
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not of the form KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
