//! The AMQP routing key of a signal, made from a template that is checked when it is loaded.
//!
//! Values come from outside: an event type is whatever a provider sent. So that no value can add a
//! level, a wildcard or an empty level, every variable is cut down to letters, digits, `_` and `-`;
//! only `{type}` keeps its dots, because event types are hierarchies of their own.

use sha2::{Digest, Sha256};

use crate::signal::Attributes;

/// The most bytes of a routing key: AMQP sends it as a short string.
pub const MAX_BYTES: usize = 255;

/// How many hex digits of its digest stand at the end of a key that had to be cut.
const DIGEST_DIGITS: usize = 16;

/// A compiled routing key template, such as `{tenant}.{provider}.{type}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingKey(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Tenant,
    Endpoint,
    Provider,
    Type,
}

impl RoutingKey {
    /// Reads a template of literal text and `{tenant}`, `{endpoint}`, `{provider}`, `{type}`.
    ///
    /// `{type}` is the event type without the provider's name at its beginning. The error says what
    /// is wrong with the template, for whoever wrote it.
    pub fn parse(template: &str) -> Result<Self, String> {
        let pieces = pieces(template)?;
        let shape: String = pieces.iter().map(Piece::shape).collect();
        if shape.split('.').any(str::is_empty) {
            return Err(format!(
                "`{template}` has an empty level: dots stand between words"
            ));
        }
        if shape.len() > MAX_BYTES {
            return Err(format!(
                "the text between variables is longer than {MAX_BYTES} bytes"
            ));
        }
        Ok(Self(pieces))
    }

    /// Makes the routing key of a signal: at most [`MAX_BYTES`] long, with no empty level and no
    /// wildcard. A longer one is cut and ends in a digest of the whole, so that it stays distinct.
    pub fn of(&self, attributes: &Attributes) -> String {
        let mut key = String::new();
        for piece in &self.0 {
            piece.write(attributes, &mut key);
        }
        if key.len() > MAX_BYTES {
            let digest = hex::encode(Sha256::digest(&key));
            key.truncate(MAX_BYTES - 1 - DIGEST_DIGITS);
            key.push('-');
            key.push_str(&digest[..DIGEST_DIGITS]);
        }
        key
    }
}

impl Default for RoutingKey {
    /// `{tenant}.{provider}.{type}`
    fn default() -> Self {
        let dot = || Piece::Literal(".".to_owned());
        Self(vec![
            Piece::Tenant,
            dot(),
            Piece::Provider,
            dot(),
            Piece::Type,
        ])
    }
}

impl Piece {
    fn variable(name: &str) -> Result<Self, String> {
        match name {
            "tenant" => Ok(Self::Tenant),
            "endpoint" => Ok(Self::Endpoint),
            "provider" => Ok(Self::Provider),
            "type" => Ok(Self::Type),
            other => Err(format!(
                "`{{{other}}}` is no variable; use {{tenant}}, {{endpoint}}, {{provider}}, {{type}}"
            )),
        }
    }

    fn literal(text: &str) -> Result<Self, String> {
        match text.chars().find(|&c| c != '.' && !is_plain(c)) {
            Some(c) => Err(format!(
                "`{c}` cannot stand in a routing key; use A-Z a-z 0-9 _ - ."
            )),
            None => Ok(Self::Literal(text.to_owned())),
        }
    }

    /// The shortest text that the piece can become.
    fn shape(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            _ => "_",
        }
    }

    fn write(&self, attributes: &Attributes, key: &mut String) {
        match self {
            Self::Literal(text) => key.push_str(text),
            Self::Tenant => push_level(&attributes.tenant, key),
            Self::Endpoint => push_level(&attributes.endpoint, key),
            Self::Provider => push_level(&attributes.provider, key),
            Self::Type => push_levels(own_type(attributes), key),
        }
    }
}

fn pieces(template: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, after) = after
            .split_once('}')
            .ok_or_else(|| format!("`{template}` has a `{{` without `}}`"))?;
        if !literal.is_empty() {
            pieces.push(Piece::literal(literal)?);
        }
        pieces.push(Piece::variable(name)?);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::literal(rest)?);
    }
    Ok(pieces)
}

