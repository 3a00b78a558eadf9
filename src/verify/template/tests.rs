//! Pieces, groups and boundaries of templates.

use super::*;
use crate::delivery::Delivery;
use bytes::Bytes;
use http::{HeaderMap, Method};

fn delivery(body: &'static str, media_type: &str) -> Delivery {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", media_type.parse().unwrap());
    headers.insert("x-id", "msg.1".parse().unwrap());
    Delivery {
        method: Method::POST,
        url: "https://gw.example/hooks/x?a=1&b=%20&b=2".to_owned(),
        headers,
        body: Bytes::from_static(body.as_bytes()),
        caller: [127, 0, 0, 1].into(),
        via_trusted_proxy: false,
    }
}

fn fill(template: &str, delivery: &Delivery) -> Result<String, Unfit> {
    let mut pointers = Pointers::default();
    let template = Template::compile(template, &mut pointers).unwrap();
    let fields = Fields::new(delivery, &pointers);
    let params = [("t", "12"), ("v", "1"), ("v", "2")]
        .map(|(key, value)| (key.to_owned(), value.to_owned()));
    let scope = Scope {
        params: &params,
        ..Scope::of(&fields)
    };
    template
        .bytes(&scope)
        .map(|bytes| String::from_utf8(bytes).unwrap())
}

#[test]
fn a_template_is_filled_in_from_every_kind_of_piece() {
    let json = delivery(r#"{"id":7,"data":{"type":"x"}}"#, "application/json");
    assert_eq!(
        fill("{method} {param:t}.{body:/data/type}", &json).unwrap(),
        "POST 12.x"
    );
    assert_eq!(fill("{query:a}|{body:/id}", &json).unwrap(), "1|7");
    assert_eq!(
        fill("{body|sha256}", &delivery("", "text/plain"))
            .unwrap()
            .len(),
        64
    );
}

#[test]
fn a_sorted_form_has_each_distinct_pair_once() {
    let form = delivery("b=2&a=%2B1&b=1&b=2", "application/x-www-form-urlencoded");
    assert_eq!(fill("{form}", &form).unwrap(), "a+1b1b2");
    assert_eq!(fill("{form:a}", &form).unwrap(), "+1");
}

#[test]
fn a_form_template_refuses_a_body_that_is_no_form() {
    let json = delivery("{}", "application/json");
    assert!(matches!(
        fill("{url}{form}", &json),
        Err(Unfit::ContentType(_))
    ));
}

#[test]
fn what_is_absent_or_repeated_is_told_apart() {
    let json = delivery("{}", "application/json");
    assert!(matches!(
        fill("{header:x-none}", &json),
        Err(Unfit::Missing(_))
    ));
    assert!(matches!(
        fill("{body:/none}", &json),
        Err(Unfit::Missing(_))
    ));
    assert!(matches!(fill("{query:b}", &json), Err(Unfit::Repeated(_))));
    assert!(matches!(fill("{param:v}", &json), Err(Unfit::Repeated(_))));
}

#[test]
fn a_free_text_piece_may_not_hold_the_separator_after_it() {
    let json = delivery("{}", "application/json");
    assert!(matches!(
        fill("{header:x-id}.{body}", &json),
        Err(Unfit::Blurred(_))
    ));
    assert_eq!(fill("{header:x-id}|{body}", &json).unwrap(), "msg.1|{}");
}

#[test]
fn coverage_follows_from_what_is_signed() {
    let mut pointers = Pointers::default();
    let mut compile = |text: &str| Template::compile(text, &mut pointers).unwrap();
    let signed = compile("{header:x-id}.{body}").coverage();
    assert!(compile("{body:/id}").covered_by(&signed));
    assert!(compile("{header:X-Id}").covered_by(&signed));
    assert!(!compile("{header:x-other}").covered_by(&signed));
    let mut by_url = compile("{url}").coverage();
    assert!(!by_url.body());
    by_url.bind(&compile("{query:sum}"), &compile("{body|sha256}"));
    assert!(by_url.body());
}

#[test]
fn a_bad_template_says_what_there_is() {
    let mut pointers = Pointers::default();
    for text in [
        "{",
        "x}",
        "{nothing}",
        "{header:}",
        "{body|md5}",
        "{body:no-slash}",
    ] {
        assert!(Template::compile(text, &mut pointers).is_err(), "{text}");
    }
}
