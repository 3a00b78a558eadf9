use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Pieces that detectors look at, whole and broken, to be strung together in any order.
fn pieces() -> Vec<String> {
    let mut pieces: Vec<String> = [
        " ",
        " ",
        "\n",
        ".",
        "-",
        "_",
        ":",
        "/",
        "=",
        "&",
        "?",
        "@",
        "+",
        "~",
        "%",
        ";",
        ",",
        "(",
        ")",
        "[",
        "]",
        "{",
        "'",
        "<",
        "#",
        "\\n",
        "\\u003d",
        "%3D",
        "%26",
        "%40",
        "é",
        "日本",
        "a",
        "x9",
        "Z",
        "7",
        "\"",
        "bot",
        "token",
        "token=",
        "?sig=",
        "&access_token=",
        "api_key%3D",
        "password=",
        "code=",
        ";AccountKey=",
        "key=",
        "https://",
        "://",
        "user:pw@",
        "http://u:",
        "host.example.com",
        "Bearer ",
        "Basic ",
        "token ",
        "Authorization: ",
        "authorization=",
        "[redacted]",
        "dXNlcjpwYXNz",
        "eyJ",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJkaXIiLCJlbmMiOiJBIn0",
        ".c2ln",
        "-----BEGIN ",
        "RSA PRIVATE KEY-----",
        "-----END RSA PRIVATE KEY-----",
        "PRIVATE KEY",
        "4111111111111111",
        "4111 1111 1111 1111",
        "378282246310005",
        "3782 822463 10005",
        "4111-1111-1111-1111",
        "GB82WEST12345698765432",
        "GB82 WEST 1234 5698 7654 32",
        "GB82",
        "a.b@example.com",
        "@example.org",
        "+15005550006",
        "+1 (500) 555-0006",
        "+49",
        "192.0.2.1",
        "2001:db8::1",
        "::",
        "10.",
        ".255",
        "fd00::",
        "123456789",
        ":AAH",
        ".atlasv1.",
        "8Q~",
        "SK",
        "/services/T0/B0/x",
        "hooks.slack.com/",
        "/api/webhooks/",
        "0123456789abcdef0123456789abcdef",
        "abcDEF123_-456ghiJKL789",
        "ABCDEFGH23456789",
        "a.aaaaaa.b",
    ]
    .map(str::to_owned)
    .into();
    for token in TOKENS.iter().chain(LOOSE) {
        pieces.extend(token.prefixes.iter().map(|prefix| (*prefix).to_owned()));
    }
    let bodies = [
        "0123456789abcdef".repeat(2),
        "0123456789abcdef".repeat(4),
        "A1b2C3d4E5".repeat(4),
        "A1b2C3d4E5".repeat(9),
        "ABCD2345".repeat(2),
        "MTIzNDU2Nzg5MDEyMzQ1Njc4".to_owned(),
        "a-b_c9".repeat(10),
        "a+b/c9".repeat(10),
        "patAbCdEf0123456".to_owned(),
    ];
    pieces.extend(bodies);
    pieces
}

fn strung() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        8 => select(pieces()),
        1 => "[ -~]{0,6}",
        1 => "\\PC{0,4}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

fn detecting() -> impl Strategy<Value = Detecting> {
    let one = any::<bool>;
    prop_oneof![
        Just(ALL),
        Just(SECRETS),
        (one(), one(), one(), one(), one()).prop_map(|(secrets, payment, email, phone, ip)| {
            Detecting {
                secrets,
                payment,
                email,
                phone,
                ip,
            }
        }),
    ]
}

/// A document around a text, as a JSON string that needs no escapes.
fn verbatim(text: &str) -> String {
    text.replace(['"', '\\'], "")
        .replace(|c: char| c.is_control(), " ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_found_is_in_order_and_between_characters(detecting in detecting(), text in strung()) {
        let mut last = 0;
        for found in find(detecting, &text) {
            prop_assert!(last <= found.start && found.start < found.end, "{text:?}");
            prop_assert!(text.get(found.start..found.end).is_some(), "{text:?}");
            last = found.end;
        }
    }

    #[test]
    fn nothing_is_found_in_what_was_redacted(detecting in detecting(), text in strung()) {
        let once = redacted(detecting, &text);
        prop_assert_eq!(redacted(detecting, &once), once.clone(), "{:?}", text);
    }

    #[test]
    fn suspects_miss_nothing(
        detecting in detecting(),
        text in strung(),
        before in strung(),
        after in strung(),
    ) {
        let (text, before, after) = (verbatim(&text), verbatim(&before), verbatim(&after));
        let body = format!(r#"{{"a":"{before}","b":"{text}","{after}":0}}"#);
        let start = r#"{"a":"","b":""#.len() + before.len();
        let mut at = Vec::new();
        Detectors::new(detecting).suspects(body.as_bytes(), &mut at);
        prop_assert!(at.is_sorted());
        let found = !find(detecting, &text).is_empty();
        let suspected = at.iter().any(|at| (start..start + text.len()).contains(at));
        prop_assert_eq!(found, suspected, "{}", body);
    }

    #[test]
    fn any_text_can_be_searched(text in "\\PC{0,80}", bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        find(ALL, &text);
        let mut at = Vec::new();
        Detectors::new(ALL).suspects(&bytes, &mut at);
        prop_assert!(at.iter().all(|at| *at < bytes.len()));
    }
}
