//! The configuration: one TOML file, checked whole before anything is opened.
//!
//! Text and environment in, a [`Config`] or every problem at once out. What is written is read by
//! `config/reader.rs` and never kept; what comes out is trusted by everyone else. Decides nothing about a
//! delivery, and opens nothing but the file itself, the files with secrets and the directory with
//! provider definitions.

mod backend;
mod endpoint;
mod limits;
mod net;
mod pattern;
mod problems;
mod reader;
mod redact;
pub mod secret;
mod server;
pub mod snapshot;
mod tenant;
#[cfg(test)]
mod tests;
mod tls;
mod units;

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use toml::de::DeTable;

pub use crate::outbox::Ack;
pub use endpoint::{Endpoint, MAX_ENDPOINTS, MAX_SECRETS, State};
pub use limits::{MAX_BODY, Rate};
pub use net::PublicUrl;
pub use pattern::Pattern;
pub use problems::Problems;
pub use redact::RedactRules;
pub use secret::{Environment, ProcessEnvironment};
pub use server::{Log, LogFormat, Server};
pub use tenant::Tenant;
pub use tls::{Identity, TlsError, TlsFiles};

use crate::keys;
use crate::ledger::spool::SpoolSettings;
use crate::provider::Catalogue;
use crate::{ledger, publisher};
use backend::{Memory, Publishing};
use endpoint::Endpoints;
use limits::Limits;
use problems::{Report, with_causes};
use reader::{Section, Text};
use secret::Literals;
use tenant::{MAX_TENANTS, Tenants};

/// Bytes that the file may have.
pub const MAX_FILE_BYTES: usize = 8 << 20;

/// Mistakes in the TOML itself that are shown: the first ones often bring about the rest.
const MAX_SYNTAX_ERRORS: usize = 5;

/// A checked configuration. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sockets and their limits.
    pub server: Server,
    /// How the ledger is opened.
    pub ledger: ledger::Settings,
    /// Where deliveries are kept while the ledger is away; `None`: nowhere, they are refused.
    pub spool: Option<SpoolSettings>,
    /// How long a repeat of an event is recognised. 7 days unless set.
    pub dedupe_window: Duration,
    /// The same where no signed timestamp bounds a replay. 30 days unless set.
    pub replay_window: Duration,
    /// How the publisher is opened.
    pub publisher: publisher::Settings,
    /// When a delivery is answered. After the confirm unless set.
    pub ack: Ack,
    /// How long an answer waits for the confirm. 300 ms unless set.
    pub ack_wait: Duration,
    /// Signals that wait for their confirm at once; beyond, the relay publishes. 1024 unless set.
    pub publisher_max_in_flight: usize,
    /// How long a parked signal is left alone between two attempts; never tried if nothing.
    pub retry_parked: Option<Duration>,
    /// How the keys that providers publish are fetched.
    pub keys: keys::Settings,
    /// How many deliveries all endpoints of one tenant take together; `None`: no limit.
    pub tenant_rate: Option<Rate>,
    /// The endpoints, in the order of the file.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The directory whose definitions add to the catalogue or override it.
    pub providers_dir: Option<PathBuf>,
    /// What loads and is most likely a mistake, a line each, to be shown to the operator.
    pub warnings: Vec<String>,
    /// What the operator decided and may have to answer for, such as what redaction leaves in: a line
    /// each.
    pub notices: Vec<String>,
    files: Vec<PathBuf>,
}

/// Hosts whose addresses are given in `keys.resolve`.
const MAX_RESOLVED: usize = 256;

impl Config {
    /// Loads the file at `path`. Blocks on files. Relative paths in it start at its directory.
    pub fn load(path: &Path, env: &dyn Environment) -> Result<Self, Problems> {
        let name = path.display().to_string();
        let text = read_file(path).map_err(|why| Problems::of_file(&name, why))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        let mut config = Self::parse(&text, &name, dir, env)?;
        config.files.insert(0, path.to_owned());
        Ok(config)
    }

