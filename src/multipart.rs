//! Reads `multipart/form-data` bodies (RFC 7578): what some vendors send forms as.
//!
//! Strict and bounded: what does not follow the grammar has no parts at all, so that nobody reads
//! other parts than the gateway verified. Serves `verify` (fields) and `redact` (the whole form).

use std::borrow::Cow;

use crate::delivery::{Delivery, Single};

#[cfg(test)]
mod properties;

/// Most parts of one body.
pub const MAX_PARTS: usize = 1000;
/// Most bytes of a part's headers.
const MAX_HEAD: usize = 4096;
/// Most characters of a boundary (RFC 2046 section 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// One part of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part<'b> {
    /// The field's name.
    pub name: String,
    /// The file's name, where the part is a file.
    pub filename: Option<String>,
    /// The part's media type, as written; empty where it has none.
    pub media_type: String,
    /// The part's bytes.
    pub content: &'b [u8],
}

/// Returns the parts of a body under its Content-Type, or nothing if it does not follow RFC 7578.
pub fn parts<'b>(content_type: &str, body: &'b [u8]) -> Option<Vec<Part<'b>>> {
    let boundary = boundary(content_type)?;
    let delimiter = format!("--{boundary}");
    let mut rest = body.strip_prefix(delimiter.as_bytes())?;
    let separator = format!("\r\n--{boundary}");
    let mut parts = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix(b"--") {
            // What may follow the last delimiter is nothing but a line break.
            return matches!(end, b"" | b"\r\n").then_some(parts);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, separator.as_bytes())?;
        let (part, after) = rest.split_at(end);
        if parts.len() == MAX_PARTS {
            return None;
        }
        parts.push(read_part(part)?);
        rest = &after[separator.len()..];
    }
}

/// Returns the text fields of a delivery's form; none where it is no such form.
pub(crate) fn text_fields(delivery: &Delivery) -> Vec<(String, String)> {
    let Single::One(content_type) = delivery.header("content-type") else {
        return Vec::new();
    };
    let parts = std::str::from_utf8(content_type)
        .ok()
        .and_then(|content_type| parts(content_type, &delivery.body));
    let texts = parts.unwrap_or_default().into_iter().filter_map(|part| {
        let text = std::str::from_utf8(part.content).ok()?;
        part.filename
            .is_none()
            .then(|| (part.name, text.to_owned()))
    });
    texts.collect()
}

fn read_part(part: &[u8]) -> Option<Part<'_>> {
    let end = find(&part[..part.len().min(MAX_HEAD)], b"\r\n\r\n")?;
    let head = std::str::from_utf8(&part[..end]).ok()?;
    let mut found = Part {
        name: String::new(),
        filename: None,
        media_type: String::new(),
        content: &part[end + 4..],
    };
    let mut named = false;
    for line in head.split("\r\n") {
        let (name, value) = line.split_once(':')?;
        if name.eq_ignore_ascii_case("content-disposition") {
            if named {
                return None;
            }
            found.name = parameter(value, "name")?.into_owned();
            found.filename = parameter(value, "filename").map(Cow::into_owned);
            named = value.trim_start().starts_with("form-data");
        } else if name.eq_ignore_ascii_case("content-type") {
            value.trim().clone_into(&mut found.media_type);
        }
    }
    named.then_some(found)
}

/// Reads the boundary of a `multipart/form-data` media type.
fn boundary(content_type: &str) -> Option<String> {
    let (essence, _) = content_type.split_once(';')?;
    if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(content_type, "boundary")?;
    let usable = (1..=MAX_BOUNDARY).contains(&boundary.len())
        && boundary
            .bytes()
            .all(|byte| byte.is_ascii_graphic() || byte == b' ');
    usable.then(|| boundary.into_owned())
}

/// Reads a parameter `; name=value` or `; name="value"`; nothing if it is there twice.
fn parameter<'t>(text: &'t str, wanted: &str) -> Option<Cow<'t, str>> {
    let mut rest = text.split_once(';')?.1;
    let mut found = None;
    loop {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, tail) = match after.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted)?,
            None => {
                let (value, tail) = after.split_at(after.find(';').unwrap_or(after.len()));
                (Cow::Borrowed(value.trim_end()), tail)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) && found.replace(value).is_some() {
            return None;
        }
        match tail.trim_start().strip_prefix(';') {
            Some(next) if !next.trim().is_empty() => rest = next,
            _ => return found,
        }
    }
}

/// Reads up to the closing quotation mark, and what follows it.
fn quoted_string(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((Cow::Owned(value), &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"xYz\"";

    fn read(body: &str) -> Option<Vec<(String, Option<String>, String)>> {
        let parts = parts(TYPE, body.as_bytes())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let each = parts
            .into_iter()
            .map(|part| (part.name, part.filename, text(part.content)));
        Some(each.collect())
    }

    #[test]
    fn fields_and_files_are_told_apart() {
        let body = "--xYz\r\nContent-Disposition: form-data; name=\"json\"\r\n\r\n{\"a\":1}\r\n--xYz\r\n\
                    content-disposition: form-data; name=file; filename=\"a\\\"b.txt\"\r\n\
                    Content-Type: text/plain\r\n\r\n\r\n--x\r\n--xYz--\r\n";
        let found = read(body).unwrap();
        assert_eq!(found[0], ("json".into(), None, "{\"a\":1}".into()));
        assert_eq!(
            found[1],
            ("file".into(), Some("a\"b.txt".into()), "\r\n--x".into())
        );
    }

    #[test]
    fn what_does_not_follow_the_grammar_has_no_parts() {
        let part = "--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n";
        assert!(read(&format!("{part}--xYz--")).is_some());
        for body in [
            String::new(),
            part.to_owned(),
            format!("preamble\r\n{part}--xYz--"),
            format!("{part}--xYz--epilogue"),
            "--xYz\r\nContent-Disposition: form-data\r\n\r\n1\r\n--xYz--".to_owned(),
            "--xYz\r\nX: 1\r\n\r\n1\r\n--xYz--".to_owned(),
            "--xYz\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\n1\r\n--xYz--"
                .to_owned(),
        ] {
            assert_eq!(read(&body), None, "{body:?}");
        }
        assert!(parts("multipart/form-data", b"--\r\n").is_none());
        assert!(parts("text/plain; boundary=xYz", part.as_bytes()).is_none());
    }
}
