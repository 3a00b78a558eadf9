//! `hookgate providers`: the catalogue, listed, shown and tested.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::paint::{Colour, paint, say};
use super::{Failure, provider};
use crate::provider::definition::{IdNames, IdenticalContent};
use crate::provider::vector::{Vector, VectorFile};
use crate::provider::{Catalogue, Provider};
use crate::signal::Assurance;
use crate::verify::scheme::{Proof, Scheme};
use crate::verify::template::Template;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A directory whose definitions add to the catalogue or override it
    #[arg(long, value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the providers (the default)
    List,
    /// Shows how a provider signs, what is kept, and what to look out for
    Show {
        /// The provider's name
        provider: String,
    },
    /// Runs the self-test vectors; exits 1 if one fails
    Test {
        /// The provider's name; all without one
        provider: Option<String>,
        /// A JSON file of vectors to run instead of the definition's own
        #[arg(long, value_name = "FILE", requires = "provider")]
        vectors: Option<PathBuf>,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let mut catalogue = Catalogue::builtin()?;
    if let Some(directory) = &arguments.directory {
        catalogue
            .overlay(directory)
            .map_err(|error| Failure::unusable(crate::telemetry::explain(&error)))?;
    }
    match &arguments.command {
        None | Some(Command::List) => list(&catalogue),
        Some(Command::Show { provider: name }) => show(provider(&catalogue, name)?),
        Some(Command::Test {
            provider: name,
            vectors,
        }) => {
            return test(&catalogue, name.as_deref(), vectors.as_ref());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn list(catalogue: &Catalogue) {
    let width = catalogue.names().map(str::len).max().unwrap_or_default();
    for one in catalogue.iter() {
        let schemes: Vec<&str> = one
            .schemes()
            .iter()
            .map(|scheme| scheme.name.as_str())
            .collect();
        say(&format!(
            "{:width$}  {:6}  {}  {}",
            one.name,
            one.least_assurance().as_str(),
            one.about.title,
            paint(Colour::Dim, &format!("[{}]", schemes.join(", "))),
        ));
    }
}

fn show(one: &Arc<Provider>) {
    let heading = |text: &str| say(&format!("\n{}", paint(Colour::Bold, text)));
    say(&format!(
        "{} ({}), {}",
        paint(Colour::Bold, &one.about.title),
        one.name,
        one.about.category
    ));
    heading("Secret");
    say(&format!("  {}", one.about.secret));
    heading("Verified");
    for scheme in one.schemes() {
        say(&format!("  {}: {}", scheme.name, describe(scheme)));
        say(&format!(
            "    assurance `{}`: {}",
            scheme.assurance().as_str(),
            believe(scheme)
        ));
    }
    heading("What makes an event the same");
    say(&format!("  {}", sameness(one)));
    if !one.handshakes().is_empty() {
        heading("Ownership checks");
        for handshake in one.handshakes() {
            let status = handshake.status.as_u16();
            say(&format!(
                "  {}: answered {status}. {}",
                handshake.name, handshake.safe_because
            ));
        }
    }
    heading("Answers");
    let limited = if one.retries_429 { 429 } else { 503 };
    say(&format!(
        "  success {}; over the rate {limited}",
        one.success.as_u16()
    ));
    say(&format!("  bodies up to {} bytes", one.max_body));
    heading("Retries");
    say(&format!("  {}", one.about.retries));
    heading("Taken out by default, beside the default keys");
    say(&format!(
        "  {}",
        if one.sensitive.is_empty() {
            "nothing".to_owned()
        } else {
            one.sensitive.join("  ")
        }
    ));
    heading("Look out for");
    for note in &one.about.notes {
        say(&format!("  - {note}"));
    }
    heading("Documentation");
    for page in &one.about.docs {
        say(&format!("  {page}"));
    }
}

fn describe(scheme: &Scheme) -> String {
    let how = match &scheme.proof {
        Proof::Hmac { hash, carrier, .. } => format!("HMAC {hash}, tag in {}", carrier.encoding),
        Proof::Ed25519 { carrier, .. } => format!("Ed25519, signature in {}", carrier.encoding),
        Proof::Token { .. } => "a shared token that travels with every delivery".to_owned(),
    };
    let window = scheme.timestamp.as_ref().and_then(|rule| rule.tolerance);
    match window {
        Some(window) => format!("{how}, signed at most {} s ago", window.as_secs()),
        None => format!("{how}, no window for its age"),
    }
}

fn believe(scheme: &Scheme) -> &'static str {
    match scheme.assurance() {
        Assurance::Body => "every byte of the body is covered",
        Assurance::Fields => {
            "only some parts are covered; fetch the rest again before acting on it"
        }
        Assurance::Token => "nothing binds the content; fetch it again before acting on it",
        Assurance::None => "nothing is proved; fetch everything again before acting on it",
    }
}

fn sameness(one: &Provider) -> &'static str {
    let rules = &one.events;
    let signs_id = |scheme: &Scheme| {
        let covered = |template: &Template| template.covered_by(&scheme.coverage);
        rules.id.iter().any(covered)
    };
    let signing = one
        .schemes()
        .iter()
        .filter(|scheme| signs_id(scheme))
        .count();
    match (rules.identical_content, rules.id_names) {
        (IdenticalContent::Distinct, _) => {
            "its id, which is not signed: whoever holds a captured delivery can have it admitted \
             again under another id"
        }
        (_, IdNames::Resource) => "the digest of the signed content; the id names a resource",
        _ if rules.id.is_empty() => "the digest of the signed content; there is no id",
        _ if signing == one.schemes().len() => {
            "its id, which is signed; the digest of the signed content where an event has none"
        }
        _ if rules.retries_change_body => {
            "its id, which is not signed: the vendor's retries change the body"
        }
        _ if signing == 0 => "the digest of the signed content; the id is not signed",
        _ => "its id where the scheme signs it, else the digest of the signed content",
    }
}

fn test(
    catalogue: &Catalogue,
    name: Option<&str>,
    file: Option<&PathBuf>,
) -> Result<ExitCode, Failure> {
    let chosen: Vec<&Arc<Provider>> = match name {
        Some(name) => vec![provider(catalogue, name)?],
        None => catalogue.iter().collect(),
    };
    let mut failed = false;
    for one in chosen {
        let vectors = match file {
            None => one.vectors().to_vec(),
            Some(path) => read(path)?,
        };
        if vectors.is_empty() {
            return Err(Failure::unusable("there is no vector to run"));
        }
        for vector in vectors {
            let line = format!("{}/{}: ", one.name, vector.name);
            match vector.run(one) {
                Ok(()) => say(&format!("{line}{}", paint(Colour::Green, "ok"))),
                Err(failure) => {
                    failed = true;
                    say(&format!("{line}{} {failure}", paint(Colour::Red, "FAIL")));
                }
            }
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn read(path: &PathBuf) -> Result<Vec<Vector>, Failure> {
    let unusable = |why: String| Failure::unusable(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let file: VectorFile =
        serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?;
    Ok(file
        .vectors
        .into_iter()
        .chain(file.handshake_vectors)
        .collect())
}
