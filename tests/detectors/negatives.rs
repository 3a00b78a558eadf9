//! What must not be found: what webhooks are full of and what looks like a secret or a number of
//! someone's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::draw::Draw;

/// Samples of each kind that is drawn.
pub(crate) const SAMPLES: usize = 1000;

/// A kind of harmless text.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) texts: Vec<String>,
}

/// Kinds that are drawn, by patterns any of which a sample follows.
#[rustfmt::skip]
const DRAWN: &[(&str, &[&str])] = &[
    ("UUIDs", &["h8 '-' h4 '-4' h3 '-a' h3 '-' h12", "H8 '-' H4 '-4' H3 '-9' H3 '-' H12", "h32"]),
    ("digests and commits in hex", &["h40", "h64", "h128", "'sha256=' h64", "'sha256:' h64", "h7 '...' h7"]),
    ("digests in base64", &["b43 '='", "b27 '='", "'sha512-' b86 '=='", "'v1,' b43 '='"]),
    ("ULIDs, KSUIDs, nano ids", &["'01H' u23", "a27", "w21", "'msg_2' a26"]),
    ("ids of Stripe objects", &["'ch_3' a23", "'evt_1' a23", "'cus_' a14", "'pi_3' a23", "'price_1' a23", "'pk_live_' a24"]),
    ("node ids of GitHub", &["'MDQ6VXNlcj' a10 '='", "'PR_kwDO' a24", "'R_kgDO' a6", "'IC_kwDO' a12"]),
    ("ids of Slack and Twilio", &["'T0' u8", "'U0' u9", "'C0' u9", "'Ev0' u9", "'AC' h32", "'SM' h32", "'16' d8 '.' d6"]),
    ("ids of 9 to 11 digits", &["d9", "d10", "d11", "'#' d9"]),
    ("snowflakes of 17 to 19 digits", &["d17", "d18", "'1' d18", "d18 ':' d18"]),
    ("times since 1970", &["'17' d8", "'17' d11", "'17' d14", "'17' d17", "'17' d8 '.' d6"]),
    ("dates and times", &["'2024-0' d1 '-1' d1 'T1' d1 ':2' d1 ':3' d1 'Z'", "'2024-01-01T00:00:00.' d6 '+00:00'", "'1' d1 ':2' d1 ':3' d1", "'2024-01-1' d1 ' 1' d1 ':00:00 +0100'"]),
    ("order numbers and amounts", &["'ORD-2024-' d6", "'INV-' d8", "d4 '-' d6", "d5 '.' d2", "'SKU-' u10", "'1Z' u16"]),
    ("versions", &["d1 '.' d2 '.' d3", "'v' d1 '.' d2 '.0-rc.' d1", "'version 1.' d1 '.' d1 '.' d1", "d1 '.0.' d1 '-beta+' h7", "'Chrome/12' d1 '.0.0.0 Safari/537.36'"]),
    ("ObjectIds, MAC addresses, ARNs", &["h24", "'0a:1b:2c:' h2 ':' h2 ':' h2", "'arn:aws:sns:us-east-1:' d12 ':topic'"]),
    ("URLs of APIs", &["'https://api.example.com/v1/items/' d9 '?page=2&per_page=100'", "'https://avatars.example.com/u/' d8 '?v=4'", "'https://cdn.example.com/' h40 '/logo@2x.png'", "'https://api.example.com/list?page_token=' a30", "'https://example.com/jobs?key=PROJ-' d4", "'https://example.com/?code=' d6"]),
    ("versions of four numbers, bare", &["'1' d1 '.' d1 '.' d1 '.' d2", "d1 '.0.' d3 '.' d4"]),
    ("message ids of e-mail", &["'<' a22 '@mail.example.com>'", "'<CA' a40 '@mail.gmail.example>'"]),
    ("ids of 13 to 15 digits", &["d13", "d14", "d15"]),
    ("ids of 16 digits", &["d16"]),
];

/// Texts that are written.
#[rustfmt::skip]
const WRITTEN: &[&str] = &[
    "Bearer of bad news", "the bearer certificate expired", "Basic authentication is deprecated",
    "basic understanding", "token expired, please sign in again", "Token validation failed", "token verification",
    "invalid Authorization: header missing", "Authorization: Bearer <token>", "Authorization: Bearer $TOKEN", "Authorization: Bearer {{ token }}",
    "password=<your password>", "?token={token}", "https://example.com/{?access_token}", "secret=${SECRET}", "api_key=null", "token=true",
    "my token = foo()", "const secret = await get(vault)", "key-value store", "the key- and trapdoor", "git@github.com:owner/name.git", "ssh://git@github.com/owner/name.git",
    "@scope/package@1.2.3", "image@2x.png", "@octocat please look", "see #1234 and PR_5678", "std::vec::Vec::with_capacity", "Face::Dead::Beef", "10:30:45", "a::b", "::1", "127.0.0.1", "0.0.0.0",
    "1.2.3.4.5", "1.3.6.1.4.1.311", "+1", "+0000", "C++11", "1+1=2", "@@ -1,5 +1,7 @@", "+123 additions", "fixes TICKET-4111111111111112",
    "eyJ", "eyJhbGciOiJIUzI1NiJ9", "eye.jay.kay", "-----BEGIN CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----", "BEGIN PRIVATE KEY",
    "sk-container-id-with-a-long-class-name-in-css", "npm_config_registry_of_the_company_is_elsewhere", "hf_hub_download", "secret_santa_list", "pat-on-the-back", "github_pat_",
    "AKIA", "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7", "received_events_url_of_the_repository", "X-Hub-Signature-256", "https://user@example.com/", "http://example.com:8080/@name",
    "GB82 WEST 1234 5698 7654 33", "DE00 0000", "4111 1111 1111 1112", "1234 5678 9012 3456", "0000000000000000", "11.50 EUR + 20% = 13.80", "width=100&height=200", "sort=key&order=asc", "utm_source=token&utm_medium=email",
];

/// Returns all kinds.
pub(crate) fn all() -> Vec<Kind> {
    let mut draw = Draw::new(2);
    let mut all = Vec::new();
    for (name, patterns) in DRAWN {
        let texts = (0..SAMPLES).map(|sample| draw.pattern(patterns[sample % patterns.len()]));
        let texts = texts.collect();
        all.push(Kind { name, texts });
    }
    let mut image = |_| {
        let bytes: Vec<u8> = (0..3000).map(|_| draw.number().to_le_bytes()[0]).collect();
        format!(
            "data:image/png;base64,iVBORw0KGgo{}",
            STANDARD.encode(bytes)
        )
    };
    all.push(Kind {
        name: "images in base64, 4 KB each",
        texts: (0..SAMPLES).map(&mut image).collect(),
    });
    all.push(Kind {
        name: "written: prose, code, templates, near misses",
        texts: WRITTEN.iter().map(|text| (*text).to_owned()).collect(),
    });
    all
}
