//! Headers and URLs.

use super::*;

#[test]
fn a_header_that_was_renamed_dropped_or_repeated_is_recognised() {
    let tag = v1(&hmac(Hash::Sha256, SECRET, &content(BODY)));
    let look = |headers: &[(&str, &str)]| told(&SET, &timed(), &delivery("", headers, BODY));
    has(
        &look(&[("acorn-time", TIME), ("acorn_signature", &tag)]),
        "header acorn-signature arrived as `acorn_signature`, and under its own name it verifies",
    );
    has(
        &look(&[("acorn-time", TIME), ("acorn-signature-v2", &tag[3..])]),
        "a similar one is, `acorn-signature-v2`",
    );
    has(
        &look(&[("acorn-time", TIME)]),
        "nothing like header acorn-signature is there",
    );
    has(
        &look(&[("acorn-time", TIME), ("acorn-signature", "v1=")]),
        "no secret configured",
    );
    has(
        &look(&[
            ("acorn-time", TIME),
            ("acorn-signature", &tag),
            ("acorn-signature", &tag),
        ]),
        "2 times with the same value",
    );
    has(
        &look(&[
            ("acorn-time", TIME),
            ("acorn-signature", "v1=00"),
            ("acorn-signature", &tag),
        ]),
        "number 2 verifies",
    );
}

#[test]
fn the_url_that_was_called_is_found() {
    let of_url = provider(
        "[[scheme]]\nname = \"v1\"\nkind = \"hmac\"\nhash = \"sha256\"\nsigned = \"{url}{body}\"\n\
         tag = { from = \"{header:acorn-signature}\", encoding = \"hex\" }",
    );
    for (signed, received, headers, words) in [
        (
            "https://a.example/x",
            "http://a.example/x",
            &[][..],
            "https instead of http",
        ),
        (
            "http://a.example/x",
            "https://a.example/x",
            &[],
            "http instead of https",
        ),
        (
            "https://a.example/x",
            "http://10.0.0.7:8080/x",
            &[("x-forwarded-host", "a.example")],
            "x-forwarded-host names",
        ),
        (
            "https://a.example/x",
            "https://b.internal/x",
            &[("forwarded", "for=1.2.3.4;host=a.example;proto=https")],
            "header forwarded names",
        ),
        (
            "https://a.example/x",
            "https://b.internal/x",
            &[("host", "a.example")],
            "header host names",
        ),
        (
            "https://a.example/x",
            "https://a.example:8443/x",
            &[],
            "without the port 8443",
        ),
        (
            "https://a.example:443/x",
            "https://a.example/x",
            &[],
            "with the port 443",
        ),
        (
            "https://a.example/x/",
            "https://a.example/x",
            &[],
            "with a trailing slash",
        ),
        (
            "https://a.example/x",
            "https://a.example/x/",
            &[],
            "without the trailing slash",
        ),
        (
            "https://a.example/api/x",
            "https://a.example/x",
            &[("x-forwarded-prefix", "/api")],
            "x-forwarded-prefix names",
        ),
        (
            "https://a.example/api/x",
            "https://a.example/x",
            &[("x-original-uri", "/api/x?y=1")],
            "x-original-uri names",
        ),
        (
            "https://a.example/x",
            "https://a.example/api/x",
            &[],
            "without the path prefix `/api`",
        ),
        (
            "https://a.example/x",
            "https://a.example/a/b/x",
            &[],
            "without the first 2 segments",
        ),
        (
            "https://a.example/x",
            "https://a.example/x?k=v",
            &[],
            "without the query",
        ),
        (
            "https://a.example/x?k=a b",
            "https://a.example/x?k=a%20b",
            &[],
            "with the query decoded",
        ),
        (
            "https://a.example/x?k=a%20b",
            "https://a.example/x?k=a+b",
            &[],
            "with the query encoded",
        ),
    ] {
        let tag = hex::encode(hmac(
            Hash::Sha256,
            SECRET,
            &[signed.as_bytes(), BODY].concat(),
        ));
        let mut sent = delivery(received, headers, BODY);
        sent.headers.insert("acorn-signature", tag.parse().unwrap());
        has(&told(&SET, &of_url, &sent), words);
    }
}

#[test]
fn a_url_setting_that_is_not_the_url_is_named_without_its_query() {
    let set = provider(
        "[param.callback_url]\nabout = \"The URL as it was entered.\"\nrequired = true\n\
         example = \"https://gw.example/a\"\n\
         [[scheme]]\nname = \"v1\"\nkind = \"hmac\"\nhash = \"sha256\"\n\
         signed = \"{body}${callback_url}\"\n\
         tag = { from = \"{header:acorn-signature}\", encoding = \"hex\" }",
    );
    let content = [BODY, b"https://gw.example/a?token=t0ken"].concat();
    let tag = hex::encode(hmac(Hash::Sha256, SECRET, &content));
    let url = "https://gw.example/a?token=t0ken";
    let sent = delivery(url, &[("acorn-signature", &tag)], BODY);
    let params = [("callback_url", "https://gw.example/b")];
    let lines = told(
        &Setup {
            params: &params,
            ..SET
        },
        &set,
        &sent,
    );
    has(&lines, "fits if `callback_url` is `https://gw.example/a?…`");
    assert!(!lines.concat().contains("t0ken"), "{lines:?}");
}
