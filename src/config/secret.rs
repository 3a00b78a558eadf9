//! References to secrets, and what they stand for.
//!
//! A secret is written as `env:NAME` or `file:PATH`; a literal one is taken only where the
//! configuration says so. What comes out is redacted in every output, and no error repeats it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use zeroize::Zeroizing;

/// Bytes that a file with a secret may have.
pub const MAX_SECRET_BYTES: usize = 64 * 1024;

/// Where `env:NAME` is looked up.
pub trait Environment {
    /// Returns the value of a variable, `None` where it is not set.
    fn variable(&self, name: &str) -> Option<OsString>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl Environment for BTreeMap<String, String> {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.get(name).map(OsString::from)
    }
}

/// Whether a secret may stand in the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Literals {
    /// Only references are secrets.
    Refused,
    /// What is no reference is the secret itself: for demonstrations and offline commands.
    Allowed,
}

/// What a reference stands for.
#[derive(Debug)]
pub struct Resolved {
    /// The secret, exactly as it was found.
    pub secret: SecretString,
    /// The file that it was read from.
    pub file: Option<PathBuf>,
    /// It begins or ends with white space, which is seldom meant.
    pub padded: bool,
}

/// Why a reference gives no secret. No message repeats a value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The text is no reference, and literals are refused.
    #[error(
        "is a literal secret; write \"env:NAME\" or \"file:PATH\" (a literal loads only with \
         allow_inline_secrets = true at the top of the file, for demonstrations)"
    )]
    Literal,
    /// The text is nearly a reference.
    #[error("must begin with `env:` or `file:` in lower case, with no space before it")]
    Misspelt,
    /// What follows `env:` cannot be a name.
    #[error("must name a variable of letters, digits and `_` after `env:`")]
    VariableName,
    /// Nothing follows `file:`.
    #[error("must name a file after `file:`")]
    NoPath,
    /// The variable is not set.
    #[error(
        "names the environment variable {name}, which is not set; export {name}=… before starting"
    )]
    Unset {
        /// The variable.
        name: String,
    },
    /// The file cannot be read.
    #[error("names the file {}, which cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file holds more than a secret would.
    #[error("names the file {}, which is larger than {MAX_SECRET_BYTES} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The value is not text.
    #[error("refers to a value that is not UTF-8 text (from {from})")]
    NotText {
        /// The variable or file.
        from: String,
    },
    /// The value is empty or nothing but white space.
    #[error("refers to an empty or blank value (from {from})")]
    Blank {
        /// The variable or file.
        from: String,
    },
}

/// Finds the secret that `text` stands for. Relative paths start at `dir`. Blocks on files.
pub fn resolve(
    text: &str,
    dir: &Path,
    env: &dyn Environment,
    literals: Literals,
) -> Result<Resolved, SecretError> {
    match Reference::parse(text)? {
        Reference::Variable(name) => {
            let value = env
                .variable(name)
                .ok_or_else(|| SecretError::Unset { name: name.into() })?;
            let bytes = Zeroizing::new(value.into_encoded_bytes());
            checked(&bytes, format!("environment variable {name}"), None)
        }
        Reference::File(path) => {
            let path = dir.join(path);
            let bytes = read(&path)?;
            checked(
                without_break(&bytes),
                path.display().to_string(),
                Some(path),
            )
        }
        Reference::Literal(_) if literals == Literals::Refused => Err(SecretError::Literal),
        Reference::Literal(text) => checked(text.as_bytes(), "the configuration".into(), None),
    }
}

/// Tells whether `text` is a reference, rightly spelt or not.
pub(super) fn is_reference(text: &str) -> bool {
    !matches!(Reference::parse(text), Ok(Reference::Literal(_)))
}

