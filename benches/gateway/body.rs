//! Deliveries as GitHub sends them: signed JSON, no two alike.

use anyhow::Context;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The endpoint's secret.
pub(crate) const SECRET: &str = "a-secret-of-the-benchmark-alone";
/// The endpoint's path.
pub(crate) const PATH: &str = "/hooks/bench";

/// Stands where the number of the delivery is written.
const NUMBER: &str = "0000000000000000";

/// A body to make deliveries of.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    body: Vec<u8>,
    number_at: usize,
}

impl Sample {
    /// Makes a push event of about `size` bytes.
    pub(crate) fn of_size(size: usize) -> Self {
        let head = format!(
            r#"{{"ref":"refs/heads/main","after":"{NUMBER}","repository":{{"id":1296269,"name":"Hello-World","full_name":"octocat/Hello-World","private":false,"owner":{{"login":"octocat","id":1}}}},"pusher":{{"name":"octocat","email":"octocat@example.com"}},"sender":{{"login":"octocat","id":1,"type":"User"}},"forced":false,"commits":["#
        );
        let mut text = head;
        loop {
            let at = text.len();
            text.push_str(&format!(
                r#"{{"id":"{at:040x}","message":"Fix the \"{at}\" case\n\nand say why – in a line","timestamp":"2026-01-05T10:00:00Z","url":"https://example.com/octocat/Hello-World/commit/{at:040x}","author":{{"name":"Monalisa Octocat","email":"mona@example.com"}},"added":["src/a{at}.rs"],"removed":[],"modified":["README.md","src/lib.rs"],"distinct":true}}"#
            ));
            if text.len() + 200 >= size {
                break;
            }
            text.push(',');
        }
        text.push_str("]}");
        Self {
            number_at: text.find(NUMBER).unwrap_or_default(),
            body: text.into_bytes(),
        }
    }

    /// Returns the bytes of the body.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.body
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// Writes the request of delivery `number`, signed.
    pub(crate) fn write(&mut self, number: u64, request: &mut Vec<u8>) -> anyhow::Result<()> {
        let digits = format!("{number:016x}");
        self.body[self.number_at..self.number_at + digits.len()].copy_from_slice(digits.as_bytes());
        let tag = hex::encode(tag(&self.body)?);
        request.clear();
        let head = format!(
            "POST {PATH} HTTP/1.1\r\nHost: hooks.example.com\r\nUser-Agent: GitHub-Hookshot/044aadd\r\n\
             Accept: */*\r\nContent-Type: application/json\r\nX-GitHub-Delivery: 72d3162e-cc78-11e3-{digits}\r\n\
             X-GitHub-Event: push\r\nX-GitHub-Hook-ID: 292430182\r\n\
             X-GitHub-Hook-Installation-Target-ID: 79929171\r\n\
             X-GitHub-Hook-Installation-Target-Type: repository\r\n\
             X-Hub-Signature-256: sha256={tag}\r\nContent-Length: {}\r\n\r\n",
            self.body.len()
        );
        request.extend_from_slice(head.as_bytes());
        request.extend_from_slice(&self.body);
        Ok(())
    }
}

/// Returns the tag of a body.
pub(crate) fn tag(body: &[u8]) -> anyhow::Result<[u8; 32]> {
    let mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).ok();
    let mut mac = mac.context("HMAC takes a key of any length")?;
    mac.update(body);
    Ok(mac.finalize().into_bytes().into())
}
