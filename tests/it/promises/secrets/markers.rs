//! Texts that must never come out, and the search for them in whatever came out.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// Texts that are looked for, each with what it is.
#[derive(Debug, Default)]
pub(super) struct Markers(Vec<(String, Vec<u8>)>);

impl Markers {
    /// Makes a text that appears nowhere else, and remembers it. It changes under every encoding.
    pub(super) fn plant(&mut self, what: &str) -> String {
        let marker = format!(
            "{}/Zq7+{}~of-the-test",
            what.replace(' ', "-"),
            self.0.len()
        );
        self.remember(what, marker.as_bytes());
        marker
    }

    /// Remembers a text that must not come out.
    pub(super) fn remember(&mut self, what: &str, marker: &[u8]) {
        self.0.push((what.to_owned(), marker.to_vec()));
    }

    /// Names what is found in a text, and in which form.
    pub(super) fn found_in(&self, text: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(text);
        let mut found = Vec::new();
        for (what, marker) in &self.0 {
            let forms = forms(marker);
            let there = forms
                .iter()
                .filter(|(_, form)| text.contains(form.as_str()));
            found.extend(there.map(|(form, _)| format!("{what} ({form})")));
        }
        found
    }
}

/// Every way in which a marker is looked for.
fn forms(marker: &[u8]) -> Vec<(&'static str, String)> {
    let mut forms = vec![
        ("hex", hex::encode(marker)),
        ("upper-case hex", hex::encode_upper(marker)),
        ("percent-encoded", percent_encoded(marker)),
        ("percent-encoded", percent_encoded(marker).to_lowercase()),
        ("percent-encoded whole", percent_encoded_whole(marker)),
        (
            "percent-encoded whole",
            percent_encoded_whole(marker).to_lowercase(),
        ),
        ("escaped whole", escaped(marker, |_| true)),
        (
            "escaped whole",
            escaped(marker, |_| true)
                .to_uppercase()
                .replace("\\U", "\\u"),
        ),
        (
            "escaped",
            escaped(marker, |byte| !byte.is_ascii_alphanumeric()),
        ),
        (
            "backwards",
            marker.iter().rev().map(|byte| char::from(*byte)).collect(),
        ),
    ];
    if let Ok(text) = std::str::from_utf8(marker) {
        forms.push(("plain", text.to_owned()));
        forms.push(("escaped", text.replace('/', "\\/")));
    }
    for before in 0..3 {
        forms.push(("base64", inside(&STANDARD_NO_PAD, marker, before)));
        forms.push(("base64url", inside(&URL_SAFE_NO_PAD, marker, before)));
    }
    forms
}

/// What is always the same of the base64 of a longer text in which the marker stands behind
/// `before` other bytes.
fn inside(base64: &impl Engine, marker: &[u8], before: usize) -> String {
    let longer = [&vec![0; before], marker].concat();
    let text = base64.encode(&longer);
    let (begin, end) = ((before * 8).div_ceil(6), longer.len() * 8 / 6);
    text[begin..end].to_owned()
}

/// Percent-encodes what is no letter or digit, as URLs and forms do.
pub(super) fn percent_encoded(text: &[u8]) -> String {
    let encode = |byte: &u8| match byte.is_ascii_alphanumeric() {
        true => char::from(*byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.iter().map(encode).collect()
}

fn percent_encoded_whole(text: &[u8]) -> String {
    text.iter().map(|byte| format!("%{byte:02X}")).collect()
}

/// Escapes some bytes as JSON may, and leaves the others.
fn escaped(text: &[u8], which: fn(&u8) -> bool) -> String {
    let escape = |byte: &u8| match which(byte) {
        true => format!("\\u{byte:04x}"),
        false => char::from(*byte).to_string(),
    };
    text.iter().map(escape).collect()
}

#[test]
fn a_marker_is_found_in_every_form_wherever_it_stands() {
    let mut markers = Markers::default();
    let marker = markers.plant("token");
    for pad in ["", "x", "xy", "xyz"] {
        let text = format!("{pad}{marker}{pad}");
        for written in [
            text.clone(),
            hex::encode(&text),
            hex::encode_upper(&text),
            STANDARD_NO_PAD.encode(&text),
            URL_SAFE_NO_PAD.encode(&text),
            percent_encoded(text.as_bytes()),
            percent_encoded(text.as_bytes()).to_lowercase(),
            percent_encoded_whole(text.as_bytes()),
            percent_encoded_whole(text.as_bytes()).to_lowercase(),
            text.replace('/', "\\/"),
            text.replace('/', "\\u002f")
                .replace('+', "\\u002b")
                .replace('~', "\\u007e")
                .replace('-', "\\u002d"),
            text.bytes().map(|byte| format!("\\u{byte:04x}")).collect(),
            text.bytes().map(|byte| format!("\\u{byte:04X}")).collect(),
            text.chars().rev().collect(),
        ] {
            assert!(
                !markers.found_in(written.as_bytes()).is_empty(),
                "{written}"
            );
        }
    }
    assert_eq!(
        markers.found_in(b"token of another test"),
        [] as [String; 0]
    );
}
