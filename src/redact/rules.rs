//! What is to be taken out: the rules as an endpoint has them, and how they are compiled.

use secrecy::SecretString;

use super::action::{Action, Pseudonyms};
use super::detect::Detectors;
use super::names::{Names, normalise};
use super::path::{Effect, Path, Paths};
use super::profile::Profile;
use super::secrets::Needles;
use super::sweep::Values;
use super::tally::labelled;

/// How many keys, paths, rules and exemptions an endpoint may have, each.
pub const MAX_RULES: usize = 1000;

/// What to take out of an endpoint's events.
///
/// What decides about a value is, in this order: the endpoint's own secrets; the first of `rules`,
/// then of `paths` and `keys`, that names it; `keep`; then `sensitive` and what the profile says.
///
/// Names are compared normalised: ASCII letters in lower case, without `-`, `_`, `.` and space, so
/// that `AccessToken`, `access_token` and `access-token` are one name.
///
/// A path such as `/items/*/email` goes from the top: `*` is one level, key or index, `**` any number
/// of levels, none included, `~1` a slash and `~0` a tilde. A path without slash at its beginning is a
/// name at any depth. What is named goes as a whole, with everything in it.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Which names and forms of values are taken out by default.
    pub profile: Profile,
    /// Rules with an action, in the order in which they are tried.
    pub rules: Vec<Rule>,
    /// Names of members to take out, at any depth.
    pub keys: Vec<String>,
    /// Paths of values to take out.
    pub paths: Vec<String>,
    /// Paths of values that the provider's definition takes out by default.
    pub sensitive: Vec<String>,
    /// Paths and names that the profile and `sensitive` do not apply to. Nothing else is exempted by
    /// them: `rules`, `keys`, `paths` and `secrets` apply all the same.
    pub keep: Vec<String>,
    /// The endpoint's own verification secrets. A string, key or number that contains one is taken
    /// out, written plainly or in base64, hex or percent-encoding. A secret of less than 8 bytes
    /// only where it is the whole value, because it would be found in anything.
    pub secrets: Vec<SecretString>,
    /// The key of the tenant's pseudonyms, without which no rule may have [`Action::Hash`].
    pub pseudonym_key: Option<SecretString>,
}

/// One rule with its action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it applies to.
    pub what: Target,
    /// What is done with it.
    pub action: Action,
}

/// What a rule applies to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Members of a name, at any depth.
    Key(String),
    /// What stands at a path.
    Path(String),
    /// What a regular expression matches in the text of strings that no other rule names.
    Value(String),
}

impl Target {
    /// Returns the name of its kind, as configurations have it, and its text.
    pub fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Key(text) => ("key", text),
            Self::Path(text) => ("path", text),
            Self::Value(text) => ("value", text),
        }
    }
}

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A name, path or pattern is written wrongly.
    #[error("redaction rule `{rule}` {why}")]
    Malformed {
        /// The rule as written.
        rule: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is nothing to make pseudonyms with.
    #[error(
        "redaction rule `{rule}` makes pseudonyms, and its tenant has no key for them: set \
         `pseudonym_key` in the [[tenant]] section of the tenant"
    )]
    NoPseudonymKey {
        /// The rule as written.
        rule: String,
    },
    /// There are more than anyone needs.
    #[error("more than {MAX_RULES} redaction rules of a kind")]
    TooMany,
    /// The patterns are larger than anyone needs.
    #[error("the patterns of redaction rules take more than 10 MiB together")]
    PatternsTooLarge,
    /// A secret is empty, and so would be found everywhere.
    #[error("secret {index} is empty")]
    EmptySecret {
        /// Which, from 0.
        index: usize,
    },
}

impl RuleError {
    pub(super) fn malformed(rule: &str, why: impl Into<String>) -> Self {
        Self::Malformed {
            rule: rule.to_owned(),
            why: why.into(),
        }
    }
}

/// A rule, compiled. The one with the lowest is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleId(u16);

/// What is known of each rule, by its id.
#[derive(Default)]
pub(super) struct Rulebook {
    entries: Vec<(String, Action)>,
}

