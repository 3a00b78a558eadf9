use super::super::REDACTED;
use super::*;

mod contact;
mod linear;
mod payment;
mod properties;
mod secrets;
mod urls;

const ALL: Detecting = Detecting::ALL;

const NONE: Detecting = Detecting {
    secrets: false,
    payment: false,
    email: false,
    phone: false,
    ip: false,
};

const SECRETS: Detecting = Detecting {
    secrets: true,
    ..NONE
};

fn find(detecting: Detecting, text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    Detectors::new(detecting).find(text, &mut found);
    found
}

/// Returns a text with what was found replaced, as the redactor does it.
fn redacted(detecting: Detecting, text: &str) -> String {
    let mut out = String::new();
    let mut from = 0;
    for found in find(detecting, text) {
        out.push_str(&text[from..found.start]);
        out.push_str(REDACTED);
        from = found.end;
    }
    out + &text[from..]
}

/// Expects what stands between `«` and `»` to be found, and nothing else.
#[track_caller]
fn expect(detecting: Detecting, detector: &str, marked: &str) {
    let text = marked.replace(['«', '»'], "");
    let found = find(detecting, &text);
    let parts: Vec<&str> = found.iter().map(|f| &text[f.start..f.end]).collect();
    let expected = marked.split('«').skip(1);
    let expected: Vec<&str> = expected
        .map(|rest| rest.split('»').next().unwrap())
        .collect();
    assert_eq!(parts, expected, "{marked}");
    for found in found {
        assert_eq!(found.detector, detector, "{marked}");
    }
}

#[track_caller]
fn expect_nothing(detecting: Detecting, text: &str) {
    let found = find(detecting, text);
    let parts: Vec<_> = found
        .iter()
        .map(|f| (f.detector, &text[f.start..f.end]))
        .collect();
    assert_eq!(parts, [], "{text}");
}

#[test]
fn only_the_groups_that_are_switched_on_look() {
    let text =
        "Bearer 0123456789abcdef, 4111 1111 1111 1111, a@example.com, +15005550006, 192.0.2.7";
    let name = |detecting| {
        find(detecting, text)
            .iter()
            .map(|f| f.detector)
            .collect::<Vec<_>>()
    };
    assert_eq!(name(NONE), [""; 0]);
    assert_eq!(name(SECRETS), ["authorization"]);
    assert_eq!(
        name(Detecting {
            payment: true,
            ..NONE
        }),
        ["card"]
    );
    assert_eq!(
        name(Detecting {
            email: true,
            ..NONE
        }),
        ["email"]
    );
    assert_eq!(
        name(Detecting {
            phone: true,
            ..NONE
        }),
        ["phone"]
    );
    assert_eq!(name(Detecting { ip: true, ..NONE }), ["ip"]);
    assert_eq!(name(ALL), ["authorization", "card", "email", "phone", "ip"]);
}

#[test]
fn every_detector_is_listed_once_with_a_line() {
    let all = Detectors::all();
    assert!(all.len() > 80, "{}", all.len());
    for (place, detector) in all.iter().enumerate() {
        assert!(!detector.what.is_empty() && !detector.what.ends_with('.'));
        let again = all[place + 1..]
            .iter()
            .any(|other| other.name == detector.name);
        assert!(!again, "{}", detector.name);
    }
}

#[test]
fn what_overlaps_is_one() {
    let text = format!(
        "https://h/?access_token=gh{}{}.x&a=1",
        "p_",
        "a1".repeat(18)
    );
    let found = find(SECRETS, &text);
    assert_eq!(found.len(), 1);
    assert_eq!(
        redacted(SECRETS, &text),
        "https://h/?access_token=[redacted]&a=1"
    );
}
