//! What is to be taken out: the rules as an endpoint has them, and the names among them compiled.

use std::collections::{HashMap, HashSet};

use secrecy::SecretString;

use super::path::{Effect, Path, Paths};

/// How many keys, paths and exemptions an endpoint may have, each.
pub const MAX_RULES: usize = 1000;

/// What to take out of an endpoint's events, besides what [`DEFAULT_KEYS`] name.
///
/// Names are compared normalised: ASCII letters in lower case, without `-`, `_`, `.` and space, so
/// that `AccessToken`, `access_token` and `access-token` are one name.
///
/// A path such as `/items/*/email` goes from the top: `*` is one level, key or index, `**` any number
/// of levels, none included, `~1` a slash and `~0` a tilde. A path without slash at its beginning is a
/// name at any depth. What is named goes as a whole, with everything in it.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Names of members to take out, at any depth.
    pub keys: Vec<String>,
    /// Paths of values to take out.
    pub paths: Vec<String>,
    /// Paths of values that the provider's definition takes out by default.
    pub sensitive: Vec<String>,
    /// Paths that the default names and `sensitive` do not apply to. Nothing else is exempted by
    /// them: `keys`, `paths` and `secrets` are always taken out.
    pub keep: Vec<String>,
    /// The endpoint's own verification secrets. A string, key or number that contains one is taken
    /// out, written plainly or in base64, hex or percent-encoding. A secret of less than 8 bytes
    /// only where it is the whole value, because it would be found in anything.
    pub secrets: Vec<SecretString>,
}

/// A rule that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// A name or path is written wrongly.
    #[error("redaction rule `{rule}` {why}")]
    Malformed {
        /// The rule as written.
        rule: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There are more than anyone needs.
    #[error("more than {MAX_RULES} redaction rules of a kind")]
    TooMany,
    /// A secret is empty, and so would be found everywhere.
    #[error("secret {index} is empty")]
    EmptySecret {
        /// Which, from 0.
        index: usize,
    },
}

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

/// Why a name is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// The endpoint names it: no exemption.
    ByRule,
    /// It is sensitive by default.
    ByDefault,
}

/// The names that are taken out at any depth.
#[derive(Default)]
pub(super) struct Names {
    exact: HashMap<Box<[u8]>, Named>,
    kept: HashSet<Box<[u8]>>,
    endings: Endings,
}

impl Names {
    fn add(&mut self, name: Box<[u8]>, named: Named) {
        self.endings.add(&name);
        self.exact.insert(name, named);
    }

    /// Tells whether and why a normalised name is taken out.
    pub(super) fn named(&self, name: &[u8]) -> Option<Named> {
        if !self.endings.have(name) {
            return None;
        }
        if let Some(named) = self.exact.get(name) {
            return Some(*named);
        }
        let one = singular(name);
        let ends = |(ending, before): &(&str, &[&str])| match one.strip_suffix(ending.as_bytes()) {
            Some(start) => {
                let follows = |word: &&str| start.ends_with(word.as_bytes());
                before.is_empty() || before.iter().any(follows)
            }
            None => false,
        };
        let sensitive = DEFAULT_SUFFIXES.iter().any(ends);
        sensitive.then_some(Named::ByDefault)
    }

    /// Tells whether a normalised name is exempt from the defaults wherever it stands.
    pub(super) fn kept(&self, name: &[u8]) -> bool {
        self.kept.contains(name)
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

    /// Of a name in the plural the letters before its `s`, so that both have the same place.
    fn slot(name: &[u8]) -> usize {
        let mut last = singular(name)
            .iter()
            .rev()
            .map(|byte| usize::from(byte & 31));
        let (b, a) = (last.next().unwrap_or(0), last.next().unwrap_or(0));
        a << 5 | b
    }
}

fn singular(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"s").unwrap_or(name)
}

/// Checks names and paths, and sorts them by how they are looked for.
pub(super) fn compile(rules: &Rules) -> Result<(Names, Paths), RuleError> {
    let Rules {
        keys,
        paths,
        sensitive,
        keep,
        ..
    } = rules;
    if [keys, paths, sensitive, keep]
        .iter()
        .any(|list| list.len() > MAX_RULES)
    {
        return Err(RuleError::TooMany);
    }
    let mut names = Names::default();
    for (ending, _) in DEFAULT_SUFFIXES {
        names.endings.add(ending.as_bytes());
    }
    for key in DEFAULT_KEYS {
        names.add(name(key)?, Named::ByDefault);
    }
    let mut compiled = Paths::default();
    for path in keep {
        match path.starts_with('/') {
            true => compiled.add(Path::parse(path, Effect::Keep)?),
            false => drop(names.kept.insert(name(path)?)),
        }
    }
    for path in sensitive {
        match path.starts_with('/') {
            true => compiled.add(Path::parse(path, Effect::HideByDefault)?),
            false => names.add(name(path)?, Named::ByDefault),
        }
    }
    for path in paths.iter().filter(|path| path.starts_with('/')) {
        compiled.add(Path::parse(path, Effect::Hide)?);
    }
    let anywhere = paths.iter().filter(|path| !path.starts_with('/'));
    for key in keys.iter().chain(anywhere) {
        names.add(name(key)?, Named::ByRule);
    }
    Ok((names, compiled))
}

/// Appends a name in the form in which names are compared.
pub(super) fn normalise(name: &str, out: &mut Vec<u8>) {
    // Every byte of a character beyond ASCII is beyond ASCII too, so bytes will do.
    out.reserve(name.len());
    for byte in name.bytes() {
        if !matches!(byte, b'-' | b'_' | b'.' | b' ') {
            out.push(byte.to_ascii_lowercase());
        }
    }
}

fn name(rule: &str) -> Result<Box<[u8]>, RuleError> {
    let malformed = |why| {
        let rule = rule.to_owned();
        Err(RuleError::Malformed { rule, why })
    };
    if rule.contains('/') {
        return malformed("is a path, which begins with `/`");
    }
    let mut name = Vec::new();
    normalise(rule, &mut name);
    match name.is_empty() {
        true => malformed("names nothing"),
        false => Ok(name.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(rules: &Rules, key: &str) -> Option<Named> {
        let mut name = Vec::new();
        normalise(key, &mut name);
        compile(rules).unwrap().0.named(&name)
    }

    #[test]
    fn every_default_name_and_ending_is_found_in_the_singular_and_plural() {
        let defaults = Rules::default();
        for key in DEFAULT_KEYS {
            assert_eq!(named(&defaults, key), Some(Named::ByDefault), "{key}");
        }
        for (ending, before) in DEFAULT_SUFFIXES {
            for word in before.iter().chain(before.is_empty().then_some(&"")) {
                for key in [
                    format!("{word}_{ending}"),
                    format!("my-{word}{ending}"),
                    format!("{word}{ending}s").to_uppercase(),
                ] {
                    assert_eq!(named(&defaults, &key), Some(Named::ByDefault), "{key}");
                }
            }
        }
        for other in ["", "s", "id", "name", "monkey", "tokenised", "keys", "é"] {
            assert_eq!(named(&defaults, other), None, "{other}");
        }
    }

    #[test]
    fn a_name_of_any_length_can_be_a_rule() {
        for key in ["s", "x", "xs", "ss", "é", "ключ", "any_name"] {
            let rules = Rules {
                keys: vec![key.to_owned()],
                ..Rules::default()
            };
            assert_eq!(named(&rules, key), Some(Named::ByRule), "{key}");
        }
    }
}
