//! Reads the parsed file, a typed value at a time, and reports what does not fit where it stands.
//!
//! A [`Section`] remembers which keys were asked for; [`Section::finish`] reports the others. A value
//! that is wrong is reported and then counts as absent, so that reading goes on to the next problem.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problems::{Report, did_you_mean, quoted};
use super::units;

type Value<'t> = Spanned<DeValue<'t>>;

/// A table of the file, or one that the file leaves out and so takes every default.
pub(super) struct Section<'t> {
    title: String,
    at: usize,
    table: Option<&'t DeTable<'t>>,
    asked: Vec<&'static str>,
    pub(super) report: &'t Report<'t>,
}

/// Text of the file, and where it stands.
#[derive(Clone, Copy)]
pub(super) struct Text<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
}

impl<'t> Section<'t> {
    /// Begins with the whole file.
    pub(super) fn root(table: &'t DeTable<'t>, report: &'t Report<'t>) -> Self {
        let title = "the file, outside any [section]".to_owned();
        Self {
            title,
            at: 0,
            table: Some(table),
            asked: Vec::new(),
            report,
        }
    }

    /// Tells whether a key is written, rightly or not.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// Where the section itself stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Where a key's value stands; the section's heading where the key is absent.
    pub(super) fn place_of(&self, key: &str) -> usize {
        self.table
            .and_then(|table| table.get(key))
            .map_or(self.at, |value| value.span().start)
    }

    /// Reads a `[section]`.
    pub(super) fn section(&mut self, key: &'static str) -> Section<'t> {
        let title = match self.title.strip_prefix("[[") {
            Some(outer) => format!("[{}.{key}]", outer.trim_end_matches(']')),
            None => format!("[{key}]"),
        };
        let value = self.value(key);
        let table = value.and_then(|value| match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong(key, value, &format!("a table; write {title}")),
        });
        let at = value.map_or(self.at, |value| value.span().start);
        Section {
            title,
            at,
            table,
            asked: Vec::new(),
            report: self.report,
        }
    }

    /// Reads every `[[section]]` of a name.
    pub(super) fn sections(&mut self, key: &'static str, at_most: usize) -> Vec<Section<'t>> {
        let wanted = format!("written as [[{key}]], with two brackets");
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.get_ref() else {
            self.wrong::<()>(key, value, &wanted);
            return Vec::new();
        };
        if items.len() > at_most {
            self.report.problem(
                value.span().start,
                format!("there may be at most {at_most} [[{key}]]"),
            );
        }
        let sections = items.iter().take(at_most).filter_map(|item| {
            let DeValue::Table(table) = item.get_ref() else {
                return self.wrong(key, item, &wanted);
            };
            Some(Section {
                title: match self.title.strip_prefix('[') {
                    Some(outer) => format!("[[{}.{key}]]", outer.trim_end_matches(']')),
                    None => format!("[[{key}]]"),
                },
                at: item.span().start,
                table: Some(table),
                asked: Vec::new(),
                report: self.report,
            })
        });
        sections.collect()
    }

    /// Reads a string.
    pub(super) fn text(&mut self, key: &'static str) -> Option<Text<'t>> {
        let value = self.value(key)?;
        self.text_of(key, value)
    }

    /// Reads a string that must be there.
    pub(super) fn required_text(&mut self, key: &'static str) -> Option<Text<'t>> {
        if !self.has(key) {
            self.report
                .problem(self.at, format!("missing key `{key}` in {}", self.title));
        }
        self.text(key)
    }

    /// Reads a string with `parse`, whose error continues a sentence that begins with the key.
    pub(super) fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(key)?;
        self.parse_text(key, text, parse)
    }

    /// Reads text that is already found with `parse`, as [`Section::parsed`] does.
    pub(super) fn parse_text<T>(
        &self,
        key: &'static str,
        text: Text<'t>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let parsed = parse(text.text);
        parsed
            .map_err(|why| self.report.problem(text.at, format!("`{key}` {why}")))
            .ok()
    }

    /// Reads one word of a closed set.
    pub(super) fn choice<T: Copy>(&mut self, key: &'static str, of: &[(&str, T)]) -> Option<T> {
        self.parsed(key, |text| {
            match of.iter().find(|(word, _)| *word == text) {
                Some((_, choice)) => Ok(*choice),
                None => {
                    let words: Vec<String> =
                        of.iter().map(|(word, _)| format!("\"{word}\"")).collect();
                    let near = did_you_mean(text, of.iter().map(|(word, _)| *word), 1);
                    Err(format!("must be one of {}{near}", words.join(", ")))
                }
            }
        })
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(set) => Some(*set),
            _ => self.wrong(key, value, "true or false, without quotes"),
        }
    }

    /// Reads a whole number within a range.
    pub(super) fn count(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let value = self.value(key)?;
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        match value.get_ref() {
            DeValue::Integer(_) => match integer(value).filter(|number| range.contains(number)) {
                Some(number) => Some(number),
                None => self.must_be(key, value, &wanted),
            },
            _ => self.wrong(key, value, &wanted),
        }
    }

    /// Reads a duration within a range.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let value = self.value(key)?;
        let DeValue::String(text) = value.get_ref() else {
            return self.wrong(
                key,
                value,
                "a duration in quotes, such as \"300ms\" or \"72h\"",
            );
        };
        let text = Text {
            text,
            at: value.span().start,
        };
        let duration = self.parse_text(key, text, units::duration)?;
        if range.contains(&duration) {
            return Some(duration);
        }
        let [least, most] = [range.start(), range.end()].map(|end| units::show_duration(*end));
        self.must_be(key, value, &format!("from \"{least}\" to \"{most}\""))
    }

