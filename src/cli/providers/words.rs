//! What a definition means, in words: the same for `providers show` and for the pages of the
//! documentation.

mod schemes;

use std::sync::Arc;

use crate::batch::BatchPath;
use crate::handshake::{Body, Handshake};
use crate::provider::Provider;
use crate::provider::definition::{IdNames, IdenticalContent};
use crate::provider::settings::{ParamKind, ParamRule, Value};
use crate::verify::scheme::Scheme;
use crate::verify::template::Template;

/// A part of what is to be said of a provider.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) heading: &'static str,
    pub(super) items: Vec<Item>,
}

/// One thing to be said.
#[derive(Debug)]
pub(super) enum Item {
    /// A sentence or two.
    Text(String),
    /// Something with a name, what follows the name, and what else is to be known of it.
    Entry(String, String, Vec<String>),
    /// One of several remarks.
    Point(String),
    /// The address of a page.
    Link(String),
}

/// Returns everything that is to be said of a provider.
pub(super) fn sections(one: &Arc<Provider>) -> Vec<Section> {
    let about = &one.about;
    let text = |text: String| vec![Item::Text(text)];
    let section = |heading, items| Section { heading, items };
    let taken = match one.sensitive.is_empty() {
        true => "nothing else".to_owned(),
        false => quoted(&one.sensitive).join(", "),
    };
    let all = vec![
        section("Secret", text(about.secret.clone())),
        section("Settings", one.params.iter().map(setting).collect()),
        section("Verified", schemes::schemes(one)),
        section(
            "What makes an event the same",
            text(Sameness::of(one).sentence().to_owned()),
        ),
        section("Where the event stands", document(one)),
        section("Batches", batches(one)),
        section(
            "Ownership checks",
            one.handshakes().iter().map(check).collect(),
        ),
        section("Answers", answers(one)),
        section("Retries", text(about.retries.clone())),
        section("Taken out by default, beside the default keys", text(taken)),
        section(
            "Look out for",
            about.notes.iter().cloned().map(Item::Point).collect(),
        ),
        section(
            "Documentation",
            about.docs.iter().cloned().map(Item::Link).collect(),
        ),
    ];
    all.into_iter()
        .filter(|section| !section.items.is_empty())
        .collect()
}

/// What makes an event the same, where there is no batch and no endpoint that overrides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sameness {
    /// Its id, which is signed.
    SignedId,
    /// Its id where the scheme signs it.
    IdWhereSigned,
    /// Its id, which is not signed, or the content, since retries change the body.
    UnsignedId,
    /// Its id, signed or not, since the same content is sent for several events.
    OnlyId,
    /// The digest of the content: an id names something that several events are about.
    DigestOfResource,
    /// The digest of the content: there is no id.
    DigestWithoutId,
    /// The digest of the content: the id is not signed.
    DigestBesideId,
    /// Nothing: every delivery is an event of its own.
    Nothing,
}

impl Sameness {
    /// Works out what a provider's events are told apart by.
    pub(super) fn of(one: &Provider) -> Self {
        let rules = &one.events;
        let signs_id = |scheme: &&Arc<Scheme>| {
            let covered = |template: &Template| template.covered_by(&scheme.coverage);
            rules.id.iter().any(covered)
        };
        let usual = usual(one);
        let signing = usual.iter().filter(|scheme| signs_id(scheme)).count();
        match (rules.identical_content, rules.id_names) {
            (IdenticalContent::Distinct, _) if rules.id.is_empty() => Self::Nothing,
            (IdenticalContent::Distinct, _) if signing == usual.len() => Self::SignedId,
            (IdenticalContent::Distinct, _) => Self::OnlyId,
            (_, IdNames::Resource) => Self::DigestOfResource,
            _ if rules.id.is_empty() => Self::DigestWithoutId,
            _ if signing == usual.len() => Self::SignedId,
            _ if rules.retries_change_body => Self::UnsignedId,
            _ if signing == 0 => Self::DigestBesideId,
            _ => Self::IdWhereSigned,
        }
    }

    /// Says it in one word.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::SignedId => "signed-id",
            Self::IdWhereSigned => "id-or-digest",
            Self::UnsignedId | Self::OnlyId => "unsigned-id",
            Self::DigestOfResource | Self::DigestWithoutId | Self::DigestBesideId => "digest",
            Self::Nothing => "nothing",
        }
    }

    fn sentence(self) -> &'static str {
        match self {
            Self::SignedId => {
                "its id, which is signed; the digest of the signed content where an event has none"
            }
            Self::IdWhereSigned => {
                "its id where the scheme signs it, else the digest of the signed content"
            }
            Self::UnsignedId => {
                "its id, which is not signed, or the digest of the signed content: either is enough, \
                 since the vendor's retries change the body"
            }
            Self::OnlyId => {
                "its id, which is not signed: whoever holds a captured delivery can have it admitted \
                 again under another id"
            }
            Self::DigestOfResource => "the digest of the signed content; the id names a resource",
            Self::DigestWithoutId => "the digest of the signed content; there is no id",
            Self::DigestBesideId => "the digest of the signed content; the id is not signed",
            Self::Nothing => {
                "nothing: each delivery is an event of its own, since the vendor sends the same \
                 content for several. A repeat is not recognised, neither a retry nor a replay"
            }
        }
    }
}

