//! The catalogue of providers: data files, compiled once into typed steps.
//!
//! Every file under `providers/` is built into the binary and checked at start-up; a directory
//! named in the configuration adds to them or overrides them. No vendor is named in this code.

mod binding;
mod compile;
pub mod definition;
mod fault;
pub mod settings;
pub mod vector;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{Method, StatusCode};
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

use crate::handshake::Handshake;
use crate::identify::EventRules;
use crate::signal::Assurance;
use crate::verify::fields::Pointers;
use crate::verify::scheme::Scheme;
use crate::verify::template::Template;
pub use binding::{BindError, Binding};
use definition::Definition;
use fault::Fault;
use settings::{ParamRule, Settings};
use vector::Vector;

/// The definitions that are compiled in: file name and text. Written by the build script.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/providers.rs"));
/// Most bytes of a definition file.
const MAX_DEFINITION: u64 = 1 << 20;

/// Every provider definition there is, by name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    providers: BTreeMap<String, Arc<Provider>>,
}

/// A definition that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// A file or directory cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The text is not a definition; the message shows the line.
    #[error("{file} is not a provider definition: {why}")]
    Malformed {
        /// The file's name.
        file: String,
        /// What is wrong, and where.
        why: String,
    },
    /// The definition is well-formed and makes no sense.
    #[error("{file}{}: {why}", line.map(|line| format!(":{line}")).unwrap_or_default())]
    Wrong {
        /// The file's name.
        file: String,
        /// The line, counted from 1, where it is about one.
        line: Option<usize>,
        /// What is wrong.
        why: String,
    },
}

impl Catalogue {
    /// Returns the definitions compiled into the binary.
    pub fn builtin() -> Result<Self, DefinitionError> {
        let mut catalogue = Self::default();
        for (file, text) in BUILTIN {
            catalogue.add(file, text)?;
        }
        Ok(catalogue)
    }

    /// Adds every `*.toml` of a directory; a definition of a known name replaces it.
    pub fn overlay(&mut self, directory: &Path) -> Result<(), DefinitionError> {
        let unreadable = |path: &Path| {
            let path = path.to_owned();
            move |source| DefinitionError::Unreadable { path, source }
        };
        let entries = std::fs::read_dir(directory).map_err(unreadable(directory))?;
        for entry in entries {
            let path = entry.map_err(unreadable(directory))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                self.add_file(&path)?;
            }
        }
        Ok(())
    }

    /// Adds the definition of one file, or replaces the one of its name, and returns it.
    pub fn add_file(&mut self, path: &Path) -> Result<Arc<Provider>, DefinitionError> {
        let unreadable = |source| DefinitionError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let size = path.metadata().map_err(unreadable)?.len();
        let file = path.display().to_string();
        if size > MAX_DEFINITION {
            return Err(DefinitionError::Wrong {
                file,
                line: None,
                why: format!("it is larger than {MAX_DEFINITION} bytes"),
            });
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        self.add(&file, &text)
    }

    fn add(&mut self, file: &str, text: &str) -> Result<Arc<Provider>, DefinitionError> {
        let provider = Arc::new(Provider::parse(file, text)?);
        let name = provider.name.to_string();
        self.providers.insert(name, provider.clone());
        Ok(provider)
    }

    /// Finds a provider.
    pub fn get(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// Returns the names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.providers.keys().map(String::as_str)
    }

    /// Returns the providers, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }
}

/// What a person should know of a provider.
#[derive(Clone, Debug)]
pub struct About {
    /// Its name as the vendor writes it.
    pub title: String,
    /// What kind of service it is.
    pub category: String,
    /// Pages of the vendor's documentation.
    pub docs: Vec<String>,
    /// Where an operator finds the secret.
    pub secret: String,
    /// How the vendor retries.
    pub retries: String,
    /// Pitfalls.
    pub notes: Vec<String>,
}

/// How deliveries are answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status of a success.
    pub success: StatusCode,
    /// Its body.
    pub body: String,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// The status of whatever is not authentic.
    pub bad_signature: StatusCode,
    /// Whether the vendor retries a 429; it gets 503 otherwise.
    pub retries_429: bool,
}

/// An event that `hookgate send` and the demo sign.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The method.
    pub method: String,
    /// The media type.
    pub content_type: String,
    /// Further headers.
    pub headers: BTreeMap<String, String>,
    /// The body. `$ID` and `$NOW` are filled in.
    pub body: String,
}

/// One provider, compiled.
#[derive(Debug)]
pub struct Provider {
    /// The name that endpoints refer to.
    pub name: Arc<str>,
    /// What a person should know.
    pub about: About,
    /// Bytes that a body may have unless the endpoint says otherwise.
    pub max_body: usize,
    /// The methods that it sends with.
    pub methods: Vec<Method>,
    /// How its deliveries are answered.
    pub answer: Answer,
    /// What an endpoint can set.
    pub params: BTreeMap<String, ParamRule>,
    /// Where the JSON document stands, if it is not the body; the first that is there.
    pub documents: Vec<Template>,
    /// Paths that the redactor takes out by default.
    pub sensitive: Vec<String>,
    /// How its events are named.
    pub events: EventRules,
    /// A sample event.
    pub sample: Sample,
    schemes: Vec<Arc<Scheme>>,
    handshakes: Vec<Handshake>,
    pointers: Pointers,
    vectors: Vec<Vector>,
    /// The names of all schemes as written, those included that settings leave out.
    declared: Vec<String>,
    /// The schemes that hang on a setting.
    conditional: Vec<Conditional>,
    /// The definition as it is written, where settings are to be filled in.
    source: Option<Source>,
}

