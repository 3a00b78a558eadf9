//! The ways in which middleware writes a JSON body anew: other white space, other escapes.
//!
//! Tokens are kept to the letter, so that a guess differs from the body only in what it is about.

use crate::json::{Kind, Scanner, Token};

/// How a document is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// No white space, as `JSON.stringify` writes.
    Compact,
    /// A space behind `:` and `,`, as Python's `json.dumps` writes.
    Spaced,
    /// A line for each member, indented by this.
    Pretty(&'static str),
}

/// How characters beyond ASCII are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// As they are.
    Kept,
    /// As themselves.
    Raw,
    /// As `\uXXXX` with lower-case digits.
    Ascii,
    /// The same, and `/` as `\/`, as PHP's `json_encode` writes.
    Slashes,
    /// As themselves, but `<`, `>` and `&` as `\uXXXX`, as Go's `json.Marshal` writes.
    Html,
}

/// Writes a document anew; nothing if the body is not JSON.
pub(super) fn rewrite(body: &[u8], layout: Layout, escapes: Escapes) -> Option<Vec<u8>> {
    let mut scanner = Scanner::new(body).ok()?;
    let mut writer = Writer {
        layout,
        out: String::with_capacity(body.len() * 2),
        depth: 0,
        fresh: true,
        after_key: false,
    };
    while let Some(token) = scanner.next_token().ok()? {
        match token {
            Token::Open(kind) => writer.open(kind),
            Token::Close(kind) => writer.close(kind),
            Token::Key(text) => writer.key(&quoted(text.raw(), &text.text(), escapes)),
            Token::String(text) => writer.scalar(&quoted(text.raw(), &text.text(), escapes)),
            Token::Number(_) | Token::True | Token::False | Token::Null => {
                writer.scalar(scanner.since(scanner.start()));
            }
        }
    }
    Some(writer.out.into_bytes())
}

fn quoted(raw: &str, text: &str, escapes: Escapes) -> String {
    if escapes == Escapes::Kept {
        return format!("\"{raw}\"");
    }
    let mut bytes = Vec::new();
    crate::json::quote(text, &mut bytes);
    let plain = String::from_utf8(bytes).unwrap_or_default();
    if escapes == Escapes::Raw {
        return plain;
    }
    let escape = |char: char| {
        let mut units = [0; 2];
        match char {
            '/' if escapes == Escapes::Slashes => return "\\/".to_owned(),
            '<' | '>' | '&' if escapes == Escapes::Html => {}
            _ if char.is_ascii() || escapes == Escapes::Html => return char.to_string(),
            _ => {}
        }
        let units = char.encode_utf16(&mut units).iter();
        units.map(|unit| format!("\\u{unit:04x}")).collect()
    };
    plain.chars().map(escape).collect()
}

struct Writer {
    layout: Layout,
    out: String,
    depth: usize,
    /// Nothing has been written in the innermost object or array.
    fresh: bool,
    after_key: bool,
}

impl Writer {
    fn open(&mut self, kind: Kind) {
        self.begin();
        self.out.push(if kind == Kind::Object { '{' } else { '[' });
        self.depth += 1;
        self.fresh = true;
    }

    fn close(&mut self, kind: Kind) {
        self.depth = self.depth.saturating_sub(1);
        if !self.fresh {
            self.line();
        }
        self.out.push(if kind == Kind::Object { '}' } else { ']' });
        self.fresh = false;
    }

    fn key(&mut self, quoted: &str) {
        self.begin();
        self.out.push_str(quoted);
        self.out.push(':');
        if self.layout != Layout::Compact {
            self.out.push(' ');
        }
        self.after_key = true;
    }

    fn scalar(&mut self, text: &str) {
        self.begin();
        self.out.push_str(text);
        self.fresh = false;
    }

    /// Writes what stands before a member, an element or the document.
    fn begin(&mut self) {
        if std::mem::take(&mut self.after_key) || self.depth == 0 {
            return;
        }
        if !self.fresh {
            self.out.push(',');
            if self.layout == Layout::Spaced {
                self.out.push(' ');
            }
        }
        self.line();
        self.fresh = false;
    }

    fn line(&mut self) {
        if let Layout::Pretty(indent) = self.layout {
            self.out.push('\n');
            for _ in 0..self.depth {
                self.out.push_str(indent);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(body: &str, layout: Layout, escapes: Escapes) -> String {
        String::from_utf8(rewrite(body.as_bytes(), layout, escapes).unwrap()).unwrap()
    }

    #[test]
    fn a_document_is_laid_out_as_common_libraries_do() {
        let body = "{ \"a\" : [1.50, {}, []],\"b\":{\"c\":null} }";
        let kept = Escapes::Kept;
        assert_eq!(
            write(body, Layout::Compact, kept),
            r#"{"a":[1.50,{},[]],"b":{"c":null}}"#
        );
        assert_eq!(
            write(body, Layout::Spaced, kept),
            r#"{"a": [1.50, {}, []], "b": {"c": null}}"#
        );
        let pretty =
            "{\n  \"a\": [\n    1.50,\n    {},\n    []\n  ],\n  \"b\": {\n    \"c\": null\n  }\n}";
        assert_eq!(write(body, Layout::Pretty("  "), kept), pretty);
    }

    #[test]
    fn characters_are_escaped_and_unescaped() {
        let body = r#"{"é":"\u00e9😀\/"}"#;
        assert_eq!(write(body, Layout::Compact, Escapes::Kept), body);
        assert_eq!(
            write(body, Layout::Compact, Escapes::Raw),
            r#"{"é":"é😀/"}"#
        );
        let ascii = r#"{"\u00e9":"\u00e9\ud83d\ude00/"}"#;
        assert_eq!(write(body, Layout::Compact, Escapes::Ascii), ascii);
        let php = r#"{"\u00e9":"\u00e9\ud83d\ude00\/"}"#;
        assert_eq!(write(body, Layout::Compact, Escapes::Slashes), php);
        assert_eq!(
            write(r#"["<é>&"]"#, Layout::Compact, Escapes::Html),
            r#"["\u003cé\u003e\u0026"]"#
        );
    }

    #[test]
    fn what_is_not_json_is_not_rewritten() {
        assert_eq!(rewrite(b"a=b", Layout::Compact, Escapes::Kept), None);
    }
}