impl Rulebook {
    /// Adds a rule after all others.
    pub(super) fn add(
        &mut self,
        kind: &str,
        text: &str,
        action: Action,
    ) -> Result<RuleId, RuleError> {
        let id = u16::try_from(self.entries.len()).map_err(|_| RuleError::TooMany)?;
        self.entries.push((labelled(kind, text), action));
        Ok(RuleId(id))
    }

    /// Returns how a manifest names a rule.
    pub(super) fn label(&self, id: RuleId) -> &str {
        self.entries
            .get(usize::from(id.0))
            .map_or("", |(label, _)| label)
    }

    /// Returns what a rule does.
    pub(super) fn action(&self, id: RuleId) -> Action {
        self.entries
            .get(usize::from(id.0))
            .map_or(Action::Mask, |(_, action)| *action)
    }
}

/// The rules of an endpoint, sorted by how they are looked for.
pub(super) struct Compiled {
    pub(super) book: Rulebook,
    pub(super) names: Names,
    pub(super) paths: Paths,
    pub(super) values: Values,
    pub(super) detectors: Option<Detectors>,
    pub(super) secrets: Needles,
    pub(super) pseudonyms: Option<Pseudonyms>,
}

/// Checks the rules and compiles them.
pub(super) fn compile(rules: &Rules) -> Result<Compiled, RuleError> {
    let texts = [&rules.keys, &rules.paths, &rules.sensitive, &rules.keep];
    if texts.iter().any(|list| list.len() > MAX_RULES) || rules.rules.len() > MAX_RULES {
        return Err(RuleError::TooMany);
    }
    let mut compiler = Compiler::default();
    for rule in &rules.rules {
        check(rule, rules.pseudonym_key.is_some())?;
        match &rule.what {
            Target::Key(key) => compiler.key(key, rule.action)?,
            Target::Path(path) => compiler.path(path, rule.action)?,
            Target::Value(pattern) => compiler.value(pattern, rule.action)?,
        }
    }
    for path in &rules.paths {
        match path.starts_with('/') {
            true => compiler.path(path, Action::Mask)?,
            false => compiler.key(path, Action::Mask)?,
        }
    }
    for key in &rules.keys {
        compiler.key(key, Action::Mask)?;
    }
    for kept in &rules.keep {
        compiler.keep(kept)?;
    }
    compiler.defaults(rules)?;
    let detecting = rules.profile.detecting();
    Ok(Compiled {
        book: compiler.book,
        names: compiler.names,
        paths: compiler.paths,
        values: Values::new(compiler.values)?,
        detectors: detecting.map(Detectors::new),
        secrets: Needles::new(&rules.secrets)?,
        pseudonyms: rules.pseudonym_key.as_ref().and_then(Pseudonyms::new),
    })
}

/// Refuses an action that cannot be carried out.
fn check(rule: &Rule, has_key: bool) -> Result<(), RuleError> {
    let (_, text) = rule.what.parts();
    match (&rule.what, rule.action) {
        (_, Action::Hash) if !has_key => Err(RuleError::NoPseudonymKey {
            rule: text.to_owned(),
        }),
        (Target::Value(_), Action::Keep) => Err(RuleError::malformed(
            text,
            "is a pattern, which nothing can be kept by: name a key or a path",
        )),
        _ => Ok(()),
    }
}

/// Collects rules as they are compiled, each after those that come before it.
#[derive(Default)]
struct Compiler {
    book: Rulebook,
    names: Names,
    paths: Paths,
    values: Vec<(String, RuleId, Action)>,
}

impl Compiler {
    fn key(&mut self, key: &str, action: Action) -> Result<(), RuleError> {
        let (name, id) = (name(key)?, self.book.add("key", key, action)?);
        self.names.add(name, |named| {
            named.explicit.get_or_insert(id);
        });
        Ok(())
    }

