//! What holds for every form, and for whatever claims to be one.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const BOUNDARY: &str = "xYz";

/// A part before it is written.
#[derive(Clone, Debug)]
struct Written {
    name: String,
    filename: Option<String>,
    media_type: Option<String>,
    content: Vec<u8>,
}

impl Written {
    fn write(&self, out: &mut Vec<u8>) {
        let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
        out.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name={}",
                quote(&self.name)
            )
            .bytes(),
        );
        if let Some(filename) = &self.filename {
            out.extend(format!("; filename={}", quote(filename)).bytes());
        }
        if let Some(media_type) = &self.media_type {
            out.extend(format!("\r\nContent-Type: {media_type}").bytes());
        }
        out.extend(b"\r\n\r\n");
        out.extend(&self.content);
        out.extend(b"\r\n");
    }
}

fn content() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..40),
        "[\r\n\\-xYz :;\"a]{0,40}".prop_map(String::into_bytes),
    ];
    // What holds the boundary cannot be sent with it.
    let ends = format!("\r\n--{BOUNDARY}");
    bytes.prop_filter("the boundary", move |bytes| {
        find(bytes, ends.as_bytes()).is_none()
    })
}

fn written() -> impl Strategy<Value = Written> {
    let name = || "[a-z;:=\"\\\\ é]{0,8}";
    let media_type = "[a-z]{1,5}/[a-z]{1,5}(; charset=utf-8)?";
    (
        name(),
        option::of(name()),
        option::of(media_type),
        content(),
    )
        .prop_map(|(name, filename, media_type, content)| Written {
            name,
            filename,
            media_type,
            content,
        })
}

fn body(form: &[Written]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in form {
        part.write(&mut out);
    }
    out.extend(format!("--{BOUNDARY}--\r\n").bytes());
    out
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_form_is_read_as_it_was_written(form in vec(written(), 0..5)) {
        let body = body(&form);
        for content_type in ["multipart/form-data; boundary=xYz", "Multipart/Form-Data;boundary=\"xYz\""] {
            let parts = parts(content_type, &body).unwrap();
            prop_assert_eq!(parts.len(), form.len());
            for (part, written) in parts.iter().zip(&form) {
                prop_assert_eq!(&part.name, &written.name);
                prop_assert_eq!(&part.filename, &written.filename);
                let media_type = written.media_type.clone().unwrap_or_default();
                prop_assert_eq!(&part.media_type, &media_type);
                prop_assert_eq!(part.content, &written.content[..]);
            }
        }
    }

    #[test]
    fn no_bytes_are_beyond_it(
        form in vec(written(), 0..3),
        changes in vec((any::<usize>(), any::<u8>()), 0..4),
        cut in any::<usize>(),
        content_type in prop_oneof![
            Just("multipart/form-data; boundary=xYz".to_owned()),
            "multipart/form-data; ?boundary=[\"\\\\xYz; =]{0,8}",
            "\\PC{0,40}",
        ],
        noise in vec(any::<u8>(), 0..80),
    ) {
        let mut body = body(&form);
        for (at, byte) in changes {
            let at = at % body.len();
            body[at] = byte;
        }
        body.truncate(cut % (body.len() + 1));
        for body in [&body, &noise] {
            let parts = parts(&content_type, body).unwrap_or_default();
            // Nothing is in a part that is not in the body.
            let all: usize = parts.iter().map(|part| part.content.len()).sum();
            prop_assert!(all <= body.len() && parts.len() <= MAX_PARTS);
        }
    }
}
