//! A strict scanner of JSON text (RFC 8259): one pass, no tree, no allocation per value.
//!
//! What `identify` reads ids with ([`lookup`]) and `redact` rewrites payloads with ([`Scanner`]), so
//! that both see the same document. Not `serde_json`: its visitors cannot keep the exact text of a
//! number, except by a magic key in the data itself, which hostile input could forge.
//!
//! Stricter than the RFC where parsers disagree: a lone surrogate escape and a byte order mark are
//! refused, and so is what nests deeper than [`MAX_DEPTH`]. Repeated keys are passed on as they come.

mod error;
mod pointer;
mod text;

pub use error::{Fault, JsonError};
pub use pointer::{Found, Pointer, lookup};
pub(crate) use pointer::{array_index, unescape as unescape_pointer};
pub use text::{Text, quote};

/// How many objects and arrays may be open at once. As many as the scanner's stack has bits.
pub const MAX_DEPTH: u32 = u128::BITS;

/// The two values that hold others. As large as a word, like all that a [`Token`] holds: one that is
/// smaller has every token moved about in pieces, which takes as long as reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
}

/// One step through a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// `{` or `[`
    Open(Kind),
    /// `}` or `]`
    Close(Kind),
    /// The name of an object's member; its value follows.
    Key(Text<'a>),
    /// A string.
    String(Text<'a>),
    /// A number, exactly as written.
    Number(&'a str),
    /// `true`
    True,
    /// `false`
    False,
    /// `null`
    Null,
}

/// Reads a document token by token.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a str,
    /// Where the next token is looked for.
    at: usize,
    /// Where the last token began.
    start: usize,
    depth: u32,
    /// What is open, innermost in the lowest bit: 1 for an object, 0 for an array.
    objects: u128,
    expect: Expect,
}

/// What may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    FirstElement,
    FirstKey,
    Next,
    Nothing,
}

impl<'a> Scanner<'a> {
    /// Begins a document, which must be UTF-8 throughout.
    pub fn new(json: &'a [u8]) -> Result<Self, JsonError> {
        match std::str::from_utf8(json) {
            Ok(text) => Ok(Self::over(text)),
            Err(error) => Err(JsonError {
                offset: error.valid_up_to(),
                fault: Fault::NotUtf8,
            }),
        }
    }

