//! The forms of time that vendors sign and send.

use crate::clock::Timestamp;

/// The form of a timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimestampUnit {
    /// Decimal digits: seconds since 1970.
    Seconds,
    /// Decimal digits: milliseconds since 1970.
    Milliseconds,
    /// Either, told apart by their size: twelve digits and more are milliseconds.
    Epoch,
    /// Seconds since 1970, which may have a fraction.
    #[serde(rename = "fractional")]
    FractionalSeconds,
    /// RFC 3339.
    Rfc3339,
    /// RFC 3339, ISO 8601 without a zone (taken as UTC) or with one such as `+0100`, or an HTTP-date
    /// (RFC 9110 section 5.6.7).
    Date,
}

impl TimestampUnit {
    /// Reads a timestamp; strict, since some readers take `123abc` for 123 and others refuse it.
    pub fn parse(self, text: &str) -> Option<Timestamp> {
        match self {
            Self::Seconds => Timestamp::from_second(digits(text)?).ok(),
            Self::Milliseconds => Timestamp::from_millisecond(digits(text)?).ok(),
            Self::Epoch if text.len() >= 12 => Self::Milliseconds.parse(text),
            Self::Epoch => Self::Seconds.parse(text),
            Self::FractionalSeconds => {
                let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
                let millis = digits(fraction.get(..3.min(fraction.len()))?)?;
                let shown = i64::from(10_u16.pow(3 - fraction.len().min(3) as u32));
                digits(fraction.get(..fraction.len().min(18))?)?;
                let whole = digits(whole)?.checked_mul(1000)?;
                Timestamp::from_millisecond(whole.checked_add(millis * shown)?).ok()
            }
            Self::Rfc3339 => text.parse().ok(),
            Self::Date => text.parse().ok().or_else(|| date(text)),
        }
    }

    /// Writes a timestamp.
    pub fn format(self, time: Timestamp) -> String {
        match self {
            Self::Seconds | Self::Epoch | Self::FractionalSeconds => time.as_second().to_string(),
            Self::Milliseconds => time.as_millisecond().to_string(),
            Self::Rfc3339 | Self::Date => time.to_string(),
        }
    }
}

fn digits(text: &str) -> Option<i64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse::<i64>().ok()).flatten()
}

/// Reads a date without a zone, or an HTTP-date.
fn date(text: &str) -> Option<Timestamp> {
    let basic = Timestamp::strptime("%Y-%m-%dT%H:%M:%S%.f%z", text).ok();
    let local = || {
        let date = text.parse::<jiff::civil::DateTime>().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(date).ok()
    };
    basic.or_else(local).or_else(|| {
        let http = jiff::fmt::rfc2822::parse(&text.replace("GMT", "+0000")).ok()?;
        Some(http.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_digits_and_nothing_else() {
        assert!(TimestampUnit::Seconds.parse("1614265330").is_some());
        for text in [
            "",
            "1614265330abc",
            "+1",
            " 1",
            "1.0",
            "99999999999999999999",
            "٣",
        ] {
            assert!(TimestampUnit::Seconds.parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn other_forms_of_a_time_are_read_as_strictly() {
        let read = |unit: TimestampUnit, text: &str| unit.parse(text).map(|time| time.to_string());
        let noon = Some("2026-01-05T12:00:00Z".to_owned());
        for text in ["1767614400", "1767614400000"] {
            assert_eq!(read(TimestampUnit::Epoch, text), noon, "{text}");
        }
        for text in [
            "2026-01-05T12:00:00Z",
            "2026-01-05T13:00:00+01:00",
            "2026-01-05T12:00:00",
            "2026-01-05 12:00:00",
            "2026-01-05T22:00:00+1000",
            "Mon, 05 Jan 2026 12:00:00 GMT",
        ] {
            assert_eq!(read(TimestampUnit::Date, text), noon, "{text}");
        }
        assert_eq!(read(TimestampUnit::Date, "yesterday"), None);
        let half = Some("2026-01-05T12:00:00.5Z".to_owned());
        for text in ["1767614400.5", "1767614400.500", "1767614400.500049"] {
            assert_eq!(read(TimestampUnit::FractionalSeconds, text), half, "{text}");
        }
        for text in ["1767614400.", ".5", "1767614400.x", "1.5e9", "-1.5"] {
            assert_eq!(read(TimestampUnit::FractionalSeconds, text), None, "{text}");
        }
    }
}
