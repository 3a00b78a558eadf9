//! Names of members that are taken out at any depth: those of every endpoint, as data, and all of an
//! endpoint's compiled.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::rules::RuleId;

/// Names of members that are taken out of every event: credentials, and nothing that is also an
/// ordinary word (`pin`, `session`, `key`, `code`, `auth`).
pub const DEFAULT_KEYS: &[&str] = &[
    "access_token",
    "api_key",
    "auth_token",
    "authorization",
    "authorization_code",
    "backup_codes",
    "basic_auth",
    "bearer",
    "client_assertion",
    "client_secret",
    "connection_string",
    "cookie",
    "cookies",
    "credentials",
    "csrf",
    "cvc",
    "cvc2",
    "cvv",
    "cvv2",
    "hmac_signature",
    "id_token",
    "imap_pass",
    "imap_password",
    "jsessionid",
    "jwt",
    "one_time_code",
    "otp",
    "otp_code",
    "passphrase",
    "passwd",
    "password",
    "password_hash",
    "password_salt",
    "phpsessid",
    "pop_pass",
    "private_key",
    "proxy_authorization",
    "pwd",
    "recovery_codes",
    "refresh_token",
    "secret",
    "secret_key",
    "seed_phrase",
    "session_cookie",
    "session_id",
    "session_token",
    "set_cookie",
    "signature",
    "signing_key",
    "smtp_pass",
    "smtp_password",
    "token",
    "token_hash",
    "totp",
    "verification_token",
    "webhook_secret",
    "x_api_key",
    "x_hub_signature",
    "x_hub_signature_256",
];

/// Endings of names that are taken out likewise, one or many (`dbPassword`, `private_keys`): an
/// ending, and what must stand before it (nothing in particular where that is empty).
pub const DEFAULT_SUFFIXES: &[(&str, &[&str])] = &[
    ("password", &[]),
    ("passwd", &[]),
    ("passphrase", &[]),
    ("passcode", &[]),
    ("pwd", &[]),
    ("secret", &[]),
    ("credential", &[]),
    (
        "key",
        &[
            "access",
            "api",
            "encryption",
            "hmac",
            "master",
            "private",
            "secret",
            "session",
            "shared",
            "signing",
            "verification",
        ],
    ),
    (
        "token",
        &[
            "access",
            "api",
            "app",
            "auth",
            "bearer",
            "bot",
            "csrf",
            "deploy",
            "download",
            "installation",
            "invite",
            "link",
            "login",
            "lived", // short-lived, long-lived
            "magic",
            "oauth",
            "public",
            "refresh",
            "reset",
            "security",
            "session",
            "user",
            "verification",
            "verify",
            "webhook",
            "xsrf",
        ],
    ),
];

/// What the rules say about a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    /// The first of the endpoint's rules that names it.
    pub(super) explicit: Option<RuleId>,
    /// What names it by default.
    pub(super) default: Option<RuleId>,
    /// Whether it is exempt from the defaults.
    pub(super) kept: bool,
}

impl Named {
    /// Joins what is said by other means: the rule that comes first counts.
    pub(super) fn or(self, other: Self) -> Self {
        let first = |one: Option<RuleId>, other: Option<RuleId>| match (one, other) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        Self {
            explicit: first(self.explicit, other.explicit),
            default: first(self.default, other.default),
            kept: self.kept || other.kept,
        }
    }
}

/// The names that rules speak of, wherever they stand. One look-up tells everything about a name.
#[derive(Default)]
pub(super) struct Names {
    exact: HashMap<Box<[u8]>, Named, BuildHasherDefault<Fnv>>,
    suffixes: Vec<Suffix>,
    endings: Endings,
}

/// An ending, what must stand before it, and the rule that says so.
type Suffix = (&'static str, &'static [&'static str], RuleId);

impl Names {
    /// Has `say` add to what is said about a normalised name.
    pub(super) fn add(&mut self, name: Box<[u8]>, say: impl FnOnce(&mut Named)) {
        self.endings.add(&name);
        say(self.exact.entry(name).or_default());
    }

    /// Adds an ending that is sensitive by default.
    pub(super) fn add_suffix(
        &mut self,
        (ending, before): (&'static str, &'static [&'static str]),
        rule: RuleId,
    ) {
        self.endings.add(ending.as_bytes());
        self.suffixes.push((ending, before, rule));
    }

    /// Tells whether anything may be said about a name as it is written. Most names need no closer
    /// look.
    #[inline]
    pub(super) fn may_name(&self, key: &str) -> bool {
        self.endings.have(key.as_bytes())
    }

    /// Tells what is said about a normalised name.
    pub(super) fn named(&self, name: &[u8]) -> Named {
        let named = self.exact.get(name).copied().unwrap_or_default();
        Named {
            default: named.default.or_else(|| self.suffix(name)),
            ..named
        }
    }

    fn suffix(&self, name: &[u8]) -> Option<RuleId> {
        let one = singular(name);
        let ends = |(ending, before, _): &&Suffix| match one.strip_suffix(ending.as_bytes()) {
            Some(start) => {
                let follows = |word: &&str| start.ends_with(word.as_bytes());
                before.is_empty() || before.iter().any(follows)
            }
            None => false,
        };
        self.suffixes.iter().find(ends).map(|(.., rule)| *rule)
    }
}

/// FNV-1a. What is in the table is the operator's, so that no sender can fill a slot of it.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The last two letters of every name that is taken out: few other names end like that, and those
/// need no closer look.
#[derive(Default)]
struct Endings {
    bits: [u64; 16],
}

impl Endings {
    fn add(&mut self, name: &[u8]) {
        let slot = Self::slot(name);
        self.bits[slot / 64] |= 1 << (slot % 64);
    }

    fn have(&self, name: &[u8]) -> bool {
        let slot = Self::slot(name);
        self.bits[slot / 64] >> (slot % 64) & 1 == 1
    }

    /// Of a name in the plural the letters before its `s`, so that both have the same place. The same
    /// for a name and its normalised form, since the lowest bits of a letter are those of its capital.
    #[inline]
    fn slot(name: &[u8]) -> usize {
        let mut from_behind = name
            .iter()
            .copied()
            .rev()
            .filter(|byte| !is_separator(*byte));
        let mut last = from_behind.next().unwrap_or(0);
        if last.eq_ignore_ascii_case(&b's') {
            last = from_behind.next().unwrap_or(0);
        }
        let before = from_behind.next().unwrap_or(0);
        usize::from(before & 31) << 5 | usize::from(last & 31)
    }
}

fn singular(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"s").unwrap_or(name)
}

/// Tells whether a byte does not count in a name.
#[inline]
fn is_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'_' | b'.' | b' ')
}

/// Appends a name in the form in which names are compared.
pub(super) fn normalise(name: &str, out: &mut Vec<u8>) {
    // Every byte of a character beyond ASCII is beyond ASCII too, so bytes will do.
    out.reserve(name.len());
    for byte in name.bytes() {
        if !is_separator(byte) {
            out.push(byte.to_ascii_lowercase());
        }
    }
}
