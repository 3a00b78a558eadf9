//! What an endpoint can set of a provider: `[param.NAME]` of a definition, `params` of an endpoint.
//!
//! `${NAME}` in a definition stands for the value. It is filled in when an endpoint is bound, before
//! the definition is compiled, so that a setting costs nothing when a delivery arrives and nothing
//! that a definition says holds only at run time. Secret settings are never filled in: they are
//! compared, or sent to a key server, by name.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::HeaderName;
use secrecy::SecretString;
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::fault::{Fault, walk};

/// Most bytes of a value.
const MAX_VALUE: usize = 2048;
/// The table of the settings themselves, and what describes a definition: nothing is filled in there.
const UNTOUCHED: &[&str] = &[
    "param", "vector", "sample", "docs", "notes", "secret", "retries",
];

/// What widens what is accepted if a piece of it is left out: there every setting must have a value.
const STRICT: &[&str] = &[
    "claims",
    "claims_if_body",
    "equal",
    "require",
    "hosts",
    "subject",
    "post",
];

/// `[param.NAME]`: what an endpoint can set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParamRule {
    /// What it is, in a sentence.
    pub about: String,
    /// What it may be.
    #[serde(default)]
    pub kind: ParamKind,
    /// The values there are, for a choice.
    #[serde(default)]
    pub choices: Vec<String>,
    /// What it is unless an endpoint sets it.
    pub default: Option<Value>,
    /// Whether an endpoint must set it.
    #[serde(default)]
    pub required: bool,
    /// What it is where the provider is shown without an endpoint.
    pub example: Option<Value>,
}

/// What a setting may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParamKind {
    /// Text without braces.
    #[default]
    Text,
    /// A template with pieces in braces.
    Template,
    /// The name of a header.
    Header,
    /// Texts with commas between them.
    List,
    /// One of `choices`.
    Choice,
    /// A reference to a secret.
    Secret,
}

/// What an endpoint sets: texts by name, and secrets by name.
pub type Given = (BTreeMap<String, String>, BTreeMap<String, SecretString>);

/// The value of a setting.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A text.
    Text(String),
    /// Several.
    List(Vec<String>),
}

/// The settings of one endpoint, checked: the values to fill in, and the secrets.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, Value>,
    secrets: Vec<(String, SecretString)>,
}

impl Settings {
    /// Checks what an endpoint sets against what there is.
    pub fn check(
        rules: &BTreeMap<String, ParamRule>,
        set: &BTreeMap<String, String>,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<Self, String> {
        let all = set.keys().chain(secrets.keys());
        for name in all {
            if !rules.contains_key(name) {
                let known: Vec<&str> = rules.keys().map(String::as_str).collect();
                return Err(match known.is_empty() {
                    true => format!("takes no parameter `{name}`, nor any other"),
                    false => format!(
                        "takes no parameter `{name}`; there are {}",
                        known.join(", ")
                    ),
                });
            }
        }
        let mut settings = Self::default();
        for (name, rule) in rules {
            let value = match set.get(name) {
                Some(text) if rule.kind != ParamKind::Secret => {
                    let value = rule.read(text).map_err(|why| format!("`{name}` {why}"))?;
                    Some(value)
                }
                _ => rule.default.clone(),
            };
            if let Some(secret) = secrets.get(name) {
                settings.secrets.push((name.clone(), secret.clone()));
            } else if value.is_none() && rule.required {
                return Err(format!("needs the parameter `{name}`: {}", rule.about));
            }
            settings
                .values
                .extend(value.map(|value| (name.clone(), value)));
        }
        Ok(settings)
    }

    /// The values that a definition is shown with while no endpoint has set any.
    pub fn examples(rules: &BTreeMap<String, ParamRule>) -> Self {
        let value = |(name, rule): (&String, &ParamRule)| {
            let required = rule.example.as_ref().filter(|_| rule.required);
            let value = required.or(rule.default.as_ref())?;
            Some((name.clone(), value.clone()))
        };
        Self {
            values: rules.iter().filter_map(value).collect(),
            secrets: Vec::new(),
        }
    }

    /// Returns the secret settings by name.
    pub fn secrets(&self) -> &[(String, SecretString)] {
        &self.secrets
    }

    /// Fills the values in. The error says which setting a check cannot do without.
    ///
    /// What names a setting that has none is left out, with its key or as an
    /// element of its list; a table with `if_set = "NAME"` or `if_set = "NAME=value"` stays only
    /// where that holds, one with `if_unset` only where it does not.
    pub(super) fn fill_in(&self, definition: &mut DeTable<'_>) -> Result<(), Fault> {
        for name in names(definition) {
            if !UNTOUCHED.contains(&name.as_str()) {
                self.fill_member(definition, &name)?;
            }
        }
        Ok(())
    }

    /// Fills in a member of a table, or takes it out.
    fn fill_member(&self, table: &mut DeTable<'_>, name: &str) -> Result<(), Fault> {
        let offset = key_offset(table, name);
        let Some(value) = table.get_mut(name) else {
            return Ok(());
        };
        let value = value.get_mut();
        if STRICT.contains(&name)
            && let Some(unset) = self.unset(value)
        {
            let why =
                format!("`{name}` cannot do without the parameter `{unset}`, which is not set");
            return Err(Fault::at(offset, why));
        }
        if !self.fill_value(value)? {
            table.remove(name);
        }
        Ok(())
    }

    /// Returns a setting without a value that something in `value` names.
    fn unset(&self, value: &DeValue<'_>) -> Option<String> {
        match value {
            DeValue::String(text) => {
                let mut pieces = text.split("${").skip(1);
                let name = |piece: &str| piece.split('}').next().unwrap_or_default().to_owned();
                pieces.find_map(|piece| {
                    let name = name(piece);
                    (!self.values.contains_key(&name)).then_some(name)
                })
            }
            DeValue::Array(array) => array.iter().find_map(|one| self.unset(one.get_ref())),
            DeValue::Table(table) => table.iter().find_map(|(_, one)| self.unset(one.get_ref())),
            _ => None,
        }
    }

    /// Fills in one value; false where it is to be left out.
    fn fill_value<'d>(&self, value: &mut DeValue<'d>) -> Result<bool, Fault> {
        match value {
            DeValue::String(text) => match self.fill_text(text).map_err(Fault::of_all)? {
                Some(Cow::Owned(filled)) => {
                    *value = DeValue::String(Cow::Owned(filled));
                    Ok(true)
                }
                Some(Cow::Borrowed(_)) => Ok(true),
                None => Ok(false),
            },
            DeValue::Array(array) => self.fill_array(array).map(|()| true),
            DeValue::Table(table) => self.fill_table(table),
            _ => Ok(true),
        }
    }

