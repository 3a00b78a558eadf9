//! `[[endpoint]]`: the public paths, each bound to a tenant, a provider, its secrets and its policy.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;

use super::Secrets;
use super::limits::{Limits, Rate, max_body, rate};
use super::net::{network, path};
use super::pattern::Pattern;
use super::problems::{did_you_mean, quoted, with_causes};
use super::reader::{Section, Text};
use super::redact::RedactRules;
use super::server::MAX_NETWORKS;
use super::tenant::{Tenant, Tenants};
use super::units::show_size;
use crate::handshake::Phase;
use crate::provider::definition::IdenticalContent;
use crate::provider::settings::{Given, ParamKind};
use crate::provider::{BindError, Binding, Catalogue, Provider};
use crate::redact::Redactor;
use crate::signal::Assurance;
use crate::verify::Verifier;

/// Endpoints of one configuration: each is a label of many metrics.
pub const MAX_ENDPOINTS: usize = 10_000;

/// Secrets of one endpoint: every delivery is checked against all of them.
pub const MAX_SECRETS: usize = 16;

/// Patterns, parameters and redaction rules in one list.
pub(super) const MAX_RULES: usize = 256;

const TOLERANCE: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_hours(24 * 7);

/// One public path and its policy. `Debug` shows neither secrets nor what is made of them.
pub struct Endpoint {
    /// The endpoint's name, unique in the configuration.
    pub id: Arc<str>,
    /// Whose endpoint it is.
    pub tenant: Arc<str>,
    /// What all endpoints of that tenant share.
    pub shared: Tenant,
    /// The path it answers on, unique in the configuration. `/hooks/{id}` unless set.
    pub path: String,
    /// The provider that sends to it.
    pub provider: Arc<Provider>,
    /// The provider's checks, bound to this endpoint's secrets and settings.
    pub verifier: Verifier,
    /// The verification secrets, in order. Empty only where the provider needs none.
    pub secrets: Vec<SecretString>,
    /// What workers look up the tenant's credential by.
    pub credential_ref: Option<Arc<str>>,
    /// Event types that become signals; empty: all.
    pub events: Vec<Pattern>,
    /// Networks that callers must come from; empty: any.
    pub allow_ips: Vec<IpNet>,
    /// How many deliveries it takes; `None`: no limit of its own.
    pub rate: Option<Rate>,
    /// Bytes that a body may have.
    pub max_body: usize,
    /// Whether it takes deliveries. Active unless set.
    pub state: State,
    /// Where the secret is written that the provider tells while the endpoint is being set up.
    pub setup_file: Option<PathBuf>,
    /// Whether the same bytes are the same event; `None`: as the provider's definition says.
    pub identical_content: Option<IdenticalContent>,
    /// Whether its signals may wait in the spool while the ledger is away. They may unless set.
    pub spool: bool,
    /// What is taken out of its events, and what is left in, as written.
    pub redact: RedactRules,
    /// The same with the provider's sensitive paths and the endpoint's secrets, compiled.
    pub redactor: Redactor,
}

/// Whether an endpoint takes deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It does.
    Active,
    /// Not now: providers are to try again.
    Paused,
    /// Not any more: providers are to stop.
    Disabled,
    /// Not yet: only the ownership checks are answered with which the provider tells its secret.
    Setup,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("tenant", &self.tenant)
            .field("shared", &self.shared)
            .field("path", &self.path)
            .field("secrets", &self.secrets.len())
            .field("credential_ref", &self.credential_ref)
            .field("events", &self.events)
            .field("allow_ips", &self.allow_ips)
            .field("rate", &self.rate)
            .field("max_body", &self.max_body)
            .field("state", &self.state)
            .field("identical_content", &self.identical_content)
            .field("spool", &self.spool)
            .field("redact", &self.redact)
            .finish_non_exhaustive()
    }
}

/// Reads endpoints, one after the other, and knows which ids and paths are taken.
pub(super) struct Endpoints<'t> {
    pub(super) catalogue: &'t Catalogue,
    tenants: &'t Tenants,
    pub(super) secrets: &'t Secrets<'t>,
    pub(super) limits: Limits,
    pub(super) max_in_flight_bytes: usize,
    /// Where each id and each path is written first.
    ids: BTreeMap<String, usize>,
    paths: BTreeMap<String, usize>,
}

