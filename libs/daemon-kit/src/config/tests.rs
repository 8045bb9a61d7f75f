//! Layers as an operator meets them.

use super::*;
use crate::units::{ByteSize, HumanDuration};

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    listen: String,
    idle: HumanDuration,
    classes: BTreeMap<String, ExampleClass>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ExampleClass {
    memory: ByteSize,
    #[serde(default)]
    cpus: u32,
}

const DEFAULTS: &str = "listen = '127.0.0.1:1'\nidle = '30m'\n[classes.default]\nmemory = '2GiB'\n";

fn layers(file: Option<&Path>, env: &[(&str, &str)], flags: &[(&str, String)]) -> Result<Layers, ConfigError> {
    let env: Vec<_> = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Layers::read(DEFAULTS, file, env.into_iter(), "EXAMPLE_", flags)
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().expect("temporary file");
    std::fs::write(file.path(), text).expect("write");
    file
}

#[test]
fn defaults_are_complete_alone() {
    let example: Example = layers(None, &[], &[]).and_then(|l| l.parse()).expect("defaults");
    assert_eq!(example.listen, "127.0.0.1:1");
    assert_eq!(example.idle.as_millis(), 30 * 60 * 1000);
    assert_eq!(example.classes["default"].memory.bytes(), 2 << 30);
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let file = file("idle = '1m'\nlisten = 'file'\n[classes.default]\ncpus = 3\n");
    let env = [("EXAMPLE_LISTEN", "1234"), ("EXAMPLE_IDLE", "2m"), ("OTHER_LISTEN", "no")];
    let flags = [("idle", "3m".to_owned()), ("classes.default.memory", "1GiB".to_owned())];
    let layers = layers(Some(file.path()), &env, &flags).expect("layers");
    let example: Example = layers.parse().expect("parse");
    assert_eq!((example.listen.as_str(), example.idle.to_string().as_str()), ("1234", "3m"));
    assert_eq!((example.classes["default"].memory.bytes(), example.classes["default"].cpus), (1 << 30, 3));
    let settings = layers.settings();
    let origin = |key: &str| settings.iter().find(|s| s.key == key).map(|s| s.origin.clone()).expect("setting");
    assert_eq!(origin("listen"), Origin::Environment("EXAMPLE_LISTEN".into()));
    assert_eq!(origin("classes.default.cpus"), Origin::File(file.path().into()));
    assert_eq!(origin("idle"), Origin::Flag("idle".into()));
}

#[test]
fn a_misspelt_key_is_refused_and_its_layer_named() {
    let file = file("lissen = 'x'\n");
    let error = layers(Some(file.path()), &[], &[]).and_then(|l| l.parse::<Example>()).expect_err("misspelt");
    assert!(error.to_string().contains(&file.path().display().to_string()), "{error}");
    assert!(std::error::Error::source(&error).expect("cause").to_string().contains("lissen"));
    let error = layers(None, &[("EXAMPLE_IDEL", "1m")], &[]).and_then(|l| l.parse::<Example>()).expect_err("misspelt");
    assert!(error.to_string().contains("EXAMPLE_IDEL"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_an_error_of_its_own() {
    let error = layers(Some(Path::new("/nowhere/at/all.toml")), &[], &[]).expect_err("no file");
    assert_eq!(error.class(), Class::NotFound);
}
