//! The command line: arguments, help, and exit codes.
//!
//! 0: done. 1: a negative answer, or it could not be done. 2: unusable input, such as a bad
//! configuration or bad arguments.

mod check;
mod demo;
mod keys;
mod paint;
mod providers;
mod redact;
mod send;
mod serve;
mod verify;

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

pub(crate) use paint::complain;

use crate::config::ProcessEnvironment;
use crate::config::secret::{self, Literals};
use crate::coredump;
use crate::provider::{Catalogue, Provider};
use crate::telemetry::{explain, panics};

/// The front door for webhooks: verifies, deduplicates, redacts, records and publishes them.
#[derive(Debug, Parser)]
#[command(name = "hookgate", version, about, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the gateway
    Serve(ConfigFile),
    /// Shows what the gateway does: sends it real signed, forged, repeated and replayed deliveries
    Demo(demo::Arguments),
    /// Checks a configuration, its secrets, the ledger and the broker; exits 0 only if it would serve
    Check(ConfigFile),
    /// Prints the public keys of published signals as a JWK Set, for workers
    Keys(ConfigFile),
    /// Verifies one recorded delivery offline, and explains why it fails
    Verify(verify::Arguments),
    /// Shows what would be kept of a body, and which rule takes out what
    Redact(redact::Arguments),
    /// Signs a sample event, or a file, as a provider would, and sends it
    Send(send::Arguments),
    /// Lists, shows and tests the catalogue of providers
    Providers(providers::Arguments),
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file (TOML; docs/CONFIGURATION.md lists its keys)
    #[arg(long, value_name = "FILE", default_value = "hookgate.toml")]
    config: PathBuf,
}

/// Most bytes that a command reads of a delivery or a body.
const MAX_INPUT: u64 = 64 << 20;

/// Reads a file whole, or standard input where it is `-`. The error says why it cannot be, and no more.
fn read_whole(file: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    // One byte more tells what is too large from what is just as large as may be.
    let read = match file {
        "-" => std::io::stdin().take(MAX_INPUT + 1).read_to_end(&mut bytes),
        file => std::fs::File::open(file)
            .and_then(|open| open.take(MAX_INPUT + 1).read_to_end(&mut bytes)),
    };
    match read {
        Ok(length) if length as u64 > MAX_INPUT => {
            Err(format!("is larger than {} MiB", MAX_INPUT >> 20))
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    }
}

/// Where definitions come from, beside those that are built in.
#[derive(Debug, Args)]
struct Definitions {
    /// A directory whose definitions add to the catalogue or override it
    #[arg(long, value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
    /// One more definition, by its file; without another name it is the provider that is meant
    #[arg(long, value_name = "FILE", global = true)]
    definition: Option<PathBuf>,
}

impl Definitions {
    /// Reads them all, and returns the one that stands in a file of its own beside the catalogue.
    fn read(&self) -> Result<(Catalogue, Option<Arc<Provider>>), Failure> {
        let unusable = |error| Failure::unusable(explain(&error));
        let mut catalogue = Catalogue::builtin()?;
        if let Some(directory) = &self.directory {
            catalogue.overlay(directory).map_err(unusable)?;
        }
        let own = self.definition.as_ref();
        let own = own.map(|file| catalogue.add_file(file)).transpose();
        Ok((catalogue, own.map_err(unusable)?))
    }

    /// Finds the provider of this name, or else the one of the definition's own file.
    fn provider(&self, name: Option<&str>) -> Result<Arc<Provider>, Failure> {
        match (self.read()?, name) {
            ((catalogue, _), Some(name)) => provider(&catalogue, name).cloned(),
            ((_, Some(own)), None) => Ok(own),
            ((_, None), None) => Err(Failure::unusable(
                "name a provider, or the file of a definition with --definition",
            )),
        }
    }
}

/// Runs the command that the arguments name, and returns the exit code.
pub fn main() -> ExitCode {
    panics::report_places_alone();
    if let Err(error) = coredump::forbid(std::env::var_os(coredump::VARIABLE).as_deref()) {
        paint::complain(&explain(&error));
        return ExitCode::from(2);
    }
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Serve(file) => serve::run(&file.config),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(file) => check::run(&file.config),
        Command::Keys(file) => keys::run(&file.config),
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Redact(arguments) => redact::run(&arguments),
        Command::Send(arguments) => send::run(&arguments),
        Command::Providers(arguments) => providers::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(Failure { code, message }) => {
            paint::complain(&message);
            ExitCode::from(code)
        }
    }
}

/// Why a command did not do what was asked, in words for the person who asked.
#[derive(Debug)]
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    /// What was asked cannot be understood (exit code 2).
    fn unusable(message: impl Into<String>) -> Self {
        Self {
            code: 2,
            message: message.into(),
        }
    }

    /// What was asked cannot be done (exit code 1).
    fn failed(message: impl Into<String>) -> Self {
        Self {
            code: 1,
            message: message.into(),
        }
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::failed(explain(&error))
    }
}

/// Finds a provider by name, suggesting the nearest ones.
fn provider<'c>(catalogue: &'c Catalogue, name: &str) -> Result<&'c Arc<Provider>, Failure> {
    catalogue.get(name).ok_or_else(|| {
        let mut near: Vec<(f64, &str)> = catalogue
            .names()
            .map(|known| (strsim::jaro_winkler(known, name), known))
            .filter(|(likeness, _)| *likeness > 0.8)
            .collect();
        near.sort_by(|one, other| other.0.total_cmp(&one.0));
        let best = near.first().map_or(0.0, |(likeness, _)| *likeness);
        near.retain(|(likeness, _)| *likeness > best - 0.03);
        let near: Vec<&str> = near.into_iter().map(|(_, known)| known).collect();
        let hint = if near.is_empty() {
            "`hookgate providers` lists them".to_owned()
        } else {
            format!("did you mean {}?", near.join(" or "))
        };
        Failure::unusable(format!("there is no provider `{name}`; {hint}"))
    })
}

/// Resolves secrets of offline commands, where a literal is allowed.
fn secrets(texts: &[String]) -> Result<Vec<SecretString>, Failure> {
    texts.iter().map(|text| secret_of(text)).collect()
}

fn secret_of(text: &str) -> Result<SecretString, Failure> {
    let here = std::path::Path::new("");
    secret::resolve(text, here, &ProcessEnvironment, Literals::Allowed)
        .map(|resolved| resolved.secret)
        .map_err(|error| Failure::unusable(format!("--secret {}", explain(&error))))
}

/// Starts the runtime of commands that need one.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
