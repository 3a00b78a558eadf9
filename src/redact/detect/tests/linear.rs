//! Time is linear whatever the text: twice the text is at most about twice the bytes read.

use super::super::text::work;
use super::*;

/// Units that are hard on one detector or another when they are repeated.
const HARD: &[&str] = &[
    "eyJ",
    "eyJ-",
    "eyJ.",
    "eyJhIjoxfQ.",
    ".eyJhIjoxfQ",
    "://",
    "a://b:c@",
    "x://@",
    "@",
    "a@",
    "@a",
    "a.b@",
    "4",
    "4 ",
    "4-",
    "4111 1111 1111 1112 ",
    "62",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
    "BEGIN PRIVATE KEY",
    "PRIVATE KEY",
    "-",
    "----- ",
    "token=",
    "(token=",
    "x token=",
    "token%3D",
    "&token%3D",
    "token={",
    "token=[",
    "token=)",
    "key=",
    "=",
    "%3D",
    "%26",
    "glpat-",
    "glpat-a1",
    "-glpat-0123456789abcdefghij",
    "sk-",
    "sk_live_",
    "xoxb-",
    "EAA",
    "_EAA",
    "key-0",
    "SK0",
    "Bearer ",
    "Bearer x",
    "Basic ",
    "Basic dTpw ",
    "uthorization:",
    "uthorization=",
    "uthorization:a:",
    "uthorization: a ",
    "+1",
    "+1 ",
    "+",
    "1.",
    "1.1.1.1",
    "1.1.1.1.",
    "::",
    "a:",
    ":1:",
    "DE89 ",
    "DE89",
    "GB",
    "A1 ",
    "hooks.slack.com/",
    "/api/webhooks/",
    "/api/webhooks/1/",
    ".aaaaaa.",
    ".aaaaaaa.aaaaaa",
    ".atlasv1.",
    ":AA",
    "1:AA",
    "8Q~",
    "Q~",
    "~",
    "pat",
    "patAAAAAAAAAAAAAA.",
    ".",
    "..",
    "_",
    "a_",
    "%",
    "\\n",
    "\\",
    "version ",
    " ",
    "[redacted]",
    "token=[redacted]",
    "ghp_",
    "a",
];

fn work(unit: &str, bytes: usize, close: &str) -> usize {
    let text = unit.repeat(bytes / unit.len()) + close;
    work::take();
    find(ALL, &text);
    work::take()
}

#[test]
fn twice_the_text_is_twice_the_work() {
    for unit in HARD {
        for close in ["", "\"", "@h", " x", "1", "=", ")))"] {
            let (once, twice) = (work(unit, 5_000, close), work(unit, 10_000, close));
            let most = once * 2 + once / 4 + 2_000;
            assert!(
                twice <= most,
                "{unit:?} {close:?}: {once} bytes read, then {twice}"
            );
        }
    }
}

#[test]
fn no_byte_is_read_often() {
    for unit in HARD {
        let read = work(unit, 5_000, "");
        assert!(read < 40 * 5_000, "{unit:?}: {read} bytes read");
    }
}
