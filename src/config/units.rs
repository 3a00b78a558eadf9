//! Durations, sizes and rates as they are written in the file.
//!
//! Pure text to value. An error continues a sentence that begins with the key: "`timeout` must be …".

use std::num::NonZeroU32;
use std::time::Duration;

const DURATIONS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];

const SIZES: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// Reads a whole number and a unit, such as `300ms` or `72h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    scaled(text, &DURATIONS)
        .map(Duration::from_millis)
        .ok_or_else(|| {
            "must be a whole number and one of ms, s, m, h, d, w, such as \"300ms\" or \"72h\""
                .into()
        })
}

/// Reads a whole number and a unit, such as `512KiB`.
pub(super) fn size(text: &str) -> Result<usize, String> {
    scaled(text, &SIZES).and_then(|bytes| usize::try_from(bytes).ok()).ok_or_else(|| {
        "must be a number of bytes, or a whole number and one of B, KiB, MiB, GiB, such as \"1MiB\""
            .into()
    })
}

/// Reads `N/s`, or `unlimited`.
pub(super) fn rate(text: &str) -> Result<Option<NonZeroU32>, String> {
    if text == "unlimited" {
        return Ok(None);
    }
    let count = text
        .strip_suffix("/s")
        .and_then(|count| number(count)?.try_into().ok());
    match count.map(NonZeroU32::new) {
        Some(Some(count)) => Ok(Some(count)),
        Some(None) => {
            Err("must not be zero; to refuse every delivery, set state = \"paused\"".into())
        }
        None => Err("must be a whole number a second, such as \"100/s\", or \"unlimited\"".into()),
    }
}

/// Writes a duration in the largest unit that fits it.
pub(super) fn show_duration(duration: Duration) -> String {
    show(
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        &DURATIONS,
    )
}

/// Writes a size in the largest unit that fits it.
pub(super) fn show_size(bytes: usize) -> String {
    show(u64::try_from(bytes).unwrap_or(u64::MAX), &SIZES)
}

fn show(number: u64, units: &[(&str, u64)]) -> String {
    let fits = units
        .iter()
        .rev()
        .find(|(_, factor)| number >= *factor && number.is_multiple_of(*factor));
    let (unit, factor) = fits.unwrap_or(&units[0]);
    format!("{}{unit}", number / factor)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number(count)?.checked_mul(*factor)
}

/// Reads digits and nothing else: `parse` alone would take a sign.
fn number(digits: &str) -> Option<u64> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for (text, millis) in [
            ("300ms", 300),
            ("0s", 0),
            ("5m", 300_000),
            ("72h", 259_200_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("7d"), duration("1w"));
        for text in [
            "", "5", "s", "5 s", "+5s", "-5s", "1.5h", "5S", "1h30m", "٣s", "5sec",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_too_large_is_refused() {
        assert!(duration("18446744073709551615w").is_err());
        assert!(duration("99999999999999999999s").is_err());
        assert!(size("18446744073709551615GiB").is_err());
        assert!(rate("4294967296/s").is_err());
    }

    #[test]
    fn a_size_has_a_binary_unit() {
        assert_eq!(size("1MiB"), Ok(1_048_576));
        assert_eq!(size("512KiB"), Ok(524_288));
        for text in ["1MB", "1 MiB", "1", "1mib", "-1B"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_is_a_second_and_never_zero() {
        assert_eq!(rate("100/s"), Ok(NonZeroU32::new(100)));
        assert_eq!(rate("unlimited"), Ok(None));
        for text in ["0/s", "100", "/s", "100/m", "+1/s", "1.5/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_are_shown_as_they_could_be_written() {
        for text in ["300ms", "90s", "0ms", "1w", "25h"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["1MiB", "1025B", "0B"] {
            assert_eq!(show_size(size(text).unwrap()), text);
        }
    }
}