    fn fill_array<'d>(&self, array: &mut DeArray<'d>) -> Result<(), Fault> {
        let old = std::mem::replace(array, std::iter::empty().collect());
        let mut filled: Vec<Spanned<DeValue<'d>>> = Vec::new();
        for mut element in old {
            let span = element.span();
            if let Some(list) = self.list_of(element.get_ref()) {
                let values = list.iter().map(|text| {
                    Spanned::new(span.clone(), DeValue::String(Cow::Owned(text.clone())))
                });
                filled.extend(values);
            } else if self.fill_value(element.get_mut())? {
                filled.push(element);
            }
        }
        *array = filled.into_iter().collect();
        Ok(())
    }

    /// Returns the texts that an element stands for which is exactly `${LIST}`.
    fn list_of(&self, element: &DeValue<'_>) -> Option<&[String]> {
        let DeValue::String(text) = element else {
            return None;
        };
        let name = text.strip_prefix("${")?.strip_suffix('}')?;
        match self.values.get(name)? {
            Value::List(list) => Some(list),
            Value::Text(_) => None,
        }
    }

    fn fill_table(&self, table: &mut DeTable<'_>) -> Result<bool, Fault> {
        for (key, wanted) in [("if_set", true), ("if_unset", false)] {
            let offset = key_offset(table, key);
            if let Some(condition) = table.remove(key) {
                let DeValue::String(condition) = condition.get_ref() else {
                    let why = format!("`{key}` must name a parameter");
                    return Err(Fault::at(offset, why));
                };
                if self.holds(condition) != wanted {
                    return Ok(false);
                }
            }
        }
        for name in names(table) {
            self.fill_member(table, &name)?;
        }
        Ok(true)
    }

    fn holds(&self, condition: &str) -> bool {
        match condition.split_once('=') {
            None => self.values.contains_key(condition) || self.has_secret(condition),
            Some((name, wanted)) => self.values.get(name) == Some(&Value::Text(wanted.to_owned())),
        }
    }

    fn has_secret(&self, name: &str) -> bool {
        self.secrets.iter().any(|(known, _)| known == name)
    }

    /// Fills in a text; nothing where it names a setting without a value. The error says which value
    /// would not be read as the name that it is.
    fn fill_text<'t>(&self, text: &'t str) -> Result<Option<Cow<'t, str>>, String> {
        if !text.contains("${") {
            return Ok(Some(Cow::Borrowed(text)));
        }
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Ok(None);
            };
            filled.push_str(before);
            let value = match self.values.get(name) {
                Some(Value::Text(value)) => Cow::Borrowed(value.as_str()),
                Some(Value::List(values)) => Cow::Owned(values.join(",")),
                None => return Ok(None),
            };
            // Within a piece these would begin a filter, or make it optional.
            let in_piece = filled.rfind('{') > filled.rfind('}');
            if in_piece && value.contains(['|', '?', '{', '}']) {
                return Err(format!(
                    "`{name}` names a piece and may not hold `|` or `?`"
                ));
            }
            filled.push_str(&value);
            rest = after;
        }
        filled.push_str(rest);
        Ok(Some(Cow::Owned(filled)))
    }
}

