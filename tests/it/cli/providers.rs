//! `hookgate providers`: the catalogue, listed, shown and tested.

use std::path::Path;

use serde_json::{Value, json};

use super::{run, run_with, vector};

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
fn the_list_names_every_provider_with_its_weakest_assurance() {
    let list = run(&["providers"]).done();
    assert_eq!(run(&["providers", "list"]).done(), list);
    let words = |line: &str| {
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap(), words.next().unwrap())
    };
    let listed: Vec<(String, String)> = list.lines().map(words).collect();
    let names: Vec<String> = listed.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, all());
    for (name, weakest) in [
        ("gitlab", "token"),
        ("github", "body"),
        ("telegram", "token"),
    ] {
        assert!(
            listed.contains(&(name.to_owned(), weakest.to_owned())),
            "{name}"
        );
    }
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
        shown.contains("\nOwnership checks\n  url_verification: answered 200."),
        "{shown}"
    );
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
    for name in &all() {
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
    assert_eq!(with(&[]).done().lines().count(), all().len() + 1);

    std::fs::write(&file, "nonsense = 1\n".to_owned() + &renamed).unwrap();
    let told = with(&["list"]).unusable();
    assert!(
        told.contains("forge.toml is not a provider definition"),
        "{told}"
    );
    assert!(told.contains("nonsense"), "{told}");
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
}
