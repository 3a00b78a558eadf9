//! Addresses that a definition pins: the only ones anything is ever fetched from.
//!
//! Some deliveries name the address of their own certificate, so whoever sends one chooses it. What
//! is taken for an address is therefore a small part of what RFC 3986 allows, and read strictly:
//! every character that two parsers of URLs could read differently is refused. That an address is
//! pinned says nothing about where its name leads: [`super::network`] judges that.

use std::fmt;
use std::sync::Arc;

/// Most bytes of an address.
const MAX_URL: usize = 2048;
/// Most bytes of the id of a key that is asked for with POST.
pub(super) const MAX_KID: usize = 256;
/// Most bytes of a pattern.
const MAX_PATTERN: usize = 256;
/// Fewest characters that a `*` of a [`HostPattern`] stands for.
const MIN_WILD_LABEL: usize = 3;
/// Most bytes of a label and of a name (RFC 1035 section 2.3.4; a name without its last dot).
const MAX_LABEL: usize = 63;
const MAX_NAME: usize = 253;

/// Why an address is not one that a definition pins. Never repeats the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPinned {
    /// Too long for an address.
    #[error("the address is longer than {MAX_URL} bytes")]
    TooLong,
    /// A space, a control character, or anything that is not ASCII.
    #[error("the address has a character that is not printable ASCII")]
    Unprintable,
    /// Parsers disagree on what a backslash is.
    #[error("the address has a backslash")]
    Backslash,
    /// Not `https://`.
    #[error("the address does not begin with https://")]
    Scheme,
    /// `user@` or `user:password@` before the host.
    #[error("the address has user information before its host")]
    UserInfo,
    /// A port other than 443.
    #[error("the address has a port other than 443")]
    Port,
    /// An IP address, a single label, or characters that no host has.
    #[error("the host is not a name in lower case with at least two labels")]
    HostForm,
    /// No pattern of the definition matches the host.
    #[error("the host is none that the definition pins")]
    Host,
    /// Escapes, dot segments, empty segments, or no path at all.
    #[error("the path is missing, or has an escape, a dot segment or an unusual character")]
    PathForm,
    /// The pattern of the definition does not match the path.
    #[error("the path is not the one that the definition pins")]
    Path,
    /// A query where none is allowed, or one with unusual characters.
    #[error("the address has a query that it may not have")]
    Query,
    /// The id of a key, asked for with POST, is too long for one.
    #[error("the id of the key is longer than {MAX_KID} bytes")]
    KeyId,
    /// `#` and what follows.
    #[error("the address has a fragment")]
    Fragment,
}

/// An `https` address that a definition pins. Shown without its query, which may hold a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct KeyAddress {
    host: Arc<str>,
    path: Arc<str>,
    query: Option<Arc<str>>,
}

impl KeyAddress {
    /// Reads an address that a delivery names; one of `hosts` and `path` must match it. Allows no
    /// query.
    pub fn pinned(url: &str, hosts: &[HostPattern], path: &PathPattern) -> Result<Self, NotPinned> {
        let address = Self::pinned_with_query(url, hosts, path)?;
        if address.query.is_some() {
            return Err(NotPinned::Query);
        }
        Ok(address)
    }

    /// Reads an address like [`KeyAddress::pinned`], and allows it a query: for
    /// [`super::KeySource::call`], where the query carries what confirms a subscription.
    pub fn pinned_with_query(
        url: &str,
        hosts: &[HostPattern],
        path: &PathPattern,
    ) -> Result<Self, NotPinned> {
        let address = Self::fixed(url)?;
        if !hosts.iter().any(|pattern| pattern.matches(&address.host)) {
            return Err(NotPinned::Host);
        }
        if !path.matches(&address.path) {
            return Err(NotPinned::Path);
        }
        Ok(address)
    }

    /// Reads an address that a definition spells out whole. Allows a query.
    pub fn fixed(url: &str) -> Result<Self, NotPinned> {
        if url.len() > MAX_URL {
            return Err(NotPinned::TooLong);
        }
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotPinned::Unprintable);
        }
        if url.contains('\\') {
            return Err(NotPinned::Backslash);
        }
        if url.contains('#') {
            return Err(NotPinned::Fragment);
        }
        let rest = url.strip_prefix("https://").ok_or(NotPinned::Scheme)?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let start = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(start);
        let host = host_of(authority)?;
        if !is_path(path) {
            return Err(NotPinned::PathForm);
        }
        if !query.is_none_or(is_query) {
            return Err(NotPinned::Query);
        }
        Ok(Self {
            host: host.into(),
            path: path.into(),
            query: query.map(Into::into),
        })
    }

    /// Returns the host: a name, never an IP address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the path with its query, for the request line.
    pub(super) fn target(&self) -> String {
        match &self.query {
            None => self.path.as_ref().to_owned(),
            Some(query) => format!("{}?{query}", self.path),
        }
    }
}

