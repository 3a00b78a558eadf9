//! The spellings of the public URL that vendors sign.

use std::borrow::Cow;

/// A spelling of the public URL. Some vendors are inconsistent about ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UrlForm {
    /// As the provider called it.
    AsCalled,
    /// Without its port.
    WithoutPort,
    /// With the scheme's default port spelled out.
    DefaultPort,
    /// With the escapes of `: / ? @ ! $ ' ( ) * , ;` decoded.
    Unescaped,
}

impl UrlForm {
    /// Spells a URL in this form.
    pub fn apply(self, url: &str) -> Cow<'_, str> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Cow::Borrowed(url);
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let port = if scheme == "http" { 80 } else { 443 };
        match self {
            Self::AsCalled => Cow::Borrowed(url),
            Self::WithoutPort => Cow::Owned(format!("{scheme}://{host}{path}")),
            Self::DefaultPort => Cow::Owned(format!("{scheme}://{host}:{port}{path}")),
            Self::Unescaped => Cow::Owned(unescaped(url)),
        }
    }
}

/// Decodes the escapes of a dozen reserved characters, and no others.
fn unescaped(url: &str) -> String {
    const DECODED: &[u8] = b":/?@!$'()*,;";
    let mut out = String::with_capacity(url.len());
    let mut rest = url;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let byte = after
            .get(..2)
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        rest = match (byte, after.get(2..)) {
            (Some(byte), Some(tail)) if DECODED.contains(&byte) => {
                out.push(char::from(byte));
                tail
            }
            _ => {
                out.push('%');
                after
            }
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dozen_escapes_of_a_url_are_decoded() {
        assert_eq!(
            UrlForm::Unescaped.apply("https://gw/%2f%3Aa%20b?c=%40%26%2"),
            "https://gw//:a%20b?c=@%26%2"
        );
    }

    #[test]
    fn a_url_is_spelled_with_and_without_its_port() {
        let url = "https://gw.example:1234/a:1?b=c:2";
        assert_eq!(
            UrlForm::WithoutPort.apply(url),
            "https://gw.example/a:1?b=c:2"
        );
        assert_eq!(
            UrlForm::DefaultPort.apply(url),
            "https://gw.example:443/a:1?b=c:2"
        );
        assert_eq!(UrlForm::DefaultPort.apply("http://gw"), "http://gw:80");
    }
}
