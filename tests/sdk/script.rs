//! The scripts that run the SDKs, and what is said to them: a line of JSON asks, a line answers.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use hookgate::clock;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One SDK with one provider.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// Told apart by this; by the provider where there is none.
    name: Option<String>,
    /// The provider's name.
    pub(crate) provider: String,
    /// What the gateway verifies with, and the SDK too.
    pub(crate) secret: String,
    /// What the gateway signs with, where that is another.
    pub(crate) private: Option<String>,
    /// The scheme that is pinned.
    pub(crate) scheme: Option<String>,
    /// The endpoint's `params`.
    #[serde(default)]
    pub(crate) params: BTreeMap<String, String>,
    /// Headers that `hookgate send` is given.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Seconds ahead of now that `hookgate send` signs.
    #[serde(default)]
    pub(crate) ahead: i64,
    /// The text behind which a byte is changed; the body's last byte where there is none.
    changed: Option<String>,
    /// Whether the SDK signs.
    pub(crate) signs: bool,
    /// Whether the SDK verifies.
    pub(crate) verifies: bool,
}

impl Case {
    /// Returns what tells it from the others.
    pub(crate) fn name(&self) -> &str {
        self.name.as_ref().unwrap_or(&self.provider)
    }
}

/// One request, signed or to be signed. The URL is the public one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) url: String,
    /// Names are in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Call {
    /// Returns the same with one byte of the body changed, a letter or digit for another.
    pub(crate) fn changed(&self, case: &Case) -> Self {
        let mut body = self.body.clone().into_bytes();
        let place = match &case.changed {
            Some(text) => {
                let after = self.body.find(text).unwrap() + text.len();
                let place = body[after..].iter().position(u8::is_ascii_alphanumeric);
                after + place.unwrap()
            }
            None => body.iter().rposition(u8::is_ascii_alphanumeric).unwrap(),
        };
        body[place] = if body[place] == b'1' { b'2' } else { b'1' };
        let body = String::from_utf8(body).unwrap();
        Self {
            body,
            ..self.clone()
        }
    }
}

/// A running script. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Script {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Script {
    /// Starts a script, with whatever it takes to run it.
    pub(crate) fn start(interpreter: &str, script: &str) -> Self {
        // One that hangs is ended, and fails the test.
        let mut child = Command::new("timeout")
            .args(["--signal=KILL", "300", interpreter, script])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            questions: child.stdin.take().unwrap(),
            answers: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Returns every case that it has.
    pub(crate) fn cases(&mut self) -> Vec<Case> {
        let cases = self.ask(&json!({ "ask": "cases" }));
        let cases: Vec<Case> = serde_json::from_value(cases).unwrap();
        let idle = cases.iter().find(|case| !case.signs && !case.verifies);
        assert!(idle.is_none(), "{idle:?} does nothing");
        cases
    }

    /// Has the SDK sign, and returns what is to be sent.
    pub(crate) fn sign(&mut self, case: &Case, call: Call) -> Call {
        let mut headers = call.headers.clone();
        let mut signed: Call = serde_json::from_value(self.ask_of(case, "sign", call)).unwrap();
        for (name, value) in signed.headers {
            headers.insert(name.to_lowercase(), value);
        }
        signed.headers = headers;
        signed
    }

    /// Has the SDK verify, and returns what it says and why.
    pub(crate) fn verify(&mut self, case: &Case, call: Call) -> (bool, String) {
        let verdict = self.ask_of(case, "verify", call);
        (
            verdict["valid"].as_bool().unwrap(),
            verdict["why"].to_string(),
        )
    }

    fn ask_of(&mut self, case: &Case, ask: &str, call: Call) -> Value {
        let mut question = serde_json::to_value(call).unwrap();
        question["ask"] = ask.into();
        question["case"] = case.name().into();
        question["now"] = clock::now().as_second().into();
        self.ask(&question)
    }

    fn ask(&mut self, question: &Value) -> Value {
        // Where it is gone there is no answer either.
        let _ = writeln!(self.questions, "{question}");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(
            !answer.is_empty(),
            "the script ended; tests/setup.sh installs what it needs"
        );
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It may have ended already; either way nothing is left to do about it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