/// A scheme that is there only where a setting is, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditional {
    /// The scheme's name; variants of the same name may hang on no setting.
    pub scheme: String,
    /// The setting, or `NAME=value`.
    pub setting: String,
    /// Whether the scheme is there where that is set, or where it is not.
    pub set: bool,
}

/// A definition that is compiled anew for every endpoint.
#[derive(Debug)]
struct Source {
    file: String,
    text: String,
}

impl Provider {
    /// Reads and compiles a definition. `file` is named in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, DefinitionError> {
        let outline = read_outline(file, text)?;
        let params = outline.params;
        let mut provider = Self::fill_in(file, text, &Settings::examples(&params))?;
        provider.declared = outline.declared;
        provider.conditional = outline.conditional;
        if !params.is_empty() {
            provider.source = Some(Source {
                file: file.to_owned(),
                text: text.to_owned(),
            });
        }
        Ok(provider)
    }

    /// Compiles a definition with settings filled in.
    fn fill_in(file: &str, text: &str, settings: &Settings) -> Result<Self, DefinitionError> {
        let mut table = parse_table(file, text)?;
        let wrong = |fault: Fault, table: Option<&DeTable<'_>>| DefinitionError::Wrong {
            file: file.to_owned(),
            line: fault.line(table, text),
            why: fault.why(),
        };
        settings
            .fill_in(table.get_mut())
            .map_err(|fault| wrong(fault, None))?;
        let definition = Definition::deserialize(toml::de::Deserializer::from(table));
        let definition = definition.map_err(|error| malformed(file, text, error))?;
        Self::compile(definition).map_err(|fault| {
            let filled = DeTable::parse(text).ok().and_then(|mut table| {
                settings.fill_in(table.get_mut()).ok()?;
                Some(table)
            });
            wrong(fault, filled.as_ref().map(Spanned::get_ref))
        })
    }

    /// Returns the names of the schemes, in order.
    pub fn scheme_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for scheme in &self.schemes {
            if !names.contains(&scheme.name.as_str()) {
                names.push(&scheme.name);
            }
        }
        names
    }

    /// Returns the definition's own vectors.
    pub fn vectors(&self) -> &[Vector] {
        &self.vectors
    }

    /// Returns the ways in which the provider signs.
    pub fn schemes(&self) -> &[Arc<Scheme>] {
        &self.schemes
    }

    /// Returns the schemes that hang on a setting.
    pub fn conditional(&self) -> &[Conditional] {
        &self.conditional
    }

    /// Returns the ownership checks that the provider makes.
    pub fn handshakes(&self) -> &[Handshake] {
        &self.handshakes
    }

    pub(crate) fn pointers(&self) -> &Pointers {
        &self.pointers
    }

    pub(crate) fn scheme_name(&self, place: usize) -> Option<&str> {
        self.declared.get(place).map(String::as_str)
    }

    pub(crate) fn has_scheme(&self, name: &str) -> bool {
        self.declared.iter().any(|known| known == name)
    }

    /// Tells whether one of the schemes signs the URL that the provider calls.
    pub fn signs_url(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme.coverage.url())
    }

    /// Returns the weakest assurance that one of the schemes gives which need not be asked for by
    /// name; where all of them must be, the strongest of those.
    pub fn assurance(&self) -> Assurance {
        let usual = self.schemes.iter().filter(|scheme| !scheme.opt_in);
        let strongest = || self.schemes.iter().map(|scheme| scheme.assurance()).max();
        let least = usual.map(|scheme| scheme.assurance()).min();
        least.or_else(strongest).unwrap_or(Assurance::None)
    }
}

/// What is read of a definition before it is compiled.
struct Outline {
    params: BTreeMap<String, ParamRule>,
    declared: Vec<String>,
    conditional: Vec<Conditional>,
}

/// Reads the settings of a definition, and of its schemes the names and what they hang on: the rest
/// may not make sense until the settings are filled in.
fn read_outline(file: &str, text: &str) -> Result<Outline, DefinitionError> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(default)]
        param: BTreeMap<String, ParamRule>,
        #[serde(default)]
        scheme: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
        if_set: Option<String>,
        if_unset: Option<String>,
    }
    let table = parse_table(file, text)?;
    let uses = settings::uses(table.get_ref());
    let outline = Raw::deserialize(toml::de::Deserializer::from(table.clone()));
    let outline = outline.map_err(|error| malformed(file, text, error))?;
    let fault = settings::check_rules(&outline.param, table.get_ref())
        .and_then(|()| settings::check_uses(&uses, &outline.param));
    fault.map_err(|fault| DefinitionError::Wrong {
        file: file.to_owned(),
        line: fault.line(Some(table.get_ref()), text),
        why: fault.why(),
    })?;
    let (mut names, mut conditional) = (Vec::new(), Vec::new());
    for scheme in outline.scheme {
        for (setting, set) in [(scheme.if_set, true), (scheme.if_unset, false)] {
            conditional.extend(setting.map(|setting| Conditional {
                scheme: scheme.name.clone(),
                setting,
                set,
            }));
        }
        if !names.contains(&scheme.name) {
            names.push(scheme.name);
        }
    }
    Ok(Outline {
        params: outline.param,
        declared: names,
        conditional,
    })
}

fn parse_table<'t>(file: &str, text: &'t str) -> Result<Spanned<DeTable<'t>>, DefinitionError> {
    DeTable::parse(text).map_err(|error| malformed(file, text, error))
}

fn malformed(file: &str, text: &str, mut error: toml::de::Error) -> DefinitionError {
    error.set_input(Some(text));
    DefinitionError::Malformed {
        file: file.to_owned(),
        why: error.to_string().trim_end().to_owned(),
    }
}