impl<'t> Endpoints<'t> {
    pub(super) fn new(
        catalogue: &'t Catalogue,
        tenants: &'t Tenants,
        secrets: &'t Secrets<'t>,
        limits: Limits,
        max_in_flight_bytes: usize,
    ) -> Self {
        let (ids, paths) = Default::default();
        Self {
            catalogue,
            tenants,
            secrets,
            limits,
            max_in_flight_bytes,
            ids,
            paths,
        }
    }

    /// Reads one endpoint; `None` where a problem was reported.
    pub(super) fn read(&mut self, mut section: Section<'t>) -> Option<Endpoint> {
        let states = [
            ("active", State::Active),
            ("paused", State::Paused),
            ("disabled", State::Disabled),
            ("setup", State::Setup),
        ];
        let sameness = [
            ("same", IdenticalContent::Same),
            ("distinct", IdenticalContent::Distinct),
        ];
        let id = self.id(&mut section);
        let path = self.path(&mut section, id);
        let tenant = section.required_text("tenant");
        let tenant = tenant.and_then(|text| section.parse_text("tenant", text, name));
        let shared = tenant.as_deref().map(|id| self.tenants.get(id));
        let provider = self.provider(&mut section);
        let state = section.choice("state", &states).unwrap_or(State::Active);
        let setup_file = self.setup_file(&mut section, state);
        let (secrets, verifier) = self.verifier(&mut section, provider, state).unzip();
        check_assurance(&mut section, verifier.as_ref());
        // With the endpoint's settings filled in.
        let provider = verifier
            .as_ref()
            .map(Verifier::provider)
            .or(provider)
            .cloned();
        let provider = provider.as_ref();
        let credential_ref = section.parsed("credential_ref", credential_ref);
        let events = section.narrowing_list("events", MAX_RULES, Pattern::parse);
        let allow_ips = section.narrowing_list("allow_ips", MAX_NETWORKS, network);
        let rate = rate(&mut section, ["rate", "burst"], self.limits.endpoint);
        let max_body = self.max_body(&mut section, provider);
        let identical_content = section.choice("identical_content", &sameness);
        let spool = section.boolean("spool").unwrap_or(true);
        let redact = RedactRules::read(section.section("redact"));
        redact.announce(id, &section);
        let key = shared
            .as_ref()
            .and_then(|tenant| tenant.pseudonym_key.as_ref());
        let known = verifier.as_ref().map(Verifier::param_secrets);
        let known = known.zip(secrets.as_ref());
        let known = known.map(|(params, secrets)| [&params[..], secrets].concat());
        let redactor = redact.compile(&section, provider, known.as_deref(), key);
        section.finish();
        Some(Endpoint {
            id: id?.into(),
            tenant: tenant?.into(),
            shared: shared.unwrap_or_default(),
            path: path?,
            provider: Arc::clone(provider?),
            verifier: verifier?,
            secrets: secrets?,
            credential_ref,
            events,
            allow_ips,
            rate,
            max_body,
            state,
            setup_file,
            identical_content,
            spool,
            redact,
            redactor: redactor?,
        })
    }

