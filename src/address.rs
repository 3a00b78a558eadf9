//! A backend's URL, which may hold a password: parsed once, shown without its user info.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// The URL of a backend. `Display` and `Debug` leave out user, password and query.
#[derive(Clone)]
pub struct Address {
    scheme: String,
    place: String,
    shown: String,
    whole: SecretString,
}

impl Address {
    /// Reads a URL of the form `scheme://[user[:password]@]host[:port][/path][?query]`.
    ///
    /// The error never repeats the text, because a password may stand anywhere in a mistyped URL.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (_, rest) = text.split_once("://").unwrap_or_default();
        let behind = rest.find(['/', '?', '#']).map_or("", |at| &rest[at..]);
        // Else the password `12/34` would be shown: as a port and a path.
        if behind.contains('@') {
            return Err(
                "an `@` follows the host: write `/`, `?`, `#` and `@` in a password as %2F, %3F, %23 \
                 and %40"
                    .to_owned(),
            );
        }
        let uri: http::Uri = text.parse().map_err(|_| "not a URL".to_owned())?;
        let scheme = uri
            .scheme_str()
            .ok_or("no `scheme://` at its beginning")?
            .to_owned();
        let host = uri
            .host()
            .filter(|host| !host.is_empty())
            .ok_or("no host")?;
        let port = uri
            .port_u16()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        // Whatever else follows the host was meant to be a port.
        let has_port = uri
            .authority()
            .is_some_and(|all| !all.as_str().ends_with(host));
        if has_port && port.is_empty() {
            return Err("the port is no number up to 65535".to_owned());
        }
        let path = uri.path().trim_end_matches('/');
        let place = format!("{host}{port}");
        let shown = format!("{scheme}://{place}{path}");
        Ok(Self {
            scheme,
            place,
            shown,
            whole: text.to_owned().into(),
        })
    }

    /// Returns the scheme, such as `redis` or `amqps`.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Returns the host, and the port where there is one.
    pub fn host_and_port(&self) -> &str {
        &self.place
    }

    /// Returns the whole URL, password included, for the client library that connects.
    pub fn expose(&self) -> &str {
        self.whole.expose_secret()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let address = Address::parse("amqp://user:s3cr3t@rabbit:5672/%2f?x=s3cr3t").unwrap();
        assert_eq!(address.to_string(), "amqp://rabbit:5672/%2f");
        assert!(!format!("{address:?}").contains("s3cr3t"));
        assert!(address.expose().contains("s3cr3t"));
    }

    #[test]
    fn a_mistyped_address_is_not_repeated() {
        for text in [
            "redis//u:s3cr3t@h",
            "s3cr3t",
            "redis://",
            "redis:s3cr3t",
            "redis://u:s3cr3t@h:s3cr3t",
            "redis://u:s3cr3t@h:65536",
            "redis://u:12/s3cr3t@h",
            "redis://u/s3cr3t@h",
            "redis://u:12?s3cr3t@h",
            "redis://u:12#s3cr3t@h",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(!error.contains("s3cr3t"), "{error}");
        }
    }
}
