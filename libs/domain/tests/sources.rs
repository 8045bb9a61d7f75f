//! What a person may give to `crannog start`, and what no one may.

use domain::class::{Class, Classify};
use domain::source::{Classified, PathKind, Source, SourceError, check_reference, classify, parse};
use proptest::prelude::*;

const SHA: &str = "1f8c4d3a0b2e5f60718293a4b5c6d7e8f9012345";

/// "remote | reference:path reference:path … | fetch" of a source.
fn read(text: &str) -> String {
    match parse(text) {
        Ok(source) => shown(&source),
        Err(error) => format!("{}: {error}", error.reason()),
    }
}

fn shown(source: &Source) -> String {
    let readings: Vec<String> = source
        .candidates
        .iter()
        .map(|candidate| format!("{}:{}", candidate.reference, candidate.path).trim_end_matches(':').to_owned())
        .collect();
    let parts = [source.remote.clone(), readings.join(" "), source.fetch.join(" ")];
    parts.join(" | ").trim_end_matches([' ', '|']).to_owned()
}

fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(read(text), *expected, "for {text}");
    }
}

#[test]
fn a_git_url_is_taken_as_it_is_with_the_ref_behind_it() {
    check(&[
        ("https://example.org/o/r.git", "https://example.org/o/r.git"),
        ("https://example.org/o/r#feature/x", "https://example.org/o/r | feature/x"),
        ("http://127.0.0.1:3000/o/r.git#v1.0", "http://127.0.0.1:3000/o/r.git | v1.0"),
        ("http://[::1]:8080/r.git", "http://[::1]:8080/r.git"),
        ("ssh://git@example.org:2222/o/r.git", "ssh://git@example.org:2222/o/r.git"),
        ("git://example.org/r.git", "git://example.org/r.git"),
        ("git@example.org:o/r.git", "git@example.org:o/r.git"),
        ("git@github.com:o/r.git#main", "git@github.com:o/r.git | main"),
        ("example.org:r", "example.org:r"),
        ("https://example.org/~me/r", "https://example.org/~me/r"),
        ("https://example.org/", "SourceWithoutRepository: \"https://example.org/\" names no repository"),
        ("  https://example.org/o/r ", "https://example.org/o/r"),
    ]);
    assert_eq!(parse("https://example.org/deep/My_App.git").expect("a URL").name, "my-app");
    assert_eq!(parse("git@example.org:deep/My_App.git/").expect("a URL").name, "my-app");
}

#[test]
fn pages_of_github() {
    check(&[
        ("https://github.com/o/r", "https://github.com/o/r.git"),
        ("github.com/o/r", "https://github.com/o/r.git"),
        ("https://www.github.com/o/r/", "https://www.github.com/o/r.git"),
        ("https://github.com/o/r.git#main", "https://github.com/o/r.git | main"),
        (
            "https://github.com/o/r/tree/release/1.0/docs",
            "https://github.com/o/r.git | release/1.0/docs release/1.0:docs release:1.0/docs",
        ),
        ("https://github.com/o/r/tree/release%2F1.0", "https://github.com/o/r.git | release/1.0 release:1.0"),
        ("https://github.com/o/r/blob/main/src/a.rs#L10-L20", "https://github.com/o/r.git | main/src:a.rs main:src/a.rs"),
        (&format!("https://github.com/o/r/commit/{SHA}"), &format!("https://github.com/o/r.git | {SHA}")),
        (&format!("https://github.com/o/r/tree/{SHA}/docs"), &format!("https://github.com/o/r.git | {SHA}:docs")),
        ("https://github.com/o/r/pull/7", "https://github.com/o/r.git | refs/pull/7/head | refs/pull/7/head"),
        ("https://github.com/o/r/pull/7/files", "https://github.com/o/r.git | refs/pull/7/head | refs/pull/7/head"),
        (
            &format!("https://github.com/o/r/pull/7/commits/{SHA}"),
            &format!("https://github.com/o/r.git | {SHA} | refs/pull/7/head"),
        ),
        ("https://github.com/o/r/releases/tag/v1.0", "https://github.com/o/r.git | refs/tags/v1.0"),
        ("https://github.com/o/r/releases/tag/lib/v1", "https://github.com/o/r.git | refs/tags/lib/v1"),
        ("https://github.com/o/r/commits/main", "https://github.com/o/r.git | main"),
        ("https://github.com/o/r/issues/3#issuecomment-1", "https://github.com/o/r.git"),
        ("https://github.example.org/o/r/tree/main", "https://github.example.org/o/r.git | main"),
    ]);
    assert!(read("https://github.com/o").starts_with("SourceWithoutRepository"));
    assert!(read("https://github.com/o/r/pull/x").starts_with("SourcePageUnknown"));
    assert!(read("https://github.com/o/r/pull/0").starts_with("SourcePageUnknown"));
    assert!(read("https://github.com/o/r/commit/zzz").starts_with("SourcePageUnknown"));
    assert_eq!(parse("https://github.com/o/r/wiki").expect("a repository").warnings.len(), 1);
}

