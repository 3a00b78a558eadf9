//! Whatever is in the file, no secret is told and nothing panics.

use proptest::prelude::*;

use super::*;

#[test]
fn no_output_shows_a_secret() {
    let config = parse(FULL).unwrap();
    assert!(!format!("{config:?} {:#?}", config.endpoints).contains("s3cr3t"));
    let refused = FULL.replace("allow_inline_secrets = true", "");
    let problems = parse(&refused).unwrap_err();
    assert!(!format!("{problems} {problems:?}").contains("s3cr3t"));
}

/// A piece of text that is apt to disturb: values, brackets and bytes of TOML.
fn disturbance() -> impl Strategy<Value = String> {
    prop_oneof![
        "\\PC{0,6}",
        prop::sample::select(vec![
            "\"",
            "'",
            "\"\"\"",
            "[",
            "]",
            "[[",
            "{",
            "}",
            "=",
            ",",
            "\n",
            "\\",
            "#",
            "0x",
            "-1",
            "1e999",
            "true",
            "inf",
            "1979-05-27",
            "99999999999999999999",
            "\r",
            "\u{feff}",
            "ü",
            ".",
            "env:",
            "file:",
            "file:\0",
            "*",
            "{type",
            "[[endpoint]]\n",
            "[endpoint.redact]\n",
        ])
        .prop_map(str::to_owned),
    ]
}

/// A value of any type, in valid TOML.
fn value() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "1",
        "-1",
        "0",
        "9223372036854775807",
        "1.5",
        "nan",
        "true",
        "1979-05-27",
        "07:32:00",
        "''",
        "' '",
        "'0s'",
        "'1ms'",
        "'0B'",
        "'18446744073709551615w'",
        "'env:'",
        "'env:EMPTY'",
        "'file:'",
        "'file:.'",
        "'/'",
        "'*'",
        "'{'",
        "'::/0'",
        "'0/s'",
        "[]",
        "[1]",
        "['']",
        "[[]]",
        "['a', 'a']",
        "{}",
        "{ a = 1 }",
        "[{}]",
        "[{ id = 'a' }]",
        "\"\\u0000\"",
    ])
}

/// Checks that the loader comes back, and tells nothing that only the environment knows.
fn comes_back_silent(text: &str) -> Result<(), TestCaseError> {
    let shown = match parse(text) {
        Ok(config) => format!("{config:?}"),
        Err(problems) => format!("{problems} {problems:?}"),
    };
    for value in ["s3cr3t-redis", "s3cr3t-stripe", "s3cr3t-github"] {
        prop_assert!(!shown.contains(value), "{shown}");
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_edit_makes_the_loader_panic_or_tell_a_secret(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..20_usize, disturbance()), 1..6),
    ) {
        let mut text = FULL.to_owned();
        for (at, cut, insert) in edits {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + cut).min(text.len()));
            text.replace_range(start..end, &insert);
        }
        comes_back_silent(&text)?;
    }

    #[test]
    fn no_value_makes_the_loader_panic_or_tell_a_secret(
        values in prop::collection::vec((any::<prop::sample::Index>(), value()), 1..4),
    ) {
        let mut lines: Vec<String> = FULL.lines().map(str::to_owned).collect();
        for (at, value) in values {
            let line = at.get(&lines).clone();
            if let Some((key, _)) = line.split_once(" = ") {
                let at = at.index(lines.len());
                lines[at] = format!("{key} = {value}");
            }
        }
        comes_back_silent(&lines.join("\n"))?;
    }
}
