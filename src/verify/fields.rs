//! The fields of a delivery's body, looked up at most once however many templates ask.
//!
//! What `{body:/…}` and `{form:…}` read. Knows which JSON text of a delivery is the document: the
//! body, or what a form's field or a query parameter holds (as a definition says), or one event of
//! a batch. Lenient: what cannot be read has no fields, and redaction refuses it later if it should.

use std::borrow::Cow;
use std::cell::OnceCell;

use bytes::Bytes;

use crate::delivery::Delivery;
use crate::json::{self, Found, Pointer};
use crate::multipart;
use crate::verify::template::{Scope, Template};

/// Most fields of a form that are read; a form with more is refused.
pub(crate) const MAX_FORM_FIELDS: usize = 1000;

/// The JSON pointers that a provider's templates name: looked up together, in one pass.
#[derive(Clone, Debug, Default)]
pub struct Pointers {
    texts: Vec<String>,
    compiled: Vec<Pointer>,
}

impl Pointers {
    /// Returns the index of a pointer, adding it where it is new.
    pub fn intern(&mut self, text: &str) -> Result<usize, String> {
        if let Some(at) = self.texts.iter().position(|known| known == text) {
            return Ok(at);
        }
        self.compiled.push(Pointer::parse(text)?);
        self.texts.push(text.to_owned());
        Ok(self.compiled.len() - 1)
    }

    /// Returns a pointer as it is written.
    pub(crate) fn text(&self, at: usize) -> &str {
        self.texts.get(at).map_or("", String::as_str)
    }
}

/// The type that a JSON field must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Type {
    /// A string, a number or a truth value.
    Scalar,
    /// A string.
    String,
    /// A number.
    Number,
}

/// The fields of one delivery, or of one event in it.
pub struct Fields<'d> {
    delivery: &'d Delivery,
    pointers: &'d Pointers,
    /// The JSON text that pointers read; `None`: the body.
    document: Option<Bytes>,
    json: OnceCell<Vec<Option<Found<'d>>>>,
    form: OnceCell<Vec<(String, String)>>,
}

impl<'d> Fields<'d> {
    /// Prepares to read the fields that `pointers` name in the body.
    pub fn new(delivery: &'d Delivery, pointers: &'d Pointers) -> Self {
        Self {
            delivery,
            pointers,
            document: None,
            json: OnceCell::new(),
            form: OnceCell::new(),
        }
    }

    /// The same, but the document is the first of these pieces that is there, if one is.
    pub(crate) fn within(
        delivery: &'d Delivery,
        pointers: &'d Pointers,
        documents: &[Template],
    ) -> Self {
        let mut fields = Self::new(delivery, pointers);
        let found = documents.iter().find_map(|template| {
            let text = template.bytes(&Scope::of(&fields)).ok()?;
            (!text.is_empty()).then_some(text)
        });
        fields.document = found.map(Bytes::from);
        fields
    }

    /// The fields of one event of a batch, whose document is `event`.
    pub(crate) fn of_event(&self, event: Bytes) -> Self {
        Self {
            document: Some(event),
            ..Self::new(self.delivery, self.pointers)
        }
    }

    /// Returns the delivery that the fields are of.
    pub fn delivery(&self) -> &'d Delivery {
        self.delivery
    }

    /// Returns the JSON text that pointers read, if it is another than the body.
    pub(crate) fn own_document(&self) -> Option<&Bytes> {
        self.document.as_ref()
    }

    /// Returns the JSON text that pointers read.
    pub(crate) fn document(&self) -> &[u8] {
        self.document.as_deref().unwrap_or(&self.delivery.body)
    }

    /// Returns a JSON field as text; `None` for null, objects, arrays, another type than the one
    /// that is asked for, and a document that is not JSON.
    pub(crate) fn text(&self, at: usize, wanted: Type) -> Option<Cow<'_, str>> {
        let found = self.found(at)?;
        let fits = match wanted {
            Type::Scalar => true,
            Type::String => matches!(found, Found::String(_)),
            Type::Number => matches!(found, Found::Number(_)),
        };
        fits.then(|| found.text()).flatten()
    }

    /// Tells whether a JSON field is there and not null.
    pub(crate) fn is_something_else(&self, at: usize) -> bool {
        self.found(at).is_some_and(|found| *found != Found::Null)
    }

    /// Tells whether a JSON field is there at all.
    pub(crate) fn exists(&self, at: usize) -> bool {
        self.found(at).is_some()
    }

    /// Returns an object or array exactly as it is written.
    pub(crate) fn composite(&self, at: usize) -> Option<&str> {
        match self.found(at)? {
            Found::Composite(text) => Some(text),
            _ => None,
        }
    }

    fn found(&self, at: usize) -> Option<&Found<'d>> {
        let pointers = &self.pointers.compiled;
        let looked_up = self.json.get_or_init(|| match &self.document {
            None => json::lookup(&self.delivery.body, pointers).unwrap_or_default(),
            Some(document) => {
                let found = json::lookup(document, pointers).unwrap_or_default();
                found
                    .into_iter()
                    .map(|one| one.map(Found::into_owned))
                    .collect()
            }
        });
        looked_up.get(at)?.as_ref()
    }

    /// Returns the fields of a form body, of either kind; none where the body is not a form.
    pub(crate) fn form(&self) -> &[(String, String)] {
        self.form.get_or_init(|| {
            if self.is_form() {
                let pairs = form_urlencoded::parse(&self.delivery.body);
                return pairs
                    .take(MAX_FORM_FIELDS + 1)
                    .map(|(name, value)| (name.into_owned(), value.into_owned()))
                    .collect();
            }
            multipart::text_fields(self.delivery)
        })
    }

    /// Tells whether the body is a form of name and value pairs.
    pub(crate) fn is_form(&self) -> bool {
        self.delivery.media_type() == "application/x-www-form-urlencoded"
    }
}
