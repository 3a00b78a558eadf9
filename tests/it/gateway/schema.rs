//! Checks signals against the published schema, `docs/signal.schema.json`.
//!
//! Reads as much of JSON Schema as that file uses, and fails where it meets a word that it does not
//! know, so that nothing in the file goes unchecked.

use hookgate::clock::Timestamp;
use serde_json::{Map, Value};

/// Words that say nothing about what is valid, and one (`contentEncoding`) that `pattern` settles.
const SILENT: [&str; 4] = ["description", "$ref", "contentEncoding", "format"];

fn schema() -> Value {
    serde_json::from_str(include_str!("../../../docs/signal.schema.json")).unwrap()
}

/// Fails unless the signal is of the published form.
pub(crate) fn check(signal: &Value) {
    let schema = schema();
    let members = signal.as_object().unwrap();
    for name in schema["required"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        assert!(members.contains_key(name), "`{name}` is missing: {signal}");
    }
    let alternatives = schema["oneOf"].as_array().unwrap();
    let held = alternatives
        .iter()
        .filter(|one| members.contains_key(one["required"][0].as_str().unwrap()));
    assert_eq!(held.count(), 1, "one of {alternatives:?}: {signal}");
    assert_eq!(schema["additionalProperties"], false);
    for (name, value) in members {
        let rules = schema["properties"].get(name);
        let rules = rules.unwrap_or_else(|| panic!("`{name}` is not in the schema"));
        let fault = fault(name, value, rules.as_object().unwrap(), &schema);
        assert_eq!(fault, None, "`{name}` in {signal}");
    }
}

fn fault(name: &str, value: &Value, rules: &Map<String, Value>, schema: &Value) -> Option<String> {
    let text = value.as_str().unwrap_or_default();
    let number = value.as_u64().unwrap_or_default();
    for (word, rule) in rules {
        let holds = match word.as_str() {
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "type" if rule == "string" => value.is_string(),
            "type" if rule == "integer" => value.is_u64(),
            "minLength" => text.chars().count() as u64 >= rule.as_u64().unwrap(),
            "maxLength" => text.chars().count() as u64 <= rule.as_u64().unwrap(),
            "minimum" => number >= rule.as_u64().unwrap(),
            "maximum" => number <= rule.as_u64().unwrap(),
            "pattern" => matches(name, text),
            "$ref" => {
                assert_eq!(rule, "#/$defs/timestamp");
                let referred = schema["$defs"]["timestamp"].as_object().unwrap();
                fault("timestamp", value, referred, schema).is_none()
            }
            word if SILENT.contains(&word) => true,
            word => panic!("the schema says `{word}`, which nothing here checks"),
        };
        if !holds {
            return Some(format!("{value} is against {word}: {rule}"));
        }
    }
    None
}

/// The patterns of the schema, member by member.
fn matches(name: &str, text: &str) -> bool {
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
    };
    let fields = |lengths: &[usize]| {
        let fields: Vec<&str> = text.split('-').collect();
        fields.len() == lengths.len()
            && fields
                .iter()
                .zip(lengths)
                .all(|(field, length)| hex(field, *length))
    };
    match name {
        "source" => {
            let parts: Vec<&str> = text.split('/').collect();
            matches!(parts[..], ["", "tenants", tenant, "endpoints", endpoint]
                if !tenant.is_empty() && !endpoint.is_empty())
        }
        "type" => text.find('.').is_some_and(|at| at > 0),
        "signalid" => {
            fields(&[8, 4, 4, 4, 12])
                && text.as_bytes()[14] == b'8'
                && b"89ab".contains(&text.as_bytes()[19])
        }
        "sealedfor" => {
            (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
        }
        "bodysha256" => hex(text, 64),
        "traceparent" => fields(&[2, 32, 16, 2]),
        "timestamp" => {
            let fraction = text.split_once('.').map_or("0Z", |(_, rest)| rest);
            text.parse::<Timestamp>().is_ok()
                && text.len() >= 20
                && text.as_bytes()[10] == b'T'
                && (2..=10).contains(&fraction.len())
                && text.ends_with('Z')
        }
        "data_base64" => {
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).is_ok()
        }
        other => panic!("the schema has a pattern for `{other}`, which nothing here checks"),
    }
}

fn sound() -> Value {
    serde_json::json!({
        "specversion": "1.0", "id": "1", "source": "/tenants/a/endpoints/b", "type": "p.t",
        "time": "2026-01-05T10:00:00Z", "tenant": "a", "endpoint": "b", "provider": "p",
        "signalid": "4209b6eb-8c9c-8e7f-848f-4c0172450118",
        "receivedtime": "2026-01-05T10:00:00.412Z", "assurance": "body", "sealedfor": "key-1",
        "bodysha256": "ab".repeat(32), "redacted": 0,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "data": {},
    })
}

#[test]
fn the_check_passes_a_sound_signal_and_fails_each_unsound_member() {
    check(&sound());
    let checked = |change: &dyn Fn(&mut Value)| {
        let mut signal = sound();
        change(&mut signal);
        std::panic::catch_unwind(|| check(&signal)).is_ok()
    };
    for (name, wrong) in [
        ("specversion", "1.1"),
        ("source", "/tenants/a/b"),
        ("type", "p"),
        ("time", "2026-01-05 10:00:00Z"),
        ("signalid", "4209b6eb-8c9c-4e7f-848f-4c0172450118"),
        ("assurance", "sure"),
        ("bodysha256", "AB"),
        ("traceparent", "00-1-2-01"),
        ("extra", "x"),
        ("data_base64", "eA=="),
        ("tenant", ""),
        ("sealedfor", "a key"),
    ] {
        assert!(!checked(&|signal| signal[name] = wrong.into()), "{name}");
    }
    let long = "key:a=1,".repeat(200);
    for wrong in ["", &long] {
        assert!(!checked(&|signal| signal["redactedby"] = wrong.into()));
    }
    for name in ["id", "data", "redacted"] {
        assert!(
            !checked(&|signal| {
                signal.as_object_mut().unwrap().remove(name);
            }),
            "{name}"
        );
    }
}
