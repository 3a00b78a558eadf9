//! Published keys and certificates: where they are, and why they do not count.

use super::ground::Ground;
use super::urls::shown;
use crate::outcome::Rejected;
use crate::verify::template::Scope;

/// Explains why there is no key to verify with.
pub(super) fn explain(ground: &Ground<'_>, rejected: &Rejected) -> Vec<String> {
    let Some(rule) = &ground.scheme().keys else {
        return Vec::new();
    };
    let url = rule
        .url
        .text(&Scope::of(&ground.fields))
        .unwrap_or_default();
    match rejected {
        Rejected::SignatureMalformed(why) if why.contains("address of the key") => vec![format!(
            "the delivery names {} as the place of its certificate, host `{}`, and the definition \
             pins others: whoever sends such a delivery chooses its key, so it is a forgery unless \
             the vendor has moved",
            shown(&url),
            host(&url)
        )],
        Rejected::KeyUnavailable(why) => vec![unavailable(why, &url)],
        _ => Vec::new(),
    }
}

/// The host as a careful reader takes it: behind user information, before a port.
fn host(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    host.split(':').next().unwrap_or_default().to_owned()
}

fn unavailable(why: &str, url: &str) -> String {
    let has = |text: &str| why.contains(text);
    if has("no key was fetched") {
        return format!(
            "the keys are published at {}: save what is there and give it with --keys FILE",
            shown(url)
        );
    }
    if has("valid from") {
        return "the certificate has expired or is not valid yet at the time assumed: for a \
                delivery that was recorded earlier give its time with --at"
            .to_owned();
    }
    if has("withdrawn") {
        return "the key that the delivery is signed with has been withdrawn: the delivery is old, or \
                signed with a key that somebody else has got hold of"
            .to_owned();
    }
    if has("does not chain") {
        return "the certificate does not chain to a public authority: it is self-signed, or the \
                document lacks the certificates between; a forgery unless the vendor says otherwise"
            .to_owned();
    }
    if has("which is none of the names") {
        return "the certificate has another subject than the vendor's: a forgery unless the vendor \
                says otherwise"
            .to_owned();
    }
    format!(
        "what {} published does not yield the key: check that the document is the current one",
        shown(url)
    )
}
