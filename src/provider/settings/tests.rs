//! What is filled in, left out and refused.

use super::*;

fn filled(values: &[(&str, Value)], text: &str) -> String {
    let settings = Settings {
        values: values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        secrets: Vec::new(),
    };
    let mut table = DeTable::parse(text).unwrap();
    settings.fill_in(table.get_mut()).unwrap();
    let value: toml::Table = Deserialize::deserialize(toml::de::Deserializer::from(table)).unwrap();
    value.to_string()
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

#[test]
fn values_are_filled_in_and_what_has_none_is_left_out() {
    let definition = "a = '{header:${h}}'\nb = '${none}'\nc = ['x', '${none}', '${l}']\n\
                      notes = ['${h}']\nd = { e = '${h}', f = '${none}' }";
    let list = Value::List(vec!["1".into(), "2".into()]);
    assert_eq!(
        filled(&[("h", text("x-sig")), ("l", list)], definition),
        "a = \"{header:x-sig}\"\nc = [\"x\", \"1\", \"2\"]\nnotes = [\"${h}\"]\n\n[d]\ne = \"x-sig\"\n"
    );
}

#[test]
fn a_table_can_hang_on_a_setting() {
    let definition =
        "[[s]]\nif_set = 'a'\nn = 1\n[[s]]\nif_unset = 'a'\nn = 2\n[[s]]\nif_set = 'b=x'\nn = 3";
    assert_eq!(filled(&[("a", text("1"))], definition), "[[s]]\nn = 1\n");
    assert_eq!(
        filled(&[("b", text("x"))], definition),
        "[[s]]\nn = 2\n\n[[s]]\nn = 3\n"
    );
}

#[test]
fn a_check_never_loses_a_piece_to_a_setting_without_value() {
    let settings = Settings::default();
    for text in [
        "[[s]]\nequal = [['{body}', '${none}']]",
        "[s.jwt]\nclaims = { aud = '${none}' }",
    ] {
        let mut table = DeTable::parse(text).unwrap();
        let why = settings.fill_in(table.get_mut()).unwrap_err().why();
        assert!(why.contains("`none`"), "{why}");
    }
}

#[test]
fn a_value_within_a_piece_is_a_name_and_nothing_else() {
    for value in ["a|lower", "a?"] {
        let settings = Settings {
            values: [("q".to_owned(), text(value))].into(),
            secrets: Vec::new(),
        };
        let filled = |text: &str| {
            let mut table = DeTable::parse(text).unwrap();
            settings.fill_in(table.get_mut())
        };
        assert!(filled("a = '{query:${q}}'").is_err(), "{value}");
        assert!(filled("a = '{query:b}${q}'").is_ok(), "{value}");
    }
}

#[test]
fn what_an_endpoint_sets_is_checked() {
    let rule = |kind, required| ParamRule {
        about: "What it is.".into(),
        kind,
        choices: vec!["a".into()],
        default: None,
        required,
        example: None,
    };
    let rules: BTreeMap<_, _> = [
        ("header".to_owned(), rule(ParamKind::Header, false)),
        ("choice".to_owned(), rule(ParamKind::Choice, false)),
        ("must".to_owned(), rule(ParamKind::Text, true)),
    ]
    .into();
    let check = |set: &[(&str, &str)]| {
        let set = set
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Settings::check(&rules, &set.collect(), &BTreeMap::new()).map(|_| ())
    };
    assert_eq!(check(&[("must", "x"), ("choice", "a")]), Ok(()));
    for (set, wrong) in [
        (&[][..], "must"),
        (&[("must", "x"), ("other", "y")], "other"),
        (&[("must", "x"), ("header", "a b")], "header"),
        (&[("must", "x"), ("choice", "b")], "choice"),
        (&[("must", "{body}")], "must"),
    ] {
        assert!(check(set).unwrap_err().contains(wrong), "{set:?}");
    }
}
