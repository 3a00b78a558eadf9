//! The answer of an exchange: a document within its bound, and how long it may be kept.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AGE, CACHE_CONTROL, CONTENT_ENCODING};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;

use super::{FetchError, MAX_DOCUMENT, unreachable};

/// What an address answered.
#[derive(Debug)]
pub(in crate::keys) struct Document {
    pub(in crate::keys) bytes: Bytes,
    /// How long it may be kept (RFC 9111 section 4.2), where the answer says so.
    pub(in crate::keys) lifetime: Option<Duration>,
}

pub(super) async fn read(answer: Response<Incoming>) -> Result<Document, FetchError> {
    let (head, body) = answer.into_parts();
    let encoding = head.headers.get(CONTENT_ENCODING);
    if encoding.is_some_and(|encoding| encoding != "identity") {
        let why = "it is compressed, which was not asked for";
        return Err(FetchError::Unreadable(why.to_owned()));
    }
    let collected = Limited::new(body, MAX_DOCUMENT).collect().await;
    let collected = collected.map_err(|error| {
        if error.is::<LengthLimitError>() {
            FetchError::TooLarge
        } else {
            unreachable("receiving the document")(error)
        }
    });
    Ok(Document {
        bytes: collected?.to_bytes(),
        lifetime: lifetime(&head.headers),
    })
}

/// How long an answer may be kept: its `max-age` less its `Age` (RFC 9111 sections 4.2.1 and 5.1),
/// nothing where it is not to be kept.
fn lifetime(headers: &HeaderMap) -> Option<Duration> {
    let mut lifetime = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().unwrap_or_default().split(',') {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            let seconds = match name.trim().to_ascii_lowercase().as_str() {
                "max-age" => delta_seconds(value.trim().trim_matches('"')),
                "no-store" | "no-cache" => Some(0),
                _ => None,
            };
            lifetime = lifetime.into_iter().chain(seconds).min();
        }
    }
    let age = headers.get(AGE).and_then(|age| age.to_str().ok());
    let age = age.and_then(|age| delta_seconds(age.trim())).unwrap_or(0);
    lifetime.map(|lifetime| Duration::from_secs(lifetime.saturating_sub(age)))
}

/// Reads seconds (RFC 9111 section 1.2.2); more than there is room for is as much as there is.
fn delta_seconds(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn lifetime_of(fields: &[(&'static str, &'static str)]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        lifetime(&headers).map(|lifetime| lifetime.as_secs())
    }

    #[test]
    fn an_answer_says_how_long_it_may_be_kept() {
        assert_eq!(lifetime_of(&[]), None);
        assert_eq!(
            lifetime_of(&[("cache-control", "public, Max-Age=600")]),
            Some(600)
        );
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=\"600\"")]),
            Some(600)
        );
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=600, no-cache")]),
            Some(0)
        );
        assert_eq!(lifetime_of(&[("cache-control", "max-age=-1")]), None);
        assert_eq!(lifetime_of(&[("cache-control", "s-maxage=5")]), None);
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=99999999999999999999999")]),
            Some(u64::MAX)
        );
        let several = [
            ("cache-control", "max-age=900"),
            ("cache-control", "max-age=600"),
        ];
        assert_eq!(lifetime_of(&several), Some(600));
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=600"), ("age", "100")]),
            Some(500)
        );
        assert_eq!(
            lifetime_of(&[("cache-control", "max-age=600"), ("age", "700")]),
            Some(0)
        );
    }
}
