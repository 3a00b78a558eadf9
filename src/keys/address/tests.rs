//! Tests of pinned addresses: examples of what is refused, and properties of all that passes.

use proptest::prelude::*;

use super::*;

fn hosts() -> Vec<HostPattern> {
    ["sns.*.amazonaws.com", "keys.example.com"]
        .map(|text| HostPattern::parse(text).unwrap())
        .into()
}

fn path() -> PathPattern {
    PathPattern::parse("/certs/signing-*.pem").unwrap()
}

fn pinned(url: &str) -> Result<KeyAddress, NotPinned> {
    KeyAddress::pinned(url, &hosts(), &path())
}

const GOOD: &str = "https://sns.eu-west-1.amazonaws.com/certs/signing-0a1B.pem";

#[test]
fn what_the_definition_pins_passes() {
    let address = pinned(GOOD).unwrap();
    assert_eq!(address.host(), "sns.eu-west-1.amazonaws.com");
    assert_eq!(address.target(), "/certs/signing-0a1B.pem");
    assert_eq!(address.to_string(), GOOD);
    let port = "https://sns.eu-west-1.amazonaws.com:443/certs/signing-0a1B.pem";
    assert_eq!(pinned(port).unwrap(), address);
}

#[test]
fn what_it_does_not_pin_is_refused_for_its_own_reason() {
    use NotPinned::*;
    let long = format!(
        "https://keys.example.com/certs/signing-{}.pem",
        "a".repeat(2048)
    );
    let cases = [
        ("http://keys.example.com/certs/signing-1.pem", Scheme),
        ("HTTPS://keys.example.com/certs/signing-1.pem", Scheme),
        ("//keys.example.com/certs/signing-1.pem", Scheme),
        ("https:/keys.example.com/certs/signing-1.pem", Scheme),
        (
            "https://keys.example.com@evil.test/certs/signing-1.pem",
            UserInfo,
        ),
        ("https://u:p@keys.example.com/certs/signing-1.pem", UserInfo),
        ("https://@keys.example.com/certs/signing-1.pem", UserInfo),
        ("https://keys.example.com:8443/certs/signing-1.pem", Port),
        ("https://keys.example.com:/certs/signing-1.pem", Port),
        ("https://keys.example.com:443:443/certs/signing-1.pem", Port),
        ("https://keys.example.com:0443/certs/signing-1.pem", Port),
        (
            "https://keys.example.com.evil.test/certs/signing-1.pem",
            Host,
        ),
        ("https://evilkeys.example.com/certs/signing-1.pem", Host),
        ("https://evil.keys.example.com/certs/signing-1.pem", Host),
        ("https://sns.amazonaws.com/certs/signing-1.pem", Host),
        ("https://sns.eu.amazonaws.com/certs/signing-1.pem", Host),
        ("https://sns.a.b.amazonaws.com/certs/signing-1.pem", Host),
        (
            "https://sns.eu-west-1.amazonaws.com.cn/certs/signing-1.pem",
            Host,
        ),
        ("https://keys.example.com./certs/signing-1.pem", HostForm),
        ("https://Keys.example.com/certs/signing-1.pem", HostForm),
        ("https://sns..amazonaws.com/certs/signing-1.pem", HostForm),
        (
            "https://sns.-abc.amazonaws.com/certs/signing-1.pem",
            HostForm,
        ),
        (
            "https://sns.a_b_c.amazonaws.com/certs/signing-1.pem",
            HostForm,
        ),
        (
            "https://sns.a%2eb.amazonaws.com/certs/signing-1.pem",
            HostForm,
        ),
        ("https://127.0.0.1/certs/signing-1.pem", HostForm),
        ("https://127.100.100.0x1/certs/signing-1.pem", HostForm),
        ("https://[::1]/certs/signing-1.pem", Port),
        ("https://localhost/certs/signing-1.pem", HostForm),
        ("https:///certs/signing-1.pem", HostForm),
        ("https://keys.example.com", PathForm),
        ("https://keys.example.com/certs/./signing-1.pem", PathForm),
        (
            "https://keys.example.com/certs/signing-1.pem/../x",
            PathForm,
        ),
        (
            "https://keys.example.com/certs/%2e%2e/signing-1.pem",
            PathForm,
        ),
        ("https://keys.example.com/certs/signing-%31.pem", PathForm),
        ("https://keys.example.com//certs/signing-1.pem", PathForm),
        ("https://keys.example.com/certs/signing-1;.pem", PathForm),
        ("https://keys.example.com/certs/signing-.pem", Path),
        ("https://keys.example.com/certs/signing-a/b.pem", Path),
        ("https://keys.example.com/certs/signing-a@b.pem", Path),
        ("https://keys.example.com/x/certs/signing-1.pem", Path),
        ("https://keys.example.com/certs/signing-1.pem/", Path),
        ("https://keys.example.com/certs/signing-1.pem?", Query),
        ("https://keys.example.com/certs/signing-1.pem?a=b", Query),
        ("https://keys.example.com?/certs/signing-1.pem", PathForm),
        ("https://keys.example.com/certs/signing-1.pem#", Fragment),
        (
            "https://evil.test#.keys.example.com/certs/signing-1.pem",
            Fragment,
        ),
        (
            "https://evil.test\\@keys.example.com/certs/signing-1.pem",
            Backslash,
        ),
        ("https://keys.example.com\\certs/signing-1.pem", Backslash),
        ("https://kéys.example.com/certs/signing-1.pem", Unprintable),
        ("https://keys。example.com/certs/signing-1.pem", Unprintable),
        (" https://keys.example.com/certs/signing-1.pem", Unprintable),
        (
            "https://keys.example.com/certs/signing-1.pem\r\nx: y",
            Unprintable,
        ),
        (
            "https://keys.example.com/certs/signing-1\0.pem",
            Unprintable,
        ),
        (&long, TooLong),
    ];
    for (url, why) in cases {
        assert_eq!(pinned(url), Err(why), "{url}");
    }
}

