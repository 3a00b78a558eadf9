//! What an endpoint takes before a byte of the body is read: callers, rates, and bodies in flight.
//!
//! The step `limits` of the way of a delivery. Everything here has a bound, and past it the answer
//! is 429 or 503 with `Retry-After`; what was admitted still finishes.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota};
use http_body_util::BodyExt;
use ipnet::IpNet;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Rate;
use crate::outcome::Rejected;

/// Bytes that a delivery counts for at least: its headers and its place in the queues.
const LEAST_BYTES: usize = 1024;
/// Bytes in one permit, so that a budget of gigabytes fits the semaphore's counter.
const GRAIN: usize = 1024;

/// A token bucket (GCRA) for one endpoint or one tenant.
#[derive(Debug)]
pub struct Bucket {
    rate: Rate,
    limiter: DefaultDirectRateLimiter,
}

impl Bucket {
    /// Creates a full bucket.
    pub fn new(rate: Rate) -> Self {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Self {
            rate,
            limiter: DefaultDirectRateLimiter::direct(quota),
        }
    }

    /// Returns the rate that it was made for.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one token, or says when there is one.
    pub fn take(&self, scope: &'static str) -> Result<(), Rejected> {
        self.limiter.check().map_err(|until| Rejected::RateLimited {
            scope,
            retry_after: until.wait_time_from(DefaultClock::default().now()),
        })
    }
}

/// Checks a caller against an allow list; an empty list allows everyone.
pub fn check_caller(allowed: &[IpNet], caller: IpAddr) -> Result<(), Rejected> {
    // Dual-stack sockets show IPv4 callers as mapped addresses.
    let caller = caller.to_canonical();
    if allowed.is_empty() || allowed.iter().any(|network| network.contains(&caller)) {
        return Ok(());
    }
    Err(Rejected::IpDenied(caller))
}

/// The bytes of bodies that this process holds at once.
#[derive(Clone, Debug)]
pub struct Budget {
    permits: Arc<Semaphore>,
    whole: usize,
    body_timeout: Duration,
}

/// A body received whole, and its share of the budget: given back when this is dropped.
#[derive(Debug)]
pub struct Received {
    /// The exact bytes.
    pub body: Bytes,
    /// The share.
    pub share: OwnedSemaphorePermit,
}

impl Budget {
    /// Creates a budget of `bytes`; a body has `body_timeout` to arrive.
    pub fn new(bytes: usize, body_timeout: Duration) -> Self {
        let whole = bytes.div_ceil(GRAIN);
        Self {
            permits: Arc::new(Semaphore::new(whole)),
            whole,
            body_timeout,
        }
    }

    /// Returns how many bytes are in flight.
    pub fn in_flight(&self) -> usize {
        (self.whole - self.permits.available_permits().min(self.whole)) * GRAIN
    }

    /// Receives a body of at most `limit` bytes within the time and the budget there is.
    ///
    /// A body pays for its bytes as they arrive and not for those it announces, so that a caller
    /// who announces much and sends nothing keeps nobody else out.
    pub async fn receive<B>(&self, body: B, limit: usize) -> Result<Received, Rejected>
    where
        B: http_body::Body<Data = Bytes>,
    {
        if body.size_hint().lower() > limit as u64 {
            return Err(Rejected::BodyTooLarge { limit });
        }
        let received = tokio::time::timeout(self.body_timeout, self.collect(body, limit));
        received
            .await
            .map_err(|_| Rejected::BodyTimeout(self.body_timeout))?
    }

