//! Times: too old, from the future, or in another unit.

use super::ground::Ground;
use crate::clock::Timestamp;
use crate::outcome::Rejected;
use crate::verify::scheme::TimestampUnit;
use crate::verify::template::Scope;

/// Seconds by which a time in the other unit may be off and is still recognised: a year.
const NEAR: i64 = 366 * 86_400;

/// Explains a refusal because of the time.
pub(super) fn explain(ground: &Ground<'_>, rejected: &Rejected) -> Vec<String> {
    match rejected {
        Rejected::TimestampStale { age, .. } => stale(ground, *age),
        Rejected::TimestampFuture { ahead, .. } => future(ground, *ahead),
        Rejected::TimestampMalformed(_) => malformed(ground),
        _ => Vec::new(),
    }
}

fn stale(ground: &Ground<'_>, age: i64) -> Vec<String> {
    let now = ground.case.now.as_second();
    let signed = now.saturating_sub(age);
    // A time in seconds that is read as milliseconds lies in January 1970.
    if age > NEAR && near(now, signed.saturating_mul(1000)) {
        return vec![
            "the signature is right, but the time is in seconds and should be in milliseconds: it \
             looks decades old"
                .to_owned(),
        ];
    }
    vec![format!(
        "the signature is right, but {} old: the delivery was held up or recorded earlier (check \
         it with --at), or this clock is {age} s ahead of the provider's",
        told(age)
    )]
}

fn future(ground: &Ground<'_>, ahead: i64) -> Vec<String> {
    let now = ground.case.now.as_second();
    let signed = now.saturating_add(ahead);
    if ahead > NEAR && near(now, signed / 1000) {
        return vec![
            "the signature is right, but the time is in milliseconds and should be in seconds: it \
             looks millennia ahead"
                .to_owned(),
        ];
    }
    vec![format!(
        "the signature is right, but from {} in the future: this clock is behind, or the \
         provider's is ahead, by {ahead} s",
        told(ahead)
    )]
}

fn near(now: i64, time: i64) -> bool {
    now.abs_diff(time) < NEAR.unsigned_abs()
}

/// Returns seconds, and what they come to.
pub(super) fn told(seconds: i64) -> String {
    let whole = |unit: i64, name: &str| format!("{seconds} s ({} {name})", seconds / unit);
    match seconds {
        172_800.. => whole(86_400, "days"),
        7_200.. => whole(3_600, "hours"),
        600.. => whole(60, "minutes"),
        _ => format!("{seconds} s"),
    }
}

fn malformed(ground: &Ground<'_>) -> Vec<String> {
    const UNITS: [(TimestampUnit, &str); 4] = [
        (TimestampUnit::Seconds, "seconds since 1970"),
        (TimestampUnit::Rfc3339, "RFC 3339"),
        (TimestampUnit::Date, "a date"),
        (TimestampUnit::FractionalSeconds, "seconds with a fraction"),
    ];
    let Some(rule) = &ground.scheme().timestamp else {
        return Vec::new();
    };
    let scope = Scope::of(&ground.fields);
    let wanted = match rule.unit {
        TimestampUnit::Seconds => "seconds since 1970",
        TimestampUnit::Milliseconds => "milliseconds since 1970",
        TimestampUnit::Epoch => "seconds or milliseconds since 1970",
        TimestampUnit::FractionalSeconds => "seconds since 1970, maybe with a fraction",
        TimestampUnit::Rfc3339 => "RFC 3339",
        TimestampUnit::Date => "a date",
    };
    let Some(text) = rule.from.text(&scope) else {
        return vec![format!(
            "the time is empty or not text, and must be {wanted}"
        )];
    };
    let read = |unit: TimestampUnit| unit.parse(text.trim());
    let found = UNITS.iter().find(|(unit, _)| read(*unit).is_some());
    let beyond = read(rule.unit).is_some_and(|time: Timestamp| time.as_second() < rule.min);
    let now = ground.case.now.as_second();
    let millis = TimestampUnit::Milliseconds.parse(&text);
    let millis = millis.is_some_and(|time| near(now, time.as_second()));
    vec![match found {
        _ if millis => "the time is in milliseconds and should be in seconds".to_owned(),
        _ if beyond => {
            "the time lies before any delivery of this scheme: it is in another unit".to_owned()
        }
        _ if text.trim() != text => "the time has white space around it".to_owned(),
        Some((_, name)) => format!("the time is written as {name}, and must be {wanted}"),
        None => format!("the time is no time in any form that is known here; it must be {wanted}"),
    }]
}
