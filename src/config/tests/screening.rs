//! What follows when a machine answers.
use super::*;
use crate::model::ScreeningMode;

#[test]
fn a_machine_ends_a_call_unless_the_profile_says_otherwise() {
    for (mode, text) in [
        (ScreeningMode::End, SMALL.to_owned()),
        (ScreeningMode::End, under_screening("end")),
        (ScreeningMode::Label, under_screening("label")),
        (ScreeningMode::Off, under_screening("off")),
    ] {
        let config = read(&text).unwrap();
        assert_eq!(config.profiles["default"].screening, mode);
        let line = format!("screening = \"{mode}\"");
        assert!(show(&config).lines().any(|shown| shown == line), "{line}");
    }
    assert_eq!(
        read(&under_screening("hang up")).unwrap_err(),
        ["test.toml:11: profile.default.screening: expected one of end, label, off, found \"hang up\""]
    );
}

fn under_screening(mode: &str) -> String {
    SMALL.replace("brand = \"Contoso\"", &format!("screening = \"{mode}\""))
}