enum Reference<'a> {
    Variable(&'a str),
    File(&'a str),
    Literal(&'a str),
}

impl<'a> Reference<'a> {
    fn parse(text: &'a str) -> Result<Self, SecretError> {
        if let Some(name) = text.strip_prefix("env:") {
            return if is_variable(name) {
                Ok(Self::Variable(name))
            } else {
                Err(SecretError::VariableName)
            };
        }
        if let Some(path) = text.strip_prefix("file:") {
            return if path.trim().is_empty() {
                Err(SecretError::NoPath)
            } else {
                Ok(Self::File(path))
            };
        }
        // Otherwise a misspelt reference would be taken for the secret where literals are allowed.
        let word = text.split_once(':').map_or("", |(word, _)| word.trim());
        match word.eq_ignore_ascii_case("env") || word.eq_ignore_ascii_case("file") {
            true => Err(SecretError::Misspelt),
            false => Ok(Self::Literal(text)),
        }
    }
}

fn is_variable(name: &str) -> bool {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain && !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit())
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let unreadable = |source| SecretError::Unreadable {
        path: path.to_owned(),
        source,
    };
    // Reading a pipe could wait for ever.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::other("not a regular file")));
    }
    let file = File::open(path).map_err(unreadable)?;
    // Room for all of it, so that growing leaves no copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES + 1));
    file.take(MAX_SECRET_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    match bytes.len() > MAX_SECRET_BYTES {
        true => Err(SecretError::TooLarge {
            path: path.to_owned(),
        }),
        false => Ok(bytes),
    }
}

/// Drops the one line break that editors put at the end of a file.
fn without_break(bytes: &[u8]) -> &[u8] {
    let stripped = bytes
        .strip_suffix(b"\n")
        .map(|text| text.strip_suffix(b"\r").unwrap_or(text));
    stripped.unwrap_or(bytes)
}

fn checked(bytes: &[u8], from: String, file: Option<PathBuf>) -> Result<Resolved, SecretError> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(SecretError::NotText { from });
    };
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(SecretError::Blank { from });
    }
    Ok(Resolved {
        secret: text.into(),
        file,
        padded: trimmed.len() != text.len(),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn env(value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([("KEY".to_owned(), value.to_owned())])
    }

    fn resolve_in(dir: &Path, text: &str) -> Result<Resolved, SecretError> {
        resolve(text, dir, &env("from-env"), Literals::Refused)
    }

    #[test]
    fn a_variable_and_a_file_are_found() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "from-file").unwrap();
        let variable = resolve_in(dir.path(), "env:KEY").unwrap();
        assert_eq!(variable.secret.expose_secret(), "from-env");
        let file = resolve_in(dir.path(), "file:key").unwrap();
        assert_eq!(file.secret.expose_secret(), "from-file");
        assert_eq!(file.file, Some(dir.path().join("key")));
    }

    #[test]
    fn one_line_break_at_the_end_of_a_file_is_dropped_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        for (content, secret, padded) in [
            ("k\n", "k", false),
            ("k\r\n", "k", false),
            ("k\n\n", "k\n", true),
            (" k", " k", true),
            ("a\nb", "a\nb", false),
        ] {
            std::fs::write(dir.path().join("key"), content).unwrap();
            let found = resolve_in(dir.path(), "file:key").unwrap();
            assert_eq!(
                (found.secret.expose_secret(), found.padded),
                (secret, padded)
            );
        }
    }

    #[test]
    fn an_empty_or_blank_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for content in ["", "\n", " \t\r\n", "\u{a0}"] {
            std::fs::write(dir.path().join("key"), content).unwrap();
            assert!(matches!(
                resolve_in(dir.path(), "file:key"),
                Err(SecretError::Blank { .. })
            ));
            let variable = resolve("env:KEY", dir.path(), &env(content), Literals::Refused);
            assert!(matches!(variable, Err(SecretError::Blank { .. })));
        }
        let literal = resolve(" ", dir.path(), &env(""), Literals::Allowed);
        assert!(matches!(literal, Err(SecretError::Blank { .. })));
    }

    #[test]
    fn a_file_that_cannot_hold_a_secret_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = resolve_in(dir.path(), "file:none").unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&dir.path().join("none").display().to_string())
        );
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("No such file"), "{cause}");

        assert!(matches!(
            resolve_in(dir.path(), "file:."),
            Err(SecretError::Unreadable { .. })
        ));
        assert!(matches!(
            resolve_in(dir.path(), "file:"),
            Err(SecretError::NoPath)
        ));

        let file = dir.path().join("key");
        std::fs::write(&file, vec![b'x'; MAX_SECRET_BYTES]).unwrap();
        assert!(resolve_in(dir.path(), "file:key").is_ok());
        std::fs::write(&file, vec![b'x'; MAX_SECRET_BYTES + 1]).unwrap();
        assert!(matches!(
            resolve_in(dir.path(), "file:key"),
            Err(SecretError::TooLarge { .. })
        ));
        std::fs::write(&file, b"\xff\xfe").unwrap();
        assert!(matches!(
            resolve_in(dir.path(), "file:key"),
            Err(SecretError::NotText { .. })
        ));
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = resolve_in(Path::new(""), "env:OTHER").unwrap_err();
        assert!(
            error.to_string().contains("OTHER, which is not set"),
            "{error}"
        );
    }

    #[test]
    fn a_literal_or_misspelt_secret_is_refused_without_repeating_it() {
        for text in [
            "s3cr3t",
            "env:s3cr3t-x",
            "ENV:s3cr3t",
            " env:s3cr3t",
            "File:s3cr3t",
            "env:",
        ] {
            let error = resolve_in(Path::new(""), text).unwrap_err();
            assert!(
                !format!("{error} {error:?}").contains("s3cr3t"),
                "{error:?}"
            );
        }
    }

    #[test]
    fn a_literal_is_taken_where_allowed_but_a_misspelt_reference_never() {
        let resolve = |text| resolve(text, Path::new(""), &env("x"), Literals::Allowed);
        assert_eq!(
            resolve("whsec:a b").unwrap().secret.expose_secret(),
            "whsec:a b"
        );
        assert!(matches!(resolve("ENV:KEY"), Err(SecretError::Misspelt)));
        assert!(!format!("{:?}", resolve("s3cr3t")).contains("s3cr3t"));
    }
}
