//! `hookgate providers`: the catalogue, listed, shown and tested.

use std::path::Path;

use serde_json::{Value, json};

use super::{acorn, run, run_with, vector};

/// The names of the definition files, sorted.
fn all() -> Vec<String> {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/providers")).unwrap();
    let stem = |file: std::fs::DirEntry| {
        let path = file.path();
        path.file_stem().unwrap().to_str().unwrap().to_owned()
    };
    let mut names: Vec<String> = files.map(|file| stem(file.unwrap())).collect();
    names.sort();
    names
}

#[test]
fn the_list_is_a_table_of_every_provider_with_its_weakest_assurance() {
    let list = run(&["providers"]).done();
    assert_eq!(run(&["providers", "list"]).done(), list);
    let mut lines = list.lines();
    let headings: Vec<&str> = lines.next().unwrap().split("  ").collect();
    let headings: Vec<&str> = headings
        .into_iter()
        .map(str::trim)
        .filter(|one| !one.is_empty())
        .collect();
    assert_eq!(
        headings,
        ["name", "assurance", "same by", "batches", "checks", "title"]
    );
    let rows: Vec<Vec<&str>> = lines
        .map(|line| line.split_whitespace().collect())
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(names, all());
    for wanted in [
        ["gitlab", "token", "id-or-digest", "-", "-"],
        ["github", "body", "digest", "-", "-"],
        ["telegram", "token", "digest", "-", "-"],
        ["stripe", "body", "signed-id", "-", "-"],
        ["dropbox", "body", "nothing", "-", "yes"],
        ["meta", "body", "digest", "yes", "yes"],
    ] {
        assert!(rows.iter().any(|row| row[..5] == wanted), "{wanted:?}");
    }
}

#[test]
fn the_list_is_json_for_machines() {
    let list: Value = serde_json::from_str(&run(&["providers", "list", "--json"]).done()).unwrap();
    let list = list.as_array().unwrap();
    let names: Vec<&str> = list
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, all());
    let meta = list.iter().find(|one| one["name"] == "meta").unwrap();
    assert_eq!(meta["assurance"], "body");
    assert_eq!(meta["same_by"], "digest");
    assert_eq!(meta["schemes"], json!(["sha256", "sha1"]));
    assert_eq!(meta["batches"], json!(["/entry/*"]));
    assert_eq!(meta["handshakes"], json!(["subscribe"]));
    assert_eq!(meta["params"], json!(["verify_token"]));
    assert_eq!(meta["retries_429"], false);
}