/// The event type without the provider's name, which a signal's `type` begins with.
fn own_type(attributes: &Attributes) -> &str {
    let whole = attributes.event_type.as_str();
    whole
        .strip_prefix(&*attributes.provider)
        .and_then(|rest| rest.strip_prefix('.'))
        .unwrap_or(whole)
}

fn push_levels(value: &str, key: &mut String) {
    for (at, level) in value.split('.').enumerate() {
        if at > 0 {
            key.push('.');
        }
        push_level(level, key);
    }
}

fn push_level(value: &str, key: &mut String) {
    if value.is_empty() {
        key.push('_');
    }
    key.extend(value.chars().map(|c| if is_plain(c) { c } else { '_' }));
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attributes(tenant: &str, provider: &str, event_type: &str) -> Attributes {
        Attributes {
            event_type: event_type.to_owned(),
            tenant: tenant.into(),
            endpoint: "acme-stripe".into(),
            provider: provider.into(),
            received: crate::clock::Timestamp::UNIX_EPOCH,
            traceparent: String::new(),
        }
    }

    fn key(template: &str, event_type: &str) -> String {
        RoutingKey::parse(template)
            .unwrap()
            .of(&attributes("acme", "stripe", event_type))
    }

    #[test]
    fn the_default_key_names_the_provider_once() {
        let wanted = "acme.stripe.charge.succeeded";
        assert_eq!(
            key("{tenant}.{provider}.{type}", "stripe.charge.succeeded"),
            wanted
        );
        assert_eq!(
            RoutingKey::default(),
            RoutingKey::parse("{tenant}.{provider}.{type}").unwrap()
        );
    }

    #[test]
    fn a_template_may_hold_literal_levels_and_the_endpoint() {
        assert_eq!(
            key("hooks.{endpoint}-v1.{type}", "stripe.x"),
            "hooks.acme-stripe-v1.x"
        );
        assert_eq!(key("all", "stripe.x"), "all");
    }

    #[test]
    fn a_value_cannot_add_levels_or_wildcards() {
        let key = RoutingKey::default().of(&attributes("a.b#*", "st.ripe", "st.ripe.#.*.ä b"));
        assert_eq!(key, "a_b__.st_ripe._._.__b");
    }

    #[test]
    fn an_empty_value_or_level_becomes_an_underscore() {
        assert_eq!(
            RoutingKey::default().of(&attributes("", "p", "p..a.")),
            "_.p._.a._"
        );
        assert_eq!(key("{type}", ""), "_");
    }

    #[test]
    fn a_type_that_only_resembles_the_provider_keeps_its_name() {
        assert_eq!(key("{type}", "stripes.x"), "stripes.x");
        assert_eq!(key("{type}", "stripe"), "stripe");
    }

    #[test]
    fn a_key_that_is_too_long_is_cut_and_stays_distinct() {
        let long = |last: char| key("{type}", &format!("{}{last}", "x".repeat(400)));
        assert_eq!(long('a').len(), MAX_BYTES);
        assert_ne!(long('a'), long('b'));
        assert_eq!(long('a'), long('a'));
    }

    #[test]
    fn a_template_that_cannot_work_is_refused_with_its_reason() {
        for (template, reason) in [
            ("", "empty level"),
            ("a..{type}", "empty level"),
            (".{type}", "empty level"),
            ("{tenant}.", "empty level"),
            ("{tenent}.x", "{tenent}"),
            ("{tenant", "without `}`"),
            ("a#b", "`#`"),
            ("a.*", "`*`"),
            ("a}b", "`}`"),
            ("a b", "` `"),
        ] {
            let error = RoutingKey::parse(template).unwrap_err();
            assert!(error.contains(reason), "{template}: {error}");
        }
        assert!(
            RoutingKey::parse(&"x".repeat(256))
                .unwrap_err()
                .contains("255")
        );
    }

    proptest! {
        #[test]
        fn whatever_the_values_the_key_is_plain_words_between_dots(
            tenant in ".*", provider in ".*", event_type in ".{0,300}",
        ) {
            let key = RoutingKey::default().of(&attributes(&tenant, &provider, &event_type));
            prop_assert!(key.len() <= MAX_BYTES);
            prop_assert!(key.split('.').all(|level| !level.is_empty() && level.chars().all(is_plain)));
        }
    }
}