#[test]
fn pages_of_gitlab_with_nested_groups_on_any_host() {
    check(&[
        ("https://gitlab.com/a/b/c/r", "https://gitlab.com/a/b/c/r.git"),
        ("https://gitlab.com/a/b/r/-/tree/feat/x", "https://gitlab.com/a/b/r.git | feat/x feat:x"),
        ("https://git.example.org/a/b/r/-/blob/main/README.md?plain=1", "https://git.example.org/a/b/r.git | main:README.md"),
        (&format!("https://gitlab.com/a/r/-/commit/{SHA}"), &format!("https://gitlab.com/a/r.git | {SHA}")),
        (
            "https://gitlab.com/a/b/r/-/merge_requests/12/diffs",
            "https://gitlab.com/a/b/r.git | refs/merge-requests/12/head | refs/merge-requests/12/head",
        ),
        ("https://gitlab.com/a/r/-/tags/v1.0", "https://gitlab.com/a/r.git | refs/tags/v1.0"),
        ("https://gitlab.com/a/r/-/releases/v1.0", "https://gitlab.com/a/r.git | refs/tags/v1.0"),
        ("https://gitlab.com/a/r/tree/main", "https://gitlab.com/a/r.git | main"),
        ("https://gitlab.com/a/r/-/issues/1", "https://gitlab.com/a/r.git"),
    ]);
}

#[test]
fn pages_of_bitbucket_and_gitea() {
    check(&[
        ("https://bitbucket.org/w/r", "https://bitbucket.org/w/r.git"),
        ("https://bitbucket.org/w/r/src/main/docs/", "https://bitbucket.org/w/r.git | main/docs main:docs"),
        (
            &format!("https://bitbucket.org/w/r/src/{SHA}/docs?at=feature%2Fx"),
            &format!("https://bitbucket.org/w/r.git | feature/x:docs {SHA}:docs"),
        ),
        ("https://bitbucket.org/w/r/branch/feature/x", "https://bitbucket.org/w/r.git | refs/heads/feature/x"),
        (&format!("https://bitbucket.org/w/r/commits/{SHA}"), &format!("https://bitbucket.org/w/r.git | {SHA}")),
        ("https://bitbucket.org/w/r/commits/tag/v1", "https://bitbucket.org/w/r.git | refs/tags/v1"),
        (
            "https://bitbucket.org/w/r/pull-requests/5/overview",
            "https://bitbucket.org/w/r.git | refs/pull-requests/5/from | refs/pull-requests/5/from",
        ),
        ("https://codeberg.org/o/r/src/branch/main/x", "https://codeberg.org/o/r.git | main/x main:x"),
        ("https://codeberg.org/o/r/pulls/3", "https://codeberg.org/o/r.git | refs/pull/3/head | refs/pull/3/head"),
        (&format!("https://git.example.org/o/r/commit/{SHA}"), &format!("https://git.example.org/o/r.git | {SHA}")),
        ("https://git.example.org/o/r/tree/main", "https://git.example.org/o/r/tree/main"),
    ]);
}

#[test]
fn the_path_of_a_page_goes_with_the_branch_that_exists() {
    let page = parse("https://github.com/o/r/blob/release/1.0/src/a.rs").expect("a page");
    assert_eq!(page.path_of("release/1.0"), Some("src/a.rs"));
    assert_eq!(page.directory_of("release/1.0"), "src");
    assert_eq!(page.directory_of("release/1.0/src"), "");
    let page = parse("https://github.com/o/r/tree/main/docs").expect("a page");
    assert_eq!(page.directory_of("main"), "docs");
    assert_eq!(page.path_of("other"), None);
}

#[test]
fn credentials_are_left_out_and_said_to_be() {
    for text in ["https://user:secret@example.org/o/r", "https://secret@example.org/o/r"] {
        let source = parse(text).expect("a URL");
        assert_eq!((source.remote.as_str(), source.warnings.len()), ("https://example.org/o/r", 1));
    }
    let source = parse("ssh://git:secret@example.org/o/r").expect("a URL");
    assert_eq!((source.remote.as_str(), source.warnings.len()), ("ssh://git@example.org/o/r", 1));
    let error = parse("https://u:secret@example.org/o/r#a..b").expect_err("no ref");
    assert!(!format!("{error} {:?}", error.hint()).contains("secret"), "{error}");
    let error = parse("https://u:secret@example.org/o\n/r").expect_err("hostile");
    assert!(!error.to_string().contains("secret"), "{error}");
}