    fn path(&mut self, path: &str, action: Action) -> Result<(), RuleError> {
        if !path.starts_with('/') {
            return Err(RuleError::malformed(
                path,
                "is no path: that begins with `/`",
            ));
        }
        let id = self.book.add("path", path, action)?;
        let effect = match action {
            Action::Keep => Effect::Exempt(id),
            _ => Effect::Act(id),
        };
        self.paths.add(Path::parse(path, effect)?);
        Ok(())
    }

    fn value(&mut self, pattern: &str, action: Action) -> Result<(), RuleError> {
        let id = self.book.add("value", pattern, action)?;
        self.values.push((pattern.to_owned(), id, action));
        Ok(())
    }

    fn keep(&mut self, kept: &str) -> Result<(), RuleError> {
        match kept.starts_with('/') {
            true => self.paths.add(Path::parse(kept, Effect::Keep)?),
            false => self.names.add(name(kept)?, |named| named.kept = true),
        }
        Ok(())
    }

    /// Adds what the provider and the profile say.
    fn defaults(&mut self, rules: &Rules) -> Result<(), RuleError> {
        if rules.profile == Profile::NONE {
            return Ok(());
        }
        for path in &rules.sensitive {
            if path.starts_with('/') {
                let id = self.book.add("path", path, Action::Mask)?;
                self.paths.add(Path::parse(path, Effect::Default(id))?);
            } else {
                self.default_name(path)?;
            }
        }
        for key in rules.profile.keys() {
            self.default_name(key)?;
        }
        for suffix in rules.profile.suffixes() {
            let id = self
                .book
                .add("key", &format!("*{}", suffix.0), Action::Mask)?;
            self.names.add_suffix(*suffix, id);
        }
        Ok(())
    }

    fn default_name(&mut self, key: &str) -> Result<(), RuleError> {
        let (name, id) = (name(key)?, self.book.add("key", key, Action::Mask)?);
        self.names.add(name, |named| {
            named.default.get_or_insert(id);
        });
        Ok(())
    }
}

fn name(rule: &str) -> Result<Box<[u8]>, RuleError> {
    if rule.contains('/') {
        return Err(RuleError::malformed(
            rule,
            "is a path, which begins with `/`",
        ));
    }
    let mut name = Vec::new();
    normalise(rule, &mut name);
    match name.is_empty() {
        true => Err(RuleError::malformed(rule, "names nothing")),
        false => Ok(name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact::names::{DEFAULT_KEYS, DEFAULT_SUFFIXES};

    /// Returns how the rule is named that takes a name out, and whether it is the endpoint's.
    fn named(rules: &Rules, key: &str) -> Option<(String, bool)> {
        let mut name = Vec::new();
        normalise(key, &mut name);
        let compiled = compile(rules).unwrap();
        if !compiled.names.may_name(key) {
            return None;
        }
        let named = compiled.names.named(&name);
        let id = named.explicit.or(named.default)?;
        Some((compiled.book.label(id).to_owned(), named.explicit.is_some()))
    }

    #[test]
    fn every_default_name_and_ending_is_found_in_the_singular_and_plural() {
        let defaults = Rules::default();
        for key in DEFAULT_KEYS {
            assert_eq!(named(&defaults, key), Some((format!("key:{key}"), false)));
        }
        for (ending, before) in DEFAULT_SUFFIXES {
            for word in before.iter().chain(before.is_empty().then_some(&"")) {
                for key in [
                    format!("{word}_{ending}"),
                    format!("my-{word}{ending}"),
                    format!("{word}{ending}s").to_uppercase(),
                ] {
                    let (rule, explicit) = named(&defaults, &key).unwrap();
                    assert!(rule.starts_with("key:") && !explicit, "{key}: {rule}");
                }
            }
        }
        for other in ["", "s", "id", "name", "monkey", "tokenised", "keys", "é"] {
            assert_eq!(named(&defaults, other), None, "{other}");
        }
    }

    #[test]
    fn a_name_of_any_length_can_be_a_rule() {
        for key in ["s", "x", "xs", "ss", "é", "ключ", "any_name"] {
            let rules = Rules {
                keys: vec![key.to_owned()],
                ..Rules::default()
            };
            assert_eq!(named(&rules, key), Some((format!("key:{key}"), true)));
        }
    }
}
