//! How a provider signs, in words.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Item, quoted, value_text};
use crate::provider::settings::{ParamKind, Settings};
use crate::provider::{Conditional, Provider};
use crate::signal::Assurance;
use crate::verify::public_key::Algorithm;
use crate::verify::scheme::{Carrier, Place, Proof, Scheme, When};
use crate::verify::template::{Source, Template};

/// One way of proving a delivery, in words.
#[derive(Debug, PartialEq, Eq)]
struct Way {
    name: String,
    how: String,
    details: Vec<String>,
}

/// Returns every scheme there is, those included that hang on a setting which has no value yet.
pub(super) fn schemes(one: &Arc<Provider>) -> Vec<Item> {
    let mut forms: Vec<(Arc<Provider>, Option<&str>)> = vec![(one.clone(), None)];
    for setting in settings_of(one.conditional()) {
        let set = set_by_example(one, setting);
        forms.extend(set.map(|set| (set, Some(setting))));
    }
    let mut ways: Vec<(Way, Option<&str>)> = Vec::new();
    let mut kept = Vec::new();
    for (form, setting) in &forms {
        let hangs = |scheme: &&Arc<Scheme>| match setting {
            None => true,
            Some(setting) => one
                .conditional()
                .iter()
                .any(|one| one.set && one.setting == *setting && one.scheme == scheme.name),
        };
        for scheme in form.schemes().iter().filter(hangs) {
            let way = way(form, scheme);
            // Variants can come out alike, and a setting can leave one as it is.
            match ways.iter().position(|(known, _)| *known == way) {
                Some(at) => kept.extend(setting.map(|_| at)),
                None => ways.push((way, *setting)),
            }
        }
    }
    let items = ways.into_iter().enumerate().map(|(at, (way, setting))| {
        let unless = unless(one, &way.name).filter(|_| !kept.contains(&at));
        let condition = match (setting, unless) {
            (Some(setting), _) => format!(", where `{setting}` is set"),
            (None, Some(setting)) => format!(", unless `{setting}` is set"),
            (None, None) => String::new(),
        };
        Item::Entry(way.name, format!("{condition}: {}", way.how), way.details)
    });
    items.collect()
}

/// Returns the setting that takes all schemes of a name away.
fn unless<'p>(one: &'p Provider, name: &str) -> Option<&'p str> {
    let hangs = |one: &&Conditional| one.scheme == name && !one.set;
    let mut hanging = one.conditional().iter().filter(hangs);
    let first = hanging.next()?;
    let all = one.schemes().iter().filter(|scheme| scheme.name == name);
    (1 + hanging.count() == all.count()).then_some(&*first.setting)
}

/// Returns the settings that schemes hang on, once each.
fn settings_of(conditional: &[Conditional]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for one in conditional.iter().filter(|one| one.set) {
        if !names.contains(&one.setting.as_str()) {
            names.push(&one.setting);
        }
    }
    names
}

/// Returns the provider as it is where an endpoint sets this: with it whatever has an example, or
/// else everything that can be set.
fn set_by_example(one: &Arc<Provider>, setting: &str) -> Option<Arc<Provider>> {
    let with = |all: bool| {
        let settings = settings_for(one, setting, all)?;
        one.with_settings(&settings).ok()
    };
    with(false).or_else(|| with(true))
}

fn settings_for(one: &Arc<Provider>, setting: &str, all: bool) -> Option<Settings> {
    let (wanted, value) = setting.split_once('=').unwrap_or((setting, ""));
    let mut values = BTreeMap::new();
    let mut secrets = BTreeMap::new();
    for (name, rule) in &one.params {
        let example = rule.example.as_ref().map(value_text);
        let invented = || match rule.kind {
            ParamKind::Choice => rule.choices.first().cloned().unwrap_or_default(),
            _ => name.to_uppercase(),
        };
        let text = match (name == wanted, value) {
            (true, "") => Some(example.unwrap_or_else(invented)),
            (true, value) => Some(value.to_owned()),
            (false, _) if all && rule.default.is_none() => Some(example.unwrap_or_else(invented)),
            (false, _) => example,
        };
        match rule.kind {
            ParamKind::Secret => drop(secrets.insert(name.clone(), "example".into())),
            _ => values.extend(text.map(|text| (name.clone(), text))),
        }
    }
    Settings::check(&one.params, &values, &secrets).ok()
}

fn way(one: &Provider, scheme: &Scheme) -> Way {
    let mut details = vec![format!(
        "assurance `{}`: {}",
        scheme.assurance().as_str(),
        believe(one, scheme)
    )];
    if let Some(when) = deliveries(one, &scheme.when) {
        details.push(format!("for deliveries {when}"));
    }
    if scheme.opt_in {
        details.push(format!(
            "only where the endpoint asks for it by name: `scheme = \"{}\"`",
            scheme.name
        ));
    }
    if scheme.each {
        details.push("every event of a batch carries a proof of its own".to_owned());
    }
    Way {
        name: scheme.name.clone(),
        how: describe(one, scheme),
        details,
    }
}

