//! An endpoint of any provider of the catalogue, and what plays its provider.

use bytes::Bytes;
use hookgate::clock;
use hookgate::delivery::Delivery;
use hookgate::provider::Catalogue;
use http::{HeaderMap, HeaderName, Method};

use super::PUBLIC_URL;
use crate::support::gateway::Gateway;

/// An endpoint, named after its provider.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) provider: &'static str,
    pub(super) secret: &'static str,
    /// Further lines of the endpoint.
    pub(super) lines: &'static str,
}

/// Makes an endpoint with one secret.
pub(super) fn site(provider: &'static str, secret: &'static str, lines: &'static str) -> Site {
    Site {
        provider,
        secret,
        lines,
    }
}

/// Starts a gateway with these endpoints.
pub(super) async fn serve(sites: &[&Site]) -> Gateway {
    let endpoints: String = sites.iter().map(|site| site.endpoint()).collect();
    Gateway::start(&format!(
        "[server]\npublic_url = \"{PUBLIC_URL}\"\n{endpoints}"
    ))
    .await
}

impl Site {
    /// Writes the endpoint.
    pub(super) fn endpoint(&self) -> String {
        let Self {
            provider, lines, ..
        } = self;
        let secrets = match self.secret {
            "" => String::new(),
            secret => format!("secrets = ['{secret}']\n"),
        };
        format!(
            "[[endpoint]]\nid = \"{provider}\"\ntenant = \"acme\"\nprovider = \"{provider}\"\n\
             {secrets}{lines}\n"
        )
    }

    /// Makes a request to the endpoint; `query` begins with `?` or is empty.
    pub(super) fn request(
        &self,
        method: Method,
        query: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Delivery {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        Delivery {
            method,
            url: format!("{PUBLIC_URL}/hooks/{}{query}", self.provider),
            headers: map,
            body: body.into(),
            caller: [127, 0, 0, 1].into(),
            via_trusted_proxy: false,
        }
    }

    /// Makes a delivery of JSON, not signed.
    pub(super) fn unsigned(&self, body: impl Into<Bytes>) -> Delivery {
        let headers = [("content-type", "application/json")];
        self.request(Method::POST, "", &headers, body)
    }

    /// Makes a delivery of JSON as the provider signs it now.
    pub(super) fn signed(&self, body: impl Into<Bytes>) -> Delivery {
        self.sign(self.unsigned(body))
    }

    /// Signs a delivery as the provider does now.
    pub(super) fn sign(&self, mut delivery: Delivery) -> Delivery {
        let catalogue = Catalogue::builtin().unwrap();
        let provider = catalogue.get(self.provider).unwrap();
        let secret = self.secret.to_owned().into();
        provider
            .sign(None, &secret, &mut delivery, clock::now())
            .unwrap();
        delivery
    }

    /// Makes the delivery of the definition's sample with this id, not signed.
    pub(super) fn sample(&self, id: &str) -> Delivery {
        let catalogue = Catalogue::builtin().unwrap();
        let sample = &catalogue.get(self.provider).unwrap().sample;
        let fill = |text: &str| super::fill(text, id, clock::now());
        let mut headers = vec![("content-type".to_owned(), sample.content_type.clone())];
        for (name, value) in &sample.headers {
            headers.push((name.to_string(), fill(value)));
        }
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        self.request(Method::POST, "", &headers, fill(&sample.body))
    }
}
