//! `[endpoint.redact]`: what is taken out of an endpoint's events, and what is left in.

use std::sync::Arc;

use secrecy::SecretString;

use super::endpoint::MAX_RULES;
use super::pattern::Pattern;
use super::problems::{quoted, with_causes};
use super::reader::Section;
use crate::provider::Provider;
use crate::redact::{Action, Profile, Redactor, Rule, Rules, Target};

/// What an endpoint adds to, and takes from, the redaction of its provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactRules {
    /// What is taken out by default. `secrets` unless set.
    pub profile: Profile,
    /// Rules with an action; the first that names a value decides about it.
    pub rules: Vec<Rule>,
    /// Names of members whose values are taken out wherever they stand.
    pub keys: Vec<String>,
    /// JSON Pointers whose values are taken out; `*` stands for any one member or element.
    pub paths: Vec<String>,
    /// Names or JSON Pointers that are left in although the provider or the profile names them.
    pub keep: Vec<String>,
}

impl RedactRules {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let rules = Self {
            profile: section
                .choice("profile", &Profile::WORDS)
                .unwrap_or_default(),
            rules: section
                .sections("rules", MAX_RULES)
                .into_iter()
                .filter_map(rule)
                .collect(),
            keys: section.parsed_list("keys", MAX_RULES, written),
            paths: section.parsed_list("paths", MAX_RULES, pointer),
            keep: section.parsed_list("keep", MAX_RULES, written),
        };
        section.finish();
        rules
    }

    /// Notes what is left in, for whoever answers for it.
    pub(super) fn announce(&self, id: Option<&str>, section: &Section<'_>) {
        let Some(id) = id else { return };
        let at = section.place_of("redact");
        if self.profile == Profile::NONE {
            let message = format!(
                "endpoint {id}: profile \"none\" takes out nothing but what its rules name and its \
                 own secrets"
            );
            section.report.notice(at, message);
        }
        let kept = self.rules.iter().filter(|rule| rule.action == Action::Keep);
        let kept = kept.map(|rule| (rule.what.parts().1, "every later rule"));
        let exempt = self.keep.iter();
        let exempt = exempt.map(|text| (text.as_str(), "what is taken out by default"));
        for (text, from) in kept.chain(exempt) {
            let message = format!("endpoint {id}: {} is exempt from {from}", quoted(text));
            section.report.notice(at, message);
        }
    }

    /// Compiles an endpoint's redaction; what cannot be used is reported.
    pub(super) fn compile(
        &self,
        section: &Section<'_>,
        provider: Option<&Arc<Provider>>,
        secrets: Option<&[SecretString]>,
        pseudonym_key: Option<&SecretString>,
    ) -> Option<Redactor> {
        let rules = Rules {
            profile: self.profile,
            rules: self.rules.clone(),
            keys: self.keys.clone(),
            paths: self.paths.clone(),
            sensitive: provider?.sensitive.clone(),
            keep: self.keep.clone(),
            secrets: secrets?.to_vec(),
            pseudonym_key: pseudonym_key.cloned(),
        };
        let report = |error| {
            let message = format!("`redact`: {}", with_causes(&error));
            section.report.problem(section.place_of("redact"), message);
        };
        Redactor::new(&rules).map_err(report).ok()
    }
}

/// Reads one of `rules`; `None` where a problem was reported.
fn rule(mut section: Section<'_>) -> Option<Rule> {
    let targets = [
        section.parsed("key", written).map(Target::Key),
        section.parsed("path", pointer).map(Target::Path),
        section.parsed("value", written).map(Target::Value),
    ];
    let written = ["key", "path", "value"]
        .iter()
        .filter(|key| section.has(key));
    if written.count() != 1 {
        let message = "a redaction rule names one of `key`, `path` and `value`, such as { key = \
                       \"email\", action = \"hash\" }";
        section.report.problem(section.at(), message);
    }
    let action = section.choice("action", &Action::WORDS);
    let action = match (action, section.has("action")) {
        (None, true) => None,
        (action, _) => Some(action.unwrap_or_default()),
    };
    section.finish();
    let mut targets = targets.into_iter().flatten();
    Some(Rule {
        what: targets.next()?,
        action: action?,
    })
}

fn written(text: &str) -> Result<String, String> {
    match text.is_empty() || text.len() > Pattern::MAX_LENGTH {
        true => Err(format!("must hold 1 to {} bytes", Pattern::MAX_LENGTH)),
        false => Ok(text.to_owned()),
    }
}

fn pointer(text: &str) -> Result<String, String> {
    match text.starts_with('/') {
        true => written(text),
        false => Err("must hold paths that start with `/`, such as \"/customer/*/email\"".into()),
    }
}
