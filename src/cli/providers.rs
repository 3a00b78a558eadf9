//! `hookgate providers`: the catalogue, listed, shown and tested.

mod list;
mod pages;
mod show;
mod words;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};

use super::paint::{Colour, paint, say};
use super::{Definitions, Failure, provider};
use crate::provider::Provider;
use crate::provider::vector::{Vector, VectorFile};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    definitions: Definitions,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lists the providers (the default)
    List {
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Shows how a provider signs, what is kept, and what to look out for
    Show {
        /// The provider's name
        #[arg(required_unless_present = "definition")]
        provider: Option<String>,
    },
    /// Runs the self-test vectors; exits 1 if one fails
    Test {
        /// The provider's name; all without one, and without --definition
        provider: Option<String>,
        /// A JSON file of vectors to run instead of the definition's own
        #[arg(long, value_name = "FILE")]
        vectors: Option<PathBuf>,
    },
    /// Writes a page of documentation for each provider, in Markdown
    Docs {
        /// The directory to write to
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let definitions = &arguments.definitions;
    match &arguments.command {
        None | Some(Command::List { json: false }) => list::table(&definitions.read()?.0),
        Some(Command::List { json: true }) => list::json(&definitions.read()?.0),
        Some(Command::Show { provider: name }) => {
            show::show(&definitions.provider(name.as_deref())?);
        }
        Some(Command::Test {
            provider: name,
            vectors,
        }) => {
            return test(definitions, name.as_deref(), vectors.as_ref());
        }
        Some(Command::Docs { to }) => {
            let written = pages::write(&definitions.read()?.0, to)?;
            say(&format!("{written} pages in {}", to.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn test(
    definitions: &Definitions,
    name: Option<&str>,
    file: Option<&PathBuf>,
) -> Result<ExitCode, Failure> {
    let (catalogue, own) = definitions.read()?;
    let chosen: Vec<&Arc<Provider>> = match (name, &own, file) {
        (Some(name), _, _) => vec![provider(&catalogue, name)?],
        (None, Some(own), _) => vec![own],
        (None, None, None) => catalogue.iter().collect(),
        (None, None, Some(_)) => {
            let why = "--vectors goes with the name of a provider, or with --definition";
            return Err(Failure::unusable(why));
        }
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
    let file = VectorFile::parse(&text).map_err(|error| unusable(error.to_string()))?;
    Ok(file
        .vectors
        .into_iter()
        .chain(file.handshake_vectors)
        .collect())
}
