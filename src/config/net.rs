//! Paths, networks and the public URL as they are written in the file.
//!
//! Pure text to value. An error continues a sentence that begins with the key.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

/// The URL under which providers reach the gateway: what schemes that sign the URL are checked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// Reads `scheme://host[:port][/prefix]`. The error repeats nothing of the text, because a
    /// password may stand in it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || "must be of the form https://HOST[:PORT][/PREFIX]".to_owned();
        let uri: http::Uri = text.parse().map_err(|_| form())?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(form());
        };
        if !matches!(scheme, "http" | "https") || authority.host().is_empty() {
            return Err(form());
        }
        if authority.as_str().contains('@') {
            return Err("must not hold a user or a password".to_owned());
        }
        if uri.query().is_some() || text.contains('#') {
            return Err("must not have a query or a fragment".to_owned());
        }
        if authority.as_str().len() > authority.host().len() && authority.port_u16().is_none() {
            return Err(form());
        }
        let prefix = uri.path().trim_end_matches('/');
        if !prefix.is_empty() {
            path(prefix)?;
        }
        Ok(Self(format!("{scheme}://{authority}{prefix}")))
    }

    /// Returns the URL that a provider calls to reach `path_and_query` here.
    pub fn join(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.0)
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads a network such as `10.0.0.0/8`, or one address.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let Ok(network) = text.parse::<IpNet>() else {
        return Err(
            "must hold addresses or networks, such as \"192.0.2.7\" or \"10.0.0.0/8\"".into(),
        );
    };
    match network == network.trunc() {
        true => Ok(network),
        // One address or the whole network: only the operator knows.
        false => Err(format!(
            "holds {network}, which has bits set past its prefix; write \"{}\" or \"{}\"",
            network.trunc(),
            network.addr()
        )),
    }
}

/// Bytes that a path may have.
const MAX_PATH: usize = 255;

/// Reads a path that every proxy leaves as it is: nothing to decode, collapse or resolve.
pub(super) fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("must start with `/`".into());
    }
    if text.contains(['?', '#']) {
        return Err("must not have a query or a fragment".into());
    }
    if text.len() > MAX_PATH {
        return Err(format!("must not be longer than {MAX_PATH} bytes"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte);
    if !text.bytes().all(plain) {
        return Err("must hold only letters, digits and /-._~!$&'()*+,;=:@".into());
    }
    if text.contains("//") || text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("must not hold `//`, `/./` or `/../`".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_joined_with_what_was_called() {
        for (text, joined) in [
            (
                "https://hooks.example.com",
                "https://hooks.example.com/hooks/x?a=1",
            ),
            (
                "https://hooks.example.com/",
                "https://hooks.example.com/hooks/x?a=1",
            ),
            ("http://h:8080/in/", "http://h:8080/in/hooks/x?a=1"),
            ("https://[::1]:8443", "https://[::1]:8443/hooks/x?a=1"),
        ] {
            assert_eq!(PublicUrl::parse(text).unwrap().join("/hooks/x?a=1"), joined);
        }
    }

    #[test]
    fn a_public_url_that_is_more_or_less_than_that_is_refused_and_not_repeated() {
        for text in [
            "hooks.example.com",
            "/hooks",
            "ftp://h",
            "https://",
            "https://u:s3cr3t@h",
            "https://h?s3cr3t",
            "https://h#s3cr3t",
            "https://h:99999",
            "https://h:",
            "https://h/a b",
            "https://h/a%2fb",
            "https://h/a//b",
        ] {
            let error = PublicUrl::parse(text).unwrap_err();
            assert!(!error.contains("s3cr3t"), "{text}: {error}");
        }
    }

    #[test]
    fn a_network_is_a_prefix_or_one_address() {
        assert_eq!(network("192.0.2.7").unwrap().to_string(), "192.0.2.7/32");
        assert_eq!(
            network("2001:db8::/32").unwrap().to_string(),
            "2001:db8::/32"
        );
        let error = network("10.1.2.3/8").unwrap_err();
        assert!(error.contains("\"10.0.0.0/8\" or \"10.1.2.3\""), "{error}");
        for text in ["", "10.0.0.0/33", "example.com", "10.0.0"] {
            assert!(network(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_means_the_same_to_every_proxy() {
        for text in ["/", "/hooks/acme-stripe", "/a/b/"] {
            assert_eq!(path(text).as_deref(), Ok(text));
        }
        let long = format!("/{}", "x".repeat(MAX_PATH));
        for text in [
            "", "a", "/a?b", "/a#b", "/a b", "/%2f", "//a", "/a/../b", "/.", "/ü", &long,
        ] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