#[test]
fn a_provider_is_shown_with_what_protects_it_and_what_does_not() {
    for name in &all() {
        let shown = run(&["providers", "show", name]).done();
        for heading in [
            "\nSecret\n",
            "\nVerified\n",
            "\nWhat makes an event the same\n",
            "\nAnswers\n",
            "\nRetries\n",
            "\nDocumentation\n  https://",
        ] {
            assert!(shown.contains(heading), "{name}: {heading}: {shown}");
        }
    }
    let shown = run(&["providers", "show", "gitlab"]).done();
    assert!(
        shown.contains("nothing binds the content; fetch it again"),
        "{shown}"
    );
    let shown = run(&["providers", "show", "slack"]).done();
    assert!(
        shown.contains(
            "\nOwnership checks\n  url_verification: answered 200 with the caller's challenge. "
        ),
        "{shown}"
    );
    for (name, told) in [
        // A setting, and a scheme that hangs on it.
        (
            "alertmanager",
            "\nSettings\n  audience: text; not set, such as `hookgate`\n",
        ),
        (
            "alertmanager",
            "\n  oauth2, where `audience` is set: a JSON Web Token",
        ),
        (
            "meta",
            "only where the endpoint asks for it by name: `scheme = \"sha1\"`",
        ),
        (
            "meta",
            "\nBatches\n  a delivery can hold several events, at `/entry/*`, and in each",
        ),
        ("dropbox", "nothing: each delivery is an event of its own"),
        ("mailgun", "; fetch the rest again before acting on it"),
        (
            "slack",
            "every byte of the body is covered, and header `x-slack-request-timestamp`",
        ),
        ("aws-sns", "afterwards the address that it names is called"),
        (
            "mandrill",
            "\nWhere the event stands\n  in form field `mandrill_events`",
        ),
    ] {
        let shown = run(&["providers", "show", name]).done();
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let told = run(&["providers", "show", "strip"]).unusable();
    assert_eq!(
        told,
        "hookgate: there is no provider `strip`; did you mean stripe?\n"
    );
}

#[test]
fn every_definition_passes_its_own_vectors() {
    let tested = run(&["providers", "test"]).done();
    for line in tested.lines() {
        assert!(line.ends_with(": ok"), "{line}");
    }
    for name in &all() {
        let own: String = tested
            .lines()
            .filter(|line| line.starts_with(&format!("{name}/")))
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(!own.is_empty(), "{name}");
        assert_eq!(run(&["providers", "test", name]).done(), own);
    }
}

#[test]
fn every_published_vector_comes_out_as_it_says() {
    // The generic provider has no vendor who could publish any.
    for name in all().iter().filter(|name| *name != "hmac") {
        let path = format!("{}/tests/vectors/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let file: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let vectors = ["vectors", "handshake_vectors"].map(|key| file[key].as_array());
        let expected: String = vectors
            .into_iter()
            .flatten()
            .flatten()
            .map(|vector| format!("{name}/{}: ok\n", vector["name"].as_str().unwrap()))
            .collect();
        let tested = run(&["providers", "test", name, "--vectors", &path]).done();
        assert_eq!(tested, expected, "{name}");
    }
}

#[test]
fn a_vector_that_comes_out_otherwise_fails_and_the_others_still_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut wrong = vector("github", "official-sdk");
    wrong["expect"] = "invalid".into();
    let mut forged = vector("github", "wrong-secret");
    forged["expect"] = "valid".into();
    let sound = vector("github", "official-docs");
    let file = json!({ "vectors": [wrong, forged, sound] });
    std::fs::write(dir.path().join("wrong.json"), file.to_string()).unwrap();
    let arguments = ["providers", "test", "github", "--vectors", "wrong.json"];
    let ran = run_with(&arguments, dir.path(), &[], "");
    assert_eq!((ran.code, &*ran.stderr), (Some(1), ""));
    assert_eq!(
        ran.stdout,
        "github/official-sdk: FAIL expected invalid got valid\n\
         github/wrong-secret: FAIL expected valid got invalid (signature_mismatch)\n\
         github/official-docs: ok\n"
    );
}

#[test]
fn a_directory_of_definitions_adds_to_the_catalogue_and_is_checked() {
    let dir = tempfile::tempdir().unwrap();
    let builtin = concat!(env!("CARGO_MANIFEST_DIR"), "/providers/github.toml");
    let definition = std::fs::read_to_string(builtin).unwrap();
    let renamed = definition.replacen("name = \"github\"", "name = \"forge\"", 1);
    let file = dir.path().join("forge.toml");
    std::fs::write(&file, &renamed).unwrap();
    let with = |arguments: &[&str]| {
        let arguments = [&["providers", "--directory", "."], arguments].concat();
        run_with(&arguments, dir.path(), &[], "")
    };
    let tested = with(&["test", "forge"]).done();
    assert_eq!(
        tested,
        "forge/official-docs: ok\nforge/official-docs-tampered: ok\n"
    );
    // Beside the headings.
    assert_eq!(with(&[]).done().lines().count(), all().len() + 2);

    std::fs::write(&file, "nonsense = 1\n".to_owned() + &renamed).unwrap();
    let told = with(&["list"]).unusable();
    assert!(
        told.contains("forge.toml is not a provider definition"),
        "{told}"
    );
    assert!(told.contains("nonsense"), "{told}");
}

#[test]
fn a_definition_is_tested_by_its_file_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("acorn.toml"), acorn()).unwrap();
    let with = |arguments: &[&str]| {
        let arguments = [&["providers"], arguments, &["--definition", "acorn.toml"]].concat();
        run_with(&arguments, dir.path(), &[], "")
    };
    assert_eq!(
        with(&["test"]).done(),
        "acorn/signed: ok\nacorn/stale: ok\n"
    );
    assert!(
        with(&["show"])
            .done()
            .starts_with("Acorn (acorn), example\n")
    );
    assert!(with(&["list"]).done().contains("\nacorn "));
    let unsigned = json!({ "vectors": [{ "name": "unsigned", "secret": "x", "body": "{}", "expect": "invalid" }] });
    std::fs::write(dir.path().join("more.json"), unsigned.to_string()).unwrap();
    let more = with(&["test", "--vectors", "more.json"]).done();
    assert_eq!(more, "acorn/unsigned: ok\n");
    let told = run_with(
        &["providers", "test", "--definition", "none.toml"],
        dir.path(),
        &[],
        "",
    );
    assert!(told.unusable().contains("none.toml cannot be read"));
}

