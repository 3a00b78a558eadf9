//! Secrets, bodies, tags, contents and times.

use super::*;

#[test]
fn a_secret_that_is_written_otherwise_is_recognised() {
    let sent = acorn(&content(BODY), BODY, TIME, v1);
    let encoded = STANDARD.encode(SECRET);
    for (secret, words) in [
        ("acorn-secret\n", "white space around it"),
        ("'acorn-secret'", "quotation marks around it"),
        (" \"acorn-secret\"", "white space and quotation marks"),
        (
            "Bearer acorn-secret",
            "word of an HTTP authentication scheme",
        ),
        ("ACORN-SECRET", "in lower case"),
        ("SECRET=acorn-secret", "begins with a name and `=`"),
        (encoded.as_str(), "taken as base64"),
    ] {
        let setup = Setup {
            secrets: &[secret],
            ..SET
        };
        let lines = case(&setup, &timed(), &sent, |case| {
            explain(case, &Rejected::SignatureMismatch { secrets: 1 })
        });
        has(&lines, words);
    }
    let none = told(
        &Setup {
            secrets: &["acorn-other"],
            ..SET
        },
        &timed(),
        &sent,
    );
    has(&none, "no near miss fits");
    assert_eq!(none.len(), 2);
}

#[test]
fn a_body_that_was_changed_by_middleware_is_recognised() {
    let php = br#"{"a":"\u00e9\/"}"#;
    let encoded = STANDARD.encode(BODY);
    for (signed, received, words) in [
        (&b"{\"a\":1}"[..], &b"{\n  \"a\": 1\n}"[..], "compact form"),
        (b"{\"a\": 1}", b"{\"a\":1}", "a space behind"),
        (
            php,
            "{\"a\":\"é/\"}".as_bytes(),
            "`/` and characters beyond ASCII escaped",
        ),
        (b"{\"a\":2,\"b\":1}", b"{\"b\":1,\"a\":2}", "sorted by name"),
        (b"x\n", b"x", "line break at the end of the body was lost"),
        (b"x", b"x\n", "white space was added around the body"),
        (b"a\nb", b"a\r\nb", "from LF to CRLF"),
        (
            b"\xef\xbb\xbfx",
            b"x",
            "byte order mark at the beginning of the body was lost",
        ),
        (b"x", b"\xef\xbb\xbfx", "byte order mark was added"),
        (b"\xe9", "é".as_bytes(), "ISO 8859-1"),
        (BODY, encoded.as_bytes(), "base64 of what was signed"),
        (b"{\"a\":1}", br#""{\"a\":1}""#, "wrapped in a JSON string"),
    ] {
        let sent = acorn(&content(signed), received, TIME, v1);
        has(&told(&SET, &timed(), &sent), words);
    }
    for (signed, received, words) in [
        ("a=1+2", "a=1%202", "`+` for blanks"),
        ("a=1%202", "a=1+2", "`%20` for blanks"),
        ("a=1&b=2", "b=2&a=1", "its fields sorted"),
        ("a=1", "a=1&b=", "without its blank fields"),
    ] {
        let mut sent = acorn(&content(signed.as_bytes()), received.as_bytes(), TIME, v1);
        let form = "application/x-www-form-urlencoded".parse().unwrap();
        sent.headers.insert("content-type", form);
        has(&told(&SET, &timed(), &sent), words);
    }
}

#[test]
fn a_tag_in_another_form_is_recognised() {
    type Write = fn(&[u8]) -> String;
    let cases: [(Write, &str); 6] = [
        (
            |tag| format!("v1={}", STANDARD.encode(tag)),
            "in base64 instead of lower-case hex",
        ),
        (
            |tag| format!("v1={}", hex::encode_upper(tag)),
            "in upper case",
        ),
        (|tag| hex::encode(tag), "behind nothing instead of `v1=`"),
        (
            |tag| format!("sha256={}", hex::encode(tag)),
            "behind `sha256=` instead of `v1=`",
        ),
        (
            |tag| format!("v1={}", &hex::encode(tag)[..40]),
            "40 of its 64 characters",
        ),
        (
            |_| "v1=abcd".to_owned(),
            "the tag has 2 bytes, and one of this scheme has 32",
        ),
    ];
    for (write, words) in cases {
        let sent = acorn(&content(BODY), BODY, TIME, write);
        has(&told(&SET, &timed(), &sent), words);
    }
    let sha512 = hmac(Hash::Sha512, SECRET, &content(BODY));
    let sent = acorn(&content(BODY), BODY, TIME, |_| v1(&sha512));
    has(
        &told(&SET, &timed(), &sent),
        "made with SHA-512 instead of SHA-256",
    );
    let sha1 = hmac(Hash::Sha1, SECRET, &content(BODY));
    let sent = acorn(&content(BODY), BODY, TIME, |_| v1(&sha1));
    has(
        &told(&SET, &timed(), &sent),
        "made with SHA-1 instead of SHA-256",
    );
}

#[test]
fn the_tag_of_another_version_is_recognised() {
    let paired = provider(
        "[[scheme]]\nname = \"v1\"\nkind = \"hmac\"\nhash = \"sha256\"\nsigned = \"{param:t}.{body}\"\n\
         tag = { from = \"{header:acorn-signature}\", encoding = \"hex\", \
         pairs = { separator = \",\", assign = \"=\", name = \"v1\" } }\n\
         timestamp = { from = \"{param:t}\", unit = \"seconds\", tolerance = 300 }",
    );
    let tag = hex::encode(hmac(Hash::Sha256, SECRET, &content(BODY)));
    for (text, words) in [
        (
            format!("t={TIME},v0={tag}"),
            "element `v0` of the header and not `v1`",
        ),
        (format!("t={TIME};v1={tag}"), "separated by `;`"),
    ] {
        let sent = delivery("", &[("acorn-signature", &text)], BODY);
        has(&told(&SET, &paired, &sent), words);
    }
}

#[test]
fn content_that_is_put_together_otherwise_is_recognised() {
    let time = TIME.as_bytes();
    for (content, words) in [
        (
            BODY.to_vec(),
            "the body alone, otherwise than this provider does; header acorn-time is not",
        ),
        ([time, b":", BODY].concat(), "with `:` between"),
        ([time, BODY].concat(), "with nothing between"),
        (
            [BODY, b".", time].concat(),
            "the body and header acorn-time, in this order",
        ),
        ([b"1767607200000.", BODY].concat(), "in milliseconds"),
    ] {
        let sent = acorn(&content, BODY, TIME, v1);
        has(&told(&SET, &timed(), &sent), words);
    }
}

#[test]
fn a_time_is_told_with_what_it_comes_to() {
    let signed = |time: &str| {
        let content = [time.as_bytes(), b".", BODY].concat();
        told(&SET, &timed(), &acorn(&content, BODY, time, v1))
    };
    has(&signed("1767606899"), "301 s old");
    has(&signed("1767607501"), "301 s in the future");
    has(&signed("1767520800"), "86400 s (24 hours) old");
    has(
        &signed("1767607200000"),
        "milliseconds and should be in seconds",
    );
    has(&signed("2026-01-05T10:00:00Z"), "written as RFC 3339");
    has(&signed("1767607200.5"), "seconds with a fraction");
    has(&signed("soon"), "no time in any form");
}