/// Returns where a key stands.
fn key_offset(table: &DeTable<'_>, name: &str) -> usize {
    let key = table.get_key_value(name).map(|(key, _)| key.span().start);
    key.unwrap_or_default()
}

fn names(table: &DeTable<'_>) -> Vec<String> {
    let each = table.iter().map(|(name, _)| name.get_ref().to_string());
    each.collect()
}

impl ParamRule {
    fn read(&self, text: &str) -> Result<Value, String> {
        if text.len() > MAX_VALUE {
            return Err(format!("is longer than {MAX_VALUE} bytes"));
        }
        let whole = || Value::Text(text.to_owned());
        match self.kind {
            ParamKind::Template => Ok(whole()),
            _ if text.contains(['{', '}']) => Err("may not hold `{` or `}`".to_owned()),
            ParamKind::Text | ParamKind::Secret => Ok(whole()),
            ParamKind::Header => match text.parse::<HeaderName>() {
                Ok(name) => Ok(Value::Text(name.as_str().to_owned())),
                Err(_) => Err("must be the name of a header".to_owned()),
            },
            ParamKind::Choice if self.choices.iter().any(|one| one == text) => Ok(whole()),
            ParamKind::Choice => Err(format!("must be one of {}", self.choices.join(", "))),
            ParamKind::List => {
                let each = text.split(',').map(str::trim).filter(|one| !one.is_empty());
                let list: Vec<String> = each.map(str::to_owned).collect();
                match list.is_empty() {
                    true => Err("must hold at least one value".to_owned()),
                    false => Ok(Value::List(list)),
                }
            }
        }
    }
}

/// Returns the settings that a definition uses, and where.
pub(super) fn uses(definition: &DeTable<'_>) -> Vec<(String, usize)> {
    let mut uses = Vec::new();
    let mut condition = false;
    for (key, value) in definition.iter() {
        if UNTOUCHED.contains(&key.get_ref().as_ref()) {
            continue;
        }
        walk(value, &mut |text, offset| {
            if condition {
                let name = text.split('=').next().unwrap_or(text);
                uses.push((name.to_owned(), offset));
            }
            condition = matches!(text, "if_set" | "if_unset");
            let names = text
                .split("${")
                .skip(1)
                .filter_map(|rest| rest.split_once('}'));
            uses.extend(names.map(|(name, _)| (name.to_owned(), offset)));
        });
    }
    uses
}

/// Checks that there is a setting of every name that is used: what names none would be left out of
/// the definition without a word.
pub(super) fn check_uses(
    uses: &[(String, usize)],
    rules: &BTreeMap<String, ParamRule>,
) -> Result<(), Fault> {
    match uses.iter().find(|(name, _)| !rules.contains_key(name)) {
        None => Ok(()),
        Some((name, offset)) => {
            let known: Vec<&str> = rules.keys().map(String::as_str).collect();
            let known = match known.is_empty() {
                true => "there are none".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            let why = format!("there is no [param.{name}]; {known}");
            Err(Fault::at(*offset, why))
        }
    }
}

/// Checks that what is known of each setting is enough to use it.
pub(super) fn check_rules(
    rules: &BTreeMap<String, ParamRule>,
    definition: &DeTable<'_>,
) -> Result<(), Fault> {
    for (name, rule) in rules {
        let why = match rule.kind {
            ParamKind::Choice if rule.choices.is_empty() => "a choice needs `choices`",
            ParamKind::Secret => continue,
            _ if rule.required && rule.example.is_none() => {
                "what is `required` needs an `example`, to be shown with"
            }
            _ => continue,
        };
        let offset = match definition.get("param").map(Spanned::get_ref) {
            Some(DeValue::Table(table)) => key_offset(table, name),
            _ => 0,
        };
        return Err(Fault::at(offset, format!("param.{name}: {why}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
