//! Finds out which event a verified delivery carries: its id, type and time, and what makes it the
//! same event when it comes again.
//!
//! The step `identify` of the way of a delivery. Identity is always something that was signed: an
//! id that the proof covers, or else the digest of the signed content. An unsigned id is a hint that
//! anyone holding a captured delivery can change.

use crate::clock::Timestamp;
use crate::outcome::Rejected;
use crate::provider::definition::{IdNames, IdenticalContent};
use crate::signal::{Identity, Mark, SignalId};
use crate::verify::Verified;
use crate::verify::scheme::TimestampUnit;
use crate::verify::template::Template;

/// Most bytes of an event id or type: longer ones count as absent.
const MAX_NAME: usize = 256;

/// How a provider's events are named.
#[derive(Clone, Debug)]
pub struct EventRules {
    /// The first that can be filled in is the id.
    pub id: Vec<Template>,
    /// The first that can be filled in is the type.
    pub event_type: Vec<Template>,
    /// The first that can be read is the time of occurrence.
    pub time: Vec<TimeRule>,
    /// What an id names.
    pub id_names: IdNames,
    /// Whether a retry can carry another body under the same unsigned id.
    pub retries_change_body: bool,
    /// What deliveries of the same bytes are, unless the endpoint overrides it.
    pub identical_content: IdenticalContent,
}

/// Where a time of occurrence stands.
#[derive(Clone, Debug)]
pub struct TimeRule {
    /// Where.
    pub from: Template,
    /// In which form.
    pub unit: TimestampUnit,
}

/// One event of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The provider's event id.
    pub id: Option<String>,
    /// Whether the proof covers the id.
    pub id_signed: bool,
    /// The provider's event type; `event` where it names none.
    pub event_type: String,
    /// When it occurred, where the provider says so.
    pub time: Option<Timestamp>,
    /// What makes it the same event.
    pub identity: Identity,
    /// The name that its signal has.
    pub signalid: SignalId,
    /// SHA-256 of the signed content.
    pub content_digest: [u8; 32],
}

impl EventRules {
    /// Identifies the event of a verified delivery to the endpoint whose signals have this `source`.
    pub fn identify(
        &self,
        verified: &Verified<'_>,
        source: &str,
        identical_content: Option<IdenticalContent>,
    ) -> Result<Event, Rejected> {
        let content_digest = verified.content_digest()?;
        let found = first(&self.id, verified);
        let id_signed = found
            .as_ref()
            .is_some_and(|(template, _)| verified.covers(template));
        let id = found.map(|(_, text)| text);
        let identical = identical_content.unwrap_or(self.identical_content);
        let (identity, signalid) = match &id {
            Some(id) if self.id_decides(id_signed, identical) => (
                Identity::Id(Mark::of_id(source, id)),
                SignalId::derive(source, id.as_bytes()),
            ),
            _ => {
                let content = Mark::of_content(source, &content_digest);
                let id = id.as_ref().map(|id| Mark::of_id(source, id));
                (
                    Identity::Content { content, id },
                    SignalId::derive(source, &content_digest),
                )
            }
        };
        Ok(Event {
            id,
            id_signed,
            event_type: first(&self.event_type, verified)
                .map_or_else(|| "event".to_owned(), |(_, text)| text),
            time: self.time.iter().find_map(|rule| rule.read(verified)),
            identity,
            signalid,
            content_digest,
        })
    }

    /// Tells whether the id alone makes the event the same.
    fn id_decides(&self, signed: bool, identical: IdenticalContent) -> bool {
        match identical {
            IdenticalContent::Distinct => true,
            IdenticalContent::Same => match self.id_names {
                IdNames::Event => signed || self.retries_change_body,
                IdNames::Resource => false,
            },
        }
    }
}

impl TimeRule {
    fn read(&self, verified: &Verified<'_>) -> Option<Timestamp> {
        self.unit.parse(&verified.text(&self.from)?)
    }
}

/// Returns the first template that can be filled in, and its text. A name that is too long or holds
/// control characters is no name.
fn first<'t>(templates: &'t [Template], verified: &Verified<'_>) -> Option<(&'t Template, String)> {
    templates.iter().find_map(|template| {
        let text = verified.text(template)?;
        let usable = text.len() <= MAX_NAME && !text.chars().any(char::is_control);
        usable.then_some((template, text))
    })
}
