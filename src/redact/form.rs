//! Forms (`application/x-www-form-urlencoded` and `multipart/form-data`): they become a JSON object,
//! redacted on the way. A file in a form becomes a `data:` URL (RFC 2397).

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::document::{Pass, Ruling};
use super::suspects::Look;
use super::sweep::Search;
use super::tally::{Cause, Tally};
use super::{RedactError, Redactor};
use crate::json::{Fault, Kind};
use crate::multipart::{self, Part};

/// How many fields a form may have.
pub const MAX_FIELDS: usize = 1000;

/// The values of one name, in the order of the form.
#[derive(Debug)]
struct Field<'b> {
    name: Cow<'b, str>,
    values: Vec<Value<'b>>,
}

/// One value.
#[derive(Debug)]
enum Value<'b> {
    Text(Cow<'b, str>),
    /// A file that holds one of the endpoint's own secrets.
    SecretFile,
}

/// Appends a form as an object: names in the order of their first appearance, a repeated one with
/// an array. A value that is itself JSON (`payload={…}`) stays a string, with redacted JSON in it.
pub(super) fn redact(
    redactor: &Redactor,
    body: &[u8],
    out: &mut Vec<u8>,
    tally: &mut Tally,
) -> Result<(), RedactError> {
    write(redactor, &fields(body)?, out, tally);
    Ok(())
}

/// Appends a form in parts likewise; nothing where the body does not follow RFC 7578.
pub(super) fn redact_parts(
    redactor: &Redactor,
    content_type: &str,
    body: &[u8],
    out: &mut Vec<u8>,
    tally: &mut Tally,
) -> Option<()> {
    let parts = multipart::parts(content_type, body)?;
    let mut fields: Vec<Field<'_>> = Vec::new();
    for part in parts {
        let value = match (&part.filename, std::str::from_utf8(part.content)) {
            (None, Ok(text)) => Value::Text(Cow::Borrowed(text)),
            _ if redactor.rules.secrets.found_in(part.content) => Value::SecretFile,
            _ => Value::Text(Cow::Owned(data_url(&part))),
        };
        match fields.iter_mut().find(|field| field.name == part.name) {
            Some(field) => field.values.push(value),
            None => fields.push(Field {
                name: Cow::Owned(part.name),
                values: vec![value],
            }),
        }
    }
    write(redactor, &fields, out, tally);
    Some(())
}

fn data_url(part: &Part<'_>) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b",\"\\".contains(&byte);
    let media_type = match part.media_type.bytes().all(plain) {
        true if !part.media_type.is_empty() => &part.media_type,
        _ => "application/octet-stream",
    };
    format!("data:{media_type};base64,{}", STANDARD.encode(part.content))
}

fn write(redactor: &Redactor, fields: &[Field<'_>], out: &mut Vec<u8>, tally: &mut Tally) {
    let mut pass = Pass::new(redactor, &[], out, tally);
    match pass.acts_on_all() {
        Some(rule) => pass.act_on_all(rule),
        None => object(&mut pass, fields),
    }
    pass.finish();
}

/// Decodes `+` and `%XX`; what looks like an escape and is none stays as it is.
pub(super) fn decoded(text: &[u8], plus: Plus) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let escape = match byte {
            b'%' => after.first_chunk::<2>().and_then(hex_pair),
            _ => None,
        };
        rest = match escape {
            Some(_) => &after[2..],
            None => after,
        };
        bytes.push(match (byte, plus) {
            (b'+', Plus::IsSpace) => b' ',
            _ => escape.unwrap_or(byte),
        });
    }
    bytes
}

/// What a plus sign means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plus {
    /// In forms.
    IsSpace,
    /// In URLs otherwise.
    IsPlus,
}

fn object(pass: &mut Pass<'_, '_>, fields: &[Field<'_>]) {
    pass.open(Kind::Object);
    for field in fields {
        let ruling = pass.key(&field.name, None, Look::Afresh);
        match (field.values.as_slice(), ruling) {
            ([one], ruling) => value(pass, one, ruling),
            (_, Ruling::Act(rule)) => pass.act_on_all(rule),
            (many, Ruling::Search(search)) => array(pass, many, search),
        }
        pass.leave();
    }
    pass.close(Kind::Object);
}

fn array(pass: &mut Pass<'_, '_>, values: &[Value<'_>], search: Search) {
    pass.open(Kind::Array);
    for (index, one) in values.iter().enumerate() {
        let ruling = pass.element(index, search);
        value(pass, one, ruling);
        pass.leave();
    }
    pass.close(Kind::Array);
}

fn value(pass: &mut Pass<'_, '_>, value: &Value<'_>, ruling: Ruling) {
    match (value, ruling) {
        (Value::Text(text), Ruling::Act(rule)) => pass.act_on_text(rule, text, None),
        (Value::Text(text), Ruling::Search(search)) => {
            pass.string(text, None, search, Look::Afresh);
        }
        (Value::SecretFile, _) => pass.take_out(Cause::Secret),
    }
}

/// Splits a form into its fields and gathers those of one name.
fn fields(body: &[u8]) -> Result<Vec<Field<'_>>, RedactError> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    let mut known: HashMap<Cow<'_, str>, usize> = HashMap::new();
    let mut count = 0;
    let mut offset = 0;
    for pair in body.split(|byte| *byte == b'&') {
        let begins = offset;
        offset += pair.len() + 1;
        if pair.is_empty() {
            continue;
        }
        count += 1;
        if count > MAX_FIELDS {
            return Err(RedactError::TooManyFields);
        }
        let equals = pair.iter().position(|byte| *byte == b'=');
        let (name, value) = pair.split_at(equals.unwrap_or(pair.len()));
        let value = value.get(1..).unwrap_or_default();
        let name = text(name, begins)?;
        let value = text(value, begins + equals.map_or(pair.len(), |at| at + 1))?;
        let value = Value::Text(value);
        match known.entry(name) {
            Entry::Occupied(at) => fields[*at.get()].values.push(value),
            Entry::Vacant(free) => {
                fields.push(Field {
                    name: free.key().clone(),
                    values: vec![value],
                });
                free.insert(fields.len() - 1);
            }
        }
    }
    Ok(fields)
}

/// Decodes a name or value, which must be UTF-8.
fn text(written: &[u8], offset: usize) -> Result<Cow<'_, str>, RedactError> {
    let text = match written.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        true => String::from_utf8(decoded(written, Plus::IsSpace))
            .ok()
            .map(Cow::Owned),
        false => std::str::from_utf8(written).ok().map(Cow::Borrowed),
    };
    text.ok_or(RedactError::Malformed {
        offset,
        what: Fault::NotUtf8,
    })
}

fn hex_pair(pair: &[u8; 2]) -> Option<u8> {
    let digit = |byte| char::from(byte).to_digit(16);
    let value = digit(pair[0])? << 4 | digit(pair[1])?;
    value.try_into().ok()
}