#[test]
fn an_address_spelled_out_whole_may_have_a_query_which_is_not_shown() {
    let address = KeyAddress::fixed("https://api.example.com/keys?token=s3cr3t&x=%20").unwrap();
    assert_eq!(address.target(), "/keys?token=s3cr3t&x=%20");
    assert!(!format!("{address} {address:?}").contains("s3cr3t"));
    let account = KeyAddress::fixed("https://www.example.com/x509/chat@system.example.com");
    assert!(account.is_ok());
    assert_eq!(
        KeyAddress::fixed("https://10.0.0.1/keys"),
        Err(NotPinned::HostForm)
    );
    assert_eq!(
        KeyAddress::fixed("https://a.example/?\"x"),
        Err(NotPinned::Query)
    );
}

#[test]
fn a_confirmation_may_have_a_query_and_is_pinned_all_the_same() {
    let confirm =
        |url: &str| KeyAddress::pinned_with_query(url, &hosts(), &PathPattern::parse("/").unwrap());
    assert!(confirm("https://sns.eu-west-1.amazonaws.com/?Action=Confirm&Token=1f").is_ok());
    let elsewhere = confirm("https://evil.test/?https://sns.eu-west-1.amazonaws.com/");
    assert_eq!(elsewhere, Err(NotPinned::Host));
}

#[test]
fn patterns_that_would_pin_too_much_or_nothing_are_refused() {
    for text in [
        "",
        "*",
        "*.com",
        "a.*",
        "*.*",
        "example",
        "a*.example.com",
        "**.example.com",
        "A.example.com",
        "a.example.com.",
        "a.example.com:443",
        "10.0.0.1",
        "*.0.0.1",
        "a b.c.com",
    ] {
        assert!(HostPattern::parse(text).is_err(), "{text}");
    }
    for text in [
        "", "*", "keys", "/a/../b", "/%2e", "/a//b", "/a?b", "/a#b", "/a\\b",
    ] {
        assert!(PathPattern::parse(text).is_err(), "{text}");
    }
    assert!(PathPattern::parse(&format!("/{}", "a".repeat(256))).is_err());
}