/// Returns the schemes that need not be asked for by name; all, where each must be.
pub(super) fn usual(one: &Provider) -> Vec<&Arc<Scheme>> {
    let usual: Vec<_> = one
        .schemes()
        .iter()
        .filter(|scheme| !scheme.opt_in)
        .collect();
    match usual.is_empty() {
        true => one.schemes().iter().collect(),
        false => usual,
    }
}

/// Says what a setting may be and what it is by itself, in a few words.
pub(super) fn setting_kind(rule: &ParamRule) -> String {
    match rule.kind {
        ParamKind::Text => "text".to_owned(),
        ParamKind::Template => "a template".to_owned(),
        ParamKind::Header => "the name of a header".to_owned(),
        ParamKind::List => "a list with commas".to_owned(),
        ParamKind::Choice => schemes::alternatives(&quoted(&rule.choices)),
        ParamKind::Secret => "a reference to a secret".to_owned(),
    }
}

/// Says what a setting is where an endpoint does not set it.
pub(super) fn setting_default(rule: &ParamRule) -> String {
    match (&rule.default, rule.required) {
        (_, true) => "required".to_owned(),
        (Some(value), _) => format!("`{}`", value_text(value)),
        (None, _) => match &rule.example {
            Some(example) => format!("not set, such as `{}`", value_text(example)),
            None => "not set".to_owned(),
        },
    }
}

/// Writes a value as an endpoint's `params` do.
pub(super) fn value_text(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::List(list) => list.join(","),
    }
}

fn setting((name, rule): (&String, &ParamRule)) -> Item {
    let default = match setting_default(rule) {
        default if default.starts_with('`') => format!("default {default}"),
        other => other,
    };
    let rest = format!(": {}; {default}", setting_kind(rule));
    Item::Entry(name.clone(), rest, vec![rule.about.clone()])
}

fn document(one: &Provider) -> Vec<Item> {
    if one.documents.is_empty() {
        return Vec::new();
    }
    let places: Vec<String> = one
        .documents
        .iter()
        .map(|place| schemes::pieces(one, place))
        .collect();
    let text = format!("in {}; else the body is the event", places.join(", or in "));
    vec![Item::Text(text)]
}

fn batches(one: &Provider) -> Vec<Item> {
    let rules = &one.events.batch;
    if rules.at.is_empty() {
        return Vec::new();
    }
    let paths = |all: &[BatchPath]| {
        let each = all.iter().map(|path| match path {
            BatchPath::Lines => "as JSON lines".to_owned(),
            path => format!("at `{path}`"),
        });
        each.collect::<Vec<_>>().join(" or ")
    };
    let within = match rules.within.is_empty() {
        true => String::new(),
        false => format!(", and in each of those {}", paths(&rules.within)),
    };
    let text = format!(
        "a delivery can hold several events, {}{within}: each becomes a signal of its own",
        paths(&rules.at)
    );
    vec![Item::Text(text)]
}

fn check(handshake: &Handshake) -> Item {
    let mut rest = format!(": answered {}", handshake.status.as_u16());
    match &handshake.body {
        Body::Echo(template) if template.makes_hmac() => rest.push_str(" with an HMAC"),
        Body::Echo(_) => rest.push_str(" with the caller's challenge"),
        Body::Json(json) if json.makes_hmac() => rest.push_str(" with an HMAC, in JSON"),
        Body::Json(_) => rest.push_str(" with JSON"),
        Body::Fixed(_) => {}
    }
    rest.push_str(". ");
    rest.push_str(&handshake.safe_because);
    let mut details = vec![match (handshake.setup, handshake.unsigned) {
        (true, _) => "answered only while the endpoint has `state = \"setup\"`".to_owned(),
        (false, true) => "answered before anything is verified".to_owned(),
        (false, false) => "answered only if it is authentic".to_owned(),
    }];
    if handshake.capture.is_some() {
        details
            .push("the secret that it brings is written to the endpoint's `setup_file`".to_owned());
    }
    if let Some(token) = &handshake.token {
        details.push(match &token.param {
            Some(param) => format!("the setting `{param}` must hold the token that it carries"),
            None => "it must carry the endpoint's own token".to_owned(),
        });
    }
    if handshake.confirm.is_some() {
        details.push("afterwards the address that it names is called, to confirm".to_owned());
    }
    Item::Entry(handshake.name.clone(), rest, details)
}

fn answers(one: &Provider) -> Vec<Item> {
    let answer = &one.answer;
    let limited = if answer.retries_429 { 429 } else { 503 };
    let mut items = vec![Item::Text(format!(
        "success {}; not authentic {}; over the rate {limited}",
        answer.success.as_u16(),
        answer.bad_signature.as_u16()
    ))];
    if !answer.body.is_empty() {
        let kind = answer.content_type.as_deref().unwrap_or("no media type");
        let text = format!(
            "a success has the body `{}` ({kind})",
            answer.body.trim_end()
        );
        items.push(Item::Text(text));
    }
    let methods: Vec<&str> = one.methods.iter().map(http::Method::as_str).collect();
    let text = format!(
        "{}; bodies up to {} bytes",
        methods.join(", "),
        one.max_body
    );
    items.push(Item::Text(text));
    items
}

fn quoted(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| format!("`{text}`")).collect()
}
