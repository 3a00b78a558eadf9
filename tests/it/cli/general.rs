//! Version, help, and arguments that are none.

use super::run;

#[test]
fn the_version_is_the_package_s() {
    let expected = concat!("hookgate ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(run(&["--version"]).done(), expected);
    assert_eq!(run(&["-V"]).done(), expected);
}

#[test]
fn every_command_explains_itself() {
    let commands = ["serve", "demo", "check", "verify", "send", "providers"];
    let overview = run(&["--help"]).done();
    assert_eq!(run(&["help"]).done(), overview);
    for command in commands {
        let listed = overview.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some(command) && words.next().is_some()
        });
        assert!(listed, "{command} is not in {overview}");
        let help = run(&[command, "--help"]).done();
        assert!(
            help.contains(&format!("Usage: hookgate {command}")),
            "{help}"
        );
        assert_eq!(run(&["help", command]).done(), help);
    }
    for (command, option) in [
        ("serve", "--config <FILE>"),
        ("check", "--config <FILE>"),
        ("demo", "--once"),
        ("verify", "--at <UNIX>"),
        ("send", "--secret <SECRET>"),
        ("providers", "--directory <DIR>"),
    ] {
        let help = run(&[command, "--help"]).done();
        assert!(help.contains(option), "{help}");
    }
}

#[test]
fn without_a_command_there_is_help_and_a_usage_error() {
    let told = run(&[]).unusable();
    assert!(told.contains("Usage: hookgate <COMMAND>"), "{told}");
}

#[test]
fn what_is_no_command_or_option_is_a_usage_error() {
    for arguments in [
        &["nonsense"][..],
        &["--nonsense"],
        &["serve", "--nonsense"],
        &["serve", "--config"],
        &["demo", "--listen", "nowhere"],
        &["verify"],
        &["send", "--provider", "github"],
        &["providers", "nonsense"],
        &["providers", "show"],
    ] {
        let told = run(arguments).unusable();
        assert!(told.starts_with("error: "), "{arguments:?}: {told}");
    }
    let told = run(&["serv"]).unusable();
    assert!(
        told.contains("'serve'"),
        "the near command is named: {told}"
    );
}
