//! `hookgate redact`: what would be kept of a body, and which rule takes out what.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::paint::{note, say};
use super::serve::load;
use super::{Definitions, Failure, read_whole};
use crate::config::Endpoint;
use crate::delivery::Delivery;
use crate::provider::vector::RecordedDelivery;
use crate::redact::{Data, DataKind, Profile, Redactor, Removal, Rules};
use crate::telemetry::explain;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The provider whose sensitive values are taken out
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    provider: Option<String>,
    #[command(flatten)]
    definitions: Definitions,
    /// What is taken out by default: secrets, secrets+payment, secrets+personal,
    /// secrets+payment+personal or none
    #[arg(long, value_name = "NAME", value_parser = profile, conflicts_with = "config")]
    profile: Option<Profile>,
    /// A configuration, whose endpoint's rules and secrets apply
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    config: Option<PathBuf>,
    /// The id of that endpoint
    #[arg(long, value_name = "ID", requires = "config")]
    endpoint: Option<String>,
    /// The media type of the body (default: as recorded, else application/json); the file is then
    /// taken for the body itself
    #[arg(long, value_name = "TYPE")]
    content_type: Option<String>,
    /// Prints one JSON object with the removals and the data, instead of the data alone
    #[arg(long)]
    report: bool,
    /// A body, or a delivery as JSON, {headers, body | body_base64}; `-` reads stdin
    file: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let unusable = |why: String| Failure::unusable(format!("{}: {why}", arguments.file));
    let written = read_whole(&arguments.file).map_err(unusable)?;
    let endpoint;
    let of_provider;
    let redactor = match (&arguments.config, &arguments.endpoint) {
        (Some(config), Some(id)) => {
            endpoint = find(config, id)?;
            &endpoint.redactor
        }
        _ => {
            of_provider = without_config(arguments)?;
            &of_provider
        }
    };
    let recorded = match arguments.content_type {
        None => recorded(&written).transpose().map_err(unusable)?,
        Some(_) => None,
    };
    let (media_type, body) = match &recorded {
        Some(delivery) => (delivery.content_type().into_owned(), &*delivery.body),
        None => {
            let given = arguments.content_type.as_deref();
            (given.unwrap_or("application/json").to_owned(), &*written)
        }
    };
    let mut kept = Vec::new();
    let explained = redactor.explain(&media_type, body, &mut kept);
    let (data, removals) = explained.map_err(|error| {
        let why = explain(&error);
        Failure::failed(format!(
            "{}: {why}; no signal would be made",
            arguments.file
        ))
    })?;
    let kept = String::from_utf8_lossy(&kept);
    match arguments.report {
        true => say(&report(&data, &removals, &kept)),
        false => {
            for Removal { path, rule, action } in &removals {
                note(&format!("{action}\t{path}\t{rule}"));
            }
            say(&kept);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Finds an endpoint of a configuration.
fn find(config: &Path, id: &str) -> Result<Arc<Endpoint>, Failure> {
    let endpoints = load(config)?.endpoints;
    let found = endpoints.into_iter().find(|endpoint| &*endpoint.id == id);
    found.ok_or_else(|| {
        Failure::unusable(format!("{}: there is no endpoint `{id}`", config.display()))
    })
}

/// Makes the redactor that an endpoint of the provider has without rules and secrets of its own.
fn without_config(arguments: &Arguments) -> Result<Redactor, Failure> {
    let named = arguments.provider.is_some() || arguments.definitions.definition.is_some();
    let sensitive = match named {
        true => {
            let name = arguments.provider.as_deref();
            arguments.definitions.provider(name)?.sensitive.clone()
        }
        false => Vec::new(),
    };
    let rules = Rules {
        profile: arguments.profile.unwrap_or_default(),
        sensitive,
        ..Rules::default()
    };
    Ok(Redactor::new(&rules)?)
}

/// Reads a delivery as it was recorded; nothing where the file is a body.
fn recorded(written: &[u8]) -> Option<Result<Delivery, String>> {
    let value: Value = serde_json::from_slice(written).ok()?;
    let is_text = |key| value.get(key).is_some_and(Value::is_string);
    let is_delivery = value.get("headers").is_some_and(Value::is_object)
        && (is_text("body") || is_text("body_base64"));
    if !is_delivery {
        return None;
    }
    let recorded: RecordedDelivery = serde_json::from_value(value).ok()?;
    Some(recorded.delivery())
}

/// Writes one JSON object. The data is put in as it is, so that its numbers stay to the letter.
fn report(data: &Data, removals: &[Removal], kept: &str) -> String {
    let removals: Vec<Value> = removals
        .iter()
        .map(|Removal { path, rule, action }| {
            json!({ "path": path, "rule": rule, "action": action.as_str() })
        })
        .collect();
    let head = json!({
        "redacted": data.redacted,
        "redactedby": data.manifest,
        "removals": removals,
    });
    let head = head.to_string();
    let head = head.trim_end_matches('}');
    match data.kind {
        DataKind::Json => format!(r#"{head},"data":{kept}}}"#),
        DataKind::Base64 => format!(r#"{head},"data_base64":"{kept}"}}"#),
    }
}

fn profile(text: &str) -> Result<Profile, String> {
    let found = Profile::WORDS.iter().find(|(word, _)| *word == text);
    found.map(|(_, profile)| *profile).ok_or_else(|| {
        let words = Profile::WORDS.map(|(word, _)| word);
        format!("must be one of {}", words.join(", "))
    })
}
