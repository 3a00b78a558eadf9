//! From a definition as written to typed steps: the request path interprets no strings.
//!
//! Where a definition makes no sense, the error says which part and why.

use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SIGNATURE_LENGTH;
use http::{Method, StatusCode};

use super::definition::{self, Definition, Kind, RawHandshake, RawSample, RawScheme};
use super::{About, Provider, Sample};
use crate::handshake::{Body, Handshake};
use crate::identify::{EventRules, TimeRule};
use crate::verify::key::Derivation;
use crate::verify::scheme::{Carrier, Proof, Scheme, TimestampRule};
use crate::verify::tag::Layout;
use crate::verify::template::{Coverage, Pointers, Template};

impl Provider {
    /// Compiles a definition.
    pub(super) fn compile(definition: Definition) -> Result<Self, String> {
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
