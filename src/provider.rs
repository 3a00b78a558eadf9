//! The catalogue of providers: data files, compiled once into typed steps.
//!
//! Every file under `providers/` is built into the binary and checked at start-up; a directory
//! named in the configuration adds to them or overrides them. No vendor is named in this code.

mod compile;
pub mod definition;
pub mod vector;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use crate::handshake::Handshake;
use crate::identify::EventRules;
use crate::signal::Assurance;
use crate::verify::scheme::Scheme;
use crate::verify::template::Pointers;
use crate::verify::{Bound, Verifier};
use definition::Definition;
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
    #[error("{file}: {why}")]
    Wrong {
        /// The file's name.
        file: String,
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
                let size = path.metadata().map_err(unreadable(&path))?.len();
                let file = path.display().to_string();
                if size > MAX_DEFINITION {
                    let why = format!("it is larger than {MAX_DEFINITION} bytes");
                    return Err(DefinitionError::Wrong { file, why });
                }
                let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
                self.add(&file, &text)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, file: &str, text: &str) -> Result<(), DefinitionError> {
        let provider = Provider::parse(file, text)?;
        self.providers
            .insert(provider.name.to_string(), Arc::new(provider));
        Ok(())
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

/// An event that `hookgate send` and the demo sign.
#[derive(Clone, Debug)]
pub struct Sample {
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
    /// The status of a success.
    pub success: StatusCode,
    /// Whether it retries a 429; it gets 503 otherwise.
    pub retries_429: bool,
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
}

/// What an endpoint configures of a provider.
#[derive(Debug)]
pub struct Binding<'a> {
    /// The scheme that the endpoint pins (`scheme = "…"`).
    pub scheme: Option<&'a str>,
    /// Its secrets in order; public keys too.
    pub secrets: &'a [SecretString],
    /// Further settings (`params`).
    pub params: &'a BTreeMap<String, String>,
    /// `tolerance`, where the endpoint overrides the definition's.
    pub tolerance: Option<Duration>,
}

/// Why a provider cannot be bound to an endpoint.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// `scheme` names none of the provider's.
    #[error("no such scheme; there are {0}")]
    NoSuchScheme(String),
    /// There is nothing to verify with.
    #[error("no secret is configured, so that nothing could be verified")]
    NoSecret,
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
    /// Reads and compiles a definition. `file` is named in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, DefinitionError> {
        let definition: Definition =
            toml::from_str(text).map_err(|error| DefinitionError::Malformed {
                file: file.to_owned(),
                why: error.to_string().trim_end().to_owned(),
            })?;
        Self::compile(definition).map_err(|why| DefinitionError::Wrong {
            file: file.to_owned(),
            why,
        })
    }

    /// Binds the provider's schemes to an endpoint's secrets.
    ///
    /// A secret belongs to the schemes that claim its prefix, or else to those that claim none. All
    /// schemes that are bound must be of one strength, so that no caller can choose a weaker one.
    pub fn verifier(self: &Arc<Self>, binding: &Binding<'_>) -> Result<Verifier, BindError> {
        if let Some(name) = binding.params.keys().next() {
            let title = &self.about.title;
            return Err(BindError::Param(format!(
                "{title} takes no parameter `{name}`"
            )));
        }
        if binding.secrets.is_empty() {
            return Err(BindError::NoSecret);
        }
        let mut schemes = self.candidates(binding.scheme)?;
        for (index, secret) in binding.secrets.iter().enumerate() {
            let claimed = schemes
                .iter()
                .any(|bound| bound.scheme.claims(secret.expose_secret()));
            let mut taken = false;
            for bound in &mut schemes {
                let takes = bound.pinned
                    || bound.scheme.claims(secret.expose_secret())
                    || (!claimed && bound.scheme.for_secrets.is_empty());
                if takes {
                    taken = true;
                    let key = bound.scheme.key(secret).map_err(str::to_owned);
                    let key = key.map_err(|why| BindError::Secret { index, why })?;
                    bound.keys.push(key);
                }
            }
            if !taken {
                let why = format!("begins with none of {}", prefixes(&schemes));
                return Err(BindError::Secret { index, why });
            }
        }
        schemes.retain(|bound| !bound.keys.is_empty());
        for bound in &mut schemes {
            let rule = bound.scheme.timestamp.as_ref();
            bound.tolerance = rule.and_then(|rule| binding.tolerance.or(rule.tolerance));
        }
        match schemes.first() {
            None => Err(BindError::Secret {
                index: 0,
                why: "fits no scheme".to_owned(),
            }),
            Some(first) => {
                let strength = first.scheme.assurance();
                if schemes
                    .iter()
                    .any(|bound| bound.scheme.assurance() != strength)
                {
                    return Err(BindError::MixedStrength(strengths(&schemes)));
                }
                Ok(Verifier::new(self.clone(), schemes))
            }
        }
    }

    fn candidates(&self, pinned: Option<&str>) -> Result<Vec<Bound>, BindError> {
        let wanted = self
            .schemes
            .iter()
            .filter(|scheme| pinned.is_none_or(|name| scheme.name == name));
        let bound: Vec<Bound> = wanted
            .map(|scheme| Bound {
                scheme: scheme.clone(),
                keys: Vec::new(),
                tolerance: None,
                pinned: pinned.is_some(),
            })
            .collect();
        if bound.is_empty() {
            let names: Vec<&str> = self
                .schemes
                .iter()
                .map(|scheme| scheme.name.as_str())
                .collect();
            return Err(BindError::NoSuchScheme(names.join(", ")));
        }
        Ok(bound)
    }

    /// Returns the definition's own vectors.
    pub fn vectors(&self) -> &[Vector] {
        &self.vectors
    }

    /// Returns the ways in which the provider signs.
    pub fn schemes(&self) -> &[Arc<Scheme>] {
        &self.schemes
    }

    /// Returns the ownership checks that the provider makes.
    pub fn handshakes(&self) -> &[Handshake] {
        &self.handshakes
    }

    pub(crate) fn pointers(&self) -> &Pointers {
        &self.pointers
    }

    pub(crate) fn scheme_name(&self, place: usize) -> Option<&str> {
        self.schemes.get(place).map(|scheme| scheme.name.as_str())
    }

    pub(crate) fn has_scheme(&self, name: &str) -> bool {
        self.schemes.iter().any(|scheme| scheme.name == name)
    }

    /// Tells whether one of the schemes signs the URL that the provider calls.
    pub fn signs_url(&self) -> bool {
        self.schemes.iter().any(|scheme| scheme.coverage.url())
    }

    /// Returns the weakest assurance that one of the schemes gives.
    pub fn least_assurance(&self) -> Assurance {
        self.schemes
            .iter()
            .map(|scheme| scheme.assurance())
            .min()
            .unwrap_or(Assurance::None)
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
