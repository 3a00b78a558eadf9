//! Tests of what is fetched and what is refused, against a TLS server of their own.

mod server;

use std::sync::Arc;

pub(super) use self::server::Server;
use super::*;
use crate::shutdown::Drain;
use crate::telemetry::explain;

pub(super) const HOSTS: [&str; 2] = ["keys.example.com", "other.example.com"];
pub(super) const URL: &str = "https://keys.example.com/jwks";

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_767_607_200 + seconds).unwrap()
}

pub(super) fn reading() -> Reading<String> {
    Reading::new("text", |document, _| {
        let text = std::str::from_utf8(document).map_err(|_| "it is no text".to_owned())?;
        assert_ne!(text, "panic", "on purpose");
        Ok(text.to_owned())
    })
}

pub(super) fn ask(url: &str) -> KeyRequest<String> {
    KeyRequest::get(KeyAddress::fixed(url).unwrap(), reading())
}

async fn fetched(keys: &KeyCache<String>, url: &str) -> Result<Arc<String>, FetchError> {
    match keys.get(&ask(url), None, at(0)).await {
        Ok(value) => Ok(value),
        Err(KeyError::Failed { cause, .. }) => Err(cause),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn a_document_is_fetched_over_https_and_read() {
    let server = Server::start().await;
    let url = "https://keys.example.com/jwks?a=b";
    assert_eq!(*fetched(&server.keys(), url).await.unwrap(), "one");
    let asked = server.asked();
    assert!(
        asked.starts_with("GET /jwks?a=b HTTP/1.1\r\nhost: keys.example.com\r\n"),
        "{asked}"
    );
}

#[test]
fn variables_that_name_a_proxy_are_not_read() {
    let mut same = std::process::Command::new(std::env::current_exe().unwrap());
    same.args([
        "--exact",
        "keys::tests::a_document_is_fetched_over_https_and_read",
    ]);
    for name in [
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "HTTP_PROXY",
    ] {
        same.env(name, "http://127.0.0.1:9");
    }
    let output = same.env("NO_PROXY", "").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

#[tokio::test]
async fn a_key_is_asked_for_with_post_and_the_body_is_never_shown() {
    let server = Server::start().await;
    let keys = server.keys();
    let post = |kid: &str| {
        let address = KeyAddress::fixed(URL).unwrap();
        let body = format!(r#"{{"secret":"s3cr3t","key_id":"{kid}"}}"#);
        KeyRequest::post(address, reading(), kid, body.into())
    };
    let one = post("k1").unwrap();
    keys.get(&one, None, at(0)).await.unwrap();
    let asked = server.asked();
    assert!(asked.starts_with("POST /jwks HTTP/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("content-type: application/json\r\n"),
        "{asked}"
    );
    assert!(
        asked.ends_with(r#"{"secret":"s3cr3t","key_id":"k1"}"#),
        "{asked}"
    );
    keys.get(&one, None, at(1)).await.unwrap();
    assert_eq!(server.hits(), 1, "kept by its id");
    server.answers("400 Bad Request", "", "s3cr3t");
    let refused = keys
        .get(&post("k2").unwrap(), None, at(2))
        .await
        .unwrap_err();
    assert_eq!(server.hits(), 2);
    let shown = format!("{one:?} {keys:?} {refused:?} {}", explain(&refused));
    assert!(!shown.contains("s3cr3t"), "{shown}");
    assert!(matches!(
        post(&"k".repeat(257)),
        Err(KeyError::NotPinned(NotPinned::KeyId))
    ));
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_only_200_is_success() {
    let server = Server::start().await;
    let to = "location: https://other.example.com/jwks\r\n";
    for status in [
        "301 x", "302 x", "303 x", "307 x", "308 x", "201 x", "206 x", "404 x", "500 x",
    ] {
        server.answers(status, to, "one");
        let code = status.split(' ').next().unwrap();
        let refused = fetched(&server.keys(), URL).await;
        assert!(
            matches!(&refused, Err(FetchError::Status(status)) if status.as_str() == code),
            "{refused:?}"
        );
    }
    assert_eq!(server.hits(), 9);
}

#[tokio::test]
async fn a_document_has_a_bound_whether_it_announces_its_size_or_not() {
    let server = Server::start().await;
    let most = "a".repeat(client::MAX_DOCUMENT);
    server.answers("200 OK", "", &most);
    assert_eq!(
        fetched(&server.keys(), URL).await.unwrap().len(),
        most.len()
    );
    server.answers("200 OK", "", &format!("{most}a"));
    assert!(matches!(
        fetched(&server.keys(), URL).await,
        Err(FetchError::TooLarge)
    ));
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{most}a");
    server.answers_bytes(endless.as_bytes());
    assert!(matches!(
        fetched(&server.keys(), URL).await,
        Err(FetchError::TooLarge)
    ));
    server.answers("200 OK", &format!("x: {}\r\n", "a".repeat(64 << 10)), "one");
    let head = fetched(&server.keys(), URL).await;
    assert!(
        matches!(head, Err(FetchError::Unreachable { what: "asking", .. })),
        "{head:?}"
    );
}

#[tokio::test]
async fn a_document_that_breaks_off_or_cannot_be_read_is_none() {
    let server = Server::start().await;
    server.answers_bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none");
    let broken = fetched(&server.keys(), URL).await;
    assert!(
        matches!(broken, Err(FetchError::Unreachable { .. })),
        "{broken:?}"
    );
    server.answers("200 OK", "content-encoding: gzip\r\n", "one");
    assert!(matches!(
        fetched(&server.keys(), URL).await,
        Err(FetchError::Unreadable(_))
    ));
    server.answers_bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n\xff");
    let unread = fetched(&server.keys(), URL).await;
    assert!(matches!(unread, Err(FetchError::Unreadable(why)) if why == "it is no text"));
}

#[tokio::test]
async fn who_answers_must_prove_the_name() {
    let server = Server::start().await;
    let tls = |result: Result<Arc<String>, FetchError>| match result {
        Err(FetchError::Unreachable { what, .. }) => what == "the TLS handshake",
        _ => false,
    };
    assert!(tls(fetched(
        &server.keys(),
        "https://wrong.example.com/jwks"
    )
    .await));
    let mut settings = server.settings();
    settings.extra_ca.clear();
    let stranger = KeyCache::new(settings, Drain::new()).unwrap();
    assert!(tls(fetched(&stranger, URL).await));
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_before_anything_is_connected_to() {
    let server = Server::start().await;
    let mut settings = server.settings();
    settings.allow_private = false;
    let keys = KeyCache::<String>::new(settings, Drain::new()).unwrap();
    let refused = fetched(&keys, URL).await;
    assert!(
        matches!(refused, Err(FetchError::Refused(ip)) if ip.is_loopback()),
        "{refused:?}"
    );
    let refused = keys
        .call(&KeyAddress::fixed(URL).unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        explain(&refused),
        "https://keys.example.com/jwks cannot be used: the name leads to 127.0.0.1, which is not \
         connected to"
    );
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn a_name_is_resolved_by_the_system_and_judged_the_same() {
    // `localhost` below another label leads to this host (RFC 6761 section 6.3), or nowhere.
    let keys = KeyCache::<String>::new(Settings::default(), Drain::new()).unwrap();
    let refused = fetched(&keys, "https://keys.localhost/jwks").await;
    assert!(
        matches!(
            refused,
            Err(FetchError::Refused(_) | FetchError::Unreachable { .. } | FetchError::TimedOut(_))
        ),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_answer_is_given_up() {
    let server = Server::start().await;
    server.gate.forget_permits(1000);
    let keys = server.keys();
    assert!(matches!(
        fetched(&keys, URL).await,
        Err(FetchError::TimedOut(_))
    ));
    let given_up = keys.call(&KeyAddress::fixed(URL).unwrap()).await;
    assert!(matches!(
        given_up,
        Err(KeyError::Failed {
            cause: FetchError::TimedOut(_),
            ..
        })
    ));
}

#[tokio::test]
async fn a_subscription_is_confirmed_by_any_2xx_and_its_token_is_not_shown() {
    let server = Server::start().await;
    let keys = server.keys();
    let hosts = [HostPattern::parse(HOSTS[0]).unwrap()];
    let url = "https://keys.example.com/?Action=Confirm&Token=s3cr3t";
    let path = PathPattern::parse("/").unwrap();
    let address = KeyAddress::pinned_with_query(url, &hosts, &path).unwrap();
    for status in ["200 OK", "202 Accepted", "204 No Content"] {
        server.answers(status, "", "");
        keys.call(&address).await.unwrap();
    }
    assert!(
        server
            .asked()
            .starts_with("GET /?Action=Confirm&Token=s3cr3t HTTP/1.1\r\n")
    );
    // The body is not read, so it may be of any size.
    server.answers("200 OK", "", &"a".repeat(client::MAX_DOCUMENT + 1));
    keys.call(&address).await.unwrap();
    for status in ["302 Found", "400 Bad Request", "500 x"] {
        server.answers(status, "location: https://other.example.com/\r\n", "");
        let refused = keys.call(&address).await.unwrap_err();
        assert!(!format!("{refused:?} {}", explain(&refused)).contains("s3cr3t"));
    }
    assert_eq!(server.hits(), 7);
}

#[tokio::test]
async fn keys_that_are_given_need_no_network() {
    let address = KeyAddress::fixed(URL).unwrap();
    let given = Given::default().with(address.clone(), b"given".to_vec());
    assert_eq!(*given.get(&ask(URL), None, at(0)).await.unwrap(), "given");
    let other = given
        .get(&ask("https://other.example.com/jwks"), None, at(0))
        .await;
    assert!(matches!(
        other,
        Err(KeyError::Failed {
            cause: FetchError::Status(_),
            ..
        })
    ));
}