    async fn collect<B>(&self, body: B, limit: usize) -> Result<Received, Rejected>
    where
        B: http_body::Body<Data = Bytes>,
    {
        let mut body = std::pin::pin!(body);
        let mut share = self.reserve(LEAST_BYTES / GRAIN)?;
        let mut whole = Bytes::new();
        let mut parts = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let broken = "the connection broke off before its end";
            let frame = frame.map_err(|_| Rejected::BodyMalformed(broken.to_owned()))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let size = whole.len() + parts.len() + data.len();
            if size > limit {
                return Err(Rejected::BodyTooLarge { limit });
            }
            let missing = size.div_ceil(GRAIN).saturating_sub(share.num_permits());
            share.merge(self.reserve(missing)?);
            // Most bodies come in one piece, which then is not copied.
            if size == data.len() {
                whole = data;
            } else {
                parts.extend_from_slice(&std::mem::take(&mut whole));
                parts.extend_from_slice(&data);
            }
        }
        if !parts.is_empty() {
            whole = parts.freeze();
        }
        Ok(Received { body: whole, share })
    }

    fn reserve(&self, grains: usize) -> Result<OwnedSemaphorePermit, Rejected> {
        let grains = u32::try_from(grains).unwrap_or(u32::MAX);
        let share = self.permits.clone().try_acquire_many_owned(grains);
        share.map_err(|_| Rejected::Overloaded("the budget of bytes in flight"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    use http_body_util::Full;

    fn budget(bytes: usize) -> Budget {
        Budget::new(bytes, Duration::from_secs(5))
    }

    #[tokio::test]
    async fn a_body_is_received_whole() {
        let budget = budget(10_000);
        let received = budget
            .receive(Full::new(Bytes::from_static(b"abc")), 3)
            .await
            .unwrap();
        assert_eq!(received.body, "abc");
        assert_eq!(budget.in_flight(), 1024);
        drop(received);
        assert_eq!(budget.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_body_over_its_limit_is_refused_before_it_is_read() {
        let refused = budget(10_000)
            .receive(Full::new(Bytes::from_static(b"abcd")), 3)
            .await;
        assert!(matches!(refused, Err(Rejected::BodyTooLarge { limit: 3 })));
    }

    #[tokio::test]
    async fn past_the_budget_the_process_is_overloaded() {
        let budget = budget(2048);
        let body = || Full::new(Bytes::from_static(&[0; 1500]));
        let held = budget.receive(body(), 4096).await.unwrap();
        let refused = budget.receive(body(), 4096).await;
        assert!(matches!(refused, Err(Rejected::Overloaded(_))));
        drop(held);
        assert!(budget.receive(body(), 4096).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_in_pieces_is_put_together_and_bounded() {
        let pieces = |count: usize| {
            let frame =
                || Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from_static(b"ab")));
            let frames: Vec<_> = (0..count).map(|_| frame()).collect();
            http_body_util::StreamBody::new(futures_util::stream::iter(frames))
        };
        let budget = budget(10_000);
        assert_eq!(budget.receive(pieces(0), 6).await.unwrap().body, "");
        assert_eq!(budget.receive(pieces(1), 6).await.unwrap().body, "ab");
        assert_eq!(budget.receive(pieces(3), 6).await.unwrap().body, "ababab");
        let refused = budget.receive(pieces(4), 6).await;
        assert!(matches!(refused, Err(Rejected::BodyTooLarge { limit: 6 })));
        assert_eq!(budget.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let never = http_body_util::StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, std::io::Error>,
        >());
        let refused = budget(1 << 20).receive(never, 4096).await;
        assert!(matches!(refused, Err(Rejected::BodyTimeout(_))));
    }

    #[test]
    fn a_bucket_runs_dry_after_its_burst() {
        let one = NonZeroU32::MIN;
        let bucket = Bucket::new(Rate {
            per_second: one,
            burst: one,
        });
        assert!(bucket.take("endpoint").is_ok());
        let refused = bucket.take("endpoint");
        assert!(matches!(
            refused,
            Err(Rejected::RateLimited {
                scope: "endpoint",
                ..
            })
        ));
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        let allowed = ["10.0.0.0/8".parse().unwrap()];
        assert!(check_caller(&allowed, "::ffff:10.1.2.3".parse().unwrap()).is_ok());
        assert!(check_caller(&allowed, "11.1.2.3".parse().unwrap()).is_err());
        assert!(check_caller(&[], "11.1.2.3".parse().unwrap()).is_ok());
    }
}
