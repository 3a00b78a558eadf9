//! Ownership checks: what a provider sends to see whether an endpoint is there and knows its secret.
//!
//! The step `handshake` of the way of a delivery. A handshake that the provider signs is answered
//! after it is verified, and only then, so that the gateway never answers for a stranger.

use http::StatusCode;

use crate::outcome::Reply;
use crate::verify::Verified;
use crate::verify::template::Template;

/// Most bytes of an answer: a challenge is a few dozen, and more would be somebody's payload.
const MAX_REPLY: usize = 4096;

/// One kind of ownership check, compiled from its definition.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// What the vendor calls it.
    pub name: String,
    /// Templates and the text that each must give.
    pub when: Vec<(Template, String)>,
    /// Fields (by index) that must not be there.
    pub absent: Vec<usize>,
    /// The status of the answer.
    pub status: StatusCode,
    /// The media type of the answer.
    pub content_type: Option<String>,
    /// The body of the answer.
    pub body: Body,
    /// Why answering is safe, for `providers show`.
    pub safe_because: String,
}

/// What an ownership check is answered with.
#[derive(Clone, Debug)]
pub enum Body {
    /// Always the same text.
    Fixed(String),
    /// A piece of the delivery.
    Echo(Template),
}

/// Answers a verified delivery if it is one of these handshakes.
pub fn answer(handshakes: &[Handshake], verified: &Verified<'_>) -> Option<Reply> {
    handshakes
        .iter()
        .find(|handshake| handshake.asked_by(verified))?
        .reply(verified)
}

impl Handshake {
    fn asked_by(&self, verified: &Verified<'_>) -> bool {
        let has = |(template, value): &(Template, String)| {
            verified.text(template).as_deref() == Some(value.as_str())
        };
        let present = |at: &usize| verified.fields().exists(*at);
        self.when.iter().all(has) && !self.absent.iter().any(present)
    }

    /// Makes the answer; nothing where the challenge is absent or beyond reason, so that the
    /// delivery goes on as an ordinary one.
    fn reply(&self, verified: &Verified<'_>) -> Option<Reply> {
        let body = match &self.body {
            Body::Fixed(text) => text.clone(),
            Body::Echo(template) => verified
                .text(template)
                .filter(|text| text.len() <= MAX_REPLY)?,
        };
        Some(Reply {
            status: self.status,
            content_type: self.content_type.clone(),
            body,
        })
    }
}
