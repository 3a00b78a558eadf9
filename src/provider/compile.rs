//! From a definition as written to typed steps: the request path interprets no strings.
//!
//! Where a definition makes no sense, the error says which part and why.

mod handshake;
mod scheme;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, StatusCode};

use super::definition::{self, Definition, OneOrMany, RawSample};
use super::fault::Fault;
use super::{About, Answer, Provider, Sample, vector};
use crate::batch::{BatchPath, BatchRules};
use crate::identify::{EventRules, TimeRule};
use crate::verify::fields::Pointers;
use crate::verify::template::Template;

impl Provider {
    /// Compiles a definition.
    pub(super) fn compile(definition: Definition) -> Result<Self, Fault> {
        let mut pointers = Pointers::default();
        if definition.vectors.is_empty() {
            return Err(Fault::of_all(
                "it carries no [[vector]]; at least one must show that it works",
            ));
        }
        if let Some(at) = definition
            .vectors
            .iter()
            .position(|vector| !vector.expects())
        {
            let part = format!("vector `{}`", definition.vectors[at].name);
            let why = "has neither `expect` nor `reply`".to_owned();
            return Err(Fault::within("vector", at, part, why));
        }
        let under = |key: &'static str| move |why| Fault::within(key, 0, key.to_owned(), why);
        let documents =
            templates(&definition.document, &mut pointers).map_err(under("document"))?;
        let schemes = definition
            .schemes
            .into_iter()
            .enumerate()
            .map(|(at, raw)| {
                let part = format!("scheme `{}`", raw.name);
                scheme::compile(raw, &documents, &mut pointers)
                    .map(Arc::new)
                    .map_err(|why| Fault::within("scheme", at, part, why))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if schemes.is_empty() {
            return Err(Fault::of_all("it has no [[scheme]]"));
        }
        let events = compile_events(definition.event, &mut pointers).map_err(under("event"))?;
        if let Some(at) = schemes.iter().position(|scheme| scheme.each)
            && events.batch.at.is_empty()
        {
            let part = format!("scheme `{}`", schemes[at].name);
            let why = "`each` goes with `event.batch`".to_owned();
            return Err(Fault::within("scheme", at, part, why));
        }
        let handshakes = definition
            .handshakes
            .into_iter()
            .enumerate()
            .map(|(at, raw)| {
                let part = format!("handshake `{}`", raw.name);
                handshake::compile(raw, &mut pointers)
                    .map_err(|why| Fault::within("handshake", at, part, why))
            })
            .collect::<Result<_, _>>()?;
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
                .map(|text| method(text))
                .collect::<Result<_, _>>()
                .map_err(under("methods"))?,
            answer: compile_answer(definition.answer).map_err(under("answer"))?,
            sensitive: definition.sensitive,
            events,
            sample: Sample::from(definition.sample),
            params: definition.params,
            documents,
            schemes,
            handshakes,
            pointers,
            vectors: vector::with_fixtures(definition.vectors, definition.fixtures),
            declared: Vec::new(),
            conditional: Vec::new(),
            source: None,
        })
    }
}

impl From<RawSample> for Sample {
    fn from(raw: RawSample) -> Self {
        Self {
            method: raw.method,
            content_type: raw.content_type,
            headers: raw.headers,
            body: raw.body,
        }
    }
}

fn templates(texts: &[String], pointers: &mut Pointers) -> Result<Vec<Template>, String> {
    let each = texts.iter().map(|text| Template::compile(text, pointers));
    each.collect()
}

fn pairs(
    texts: &BTreeMap<String, OneOrMany>,
    pointers: &mut Pointers,
) -> Result<Vec<(Template, Vec<String>)>, String> {
    let pair = |(text, values): (&String, &OneOrMany)| {
        Ok((
            Template::compile(text, pointers)?,
            values.as_slice().to_vec(),
        ))
    };
    texts.iter().map(pair).collect()
}

fn method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is no method"))
}

fn status(number: u16, what: &str, fits: fn(&StatusCode) -> bool) -> Result<StatusCode, String> {
    let status = StatusCode::from_u16(number).ok().filter(fits);
    status.ok_or_else(|| format!("{number} is no {what}"))
}

fn success_status(number: u16) -> Result<StatusCode, String> {
    status(number, "2xx", StatusCode::is_success)
}

fn refusal_status(number: u16) -> Result<StatusCode, String> {
    status(number, "4xx", StatusCode::is_client_error)
}

fn compile_answer(raw: definition::RawAnswer) -> Result<Answer, String> {
    let success = success_status(raw.status).map_err(|why| format!("`status`: {why}"))?;
    let bad_signature = refusal_status(raw.bad_signature);
    Ok(Answer {
        success,
        body: raw.body,
        content_type: raw.content_type,
        bad_signature: bad_signature.map_err(|why| format!("`bad_signature`: {why}"))?,
        retries_429: raw.retries_429,
    })
}

fn compile_events(
    raw: definition::RawEvent,
    pointers: &mut Pointers,
) -> Result<EventRules, String> {
    let (id, event_type) = (
        templates(&raw.id, pointers)?,
        templates(&raw.event_type, pointers)?,
    );
    let mut time = Vec::new();
    for rule in &raw.time {
        time.push(TimeRule {
            from: Template::compile(&rule.from, pointers)?,
            unit: rule.unit,
        });
    }
    let paths = |texts: &[String]| {
        let each = texts.iter().map(|text| BatchPath::parse(text));
        each.collect::<Result<Vec<_>, _>>()
    };
    Ok(EventRules {
        id,
        event_type,
        time,
        id_names: raw.id_names,
        retries_change_body: raw.retries_change_body,
        identical_content: raw.identical_content,
        batch_when: scheme::compile_when(&raw.batch_when, pointers)?,
        batch: BatchRules {
            at: paths(&raw.batch)?,
            within: paths(&raw.batch_within)?,
        },
    })
}