#[test]
fn what_makes_no_sense_is_told_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let check = "[[handshake]]\nname = \"ping\"\nstatus = 200\nsafe_because = \"It is empty.\"\n";
    for (is, would_be, line, why) in [
        (
            "{header:Acorn-Timestamp}.{body}",
            "{body}",
            "timestamp =",
            "not part of what is signed",
        ),
        (
            "Timestamp}.{body}",
            "Timestamp}.{bodi}",
            "signed =",
            "`{bodi}` is unknown; there are body",
        ),
        (
            "hash   = \"sha256\"\n",
            "",
            "[[scheme]]",
            "`hash` is missing",
        ),
        (
            "[\"{body:/type}\"]",
            "[\"{body:type}\"]",
            "type =",
            "`{body:type}`",
        ),
        (
            "retries_429 = true",
            "status = 301",
            "status = 301",
            "301 is no 2xx",
        ),
        (
            "[\"{body:/id}\"]",
            "[\"${ids}\"]",
            "id   =",
            "there is no [param.ids]; there are none",
        ),
        (
            "hash   =",
            "if_set = \"new\"\nhash =",
            "if_set =",
            "there is no [param.new]",
        ),
        (
            "expect  = \"invalid\"\n",
            "",
            "[[vector]]\nname    = \"stale\"",
            "vector `stale`: has neither",
        ),
        (
            "[sample]",
            "[param.a]\nabout = \"A.\"\nrequired = true\n[sample]",
            "[param.a]",
            "`example`",
        ),
        (
            "[sample]",
            &format!("{check}when = {{ \"{{quer:a}}\" = \"1\" }}\n[sample]"),
            "when =",
            "handshake `ping`: `{quer:a}`",
        ),
        (
            "[sample]",
            &format!("{check}headers = {{ \"A B\" = \"1\" }}\n[sample]"),
            "headers = { \"A B\"",
            "`A B` is not",
        ),
        (
            "category =",
            "methods = [\"PO ST\"]\ncategory =",
            "methods =",
            "methods: `PO ST` is no method",
        ),
    ] {
        let wrong = acorn().replacen(is, would_be, 1);
        assert_ne!(wrong, acorn(), "{is}");
        std::fs::write(dir.path().join("acorn.toml"), &wrong).unwrap();
        let arguments = ["providers", "test", "--definition", "acorn.toml"];
        let told = run_with(&arguments, dir.path(), &[], "").unusable();
        let before = wrong.split(line).next().unwrap();
        let number = 1 + before.matches('\n').count();
        let place = format!("hookgate: acorn.toml:{number}: ");
        assert!(told.starts_with(&place), "{would_be}: {place}: {told}");
        assert!(told.contains(why), "{would_be}: {told}");
    }
}

#[test]
fn the_pages_of_a_catalogue_are_written_to_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("acorn.toml"), acorn()).unwrap();
    let arguments = ["providers", "docs", "pages", "--definition", "acorn.toml"];
    let told = run_with(&arguments, dir.path(), &[], "").done();
    assert_eq!(told, format!("{} pages in pages\n", all().len() + 2));
    let page = std::fs::read_to_string(dir.path().join("pages/acorn.md")).unwrap();
    for part in [
        "# Acorn\n",
        "```toml\n[[endpoint]]\nid       = \"acme-acorn\"\n",
        "secrets  = [\"env:ACME_ACORN_SECRET\"]\n",
        "- `v1`: HMAC with SHA-256 in header `acorn-signature`, lower-case hex, signed at most 300 s ago\n",
        "every byte of the body is covered, and header `acorn-timestamp`\n",
        "Its id, which is signed; ",
        "Beside the default keys: `/customer/email`\n",
        "- A test event has the type `ping`.\n",
        "- <https://acorn.example/docs/webhooks>\n",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn vectors_that_cannot_be_read_are_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("none.json"), r#"{"vectors":[]}"#).unwrap();
    std::fs::write(dir.path().join("half.json"), r#"{"vectors":["#).unwrap();
    for (file, told) in [
        ("none.json", "there is no vector to run"),
        ("half.json", "half.json: EOF while parsing"),
        ("missing.json", "missing.json: No such file"),
    ] {
        let arguments = ["providers", "test", "github", "--vectors", file];
        let complaint = run_with(&arguments, dir.path(), &[], "").unusable();
        assert!(complaint.contains(told), "{complaint}");
    }
    run_with(&["providers", "test", "none"], Path::new("."), &[], "").unusable();
    let nobody = ["providers", "test", "--vectors", "none.json"];
    let complaint = run_with(&nobody, dir.path(), &[], "").unusable();
    assert!(complaint.contains("--definition"), "{complaint}");
}