    /// Reads a size in bytes within a range: an integer, or text with a unit.
    pub(super) fn size(
        &mut self,
        key: &'static str,
        range: RangeInclusive<usize>,
    ) -> Option<usize> {
        let value = self.value(key)?;
        let [least, most] = [range.start(), range.end()].map(|end| units::show_size(*end));
        let within = format!("from \"{least}\" to \"{most}\"");
        let size = match value.get_ref() {
            DeValue::String(text) => {
                let text = Text {
                    text,
                    at: value.span().start,
                };
                self.parse_text(key, text, units::size)?
            }
            DeValue::Integer(_) => match integer(value) {
                Some(size) => size,
                None => return self.must_be(key, value, &within),
            },
            _ => return self.wrong(key, value, "a size, such as \"1MiB\" or a number of bytes"),
        };
        match range.contains(&size) {
            true => Some(size),
            false => self.must_be(key, value, &within),
        }
    }

    /// Reads a list of strings; those that are none are reported and left out.
    pub(super) fn texts(&mut self, key: &'static str, at_most: usize) -> Option<Vec<Text<'t>>> {
        let value = self.value(key)?;
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong(key, value, "a list of strings in square brackets");
        };
        if items.len() > at_most {
            return self.must_be(key, value, &format!("a list of at most {at_most}"));
        }
        Some(
            items
                .iter()
                .filter_map(|item| self.text_of(key, item))
                .collect(),
        )
    }

    /// Reads a list of strings with `parse`, as [`Section::parsed`] does; absent is empty.
    pub(super) fn parsed_list<T>(
        &mut self,
        key: &'static str,
        at_most: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let texts = self.texts(key, at_most).unwrap_or_default();
        texts
            .into_iter()
            .filter_map(|text| self.parse_text(key, text, &parse))
            .collect()
    }

    /// Reads a list that means "all" when it is absent, and so must not be written and empty.
    pub(super) fn narrowing_list<T>(
        &mut self,
        key: &'static str,
        at_most: usize,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        if let Some(value) = self.table.and_then(|table| table.get(key))
            && value
                .get_ref()
                .as_array()
                .is_some_and(|items| items.is_empty())
        {
            self.must_be::<()>(
                key,
                value,
                "left out to accept all: an empty list would accept none",
            );
        }
        self.parsed_list(key, at_most, parse)
    }

    /// Reads a table whose keys are free and whose values are strings; absent is empty.
    pub(super) fn text_table(
        &mut self,
        key: &'static str,
        at_most: usize,
    ) -> BTreeMap<String, Text<'t>> {
        let Some(value) = self.value(key) else {
            return BTreeMap::new();
        };
        let entries = match value.get_ref() {
            DeValue::Table(table) if table.len() <= at_most => table,
            DeValue::Table(_) => {
                self.must_be::<()>(key, value, &format!("a table of at most {at_most}"));
                return BTreeMap::new();
            }
            _ => {
                self.wrong::<()>(
                    key,
                    value,
                    "a table of strings, such as { name = \"value\" }",
                );
                return BTreeMap::new();
            }
        };
        let texts = entries.iter().filter_map(|(name, value)| {
            let text = self.text_of(key, value)?;
            Some((name.get_ref().to_string(), text))
        });
        texts.collect()
    }

    /// Reports every key that nobody asked for.
    pub(super) fn finish(self) {
        let unknown = self.table.into_iter().flatten();
        for (key, _) in unknown.filter(|(key, _)| !self.asked.contains(&key.get_ref().as_ref())) {
            let word = key.get_ref();
            let mut hint = did_you_mean(word, self.asked.iter().copied(), 1);
            if hint.is_empty() {
                let known: Vec<String> = self.asked.iter().map(|key| quoted(key)).collect();
                hint = format!("; known are {}", known.join(", "));
            }
            let message = format!("unknown key {} in {}{hint}", quoted(word), self.title);
            self.report.problem(key.span().start, message);
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'t Value<'t>> {
        self.asked.push(key);
        self.table?.get(key)
    }

    fn text_of(&self, key: &str, value: &'t Value<'t>) -> Option<Text<'t>> {
        match value.get_ref() {
            DeValue::String(text) => Some(Text {
                text,
                at: value.span().start,
            }),
            _ => self.wrong(key, value, "a string in quotes"),
        }
    }

    /// Reports a value of the wrong type, without repeating it.
    fn wrong<T>(&self, key: &str, value: &Value<'_>, wanted: &str) -> Option<T> {
        let found = value.get_ref().type_str();
        self.must_be(key, value, &format!("{wanted} (found: {found})"))
    }

    /// Reports a value that is not what it must be, without repeating it. Such a value is absent.
    fn must_be<T>(&self, key: &str, value: &Value<'_>, wanted: &str) -> Option<T> {
        self.report
            .problem(value.span().start, format!("`{key}` must be {wanted}"));
        None
    }
}