/// Says which deliveries a condition is for.
fn deliveries(one: &Provider, when: &When) -> Option<String> {
    let mut all = Vec::new();
    all.extend(when.method.as_ref().map(|method| format!("by {method}")));
    all.extend(
        when.header
            .as_ref()
            .map(|name| format!("with header `{name}`")),
    );
    all.extend(
        when.query
            .as_ref()
            .map(|name| format!("with query parameter `{name}`")),
    );
    for (template, texts) in &when.equals {
        let texts = alternatives(&quoted(texts));
        all.push(format!("where {} is {texts}", pieces(one, template)));
    }
    all.extend(
        when.present
            .iter()
            .map(|piece| format!("with {}", pieces(one, piece))),
    );
    all.extend(
        when.absent
            .iter()
            .map(|piece| format!("without {}", pieces(one, piece))),
    );
    all.extend(when.object.then(|| "that are a JSON object".to_owned()));
    (!all.is_empty()).then(|| listed(&all))
}

fn describe(one: &Provider, scheme: &Scheme) -> String {
    let (how, from) = match &scheme.proof {
        Proof::Hmac { hash, carrier, .. } => (format!("HMAC with {hash}"), tags(one, carrier)),
        Proof::KeyedHash { hash, carrier, .. } => (
            format!("{hash} over secret and content"),
            tags(one, carrier),
        ),
        Proof::PublicKey {
            algorithm, carrier, ..
        } => {
            let name = match algorithm {
                Algorithm::Ed25519 => "Ed25519".to_owned(),
                Algorithm::EcdsaP256Der | Algorithm::EcdsaP256Fixed => "ECDSA on P-256".to_owned(),
                Algorithm::EcdsaP384Fixed => "ECDSA on P-384".to_owned(),
                Algorithm::RsaPkcs1(hash) => format!("RSA (PKCS #1 v1.5) with {hash}"),
                Algorithm::RsaPss(hash) => format!("RSA (PSS) with {hash}"),
            };
            (name, tags(one, carrier))
        }
        Proof::Jwt(rule) => {
            let names: Vec<&str> = rule.algorithms.iter().map(|one| one.name()).collect();
            let how = format!("a JSON Web Token signed with {}", names.join(" or "));
            (how, format!("in {}", pieces(one, &rule.token.value)))
        }
        Proof::Token(token) => {
            let how = "a shared token that travels with every delivery".to_owned();
            (how, format!("in {}", pieces(one, &token.value)))
        }
        Proof::Basic => (
            "user and password that travel with every delivery".to_owned(),
            "in header `authorization`".to_owned(),
        ),
        Proof::ClientCertificate(subject) => (
            "the subject of the caller's certificate, as a trusted proxy says".to_owned(),
            format!("in {}", pieces(one, subject)),
        ),
        Proof::None => ("nothing".to_owned(), String::new()),
    };
    let mut all = format!("{how} {from}").trim_end().to_owned();
    if scheme.keys.is_some() {
        all.push_str(", under a key that the vendor publishes");
    }
    if let Some(token) = &scheme.token {
        all.push_str(&format!(", and a token in {}", pieces(one, &token.value)));
    }
    let window = scheme.timestamp.as_ref().and_then(|rule| rule.tolerance);
    match (window, &scheme.proof) {
        (Some(window), _) => all.push_str(&format!(", signed at most {} s ago", window.as_secs())),
        (None, Proof::Hmac { .. } | Proof::KeyedHash { .. } | Proof::PublicKey { .. }) => {
            all.push_str(", no window for its age");
        }
        // Nothing is signed, or the token has a time of its own.
        (None, _) => {}
    }
    all
}

fn tags(one: &Provider, carrier: &Carrier) -> String {
    let places = carrier.from.iter().map(|place| match place {
        Place::Piece(template) => pieces(one, template),
        Place::Lines(name) => format!("header `{name}`"),
        Place::Numbered(prefix) => format!("headers `{prefix}…`"),
    });
    let places: Vec<String> = places.collect();
    format!("in {}, {}", places.join(" or "), carrier.encoding)
}