impl fmt::Display for KeyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}{}", self.host, self.path)
    }
}

impl fmt::Debug for KeyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The host of `host` or `host:443`.
fn host_of(authority: &str) -> Result<&str, NotPinned> {
    if authority.contains('@') {
        return Err(NotPinned::UserInfo);
    }
    let host = match authority.split_once(':') {
        None => authority,
        Some((host, "443")) => host,
        Some(_) => return Err(NotPinned::Port),
    };
    let labels: Vec<&str> = host.split('.').collect();
    // A last label that begins with a digit is how parsers of URLs tell an IPv4 address.
    let last = labels.last().and_then(|last| last.bytes().next());
    let name = host.len() <= MAX_NAME
        && labels.len() >= 2
        && labels.iter().all(|label| is_label(label))
        && last.is_some_and(|first| first.is_ascii_lowercase());
    name.then_some(host).ok_or(NotPinned::HostForm)
}

/// Tells whether a text is a label of a host's name in lower case (RFC 1123 section 2.1).
fn is_label(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(letter)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Tells whether a text is a path without escapes, dot segments and empty segments.
fn is_path(text: &str) -> bool {
    let Some(segments) = text.strip_prefix('/') else {
        return false;
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@:+=,/".contains(&byte);
    let mut segments = segments.split('/').peekable();
    let mut whole = true;
    while let Some(segment) = segments.next() {
        // Only the last may be empty: a path that ends with a slash.
        whole &= !matches!(segment, "." | "..");
        whole &= !segment.is_empty() || segments.peek().is_none();
    }
    whole && text.bytes().all(plain)
}

/// Tells whether a text has only characters of a query (RFC 3986 section 3.4).
fn is_query(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?%".contains(&byte);
    text.bytes().all(plain)
}

/// A pattern of hosts such as `sns.*.example.com`: `*` stands for exactly one label of at least
/// three characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(Box<[Option<Box<str>>]>);

impl HostPattern {
    /// Reads a pattern. The error continues a sentence that begins with the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let labels: Vec<&str> = text.split('.').collect();
        if labels.iter().rev().take(2).any(|label| *label == "*") {
            return Err("must end with two labels that are no `*`".to_owned());
        }
        host_of(&text.replace('*', "wild"))
            .ok()
            .filter(|host| !text.contains(':') && host.len() <= MAX_PATTERN)
            .ok_or("must be a name in lower case with at least two labels")?;
        if labels
            .iter()
            .any(|label| label.contains('*') && *label != "*")
        {
            return Err("must have `*` only as a whole label".to_owned());
        }
        let label = |label: &&str| (*label != "*").then(|| Box::from(*label));
        Ok(Self(labels.iter().map(label).collect()))
    }

    /// Tells whether a host matches. Case counts: hosts are in lower case.
    pub fn matches(&self, host: &str) -> bool {
        let labels: Vec<&str> = host.split('.').collect();
        labels.len() == self.0.len()
            && self
                .0
                .iter()
                .zip(labels)
                .all(|(wanted, label)| match wanted {
                    Some(wanted) => **wanted == *label,
                    None => label.len() >= MIN_WILD_LABEL && is_label(label),
                })
    }
}

/// A pattern of paths such as `/keys/signing-*.pem`: `*` stands for one or more of `A`-`Z`, `a`-`z`,
/// `0`-`9`, `.`, `_` and `-`, and so for no slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Box<str>);

impl PathPattern {
    /// Reads a pattern. The error continues a sentence that begins with the key.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_PATTERN {
            return Err(format!("must not be longer than {MAX_PATTERN} bytes"));
        }
        if !is_path(&text.replace('*', "wild")) {
            return Err("must be a path without escapes and dot segments".to_owned());
        }
        Ok(Self(text.into()))
    }

    /// Tells whether the whole of a path matches. Case counts.
    pub fn matches(&self, path: &str) -> bool {
        if !is_path(path) {
            return false;
        }
        let pattern = self.0.as_bytes();
        // `reached[at]`: what was read so far matches the first `at` characters of the pattern.
        // Takes pattern times path at worst, whatever the stars.
        let mut reached = vec![false; pattern.len() + 1];
        reached[0] = true;
        for byte in path.bytes() {
            let wild = byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            let mut next = vec![false; pattern.len() + 1];
            for (at, expected) in pattern.iter().enumerate() {
                next[at + 1] = match expected {
                    b'*' => wild && (reached[at] || reached[at + 1]),
                    expected => reached[at] && *expected == byte,
                };
            }
            reached = next;
        }
        reached.last().is_some_and(|whole| *whole)
    }
}

#[cfg(test)]
mod tests;
