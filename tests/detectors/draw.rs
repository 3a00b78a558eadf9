//! Draws samples of formats, the same in every run.
//!
//! Formats are spelled here a second time, apart from the detectors' own table, and their beginnings
//! in pieces, so that nothing in this repository looks like a live key.

/// A generator of numbers (splitmix64).
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.number() % end as u64).unwrap()
    }

    pub(crate) fn one_of<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }

    /// Draws so many characters of these.
    pub(crate) fn of(&mut self, chars: &str, len: usize) -> String {
        let chars: Vec<char> = chars.chars().collect();
        (0..len).map(|_| *self.one_of(&chars)).collect()
    }

    /// Draws a text after a pattern: `a36` is 36 letters and digits, `'x'` is x itself. Spaces outside
    /// quotes only part the words of the pattern.
    pub(crate) fn pattern(&mut self, pattern: &str) -> String {
        let mut text = String::new();
        for (place, part) in pattern.split('\'').enumerate() {
            match place % 2 {
                1 => text.push_str(part),
                _ => text.extend(part.split_whitespace().map(|word| self.word(word))),
            }
        }
        text
    }

    fn word(&mut self, word: &str) -> String {
        const DIGITS: &str = "0123456789";
        const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
        const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let (kind, len) = word.split_at(1);
        let len = len.parse().unwrap();
        let chars = match kind {
            "d" => DIGITS.to_owned(),
            "h" => "0123456789abcdef".to_owned(),
            "H" => "0123456789ABCDEF".to_owned(),
            "l" => LOWER.to_owned(),
            "u" => [UPPER, DIGITS].concat(),
            "k" => [UPPER, "234567"].concat(),
            "c" => [LOWER, DIGITS].concat(),
            "n" => [UPPER, LOWER].concat(),
            "a" => [UPPER, LOWER, DIGITS].concat(),
            "w" => [UPPER, LOWER, DIGITS, "_-"].concat(),
            "b" => [UPPER, LOWER, DIGITS, "+/"].concat(),
            other => panic!("no kind `{other}`"),
        };
        self.of(&chars, len)
    }

    /// Draws digits that begin so and end with the check digit of Luhn.
    pub(crate) fn luhn(&mut self, begin: &str, len: usize) -> String {
        let middle = self.of("0123456789", len - 1 - begin.len());
        let payload = format!("{begin}{middle}");
        let doubled = |(place, digit): (usize, char)| {
            let digit = digit.to_digit(10).unwrap();
            let digit = if place % 2 == 0 { digit * 2 } else { digit };
            if digit > 9 { digit - 9 } else { digit }
        };
        let sum: u32 = payload.chars().rev().enumerate().map(doubled).sum();
        format!("{payload}{}", (10 - sum % 10) % 10)
    }

    /// Draws an IBAN of a country whose account numbers follow a pattern.
    pub(crate) fn iban(&mut self, country: &str, pattern: &str) -> String {
        let account = self.pattern(pattern);
        let check = |digits: &str| {
            let text = format!("{account}{country}{digits}");
            text.chars().fold(0, |rest, c| {
                let value = c.to_digit(36).unwrap();
                (rest * if value > 9 { 100 } else { 10 } + value) % 97
            })
        };
        format!("{country}{:02}{account}", 98 - check("00"))
    }
}
