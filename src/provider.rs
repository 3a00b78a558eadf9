//! The catalogue of providers: data files, compiled once into typed steps.
//!
//! Every file under `providers/` is built into the binary and checked at start-up; a directory
//! named in the configuration adds to them or overrides them. No vendor is named in this code.

pub mod definition;
pub mod vector;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SIGNATURE_LENGTH;
use http::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};

use crate::handshake::{Body, Handshake};
use crate::identify::{EventRules, TimeRule};
use crate::signal::Assurance;
use crate::verify::key::Derivation;
use crate::verify::scheme::{Carrier, Proof, Scheme, TimestampRule};
use crate::verify::tag::Layout;
use crate::verify::template::{Coverage, Pointers, Template};
use crate::verify::{Bound, Verifier};
use definition::{Definition, Kind, RawHandshake, RawSample, RawScheme};
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

    fn compile(definition: Definition) -> Result<Self, String> {
        let mut pointers = Pointers::default();
        if definition.vectors.is_empty() {
            return Err(
                "it carries no [[vector]]; at least one must show that it works".to_owned(),
            );
        }
        if let Some(vector) = definition.vectors.iter().find(|vector| !vector.expects()) {
            return Err(format!(
                "vector `{}` has neither `expect` nor `reply`",
                vector.name
            ));
        }
        let schemes = definition
            .schemes
            .into_iter()
            .map(|raw| {
                let name = raw.name.clone();
                compile_scheme(raw, &mut pointers)
                    .map(Arc::new)
                    .map_err(|why| format!("scheme `{name}`: {why}"))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if schemes.is_empty() {
            return Err("it has no [[scheme]]".to_owned());
        }
        let events = compile_events(definition.event, &mut pointers)?;
        let handshakes = definition
            .handshakes
            .into_iter()
            .map(|raw| compile_handshake(raw, &mut pointers))
            .collect::<Result<_, _>>()?;
        let method = |text: &String| {
            Method::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is no method"))
        };
        Ok(Self {
            name: definition.name.into(),
            about: About {
                title: definition.title,
                category: definition.category,
                docs: definition.docs,
                secret: definition.secret,
                retries: definition.retries,
                notes: definition.notes,
            },
            max_body: definition.max_body,
            methods: definition
                .methods
                .iter()
                .map(method)
                .collect::<Result<_, _>>()?,
            success: success_status(definition.answer.status)?,
            retries_429: definition.answer.retries_429,
            sensitive: definition.sensitive,
            events,
            sample: Sample::from(definition.sample),
            schemes,
            handshakes,
            pointers,
            vectors: definition.vectors,
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

impl From<RawSample> for Sample {
    fn from(raw: RawSample) -> Self {
        Self {
            content_type: raw.content_type,
            headers: raw.headers,
            body: raw.body,
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

fn success_status(status: u16) -> Result<StatusCode, String> {
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(StatusCode::is_success);
    status.ok_or_else(|| "answer.status is no 2xx".to_owned())
}

fn compile_scheme(raw: RawScheme, pointers: &mut Pointers) -> Result<Scheme, String> {
    let proof = compile_proof(&raw, pointers)?;
    let signed = Template::compile(raw.signed.as_deref().unwrap_or_default(), pointers)?;
    if matches!(raw.kind, Kind::Token) != raw.signed.is_none() {
        return Err("`signed` goes with every kind but `token`".to_owned());
    }
    let mut coverage = signed.coverage();
    let mut equal = Vec::new();
    for [left, right] in &raw.equal {
        let (left, right) = (
            Template::compile(left, pointers)?,
            Template::compile(right, pointers)?,
        );
        coverage.bind(&left, &right);
        equal.push((left, right));
    }
    let timestamp = match raw.timestamp {
        None => None,
        Some(rule) => Some(TimestampRule {
            from: Template::compile(&rule.from, pointers)?,
            unit: rule.unit,
            tolerance: rule.tolerance.map(Duration::from_secs),
        }),
    };
    require_signed(timestamp.as_ref(), &coverage)?;
    Ok(Scheme {
        name: raw.name,
        when: raw.when,
        for_secrets: raw.for_secrets,
        proof,
        signed,
        equal,
        timestamp,
        coverage,
        url_forms: raw.url_forms,
        allow_empty_body: raw.allow_empty_body,
    })
}

/// A tolerance over a time that anyone can change would be a lie.
fn require_signed(timestamp: Option<&TimestampRule>, coverage: &Coverage) -> Result<(), String> {
    match timestamp {
        Some(rule) if !rule.from.covered_by(coverage) => {
            Err("the timestamp is not part of what is signed".to_owned())
        }
        _ => Ok(()),
    }
}

fn compile_proof(raw: &RawScheme, pointers: &mut Pointers) -> Result<Proof, String> {
    let key = Derivation {
        strip: raw.key.strip.clone(),
        encoding: raw.key.encoding,
    };
    Ok(match raw.kind {
        Kind::Hmac => {
            let hash = raw.hash.ok_or("`hash` is missing")?;
            Proof::Hmac {
                hash,
                key,
                carrier: compile_carrier(raw, hash.length(), pointers)?,
            }
        }
        Kind::Ed25519 => Proof::Ed25519 {
            key,
            carrier: compile_carrier(raw, SIGNATURE_LENGTH, pointers)?,
        },
        Kind::Token => Proof::Token {
            value: Template::compile(raw.token.as_deref().ok_or("`token` is missing")?, pointers)?,
            prefix: raw.token_prefix.clone(),
        },
    })
}

fn compile_carrier(
    raw: &RawScheme,
    length: usize,
    pointers: &mut Pointers,
) -> Result<Carrier, String> {
    let tag = raw.tag.as_ref().ok_or("`tag` is missing")?;
    let layout = match &tag.pairs {
        None => Layout::Plain {
            prefix: tag.prefix.clone(),
        },
        Some(pairs) => Layout::Pairs {
            separator: pairs.separator,
            assign: pairs.assign,
            name: pairs.name.clone(),
        },
    };
    let from = Template::compile(&tag.from, pointers)?;
    Ok(Carrier {
        from,
        layout,
        encoding: tag.encoding,
        length,
    })
}

fn compile_events(
    raw: definition::RawEvent,
    pointers: &mut Pointers,
) -> Result<EventRules, String> {
    let mut each = |texts: &[String]| {
        texts
            .iter()
            .map(|text| Template::compile(text, pointers))
            .collect::<Result<Vec<_>, _>>()
    };
    let (id, event_type) = (each(&raw.id)?, each(&raw.event_type)?);
    let mut time = Vec::new();
    for rule in &raw.time {
        time.push(TimeRule {
            from: Template::compile(&rule.from, pointers)?,
            unit: rule.unit,
        });
    }
    Ok(EventRules {
        id,
        event_type,
        time,
        id_names: raw.id_names,
        retries_change_body: raw.retries_change_body,
        identical_content: raw.identical_content,
    })
}

fn compile_handshake(raw: RawHandshake, pointers: &mut Pointers) -> Result<Handshake, String> {
    let context = |why: String| format!("handshake `{}`: {why}", raw.name);
    let mut when = Vec::new();
    for (template, value) in &raw.when {
        when.push((
            Template::compile(template, pointers).map_err(context)?,
            value.clone(),
        ));
    }
    let absent = raw.absent.iter().map(|pointer| pointers.intern(pointer));
    let absent = absent.collect::<Result<_, _>>().map_err(context)?;
    let body = match &raw.echo {
        None => Body::Fixed(raw.body.clone()),
        Some(text) => Body::Echo(Template::compile(text, pointers).map_err(context)?),
    };
    Ok(Handshake {
        when,
        absent,
        status: success_status(raw.status).map_err(context)?,
        content_type: raw.content_type.clone(),
        body,
        safe_because: raw.safe_because.clone(),
        name: raw.name,
    })
}