fn integer(value: &Value<'_>) -> Option<usize> {
    let integer = value.get_ref().as_integer()?;
    usize::from_str_radix(integer.as_str(), integer.radix()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `text` as a file and returns what was reported.
    fn problems(text: &str, read: impl FnOnce(&mut Section<'_>)) -> Vec<String> {
        let report = Report::new("f", text);
        let tree = DeTable::parse(text).unwrap();
        let mut root = Section::root(tree.get_ref(), &report);
        read(&mut root);
        root.finish();
        match report.finish() {
            Ok(_) => Vec::new(),
            Err(problems) => problems.iter().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn values_of_the_right_type_are_read() {
        let text = "a = 'x'\nb = true\nc = 0x10\nd = '5s'\ne = 1_024\nf = ['p', 'q']\n[g]\nh = 'i'";
        let found = problems(text, |root| {
            assert_eq!(root.text("a").map(|text| text.text), Some("x"));
            assert_eq!(root.boolean("b"), Some(true));
            assert_eq!(root.count("c", 0..=16), Some(16));
            let most = Duration::from_secs(9);
            assert_eq!(
                root.duration("d", Duration::ZERO..=most),
                Some(Duration::from_secs(5))
            );
            assert_eq!(root.size("e", 0..=4096), Some(1024));
            assert_eq!(
                root.parsed_list("f", 2, |text| Ok(text.to_owned())),
                ["p", "q"]
            );
            assert_eq!(root.text_table("g", 1)["h"].text, "i");
            assert!(root.text("absent").is_none());
        });
        assert_eq!(found, [""; 0]);
    }

    #[test]
    fn a_wrong_type_is_reported_where_it_stands_and_not_repeated() {
        let found = problems("a = 's3cr3t'\nb = 1\nc = ['x', 2]\nd = 3", |root| {
            root.boolean("a");
            root.text("b");
            root.texts("c", 9);
            root.section("d").finish();
        });
        let expected = [
            "f:1:5: `a` must be true or false, without quotes (found: string)",
            "f:2:5: `b` must be a string in quotes (found: integer)",
            "f:3:11: `c` must be a string in quotes (found: integer)",
            "f:4:5: `d` must be a table; write [d] (found: integer)",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_value_out_of_range_is_reported_with_the_range() {
        let text = "a = 17\nb = -1\nc = '2h'\nd = '2KiB'\ne = 99999999999999999999999";
        let found = problems(text, |root| {
            root.count("a", 0..=16);
            root.count("b", 0..=16);
            root.duration("c", Duration::from_millis(1)..=Duration::from_secs(60));
            root.size("d", 1..=1024);
            root.size("e", 1..=1024);
        });
        let expected = [
            "f:1:5: `a` must be a whole number from 0 to 16",
            "f:2:5: `b` must be a whole number from 0 to 16",
            "f:3:5: `c` must be from \"1ms\" to \"1m\"",
            "f:4:5: `d` must be from \"1B\" to \"1KiB\"",
            "f:5:5: `e` must be from \"1B\" to \"1KiB\"",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_key_that_nobody_asked_for_is_reported_with_a_suggestion() {
        let found = problems("liste = 1\nzzz = 2", |root| {
            root.text("listen");
        });
        let expected = [
            "f:1:1: unknown key `liste` in the file, outside any [section]; did you mean `listen`?",
            "f:2:1: unknown key `zzz` in the file, outside any [section]; known are `listen`",
        ];
        assert_eq!(found, expected);
    }
}