#[test]
fn hostile_sources_are_refused_with_a_hint_before_anything_runs() {
    let long = format!("https://example.org/{}", "a".repeat(65_536));
    for text in [
        "--upload-pack=x",
        "-oProxyCommand=x",
        "ext::sh -c id",
        "ext::sh",
        "fd::17",
        "EXT::sh%20-c",
        "a.b::c",
        "file:///etc/passwd",
        "FILE:///etc",
        "ftp://example.org/r",
        "https://example.org/o/r\n--upload-pack=x",
        "https://example.org/o/r%0ahost=evil",
        "https://example.org/o/r%00",
        "https://example.org/o/r\0",
        "https://example.org/o/\u{1b}[2J",
        "https://example.org/a b",
        "https://example.org/../etc",
        "https://example.org/a/%2e%2e/b",
        "https://example.org/a%2f..%2fb",
        "https://-oProxyCommand=x/r",
        "ssh://-oProxyCommand=x/r",
        "ssh://-l@example.org/r",
        "ssh://example.org/-x",
        "ssh://$(id)@example.org/r",
        "ssh://example.org;id/r",
        "-x@example.org:r",
        "git@-oProxyCommand:r",
        "git@example.org:-x",
        "git@example.org:a/../../etc",
        "https://example.org\u{2215}evil/r",
        "https://example.org/\u{202e}txt",
        "https://example.org/o\\r",
        "https://example.org:0/r",
        "https:///r",
        "https://",
        "://example.org/r",
        "C:\\r",
        "C:r",
        "javascript:alert(1)",
        "data:text/plain,x",
        "",
        "   ",
        "#main",
        "https://example.org/o/r#-x",
        "https://example.org/o/r#--upload-pack=x",
        "https://example.org/o/r#a..b",
        "https://example.org/o/r#a%0ab",
        "git@example.org:r#a:b",
        long.as_str(),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.class(), Class::InvalidArgument, "{text}");
        assert!(error.hint().is_some(), "{text}");
        assert!(error.to_string().len() < 400 && !error.to_string().contains('\n'), "{text}");
    }
}

#[test]
fn a_transport_helper_is_called_what_it_is() {
    for text in ["ext::sh", "a.b::c", "git-remote-x::https://example.org/r"] {
        let error = parse(text).expect_err(text);
        assert!(error.to_string().contains("transport helper"), "{error}");
    }
}

#[test]
fn refs_are_those_that_git_takes() {
    for good in ["main", "feature/x", "refs/pull/7/head", "v1.0", "日本", SHA, "a@b", "x-"] {
        assert_eq!(check_reference(good), Ok(()), "{good}");
    }
    for bad in [
        "", "-x", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "/a", "a/", "a//b", "a.lock", ".a", "a/.b", "@",
        "a@{1}", "a\n", "a.",
    ] {
        assert!(check_reference(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_there_is_meant_locally_and_what_looks_like_a_path_is_not_looked_for_elsewhere() {
    assert_eq!(classify("app", Some(PathKind::Directory)), Ok(Classified::Directory));
    assert_eq!(classify("app.bundle", Some(PathKind::File)), Ok(Classified::Bundle));
    for missing in ["./app", "/srv/app", "~/app", "..", "app", "old.bundle", "o/r"] {
        assert_eq!(classify(missing, None), Err(SourceError::NoSuchPath(missing.into())));
    }
    assert!(matches!(classify("https://example.org/r", None), Ok(Classified::Remote(_))));
    assert!(matches!(classify("git@example.org:r", None), Ok(Classified::Remote(_))));
    assert!(matches!(classify("file:///srv/r", None), Err(SourceError::Scheme(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_a_remote_that_is_an_option_or_has_control_characters(text in ".{0,80}") {
        if let Ok(source) = parse(&text) {
            prop_assert!(!source.remote.starts_with('-'));
            prop_assert!(!source.remote.contains("::") || source.remote.contains('['));
            prop_assert!(!source.remote.chars().any(|letter| letter.is_control() || letter.is_whitespace()));
            prop_assert_eq!(domain::name::check(&source.name), Ok(()));
            for candidate in &source.candidates {
                prop_assert_eq!(check_reference(&candidate.reference), Ok(()));
            }
        }
    }

    #[test]
    fn no_path_of_a_page_escapes_its_repository(path in "[a-z./%2eEfF-]{0,60}") {
        for host in ["github.com", "gitlab.com", "bitbucket.org", "example.org"] {
            if let Ok(source) = parse(&format!("https://{host}/o/r/{path}")) {
                for candidate in &source.candidates {
                    prop_assert!(!candidate.path.split('/').any(|part| part == ".."), "{:?}", source);
                    prop_assert!(!candidate.reference.starts_with('-'), "{:?}", source);
                }
            }
        }
    }
}