#[test]
fn a_star_of_a_path_takes_what_the_rest_leaves() {
    let matches = |pattern: &str, path: &str| PathPattern::parse(pattern).unwrap().matches(path);
    assert!(matches("/*", "/a"));
    assert!(!matches("/*", "/"));
    assert!(matches("/*-*.pem", "/a-b-c.pem.pem"));
    assert!(!matches("/*-*.pem", "/-b.pem"));
    assert!(matches("/a*/b*c", "/aa/bbc"));
    assert!(!matches("/a*/b*c", "/aa/bb/bc"));
    assert!(!matches("/*", "/.."));
}

/// Pieces of which hostile addresses are made.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("https://".to_owned()),
        Just("http://".to_owned()),
        Just("keys.example.com".to_owned()),
        Just("sns.eu-west-1.amazonaws.com".to_owned()),
        Just(".amazonaws.com".to_owned()),
        Just("/certs/signing-1.pem".to_owned()),
        "[@:?#/.\\\\%]{1,2}",
        Just(":443".to_owned()),
        Just("%2e%2e/".to_owned()),
        Just("../".to_owned()),
        Just("evil.test".to_owned()),
        "[a-zA-Z0-9._-]{1,8}",
        "\\PC{1,3}",
        any::<char>().prop_map(String::from),
    ]
}

/// What an address that passed must look like: told without the code above.
fn is_as_pinned(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else {
        return false;
    };
    let Some((authority, path)) = rest.split_once('/') else {
        return false;
    };
    let host = authority.strip_suffix(":443").unwrap_or(authority);
    let region = host
        .strip_prefix("sns.")
        .and_then(|host| host.strip_suffix(".amazonaws.com"));
    let region = region.is_some_and(|label| {
        label.len() >= 3
            && label
                .chars()
                .all(|c| matches!(c, 'a'..='z' | '0'..='9' | '-'))
    });
    let name = path
        .strip_prefix("certs/signing-")
        .and_then(|name| name.strip_suffix(".pem"));
    let allowed = |c: char| matches!(c, 'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-');
    (region || host == "keys.example.com")
        && name.is_some_and(|name| !name.is_empty() && name.chars().all(allowed))
}

proptest! {
    #[test]
    fn nothing_but_what_is_pinned_passes(pieces in prop::collection::vec(piece(), 1..8)) {
        let url = pieces.concat();
        prop_assert!(pinned(&url).is_err() || is_as_pinned(&url), "{url}");
    }

    #[test]
    fn a_pinned_address_with_something_put_in_passes_only_as_pinned(
        at in 0..=GOOD.len(), put in piece(), cut in 0..3_usize,
    ) {
        let rest = GOOD.get(at + cut..).unwrap_or_default();
        let url = format!("{}{put}{rest}", &GOOD[..at]);
        prop_assert!(pinned(&url).is_err() || is_as_pinned(&url), "{url}");
    }

    #[test]
    fn what_passes_is_what_other_parsers_read(
        label in "[a-z0-9-]{3,12}", name in "[A-Za-z0-9._-]{1,20}", port in prop::option::of(Just(":443")),
    ) {
        let port = port.unwrap_or_default();
        let url = format!("https://sns.{label}.amazonaws.com{port}/certs/signing-{name}.pem");
        if let Ok(address) = pinned(&url) {
            let uri: http::Uri = url.parse().map_err(|_| TestCaseError::fail("no URL"))?;
            prop_assert_eq!(uri.host(), Some(address.host()));
            prop_assert_eq!(uri.path(), address.target());
        } else {
            prop_assert!(label.starts_with('-') || label.ends_with('-'));
        }
    }
}
