//! `hookgate providers docs`: a page of documentation for each provider, and a table over all.
//!
//! Made from the definitions alone, so that the pages say what the gateway does. The same catalogue
//! gives the same bytes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::super::Failure;
use super::words::{
    Item, Sameness, Section, sections, setting_default, setting_kind, usual, value_text,
};
use crate::provider::settings::ParamKind;
use crate::provider::{Catalogue, Provider};
use crate::verify::scheme::{Proof, Scheme};

/// Writes the pages of a catalogue into a directory.
pub(super) fn write(catalogue: &Catalogue, directory: &Path) -> Result<usize, Failure> {
    let unwritable = |path: &Path| {
        let path = path.display().to_string();
        move |error: std::io::Error| Failure::failed(format!("{path}: {error}"))
    };
    std::fs::create_dir_all(directory).map_err(unwritable(directory))?;
    let pages = pages(catalogue);
    for (file, text) in &pages {
        let path = directory.join(file);
        std::fs::write(&path, text).map_err(unwritable(&path))?;
    }
    Ok(pages.len())
}

/// Returns the pages by the names of their files.
fn pages(catalogue: &Catalogue) -> BTreeMap<String, String> {
    let mut pages = BTreeMap::from([("README.md".to_owned(), overview(catalogue))]);
    for one in catalogue.iter() {
        pages.insert(format!("{}.md", one.name), page(one));
    }
    pages
}

