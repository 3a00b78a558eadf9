//! Finds out which event a verified delivery carries: its id, type and time, and what makes it the
//! same event when it comes again.
//!
//! The step `identify` of the way of a delivery. Identity is always something that was signed: an
//! id that the proof covers, or else the digest of the signed content. An unsigned id is a hint that
//! anyone holding a captured delivery can change.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::batch::{BatchRules, Part};
use crate::clock::Timestamp;
use crate::outcome::Rejected;
use crate::provider::definition::{IdNames, IdenticalContent};
use crate::signal::{Identity, Mark, SignalId};
use crate::verify::Verified;
use crate::verify::fields::Fields;
use crate::verify::scheme::{TimestampUnit, When};
use crate::verify::template::{Scope, Template};

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
    /// Where the events of one delivery stand, if there can be several.
    pub batch: BatchRules,
    /// Which deliveries can hold several.
    pub batch_when: When,
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
    /// SHA-256 of the signed content; in a batch, of the event in it. Where the same content is another
    /// event each time, of the delivery that it came with as well: what has no id is named by it, and
    /// `source` and `id` together are unique for each event (CloudEvents 1.0, `id`).
    pub content_digest: [u8; 32],
    /// The event's JSON text, where that is another than the body.
    pub document: Option<Bytes>,
}

impl EventRules {
    /// Splits a batch into its events; nothing where the document is one event.
    pub(crate) fn split(&self, fields: &Fields<'_>) -> Result<Vec<Part>, Rejected> {
        if !self.batch_when.holds(&Scope::of(fields)) {
            return Ok(Vec::new());
        }
        Ok(self.batch.split(fields.document())?)
    }

    /// Identifies the events of a verified delivery to the endpoint whose signals have this
    /// `source`. There is at least one: what is no batch is an event as a whole. Of events that are
    /// the same within the delivery the first stands for all. `occasion` names this delivery and no
    /// other: it is what tells events apart that have the same content and no id, where the provider
    /// sends such.
    pub fn identify(
        &self,
        verified: &Verified<'_>,
        source: &str,
        identical_content: Option<IdenticalContent>,
        occasion: &str,
    ) -> Result<Vec<Event>, Rejected> {
        let naming = Naming {
            rules: self,
            verified,
            source,
            occasion,
            identical: identical_content.unwrap_or(self.identical_content),
        };
        let parts = match verified.proven_parts() {
            Some(parts) => parts,
            None => {
                let split = self.split(verified.fields())?.into_iter();
                let digest = |part: Part| {
                    let digest = Sha256::digest(&part.element).into();
                    (part, digest)
                };
                split.map(digest).collect()
            }
        };
        if parts.is_empty() {
            let fields = verified.fields();
            let document = fields.own_document().cloned();
            let digest = verified.content_digest();
            return Ok(vec![naming.event(fields, document, digest, 0)]);
        }
        let mut events: Vec<Event> = Vec::with_capacity(parts.len());
        let mut seen = std::collections::HashSet::new();
        for (place, (part, digest)) in parts.into_iter().enumerate() {
            let fields = verified.fields().of_event(part.document.clone());
            let event = naming.event(&fields, Some(part.document), digest, place);
            if seen.insert(event.signalid) {
                events.push(event);
            }
        }
        Ok(events)
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

/// What the events of one delivery are named by.
struct Naming<'n, 'd> {
    rules: &'n EventRules,
    verified: &'n Verified<'d>,
    source: &'n str,
    occasion: &'n str,
    identical: IdenticalContent,
}

impl<'d> Naming<'_, 'd> {
    fn event(
        &self,
        fields: &Fields<'d>,
        document: Option<Bytes>,
        mut content_digest: [u8; 32],
        place: usize,
    ) -> Event {
        let (rules, source) = (self.rules, self.source);
        let scope = self.verified.scope_of(fields);
        let found = first(&rules.id, &scope);
        let id_signed = found
            .as_ref()
            .is_some_and(|(template, _)| self.verified.covers(template));
        let id = found.map(|(_, text)| text);
        let (identity, signalid) = match &id {
            Some(id) if rules.id_decides(id_signed, self.identical) => {
                let mark = Mark::of_id(source, id);
                let identity = match rules.retries_change_body && !id_signed {
                    true => Identity::Either {
                        content: Mark::of_content(source, &content_digest),
                        id: mark,
                    },
                    false => Identity::Id(mark),
                };
                (identity, SignalId::derive(source, id.as_bytes()))
            }
            None if self.identical == IdenticalContent::Distinct => {
                let mut hash = Sha256::new_with_prefix(content_digest);
                hash.update(self.occasion);
                hash.update((place as u64).to_be_bytes());
                content_digest = hash.finalize().into();
                (
                    Identity::Id(Mark::of_content(source, &content_digest)),
                    SignalId::derive(source, &content_digest),
                )
            }
            _ => {
                let content = Mark::of_content(source, &content_digest);
                let id = id.as_ref().map(|id| Mark::of_id(source, id));
                (
                    Identity::Content { content, id },
                    SignalId::derive(source, &content_digest),
                )
            }
        };
        Event {
            id,
            id_signed,
            event_type: first(&rules.event_type, &scope)
                .map_or_else(|| "event".to_owned(), |(_, text)| text),
            time: rules.time.iter().find_map(|rule| rule.read(&scope)),
            identity,
            signalid,
            content_digest,
            document,
        }
    }
}

impl TimeRule {
    fn read(&self, scope: &Scope<'_, '_>) -> Option<Timestamp> {
        self.unit.parse(&self.from.text(scope)?)
    }
}

/// Returns the first template that can be filled in, and its text. A name that is too long or holds
/// control characters is no name.
fn first<'t>(templates: &'t [Template], scope: &Scope<'_, '_>) -> Option<(&'t Template, String)> {
    templates.iter().find_map(|template| {
        let text = template.text(scope)?;
        let usable = text.len() <= MAX_NAME && !text.chars().any(char::is_control);
        usable.then_some((template, text))
    })
}
