//! What an endpoint sets fills in a definition, and changes nothing else about it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use hookgate::provider::settings::ParamKind;
use hookgate::provider::{BindError, Catalogue, Provider};
use proptest::prelude::*;

use crate::cases::{Case, cases};

/// Names and values of settings that are text, with the case that they are tried with.
static TEXTS: LazyLock<Vec<(Case, String)>> = LazyLock::new(|| {
    let mut texts = Vec::new();
    for provider in Catalogue::builtin().unwrap().iter() {
        let all = cases()
            .into_iter()
            .rfind(|case| case.provider.name == provider.name);
        for (name, rule) in &provider.params {
            if !matches!(rule.kind, ParamKind::Template | ParamKind::Secret) {
                texts.push((all.clone().unwrap(), name.clone()));
            }
        }
    }
    texts
});

fn set(case: &Case, name: &str, value: &str) -> Result<Arc<Provider>, BindError> {
    let mut params = case.params.clone();
    params.insert(name.to_owned(), value.to_owned());
    case.definition
        .with_params(&params, &BTreeMap::new())
        .map(|set| set.0)
}

#[test]
fn no_setting_but_a_template_can_hold_a_piece() {
    assert!(TEXTS.len() >= 25, "only {} settings", TEXTS.len());
    for (case, name) in TEXTS.iter() {
        for value in [
            "{body}",
            "x{header:x-a}",
            "${query_param}",
            "a}",
            "{",
            "{secret}",
        ] {
            let set = set(case, name, value);
            assert!(
                set.is_err(),
                "{}: `{name}` may be {value}",
                case.provider.name
            );
        }
    }
}

#[test]
fn a_setting_cannot_end_the_name_that_it_is() {
    // `?` would make a piece optional, and `|` put it through a filter.
    for (case, name) in TEXTS.iter() {
        let Some(usual) = set(case, name, "x-zq").ok() else {
            continue;
        };
        let in_piece = format!("{:?}", usual.schemes()).contains("\"x-zq\"");
        for value in ["x-zq|lower", "x-zq?", "x-zq|free"] {
            let Ok(provider) = set(case, name, value) else {
                continue;
            };
            let text = format!("{:?}", provider.schemes());
            let whole = text.replace(value, "x-zq");
            assert!(
                !in_piece || whole == format!("{:?}", usual.schemes()),
                "{}: `{name}` may be {value}",
                case.provider.name
            );
        }
    }
}

proptest! {
    #[test]
    fn no_value_is_read_as_anything_but_itself(
        at in any::<usize>(),
        value in "[ -z|~]{1,12}",
    ) {
        let (case, name) = &TEXTS[at % TEXTS.len()];
        let (Ok(usual), Ok(provider)) = (set(case, name, "zqzq"), set(case, name, &value)) else {
            return Ok(());
        };
        let kind = case.provider.params[name].kind;
        let shown = |provider: &Provider, value: &str| {
            let value = match kind {
                // Written in lower case, as names of headers are.
                ParamKind::Header => value.to_ascii_lowercase(),
                _ => value.to_owned(),
            };
            let quoted = format!("{value:?}");
            let text = format!("{:?} {:?}", provider.schemes(), provider.events);
            text.replace(&quoted[1..quoted.len() - 1], "zqzq")
        };
        // Lists are split, and a short value may stand elsewhere as well.
        if kind != ParamKind::List && value.len() > 3 {
            prop_assert_eq!(shown(&provider, &value), shown(&usual, "zqzq"), "{} {}", case, name);
        }
    }
}