    /// Begins a document that is known to be UTF-8.
    pub fn over(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            start: 0,
            depth: 0,
            objects: 0,
            expect: Expect::Value,
        }
    }

    /// Returns the next token, or nothing once the document has ended as it should.
    #[inline]
    pub fn next_token(&mut self) -> Result<Option<Token<'a>>, JsonError> {
        self.skip_space();
        let Some(byte) = self.peek() else {
            return match self.expect {
                Expect::Nothing => Ok(None),
                _ => Err(self.fault(Fault::End)),
            };
        };
        let token = match (self.expect, byte) {
            (Expect::Nothing, _) => Err(self.fault(Fault::Trailing)),
            (Expect::Value, _) => self.value(byte),
            (Expect::FirstElement | Expect::Next, b']') if self.in_array() => {
                Ok(self.close(Kind::Array))
            }
            (Expect::FirstKey | Expect::Next, b'}') if self.in_object() => {
                Ok(self.close(Kind::Object))
            }
            (Expect::FirstElement, _) => self.value(byte),
            (Expect::FirstKey, _) => self.key(),
            (Expect::Next, b',') => {
                self.at += 1;
                self.skip_space();
                self.member_or_element()
            }
            (Expect::Next, _) => Err(self.fault(Fault::Unexpected)),
        };
        token.map(Some)
    }

    /// Skips what is left of the object or array whose [`Token::Open`] was the last token.
    pub fn skip_rest(&mut self) -> Result<(), JsonError> {
        let outside = self.depth.saturating_sub(1);
        while self.depth > outside {
            self.next_token()?;
        }
        Ok(())
    }

    /// Returns the whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// Returns the offset of the last token's first byte.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Returns the offset behind the last token; behind its colon, for a key.
    pub fn end(&self) -> usize {
        self.at
    }

    /// Returns where the last token begins and ends.
    pub fn piece(&self) -> (usize, usize) {
        (self.start, self.at)
    }

    /// Returns the text from an offset up to the end of the last token.
    pub fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    #[inline]
    fn in_array(&self) -> bool {
        self.depth > 0 && self.objects & 1 == 0
    }

    #[inline]
    fn in_object(&self) -> bool {
        self.depth > 0 && self.objects & 1 == 1
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.byte(self.at)
    }

    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    fn fault(&self, fault: Fault) -> JsonError {
        self.fault_at(self.at, fault)
    }

    /// The fault, or that the text ends too early where nothing is left to be wrong.
    fn fault_at(&self, at: usize, fault: Fault) -> JsonError {
        match self.text.len() {
            len if at >= len => JsonError {
                offset: len,
                fault: Fault::End,
            },
            _ => JsonError { offset: at, fault },
        }
    }

    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[inline]
    fn member_or_element(&mut self) -> Result<Token<'a>, JsonError> {
        match self.peek() {
            Some(byte) if self.in_array() => self.value(byte),
            Some(_) => self.key(),
            None => Err(self.fault(Fault::End)),
        }
    }

    #[inline]
    fn key(&mut self) -> Result<Token<'a>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.fault(Fault::Unexpected));
        }
        self.start = self.at;
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.fault(Fault::Unexpected));
        }
        self.at += 1;
        self.expect = Expect::Value;
        Ok(Token::Key(key))
    }

    #[inline]
    fn value(&mut self, first: u8) -> Result<Token<'a>, JsonError> {
        self.start = self.at;
        let token = match first {
            b'"' => Token::String(self.string()?),
            b'{' => return self.open(Kind::Object),
            b'[' => return self.open(Kind::Array),
            b'-' | b'0'..=b'9' => Token::Number(self.number()?),
            b't' => self.word("true", Token::True)?,
            b'f' => self.word("false", Token::False)?,
            b'n' => self.word("null", Token::Null)?,
            _ => return Err(self.fault(Fault::Unexpected)),
        };
        self.value_ended();
        Ok(token)
    }

    fn open(&mut self, kind: Kind) -> Result<Token<'a>, JsonError> {
        if self.depth == MAX_DEPTH {
            return Err(self.fault(Fault::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        (self.objects, self.expect) = match kind {
            Kind::Object => (self.objects << 1 | 1, Expect::FirstKey),
            Kind::Array => (self.objects << 1, Expect::FirstElement),
        };
        Ok(Token::Open(kind))
    }

    fn close(&mut self, kind: Kind) -> Token<'a> {
        self.start = self.at;
        self.at += 1;
        self.depth -= 1;
        self.objects >>= 1;
        self.value_ended();
        Token::Close(kind)
    }

    #[inline]
    fn value_ended(&mut self) {
        self.expect = match self.depth {
            0 => Expect::Nothing,
            _ => Expect::Next,
        };
    }

    fn word(&mut self, word: &str, token: Token<'a>) -> Result<Token<'a>, JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        let same = rest.iter().zip(word.bytes()).take_while(|(a, b)| **a == *b);
        match same.count() {
            all if all == word.len() => {
                self.at += all;
                Ok(token)
            }
            some => Err(self.fault_at(self.at + some, Fault::Unexpected)),
        }
    }

    fn number(&mut self) -> Result<&'a str, JsonError> {
        let mut end = self.at;
        if self.byte(end) == Some(b'-') {
            end += 1;
        }
        end = match self.byte(end) {
            Some(b'0') => end + 1,
            _ => self.digits(end)?,
        };
        if self.byte(end) == Some(b'.') {
            end = self.digits(end + 1)?;
        }
        if let Some(b'e' | b'E') = self.byte(end) {
            let sign = matches!(self.byte(end + 1), Some(b'+' | b'-'));
            end = self.digits(end + 1 + usize::from(sign))?;
        }
        let number = &self.text[self.at..end];
        self.at = end;
        Ok(number)
    }

    /// Skips one digit or more.
    fn digits(&self, from: usize) -> Result<usize, JsonError> {
        let mut end = from;
        while let Some(b'0'..=b'9') = self.byte(end) {
            end += 1;
        }
        match end {
            none if none == from => Err(self.fault_at(from, Fault::Number)),
            _ => Ok(end),
        }
    }

    #[inline]
    fn string(&mut self) -> Result<Text<'a>, JsonError> {
        let begin = self.at + 1;
        let plain = text::plain_run(&self.text.as_bytes()[begin..]);
        let mut end = begin + plain;
        loop {
            match self.byte(end) {
                Some(b'"') => break,
                Some(b'\\') => end = self.escape(end)?,
                _ => return Err(self.fault_at(end, Fault::Control)),
            }
            end += text::plain_run(&self.text.as_bytes()[end..]);
        }
        self.at = end + 1;
        Ok(Text::scanned(&self.text[begin..end], plain))
    }

    /// Checks the escape at a backslash and returns where it ends.
    fn escape(&self, at: usize) -> Result<usize, JsonError> {
        match self.byte(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') => match self.hex(at + 2)? {
                0xD800..=0xDBFF => self.low_surrogate(at),
                0xDC00..=0xDFFF => Err(self.fault_at(at, Fault::Surrogate)),
                _ => Ok(at + 6),
            },
            _ => Err(self.fault_at(at + 1, Fault::Escape)),
        }
    }

    /// Checks that the high surrogate at a backslash is followed by a low one.
    fn low_surrogate(&self, at: usize) -> Result<usize, JsonError> {
        let lone = self.fault_at(at, Fault::Surrogate);
        if (self.byte(at + 6), self.byte(at + 7)) != (Some(b'\\'), Some(b'u')) {
            return Err(lone);
        }
        match self.hex(at + 8)? {
            0xDC00..=0xDFFF => Ok(at + 12),
            _ => Err(lone),
        }
    }

    fn hex(&self, from: usize) -> Result<u32, JsonError> {
        let mut value = 0;
        for at in from..from + 4 {
            let digit = self.byte(at).and_then(|byte| char::from(byte).to_digit(16));
            value = value << 4 | digit.ok_or_else(|| self.fault_at(at, Fault::Escape))?;
        }
        Ok(value)
    }
}

#[cfg(test)]
pub(crate) mod tests;
