//! One HTTP request from a provider, received whole and within its limits.
//!
//! The first type on the way of a delivery: [`crate::server`] makes it, every later step reads it.
//! Nothing in it is trusted. It is never logged: `Debug` shows sizes, not contents.

use std::fmt;
use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};

/// A delivery as it was received: the exact bytes, and the URL that the provider called.
#[derive(Clone)]
pub struct Delivery {
    /// The request's method.
    pub method: Method,
    /// The public URL that the provider called, with its query, as schemes that sign it need it.
    pub url: String,
    /// The headers as received, repeated ones included.
    pub headers: HeaderMap,
    /// The exact bytes of the body.
    pub body: Bytes,
    /// The caller's address: the peer's, or what a trusted proxy says it is.
    pub caller: IpAddr,
    /// Whether a trusted proxy passed it on, so that what only proxies say can be believed.
    pub via_trusted_proxy: bool,
}

/// The value of a header that must appear at most once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Single<'a> {
    /// The header is absent.
    Absent,
    /// The header appears once, with these bytes.
    One(&'a [u8]),
    /// The header appears more than once: whoever reads the first and whoever reads the last would
    /// see different requests.
    Repeated,
}

impl Delivery {
    /// Returns a header that must appear at most once.
    pub fn header(&self, name: &str) -> Single<'_> {
        let mut values = self.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Single::Absent,
            (Some(value), None) => Single::One(value.as_bytes()),
            (Some(_), Some(_)) => Single::Repeated,
        }
    }

    /// Returns the raw query string of the URL, without the question mark; empty where there is none.
    pub fn query(&self) -> &str {
        self.url.split_once('?').map_or("", |(_, query)| query)
    }

    /// Returns the Content-Type as it was sent, with its parameters; empty where there is none.
    pub fn content_type(&self) -> std::borrow::Cow<'_, str> {
        match self.header("content-type") {
            Single::One(value) => String::from_utf8_lossy(value),
            _ => std::borrow::Cow::Borrowed(""),
        }
    }

    /// Returns the media type of the body in lower case, without parameters; empty where there is none.
    pub fn media_type(&self) -> String {
        let text = self.content_type();
        let essence = text.split(';').next().unwrap_or_default();
        essence.trim().to_ascii_lowercase()
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("method", &self.method)
            .field("headers", &self.headers.len())
            .field("body", &self.body.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(url: &str) -> Delivery {
        Delivery {
            method: Method::POST,
            url: url.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::from_static(b"{\"secret\":1}"),
            caller: IpAddr::from([127, 0, 0, 1]),
            via_trusted_proxy: false,
        }
    }

    #[test]
    fn a_repeated_header_is_not_one_header() {
        let mut delivery = delivery("https://gw.example/hooks/x");
        assert_eq!(delivery.header("x-sig"), Single::Absent);
        delivery.headers.append("x-sig", "a".parse().unwrap());
        assert_eq!(delivery.header("X-Sig"), Single::One(b"a"));
        delivery.headers.append("x-sig", "a".parse().unwrap());
        assert_eq!(delivery.header("x-sig"), Single::Repeated);
    }

    #[test]
    fn the_query_is_what_follows_the_first_question_mark() {
        assert_eq!(delivery("https://gw/x?a=1?b").query(), "a=1?b");
        assert_eq!(delivery("https://gw/x").query(), "");
    }

    #[test]
    fn debug_shows_no_content() {
        let text = format!("{:?}", delivery("https://gw/x?token=s3cr3t"));
        assert!(
            !text.contains("secret") && !text.contains("s3cr3t"),
            "{text}"
        );
    }
}