    /// Checks `text`, which messages call `name`. Relative paths in it start at `dir`.
    pub fn parse(
        text: &str,
        name: &str,
        dir: &Path,
        env: &dyn Environment,
    ) -> Result<Self, Problems> {
        let report = Report::new(name, text);
        let (tree, errors) = DeTable::parse_recoverable(text);
        for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
            let at = error.span().map_or(text.len(), |span| span.start);
            report.problem(at, format!("not valid TOML: {}", error.message()));
        }
        // What was not understood would be reported as missing: the syntax comes first.
        report.finish()?;
        let config = Self::read(tree.get_ref(), dir, env, &report);
        Ok(Self {
            warnings: report.finish()?,
            notices: report.notices(),
            ..config
        })
    }

    /// Returns the configuration file, where it came from one, and every file it took a secret from:
    /// when one of them changes, it is to be loaded again.
    pub fn watched_files(&self) -> &[PathBuf] {
        &self.files
    }

    /// Reads everything; what is wrong is reported and replaced by its default.
    fn read(tree: &DeTable<'_>, dir: &Path, env: &dyn Environment, report: &Report<'_>) -> Self {
        let mut root = Section::root(tree, report);
        let literals = match root.boolean("allow_inline_secrets") {
            Some(true) => Literals::Allowed,
            _ => Literals::Refused,
        };
        let secrets = Secrets {
            dir,
            env,
            literals,
            report,
            files: RefCell::default(),
        };
        let server = Server::read(root.section("server"));
        let memory = Memory::read(root.section("ledger"), &secrets);
        let publishing = Publishing::read(root.section("publisher"), &secrets);
        let limits = Limits::read(root.section("limits"));
        let keys = key_settings(root.section("keys"), dir);
        let (catalogue, providers_dir) = providers(root.section("providers"), dir);
        let tenants = Tenants::read(root.sections("tenant", MAX_TENANTS), &secrets);
        let written = root.sections("endpoint", MAX_ENDPOINTS);
        if written.is_empty() && !root.has("endpoint") {
            report.warning(
                0,
                "there is no [[endpoint]], so every delivery will be answered with 404",
            );
        }
        let mut endpoints = Endpoints::new(
            &catalogue,
            &tenants,
            &secrets,
            limits,
            server.max_in_flight_bytes,
        );
        let endpoints: Vec<_> = written
            .into_iter()
            .filter_map(|section| endpoints.read(section))
            .map(Arc::new)
            .collect();
        if let Some(endpoint) = endpoints
            .iter()
            .find(|one: &&Arc<Endpoint>| one.provider.signs_url())
            && server.public_url.is_none()
        {
            let (title, id) = (&endpoint.provider.about.title, &endpoint.id);
            report.warning(
                0,
                format!(
                    "{title} signs the URL it calls (endpoint {id}), and server.public_url does not \
                     say what that is: behind a proxy no signature will verify"
                ),
            );
        }
        tenants.report_unused(&endpoints, report);
        root.finish();
        Self {
            server,
            dedupe_window: memory.dedupe_window,
            replay_window: memory.replay_window,
            spool: memory.spool.clone(),
            ledger: memory.settings(publishing.lease),
            publisher: publishing.settings,
            ack: publishing.ack,
            ack_wait: publishing.ack_wait,
            publisher_max_in_flight: publishing.max_in_flight,
            retry_parked: publishing.retry_parked,
            keys,
            tenant_rate: limits.tenant,
            endpoints,
            providers_dir,
            warnings: Vec::new(),
            notices: Vec::new(),
            files: secrets.files.take(),
        }
    }
}

/// Reads `[keys]`: how the keys that providers publish are fetched.
fn key_settings(mut section: Section<'_>, dir: &Path) -> keys::Settings {
    let mut settings = keys::Settings::default();
    if let Some(text) = section.text("ca_file") {
        let pem = read_file(&dir.join(text.text));
        let read = pem.and_then(|pem| {
            keys::certificates(pem.as_bytes()).map_err(|error| with_causes(&error))
        });
        match read {
            Ok(certificates) => settings.extra_ca = certificates,
            Err(why) => section.report.problem(text.at, format!("`ca_file`: {why}")),
        }
    }
    settings.allow_private = section.boolean("allow_private").unwrap_or_default();
    for (host, text) in section.text_table("resolve", MAX_RESOLVED) {
        match text.text.parse() {
            Ok(address) => drop(settings.places.insert(host, vec![address])),
            Err(_) => section.report.problem(
                text.at,
                "`resolve` must name addresses such as \"10.0.0.7:443\"".to_owned(),
            ),
        }
    }
    section.finish();
    settings
}

/// Reads `[providers]` and the definitions it names.
fn providers(mut section: Section<'_>, dir: &Path) -> (Catalogue, Option<PathBuf>) {
    let mut catalogue = Catalogue::builtin().unwrap_or_else(|error| {
        section
            .report
            .problem(0, format!("a built-in provider: {}", with_causes(&error)));
        Catalogue::default()
    });
    let directory = section
        .text("directory")
        .map(|text| (dir.join(text.text), text.at));
    if let Some((path, at)) = &directory
        && let Err(error) = catalogue.overlay(path)
    {
        section
            .report
            .problem(*at, format!("`directory`: {}", with_causes(&error)));
    }
    section.finish();
    (catalogue, directory.map(|(path, _)| path))
}

/// Finds the secrets of one file, and remembers where they came from.
struct Secrets<'t> {
    dir: &'t Path,
    env: &'t dyn Environment,
    literals: Literals,
    report: &'t Report<'t>,
    files: RefCell<Vec<PathBuf>>,
}

impl Secrets<'_> {
    /// Finds what `text` refers to; `None` where a problem was reported.
    fn find(&self, key: &str, text: Text<'_>) -> Option<SecretString> {
        let found = secret::resolve(text.text, self.dir, self.env, self.literals);
        let found = found
            .map_err(|error| {
                self.report
                    .problem(text.at, format!("`{key}` {}", with_causes(&error)))
            })
            .ok()?;
        let mut files = self.files.borrow_mut();
        if let Some(file) = found.file
            && !files.contains(&file)
        {
            files.push(file);
        }
        if found.padded {
            let message = format!("`{key}` refers to a value that begins or ends with white space");
            self.report.warning(text.at, message);
        }
        Some(found.secret)
    }

    fn literals_allowed(&self) -> bool {
        self.literals == Literals::Allowed
    }
}

/// Reads a file of bounded size as text; the error is the reason alone.
fn read_file(path: &Path) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!(
            "is larger than {}",
            units::show_size(MAX_FILE_BYTES)
        ));
    }
    String::from_utf8(bytes).map_err(|error| {
        format!(
            "is not UTF-8 text (byte {})",
            error.utf8_error().valid_up_to()
        )
    })
}
