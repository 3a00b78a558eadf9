//! `[[tenant]]`: what all endpoints of one tenant share. A tenant without such a section has none of it.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};

use super::Secrets;
use super::endpoint::{MAX_ENDPOINTS, name, taken};
use super::reader::Section;

/// Bytes that a key for pseudonyms has at least: 128 bits, even where each byte is a random one.
const MIN_PSEUDONYM_KEY: usize = 16;

/// What the endpoints of one tenant share. `Debug` shows no secret.
#[derive(Clone, Debug, Default)]
pub struct Tenant {
    /// The key of the pseudonyms that redaction puts in the place of values (HMAC-SHA256).
    pub pseudonym_key: Option<SecretString>,
}

/// The tenants that have a section, by name.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    by_id: BTreeMap<String, Tenant>,
}

impl Tenants {
    /// Reads every `[[tenant]]`; what is wrong is reported.
    pub(super) fn read(sections: Vec<Section<'_>>, secrets: &Secrets<'_>) -> Self {
        let (mut known, mut tenants) = (BTreeMap::new(), Self::default());
        for mut section in sections {
            let id = section.required_text("id");
            let id = id.and_then(|text| {
                let id = section.parse_text("id", text, name)?;
                taken(&mut known, "id", &id, text.at, &section)?;
                Some(id)
            });
            let tenant = Tenant {
                pseudonym_key: pseudonym_key(&mut section, secrets),
            };
            section.finish();
            if let Some(id) = id {
                tenants.by_id.insert(id, tenant);
            }
        }
        tenants
    }

    /// Returns what the endpoints of a tenant share.
    pub(super) fn get(&self, id: &str) -> Tenant {
        self.by_id.get(id).cloned().unwrap_or_default()
    }
}

/// How many tenants may have a section: no more than there can be endpoints.
pub(super) const MAX_TENANTS: usize = MAX_ENDPOINTS;

fn pseudonym_key(section: &mut Section<'_>, secrets: &Secrets<'_>) -> Option<SecretString> {
    let text = section.text("pseudonym_key")?;
    let key = secrets.find("pseudonym_key", text)?;
    if key.expose_secret().len() < MIN_PSEUDONYM_KEY {
        let message = format!(
            "`pseudonym_key` has fewer than {MIN_PSEUDONYM_KEY} bytes, and could be guessed; make \
             one with `openssl rand -hex 32`"
        );
        section.report.problem(text.at, message);
        return None;
    }
    Some(key)
}