    /// Reads `id`; one that is taken is reported and no id.
    fn id(&mut self, section: &mut Section<'t>) -> Option<&'t str> {
        let text = section.required_text("id")?;
        section.parse_text("id", text, name)?;
        taken(&mut self.ids, "id", text.text, text.at, section)?;
        Some(text.text)
    }

    fn path(&mut self, section: &mut Section<'t>, id: Option<&str>) -> Option<String> {
        let (path, at) = match section.text("path") {
            Some(text) => (section.parse_text("path", text, path)?, text.at),
            None if section.has("path") => return None,
            None => (format!("/hooks/{}", id?), section.place_of("id")),
        };
        taken(&mut self.paths, "path", &path, at, section)?;
        Some(path)
    }

    fn provider(&self, section: &mut Section<'t>) -> Option<&'t Arc<Provider>> {
        let text = section.required_text("provider")?;
        let found = self.catalogue.get(text.text);
        if found.is_none() {
            let mut hint = did_you_mean(text.text, self.catalogue.names(), 3);
            if hint.is_empty() {
                hint = "; `hookgate providers` lists those there are".into();
            }
            let message = format!("there is no provider {}{hint}", quoted(text.text));
            section.report.problem(text.at, message);
        }
        found
    }

    /// Reads what the provider's checks need, and binds them.
    fn verifier(
        &self,
        section: &mut Section<'t>,
        provider: Option<&Arc<Provider>>,
        state: State,
    ) -> Option<(Vec<SecretString>, Verifier)> {
        let references = section.texts("secrets", MAX_SECRETS);
        let scheme = section.text("scheme");
        let params = section.text_table("params", MAX_RULES);
        let tolerance = section.duration("tolerance", TOLERANCE);
        if references.is_none() && section.has("secrets") {
            return None;
        }
        let references = references.unwrap_or_default();
        let found: Vec<Option<SecretString>> = references
            .iter()
            .map(|text| self.secrets.find("secrets", *text))
            .collect();
        // With a secret missing, binding would only report the same mistake again.
        let secrets: Vec<SecretString> = found.into_iter().collect::<Option<_>>()?;
        let provider = provider?;
        let (params, param_secrets) = self.params(provider, params)?;
        let binding = Binding {
            scheme: scheme.map(|text| text.text),
            secrets: &secrets,
            params: &params,
            param_secrets: &param_secrets,
            tolerance,
            phase: match state {
                State::Setup => Phase::Setup,
                _ => Phase::Armed,
            },
        };
        match provider.verifier(&binding) {
            Ok(verifier) => Some((secrets, verifier)),
            Err(error) => {
                cannot_bind(&error, &references, section);
                None
            }
        }
    }

    /// Reads `setup_file`, which goes with `state = "setup"`.
    fn setup_file(&self, section: &mut Section<'t>, state: State) -> Option<PathBuf> {
        let text = section.text("setup_file")?;
        if state != State::Setup {
            let message = "`setup_file` goes with state = \"setup\"".to_owned();
            section.report.problem(text.at, message);
        }
        Some(self.secrets.dir.join(text.text))
    }

    /// Tells the provider's secret settings from the others, and finds what they refer to.
    fn params(&self, provider: &Provider, written: BTreeMap<String, Text<'t>>) -> Option<Given> {
        let (mut params, mut secrets) = (BTreeMap::new(), BTreeMap::new());
        let mut missing = false;
        for (name, text) in written {
            let secret = provider
                .params
                .get(&name)
                .is_some_and(|rule| rule.kind == ParamKind::Secret);
            match secret {
                false => drop(params.insert(name, text.text.to_owned())),
                true => match self.secrets.find("params", text) {
                    Some(secret) => drop(secrets.insert(name, secret)),
                    None => missing = true,
                },
            }
        }
        (!missing).then_some((params, secrets))
    }

    fn max_body(&self, section: &mut Section<'t>, provider: Option<&Arc<Provider>>) -> usize {
        let set = max_body(section).or(self.limits.max_body);
        let max_body = set
            .or(provider.map(|provider| provider.max_body))
            .unwrap_or_default();
        if max_body > self.max_in_flight_bytes {
            let message = format!(
                "bodies of up to {} never fit server.max_in_flight_bytes = \"{}\"; raise that, or \
                 set `max_body` here",
                show_size(max_body),
                show_size(self.max_in_flight_bytes)
            );
            section
                .report
                .problem(section.place_of("max_body"), message);
        }
        max_body
    }
}

/// Reads the least assurance that the endpoint's deliveries must have, and reports where they may
/// have less.
fn check_assurance(section: &mut Section<'_>, verifier: Option<&Verifier>) {
    let words = [
        Assurance::Body,
        Assurance::Fields,
        Assurance::Token,
        Assurance::None,
    ];
    let words = words.map(|assurance| (assurance.as_str(), assurance));
    let wanted = section.choice("min_assurance", &words);
    let (Some(wanted), Some(verifier)) = (wanted, verifier) else {
        return;
    };
    let given = verifier.least_assurance();
    if given < wanted {
        let message = format!(
            "`min_assurance` is \"{}\", and {} gives \"{}\" as it is set here; `hookgate providers \
             show {}` says what each scheme covers",
            wanted.as_str(),
            verifier.provider().about.title,
            given.as_str(),
            verifier.provider().name,
        );
        section
            .report
            .problem(section.place_of("min_assurance"), message);
    }
}

/// Takes an id or a path, or reports where it is taken already.
pub(super) fn taken(
    known: &mut BTreeMap<String, usize>,
    key: &str,
    value: &str,
    at: usize,
    section: &Section<'_>,
) -> Option<()> {
    let Some(first) = known.insert(value.to_owned(), at) else {
        return Some(());
    };
    let first_place = section.report.place_name(first);
    known.insert(value.to_owned(), first);
    let message = format!(
        "`{key}` {} is already taken at {first_place}",
        quoted(value)
    );
    section.report.problem(at, message);
    None
}

/// Reports why a provider and an endpoint do not fit, at the value that is to be changed.
fn cannot_bind(error: &BindError, secrets: &[Text<'_>], section: &Section<'_>) {
    let (at, message) = match error {
        BindError::NoSecret => (
            section.place_of("secrets"),
            "`secrets` must hold at least one for this provider, such as secrets = [\"env:NAME\"]"
                .to_owned(),
        ),
        BindError::Secret { index, why } => {
            let at = secrets
                .get(*index)
                .map_or(section.place_of("secrets"), |text| text.at);
            (at, format!("`secrets` holds a value that {why}"))
        }
        BindError::MixedStrength(_) => (
            section.place_of("secrets"),
            format!("`secrets`: {}", with_causes(error)),
        ),
        BindError::NeedlessSecret => (
            section.place_of("secrets"),
            format!("`secrets`: {}", with_causes(error)),
        ),
        BindError::NoSuchScheme(_) | BindError::SchemeUnset(_) | BindError::NotPinned(_) => (
            section.place_of("scheme"),
            format!("`scheme`: {}", with_causes(error)),
        ),
        BindError::Param(_) => (
            section.place_of("params"),
            format!("`params`: {}", with_causes(error)),
        ),
    };
    section.report.problem(at, message);
}

/// Reads the name of an endpoint or a tenant, which is safe in paths, keys and labels.
pub(super) fn name(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let begins = text.bytes().next().is_some_and(plain);
    if begins
        && text.len() <= 63
        && text
            .bytes()
            .all(|byte| plain(byte) || b"-_".contains(&byte))
    {
        return Ok(text.to_owned());
    }
    Err("must be 1 to 63 of a-z, 0-9, `-` and `_`, beginning with a letter or a digit".into())
}

fn credential_ref(text: &str) -> Result<Arc<str>, String> {
    match (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(text.into()),
        false => Err("must be 1 to 128 visible ASCII characters".into()),
    }
}

#[cfg(test)]
mod tests {
    use toml::de::DeTable;

    use super::super::problems::Report;
    use super::*;

    /// Returns the problem that is reported when this endpoint cannot be bound.
    fn reported(error: BindError) -> String {
        let text = "secrets = ['env:A', 'env:B']\nscheme = 'x'\nparams = { a = 'b' }";
        let report = Report::new("f", text);
        let tree = DeTable::parse(text).unwrap();
        let mut section = Section::root(tree.get_ref(), &report);
        let secrets = section.texts("secrets", 2).unwrap();
        cannot_bind(&error, &secrets, &section);
        report.finish().unwrap_err().to_string()
    }

    #[test]
    fn a_provider_that_does_not_fit_is_reported_at_the_value_to_change() {
        let secret = reported(BindError::Secret {
            index: 1,
            why: "is not base64".into(),
        });
        assert_eq!(secret, "f:1:21: `secrets` holds a value that is not base64");
        let scheme = reported(BindError::NoSuchScheme("v1".into()));
        assert_eq!(scheme, "f:2:10: `scheme`: no such scheme; there are v1");
        let params = reported(BindError::Param("missing audience".into()));
        assert_eq!(params, "f:3:10: `params`: missing audience");
        // An index that is out of step must not take the reader down.
        assert!(
            reported(BindError::Secret {
                index: 9,
                why: "x".into()
            })
            .starts_with("f:1:11: ")
        );
    }

    #[test]
    fn a_name_is_safe_in_paths_keys_and_labels() {
        for text in ["a", "0-_", &"x".repeat(63)] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        for text in [
            "",
            "-a",
            "_a",
            "A",
            "a b",
            "ä",
            "a/b",
            "a{b}",
            &"x".repeat(64),
        ] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