fn overview(catalogue: &Catalogue) -> String {
    let mut text = String::from(
        "<!-- Made from the definitions; `make docs` makes it anew. -->\n\n# Providers\n\n",
    );
    let _ = writeln!(
        text,
        "{} definitions are built in. Each is a data file; [PROVIDERS.md](../PROVIDERS.md) says how to \
         write one.\n\n\
         *Assurance* is what the proof covers at least, where an endpoint pins no scheme: the whole \
         `body`, some `fields` of it, or nothing (`token`, `none`). *Same by* is what makes an event \
         the same: its `signed-id`, the `digest` of the signed content, an `unsigned-id`, or `nothing` \
         where each delivery is an event of its own. *Batches*: one delivery can hold several events. \
         *Checks*: the provider asks whether the endpoint is yours, and is answered. *429*: what a \
         caller over the rate is answered; providers that do not retry a 429 get 503.\n",
        catalogue.iter().count()
    );
    text.push_str(
        "| name | provider | category | assurance | same by | batches | checks | 429 |\n",
    );
    text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- |\n");
    let mark = |holds: bool| if holds { "yes" } else { "-" };
    for one in catalogue.iter() {
        let cells = [
            format!("[`{0}`]({0}.md)", one.name),
            escaped(&one.about.title),
            escaped(&one.about.category),
            one.assurance().as_str().to_owned(),
            Sameness::of(one).word().to_owned(),
            mark(!one.events.batch.at.is_empty()).to_owned(),
            mark(!one.handshakes().is_empty()).to_owned(),
            if one.answer.retries_429 { "429" } else { "503" }.to_owned(),
        ];
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

fn page(one: &Arc<Provider>) -> String {
    let mut text = format!(
        "<!-- Made from the definition of `{}`; `make docs` makes it anew. -->\n\n# {}\n\n",
        one.name,
        escaped(&one.about.title)
    );
    let _ = write!(
        text,
        "`{}`, {}. [All providers](README.md)\n\n## Configuration\n\n```toml\n{}```\n",
        one.name,
        escaped(&one.about.category),
        endpoint(one)
    );
    for section in sections(one) {
        let heading = match section.heading {
            "Taken out by default, beside the default keys" => "Taken out by default",
            heading => heading,
        };
        let _ = write!(text, "\n## {heading}\n\n");
        match heading {
            "Settings" => text.push_str(&settings(one)),
            "Taken out by default" => {
                text.push_str("Beside the default keys: ");
                text.push_str(&items(&section));
            }
            "What makes an event the same" | "Where the event stands" | "Batches" | "Answers" => {
                text.push_str(&sentences(&section));
            }
            _ => text.push_str(&items(&section)),
        }
    }
    text
}

fn items(section: &Section) -> String {
    let mut text = String::new();
    for item in &section.items {
        let _ = match item {
            Item::Text(words) => writeln!(text, "{}", escaped(words)),
            Item::Point(words) => writeln!(text, "- {}", escaped(words)),
            Item::Link(address) => writeln!(text, "- <{address}>"),
            Item::Entry(name, rest, details) => {
                let _ = writeln!(text, "- `{name}`{}", escaped(rest));
                for detail in details {
                    let _ = writeln!(text, "  - {}", escaped(detail));
                }
                Ok(())
            }
        };
    }
    text
}

/// Writes what `show` says in a few words as sentences.
fn sentences(section: &Section) -> String {
    let mut text = String::new();
    for item in &section.items {
        if let Item::Text(words) = item {
            let mut letters = words.chars();
            let first = letters.next().map(|first| first.to_uppercase().to_string());
            let sentence = format!("{}{}.", first.unwrap_or_default(), letters.as_str());
            let _ = writeln!(text, "- {}", escaped(&sentence));
        }
    }
    match section.items.len() {
        1 => text.trim_start_matches("- ").to_owned(),
        _ => text,
    }
}

fn settings(one: &Provider) -> String {
    let mut text = String::from(
        "Set in `params` of the endpoint.\n\n| setting | kind | default | meaning |\n| --- | --- | --- | --- |\n",
    );
    for (name, rule) in &one.params {
        let cells = [
            setting_kind(rule),
            setting_default(rule),
            rule.about.clone(),
        ];
        let cells = cells.map(|cell| escaped(&cell).replace('|', "\\|"));
        let _ = writeln!(text, "| `{name}` | {} |", cells.join(" | "));
    }
    text
}

/// Writes an endpoint that takes the provider's deliveries.
fn endpoint(one: &Provider) -> String {
    let variable = one
        .name
        .to_uppercase()
        .replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let mut lines = vec![
        ("id", format!("\"acme-{}\"", one.name)),
        ("tenant", "\"acme\"".to_owned()),
        ("provider", format!("\"{}\"", one.name)),
    ];
    let mut schemes = usual(one);
    if let Some(name) = pinned(&schemes) {
        schemes.retain(|scheme| scheme.name == name);
        lines.push(("scheme", format!("\"{name}\"")));
    }
    let needing: Vec<_> = schemes
        .iter()
        .filter(|scheme| scheme.needs_secrets())
        .collect();
    if !needing.is_empty() {
        let all = |fits: fn(&Proof) -> bool| needing.iter().all(|one| fits(&one.proof));
        let remark = match () {
            () if all(|proof| matches!(proof, Proof::Basic)) => "   # USER:PASSWORD",
            () if all(|proof| matches!(proof, Proof::Hmac { key, .. } if key.named)) => {
                "   # ID:KEY"
            }
            () => "",
        };
        lines.push((
            "secrets",
            format!("[\"env:ACME_{variable}_SECRET\"]{remark}"),
        ));
    }
    let set: Vec<String> = one
        .params
        .iter()
        .filter_map(|(name, rule)| {
            let value = match (rule.kind, &rule.example) {
                (ParamKind::Secret, _) => format!("env:ACME_{variable}_{}", name.to_uppercase()),
                (_, Some(example)) if rule.required => value_text(example),
                _ => return None,
            };
            Some(format!("{name} = {}", toml::Value::from(value)))
        })
        .collect();
    if !set.is_empty() {
        lines.push(("params", format!("{{ {} }}", set.join(", "))));
    }
    let mut text = "[[endpoint]]\n".to_owned();
    for (key, value) in lines {
        let _ = writeln!(text, "{key:8} = {value}");
    }
    text
}

/// Returns the scheme that an endpoint has to ask for by name: the strongest, where one secret could
/// be meant for several that are not of one strength or read it differently, and where none is used
/// unasked.
fn pinned(schemes: &[&Arc<Scheme>]) -> Option<String> {
    let unclaimed = || {
        schemes
            .iter()
            .filter(|scheme| scheme.for_secrets.is_empty())
    };
    let strength = |name: &str| {
        let variants = schemes.iter().filter(|scheme| scheme.name == name);
        variants.map(|scheme| scheme.assurance()).min()
    };
    let strongest = unclaimed().map(|scheme| strength(&scheme.name)).max()?;
    let differ = unclaimed().any(|scheme| strength(&scheme.name) != strongest);
    let basic = |scheme: &&&Arc<Scheme>| matches!(scheme.proof, Proof::Basic);
    let basics = unclaimed().filter(basic).count();
    let differ = differ || (basics > 0 && basics < unclaimed().count());
    let asked_for = schemes.iter().any(|scheme| scheme.opt_in);
    let first = unclaimed().find(|scheme| strength(&scheme.name) == strongest)?;
    (differ || asked_for).then(|| first.name.clone())
}

/// Keeps Markdown from reading marks in a text as its own; what stands in backquotes is left alone.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut code = false;
    for c in text.chars() {
        code ^= c == '`';
        if !code && matches!(c, '*' | '<' | '[' | ']') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_escaped_but_in_code() {
        assert_eq!(escaped("a*b `c*d` <e> [f]"), "a\\*b `c*d` \\<e> \\[f\\]");
    }
}
