//! `[limits]`: how much endpoints and tenants may send, unless an endpoint says otherwise.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use super::reader::Section;
use super::units;

/// What a body may have at most, whatever is configured.
pub const MAX_BODY: usize = 256 << 20;

/// How many deliveries are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Deliveries a second, in the long run.
    pub per_second: NonZeroU32,
    /// Deliveries at once after a quiet time.
    pub burst: NonZeroU32,
}

/// `[limits]`, checked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// For each endpoint that has no rate of its own.
    pub(super) endpoint: Option<Rate>,
    /// For all endpoints of a tenant together.
    pub(super) tenant: Option<Rate>,
    /// Instead of the provider's.
    pub(super) max_body: Option<usize>,
}

impl Limits {
    pub(super) fn read(mut section: Section<'_>) -> Self {
        let limits = Self {
            endpoint: rate(&mut section, ["rate", "burst"], None),
            tenant: rate(&mut section, ["tenant_rate", "tenant_burst"], None),
            max_body: max_body(&mut section),
        };
        section.finish();
        limits
    }
}

/// Reads `max_body`, which endpoints have as well.
pub(super) fn max_body(section: &mut Section<'_>) -> Option<usize> {
    section.size("max_body", 1..=MAX_BODY)
}

const BURST: RangeInclusive<usize> = 1..=1_000_000_000;

/// Reads a rate and its burst, which is as large as the rate unless set.
pub(super) fn rate(
    section: &mut Section<'_>,
    [rate_key, burst_key]: [&'static str; 2],
    default: Option<Rate>,
) -> Option<Rate> {
    let written = section.parsed(rate_key, units::rate);
    let burst = section
        .count(burst_key, BURST)
        .and_then(|burst| u32::try_from(burst).ok());
    let rate = match written {
        Some(rate) => rate.map(|per_second| Rate {
            per_second,
            burst: per_second,
        }),
        None => default,
    };
    if rate.is_none() && burst.is_some() && (written.is_some() || !section.has(rate_key)) {
        let message = format!("`{burst_key}` needs a `{rate_key}`, such as {rate_key} = \"100/s\"");
        section.report.problem(section.place_of(burst_key), message);
    }
    let rate = rate?;
    Some(Rate {
        burst: burst.and_then(NonZeroU32::new).unwrap_or(rate.burst),
        ..rate
    })
}
