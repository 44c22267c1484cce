//! What the program says about itself.

use assert_cmd::Command;
use restore_batch::config::KEYS;

fn said(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_restore-batch"))
        .args(words)
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn help_is_what_people_read() {
    for command in ["", "run", "status", "retry", "plan", "check", "gateway", "gateway-key"] {
        let name = if command.is_empty() { "restore-batch" } else { command };
        let words: Vec<&str> = [command, "--help"].into_iter().filter(|w| !w.is_empty()).collect();
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("help-{name}"), said(&words));
        });
    }
}

#[test]
fn the_version_is_the_crates() {
    assert_eq!(said(&["--version"]), format!("restore-batch {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_know_the_commands_and_settings() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = said(&["completions", shell]);
        for word in ["gateway", "submit-rate", "service-moved"] {
            assert!(script.contains(word), "{shell}: no `{word}`");
        }
    }
}

#[test]
fn the_manual_describes_every_setting_and_command() {
    let manual = said(&["man"]).replace('\\', "");
    for key in KEYS {
        assert!(manual.contains(&format!("--{}", key.flag())), "no --{}", key.flag());
    }
    for command in
        ["run", "status", "retry", "plan", "check", "gateway", "gateway-key", "completions"]
    {
        assert!(manual.contains(command), "no `{command}`");
    }
}