fn believe(one: &Provider, scheme: &Scheme) -> String {
    let covered = covered(one, scheme);
    match scheme.assurance() {
        Assurance::Body => {
            let has = |wanted: fn(&Source) -> bool| scheme.coverage.sources().any(wanted);
            let whole = match () {
                () if has(|one| *one == Source::Body) => "every byte of the body",
                () if has(|one| matches!(one, Source::SortedForm(_))) => "the whole form",
                () => "the whole of the event",
            };
            match covered.is_empty() {
                true => format!("{whole} is covered"),
                false => format!("{whole} is covered, and {}", listed(&grouped(covered))),
            }
        }
        Assurance::Fields => {
            let covered = listed(&grouped(covered));
            format!("only this is covered: {covered}; fetch the rest again before acting on it")
        }
        Assurance::Token => {
            "nothing binds the content; fetch it again before acting on it".to_owned()
        }
        Assurance::None => {
            "nothing is proved; fetch everything again before acting on it".to_owned()
        }
    }
}

/// Returns what a proof covers beside the body, a few words each.
fn covered(one: &Provider, scheme: &Scheme) -> Vec<String> {
    let body = scheme.coverage.body();
    let mut all = Vec::new();
    for source in scheme.coverage.sources() {
        let part_of_body = matches!(
            source,
            Source::Body
                | Source::Document
                | Source::First
                | Source::Field(..)
                | Source::Form(_)
                | Source::SortedForm(_)
                | Source::Member(_)
        );
        let claim = matches!(source, Source::Claim(name) if name != "*");
        if (body && part_of_body) || claim || matches!(source, Source::Secret | Source::KeyId) {
            continue;
        }
        let words = piece(one, source);
        if !all.contains(&words) {
            all.push(words);
        }
    }
    all
}

/// Takes together what is of one kind: `field /a` and `field /b` become `fields /a and /b`.
fn grouped(all: Vec<String>) -> Vec<String> {
    const KINDS: [(&str, &str); 4] = [
        ("field ", "fields"),
        ("form field ", "form fields"),
        ("header ", "headers"),
        ("query parameter ", "query parameters"),
    ];
    let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
    for words in all {
        let kind = KINDS.iter().position(|(one, _)| words.starts_with(one));
        let kind = kind.unwrap_or(KINDS.len());
        match groups
            .iter_mut()
            .find(|(known, _)| *known == kind && kind < KINDS.len())
        {
            Some((_, group)) => group.push(words),
            None => groups.push((kind, vec![words])),
        }
    }
    let joined =
        groups
            .into_iter()
            .map(|(kind, group)| match (KINDS.get(kind), group.as_slice()) {
                (Some((one, many)), [_, _, ..]) => {
                    let names: Vec<String> = group
                        .iter()
                        .map(|words| words[one.len()..].to_owned())
                        .collect();
                    format!("{many} {}", listed(&names))
                }
                _ => group.concat(),
            });
    joined.collect()
}

pub(super) fn listed(all: &[String]) -> String {
    joined(all, "and")
}

pub(super) fn alternatives(all: &[String]) -> String {
    joined(all, "or")
}

pub(super) fn joined(all: &[String], word: &str) -> String {
    match all.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} {word} {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

pub(super) fn pieces(one: &Provider, template: &Template) -> String {
    let each: Vec<String> = template
        .sources()
        .map(|source| piece(one, source))
        .collect();
    listed(&each)
}

/// Says where a piece of a delivery stands.
fn piece(one: &Provider, source: &Source) -> String {
    match source {
        Source::Body => "the body".to_owned(),
        Source::Document => "the event's document".to_owned(),
        Source::First => "the first element of the body".to_owned(),
        Source::Url => "the URL".to_owned(),
        Source::Origin => "the URL's origin".to_owned(),
        Source::Path => "the URL's path".to_owned(),
        Source::RawQuery | Source::SortedQuery(_) => "the query".to_owned(),
        Source::Method => "the method".to_owned(),
        Source::Header(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            format!("header {}", names.join(" or "))
        }
        Source::ListedHeaders(names) => match names.split_first() {
            Some((list, [])) => format!("the headers that `{list}` lists"),
            Some((list, more)) => {
                let more: Vec<String> = more.iter().map(|name| format!("`{name}`")).collect();
                format!(
                    "the headers that `{list}` lists, {} among them",
                    listed(&more)
                )
            }
            None => "listed headers".to_owned(),
        },
        Source::Param(name) => format!("`{name}` beside the signature"),
        Source::Query(name) => format!("query parameter `{name}`"),
        Source::Field(at, _) => format!("field `{}`", one.pointers().text(*at)),
        Source::Form(name) => format!("form field `{name}`"),
        Source::SortedForm(_) => "the whole form".to_owned(),
        Source::SortedParams(but) => format!("the parameters but `{but}`"),
        Source::Claim(name) if name == "*" => "the token's claims".to_owned(),
        Source::Claim(name) => format!("claim `{name}`"),
        Source::Secret => "the secret".to_owned(),
        Source::KeyId => "the key's id".to_owned(),
        Source::Member(ending) => format!("the name of the member `…{ending}`"),
    }
}
