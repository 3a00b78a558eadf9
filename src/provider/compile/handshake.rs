//! Compiles `[[handshake]]`: the ownership checks that a provider makes.

use http::HeaderName;

use super::{method, pairs, refusal_status, success_status, templates};
use crate::handshake::{Body, Challenge, Confirm, Handshake, JsonReply, TokenCheck};
use crate::keys::{HostPattern, PathPattern};
use crate::provider::definition::{RawChallenge, RawConfirm, RawHandshake};
use crate::verify::fields::Pointers;
use crate::verify::template::Template;

pub(super) fn compile(raw: RawHandshake, pointers: &mut Pointers) -> Result<Handshake, String> {
    let body = compile_body(&raw, pointers)?;
    let challenge = match &raw.challenge {
        None => None,
        Some(challenge) => Some(compile_challenge(challenge, pointers)?),
    };
    let makes_hmac = match &body {
        Body::Fixed(_) => false,
        Body::Echo(template) => template.makes_hmac(),
        Body::Json(json) => json.makes_hmac(),
    };
    if makes_hmac && challenge.is_none() {
        return Err(
            "an answer with an HMAC needs a `challenge` that says what is signed".to_owned(),
        );
    }
    let token = match &raw.token {
        None => None,
        Some(token) => Some(TokenCheck {
            from: Template::compile(&token.from, pointers)?,
            param: token.param.clone(),
        }),
    };
    let (mut absent, mut pieces) = (Vec::new(), Vec::new());
    for text in &raw.absent {
        match text.contains('{') {
            true => pieces.push(Template::compile(text, pointers)?),
            false => absent.push(pointers.intern(text)?),
        }
    }
    let mut headers = Vec::new();
    for (name, texts) in &raw.headers {
        let name: HeaderName = name
            .parse()
            .map_err(|_| format!("`{name}` is not the name of a header"))?;
        headers.push((name, templates(texts.as_slice(), pointers)?));
    }
    let refuse = raw.refuse.map(refusal_status).transpose();
    let refuse = refuse.map_err(|why| format!("`refuse`: {why}"))?;
    let status = success_status(raw.status).map_err(|why| format!("`status`: {why}"))?;
    let form = raw.only.as_deref().and_then(form_fields);
    Ok(Handshake {
        unsigned: raw.unsigned || raw.setup,
        setup: raw.setup,
        capture: raw
            .capture
            .as_deref()
            .map(|text| Template::compile(text, pointers))
            .transpose()?,
        method: raw.method.as_deref().map(method).transpose()?,
        when: pairs(&raw.when, pointers)?,
        present: templates(&raw.present, pointers)?,
        absent,
        absent_pieces: pieces,
        empty: raw
            .empty
            .as_deref()
            .map(|text| pointers.intern(text))
            .transpose()?,
        empty_body: raw.empty_body,
        only: raw.only.filter(|_| form.is_none()).map(members),
        only_form: form,
        token,
        challenge,
        status,
        refuse,
        content_type: raw.content_type.clone(),
        headers,
        body,
        confirm: raw
            .confirm
            .map(|confirm| compile_confirm(&confirm, pointers))
            .transpose()?,
        safe_because: raw.safe_because,
        name: raw.name,
    })
}

/// Reads the names of members, which may be written as pointers.
fn members(names: Vec<String>) -> Vec<String> {
    let name = |name: String| match name.strip_prefix('/') {
        Some(name) => name.to_owned(),
        None => name,
    };
    names.into_iter().map(name).collect()
}

/// Reads `{form:NAME}` pieces: the fields that a form must have, and no others.
fn form_fields(texts: &[String]) -> Option<Vec<String>> {
    let name = |text: &String| {
        let name = text.strip_prefix("{form:")?.strip_suffix('}')?;
        Some(name.to_owned())
    };
    texts.iter().map(name).collect()
}

fn compile_body(raw: &RawHandshake, pointers: &mut Pointers) -> Result<Body, String> {
    Ok(match (&raw.echo, &raw.json) {
        (Some(_), Some(_)) => return Err("an answer is `echo` or `json`, not both".to_owned()),
        (Some(text), None) => Body::Echo(Template::compile(text, pointers)?),
        (None, Some(members)) => {
            let mut json = Vec::new();
            for (name, value) in members {
                let text = value
                    .as_str()
                    .ok_or_else(|| format!("`json.{name}` must be text"))?;
                json.push((name.clone(), Template::compile(text, pointers)?));
            }
            Body::Json(JsonReply(json))
        }
        (None, None) => Body::Fixed(raw.body.clone()),
    })
}

fn compile_challenge(raw: &RawChallenge, pointers: &mut Pointers) -> Result<Challenge, String> {
    Ok(Challenge {
        from: Template::compile(&raw.from, pointers)?,
        chars: characters(&raw.chars)?,
        length: raw.min.max(1)..=raw.max,
    })
}

/// Reads a set of characters: single ones, and ranges such as `a-z`. A hyphen at the end is one.
fn characters(text: &str) -> Result<Vec<u8>, String> {
    let bytes = text.as_bytes();
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(&first) = bytes.get(at) {
        if !first.is_ascii_graphic() {
            return Err("`chars` must be visible ASCII".to_owned());
        }
        match (bytes.get(at + 1), bytes.get(at + 2)) {
            (Some(b'-'), Some(&last)) if last >= first => {
                all.extend(first..=last);
                at += 3;
            }
            _ => {
                all.push(first);
                at += 1;
            }
        }
    }
    match all.is_empty() {
        true => Err("`chars` is empty".to_owned()),
        false => Ok(all),
    }
}

fn compile_confirm(raw: &RawConfirm, pointers: &mut Pointers) -> Result<Confirm, String> {
    let hosts = raw.hosts.iter().map(|host| HostPattern::parse(host));
    Ok(Confirm {
        url: Template::compile(&raw.url, pointers)?,
        hosts: hosts
            .collect::<Result<_, _>>()
            .map_err(|why| format!("`hosts` {why}"))?,
        path: PathPattern::parse(&raw.path).map_err(|why| format!("`path` {why}"))?,
        allowed: raw.allowed == "true",
    })
}
