//! `hookgate send`: an event signed as its provider would, and sent.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::paint::{note, say};
use super::verify::{key_value, params};
use super::{Definitions, Failure, runtime, secret_of};
use crate::clock::{self, Timestamp};
use crate::delivery::Delivery;
use crate::provider::Provider;
use crate::provider::settings::{ParamKind, Settings};
use crate::telemetry::explain;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Most bytes of an answer that are shown.
const MAX_ANSWER: usize = 64 << 10;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The provider to sign as
    #[arg(long, value_name = "NAME", required_unless_present = "definition")]
    provider: Option<String>,
    #[command(flatten)]
    definitions: Definitions,
    /// The secret: env:NAME, file:PATH or the text itself; for public-key schemes the private key
    /// (32 bytes as hex, or base64 behind whsk_)
    #[arg(long, value_name = "SECRET")]
    secret: String,
    /// The scheme to sign with, where the provider has several
    #[arg(long, value_name = "NAME")]
    scheme: Option<String>,
    /// A further setting of the endpoint; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", value_parser = key_value)]
    params: Vec<(String, String)>,
    /// A header to add or replace before signing; may be repeated
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The time to sign with, in seconds since 1970 (default: now)
    #[arg(long, value_name = "UNIX")]
    at: Option<i64>,
    /// The URL to sign, where the gateway's public URL is another than the one called
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// The URL to call, such as http://localhost:8080/hooks/acme-stripe
    #[arg(value_parser = url)]
    url: Uri,
    /// The body to sign (default: the provider's sample event)
    file: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let provider = arguments
        .definitions
        .provider(arguments.provider.as_deref())?;
    let provider = set(&provider, &arguments.params)?;
    let secret = secret_of(&arguments.secret)?;
    let now = match arguments.at {
        None => clock::now(),
        Some(at) => Timestamp::from_second(at)
            .map_err(|_| Failure::unusable("--at is beyond the times that can be told"))?,
    };
    let mut delivery = sample(&provider, &event_id()?, now)?;
    delivery.url = arguments
        .public_url
        .clone()
        .unwrap_or_else(|| arguments.url.to_string());
    let signed_url = delivery.url.clone();
    if let Some(file) = &arguments.file {
        let body = std::fs::read(file);
        delivery.body = body
            .map_err(|error| Failure::unusable(format!("{}: {error}", file.display())))?
            .into();
    }
    for (name, value) in &arguments.headers {
        delivery.headers.insert(name, value.clone());
    }
    provider
        .sign(arguments.scheme.as_deref(), &secret, &mut delivery, now)
        .map_err(|error| Failure::unusable(format!("{}: {error}", provider.about.title)))?;
    // A token that stands in the query was added to the URL that is signed.
    let added = delivery.url.strip_prefix(&signed_url).unwrap_or_default();
    let url: Uri = format!("{}{added}", arguments.url).parse()?;
    let answer = runtime()?.block_on(async { Client::new().send(&delivery, &url).await })?;
    show(&answer);
    Ok(if answer.status().is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Fills in what the endpoint sets. A secret setting signs nothing, so that none is asked for.
fn set(provider: &Arc<Provider>, written: &[(String, String)]) -> Result<Arc<Provider>, Failure> {
    let (values, secrets) = params(provider, written)?;
    let mut rules = provider.params.clone();
    for rule in rules
        .values_mut()
        .filter(|rule| rule.kind == ParamKind::Secret)
    {
        rule.required = false;
    }
    let unusable = |why: String| Failure::unusable(format!("{} {why}", provider.about.title));
    let settings = Settings::check(&rules, &values, &secrets).map_err(unusable)?;
    let set = provider.with_settings(&settings);
    set.map_err(|error| Failure::unusable(error.to_string()))
}

fn show(answer: &Response<Bytes>) {
    say(&format!("{}", answer.status()));
    for name in ["hookgate-outcome", "hookgate-signal", "retry-after"] {
        if let Some(value) = answer
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
        {
            say(&format!("{name}: {value}"));
        }
    }
    if !answer.body().is_empty() {
        say(&String::from_utf8_lossy(answer.body()));
    }
    if !answer.status().is_success() {
        note("the caller is not told why: the gateway's log and metrics say the precise reason");
    }
}

/// Makes the provider's sample event, named `id`, as it would be at `now`.
pub(super) fn sample(provider: &Provider, id: &str, now: Timestamp) -> Result<Delivery, Failure> {
    let sample = &provider.sample;
    let fill = |text: &str| {
        text.replace("$ID", id)
            .replace("$NOW", &now.as_second().to_string())
    };
    let mut headers = HeaderMap::new();
    let content_type = ("content-type".to_owned(), sample.content_type.clone());
    let all: BTreeMap<_, _> = sample
        .headers
        .clone()
        .into_iter()
        .chain([content_type])
        .collect();
    for (name, value) in all {
        headers.insert(
            HeaderName::try_from(name)?,
            HeaderValue::try_from(fill(&value))?,
        );
    }
    Ok(Delivery {
        method: sample.method.parse::<Method>()?,
        url: String::new(),
        headers,
        body: fill(&sample.body).into(),
        caller: [127, 0, 0, 1].into(),
        via_trusted_proxy: false,
    })
}

/// Makes a name for an event that nobody has used.
pub(super) fn event_id() -> Result<String, Failure> {
    let mut random = [0; 12];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::failed(format!("no random bytes are to be had: {error}")))?;
    Ok(hex::encode(random))
}

/// Sends deliveries over HTTP or HTTPS.
#[derive(Debug)]
pub(super) struct Client(HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Client {
    pub(super) fn new() -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_webpki_roots()
            .https_or_http()
            .enable_http1()
            .build();
        Self(HyperClient::builder(TokioExecutor::new()).build(connector))
    }

    /// Sends a delivery to a URL and returns the whole answer.
    pub(super) async fn send(
        &self,
        delivery: &Delivery,
        url: &Uri,
    ) -> Result<Response<Bytes>, Failure> {
        let mut request = Request::new(Full::new(delivery.body.clone()));
        *request.method_mut() = delivery.method.clone();
        *request.uri_mut() = url.clone();
        *request.headers_mut() = delivery.headers.clone();
        let whole = async {
            let answer = self.0.request(request).await;
            let unreachable =
                |error| Failure::failed(format!("{url} cannot be reached: {}", explain(&error)));
            let (parts, body) = answer.map_err(unreachable)?.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await;
            let body = body.map_err(|error| Failure::failed(format!("the answer: {error}")))?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        tokio::time::timeout(PATIENCE, whole)
            .await
            .map_err(|_| Failure::failed(format!("{url} did not answer within {PATIENCE:?}")))?
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("not of the form NAME: VALUE")?;
    let name = name
        .trim()
        .parse()
        .map_err(|_| "not the name of a header")?;
    let value = value
        .trim()
        .parse()
        .map_err(|_| "not the value of a header")?;
    Ok((name, value))
}

fn url(text: &str) -> Result<Uri, String> {
    let url: Option<Uri> = text.parse().ok();
    url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")))
        .ok_or_else(|| "not of the form http://HOST[:PORT]/PATH or https://…".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_http_or_https_is_refused_with_the_form_that_is_wanted() {
        for text in [
            "localhost:8080/hooks/a",
            "/hooks/a",
            "localhost",
            "ftp://localhost/a",
        ] {
            let why = url(text).unwrap_err();
            assert!(why.contains("http://HOST"), "{text}: {why}");
        }
        assert!(url("http://localhost:8080/hooks/a").is_ok());
        assert!(url("https://hooks.example.com/hooks/a").is_ok());
    }
}
