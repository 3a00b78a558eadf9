//! Who called, and which URL: what the connection says, or a trusted proxy in its place.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap};
use ipnet::IpNet;

use crate::config::Server as Settings;

/// Returns the caller's address: the peer's, or where the peer is a trusted proxy, the last address
/// in `X-Forwarded-For` that is not one itself. Earlier ones are whatever the caller wrote.
pub(super) fn address(trusted: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> IpAddr {
    if !is_trusted(trusted, peer) {
        return peer;
    }
    let lines = headers.get_all("x-forwarded-for").iter().rev();
    let texts = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.rsplit(','));
    let mut caller = peer;
    for text in texts {
        // What cannot be read was not written by a proxy that is to be trusted.
        let Ok(address) = text.trim().parse() else {
            break;
        };
        caller = address;
        if !is_trusted(trusted, address) {
            break;
        }
    }
    caller
}

/// Returns the public URL that the provider called: `server.public_url` if it is set, else what the
/// request and a trusted proxy say.
pub(super) fn public_url(
    settings: &Settings,
    peer: IpAddr,
    request: &http::request::Parts,
) -> String {
    let target = request
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str());
    if let Some(public) = &settings.public_url {
        return public.join(target);
    }
    let text = |name: &str| {
        request
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let trusted = is_trusted(&settings.trusted_proxies, peer);
    let forwarded = |name| text(name).filter(|_| trusted);
    let host = request.uri.authority().map(|authority| authority.as_str());
    let host = forwarded("x-forwarded-host")
        .or(host)
        .or_else(|| text(HOST.as_str()));
    let scheme = forwarded("x-forwarded-proto").unwrap_or("http");
    format!("{scheme}://{}{target}", host.unwrap_or_default())
}

/// Tells whether a peer is one of the proxies whose word counts.
pub(super) fn is_trusted(trusted: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    trusted.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forwarded(lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let headers = forwarded(&["1.2.3.4"]);
        let caller = |peer: &str| address(&trusted, peer.parse().unwrap(), &headers).to_string();
        assert_eq!(caller("10.0.0.1"), "1.2.3.4");
        assert_eq!(caller("9.9.9.9"), "9.9.9.9");
    }

    #[test]
    fn an_address_that_the_caller_wrote_itself_is_not_believed() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let peer = "10.0.0.1".parse().unwrap();
        for lines in [&["6.6.6.6, 1.2.3.4, 10.0.0.2"][..], &["6.6.6.6", "1.2.3.4"]] {
            assert_eq!(
                address(&trusted, peer, &forwarded(lines)).to_string(),
                "1.2.3.4"
            );
        }
        assert_eq!(
            address(&trusted, peer, &forwarded(&["6.6.6.6, nonsense"])),
            peer
        );
    }
}
