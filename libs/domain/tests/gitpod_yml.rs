//! `.gitpod.yml`: what is taken, what is said, and that real files are read.

use std::path::{Path, PathBuf};

use domain::gitpod_yml::{Config, Image, OnOpen, Parsed, honoured, honoured_table, parse};

fn fixture(name: &str) -> Parsed {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gitpod-yml").join(name);
    parse(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

fn said(parsed: &Parsed) -> Vec<String> {
    parsed.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn every_key_in_every_form_is_taken() {
    let Parsed { config, problems } = fixture("everything.yml");
    let messages: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(messages, ["3:3: images are not built yet; start with `--image host`, or name an image that is built"]);
    let file = Image::File { file: ".gitpod.Dockerfile".into(), context: Some("docker".into()) };
    assert_eq!(config.image, Some(file));
    let pairs = |pairs: &[(&str, &str)]| -> Vec<_> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let env = [("GREETING", "hello"), ("JOBS", "8"), ("RATIO", "0.5"), ("DEBUG", "true"), ("EMPTY", "")];
    assert_eq!(config.env, pairs(&env));
    assert_eq!(config.git_config, pairs(&[("core.autocrlf", "input"), ("pull.rebase", "true")]));
    assert_eq!(config.tasks.len(), 4);
    let build = &config.tasks[0];
    assert_eq!(build.name.as_deref(), Some("build"));
    assert_eq!(build.before.as_deref(), Some("echo one\necho two\n"));
    assert_eq!(build.init.as_deref(), Some("make all"));
    assert_eq!(build.prebuild.as_deref(), Some("make prebuild"));
    assert_eq!(build.env, pairs(&[("LIST", "[1,\"two\"]"), ("MAP", "{\"a\":1}")]));
    assert_eq!((build.open_in.as_deref(), build.open_mode.as_deref()), (Some("main"), Some("split-right")));
    assert_eq!(config.tasks[2].prebuild, None);
    assert_eq!(config.tasks[3].command.as_deref(), Some("3"));
    let ports: Vec<_> = config.ports.iter().map(|port| (port.first, port.last, port.on_open, port.is_public)).collect();
    assert_eq!(
        ports,
        [
            (3000, 3000, OnOpen::OpenBrowser, true),
            (8080, 8080, OnOpen::OpenPreview, false),
            (4000, 4999, OnOpen::IgnoreCompletely, false),
            (5000, 5010, OnOpen::Ignore, false),
            (6080, 6080, OnOpen::Notify, false),
        ]
    );
    assert!(config.ports[0].is_https && config.ports[0].name == "web");
    assert_eq!(config.additional_repositories[0].checkout_location.as_deref(), Some("second"));
    assert_eq!(config.github_prebuilds.len(), 8);
    assert_eq!(config.vscode_extensions.len(), 2);
    let products: Vec<_> = config.jetbrains.iter().map(|settings| settings.product.as_str()).collect();
    assert_eq!(products, ["", "intellij", "goland"]);
    assert_eq!(config.core_dump.map(|dump| (dump.enabled, dump.soft_limit, dump.hard_limit)), Some((true, 1024, 1 << 30)));
}

#[test]
fn settings_of_git_that_run_a_program_are_left_out_and_said() {
    let refused = [
        "core.hooksPath",
        "core.fsmonitor",
        "CORE.sshCommand",
        "alias.st",
        "credential.helper",
        "include.path",
        "includeIf.gitdir:/.path",
        "filter.x.smudge",
        "diff.x.textconv",
        "url.https://evil/.insteadOf",
    ];
    for key in refused {
        let parsed = parse(format!("gitConfig:\n  \"{key}\": x\n  pull.rebase: true\n").as_bytes());
        assert_eq!(parsed.config.git_config, [("pull.rebase".to_owned(), "true".to_owned())], "{key}");
        assert!(said(&parsed)[0].starts_with(&format!("2:3: `gitConfig.{key}` ")), "{:?}", said(&parsed));
    }
}

#[test]
fn mistakes_are_said_with_line_and_column_and_the_rest_counts() {
    let parsed = fixture("mistakes.yml");
    assert!(!parsed.has_error());
    assert_eq!(
        said(&parsed),
        [
            "1:8: `image` must be text, not a list; it is left out",
            "2:1: unknown key `taks`; it is left out",
            "12:5: `ports` has an entry without `port`; it is left out",
            "13:11: `ports.port` must be a port or a range like 3000-3999, not \"70000\"; it is left out",
            "14:11: `ports.port` must be a port or a range like 3000-3999, not \"4999-4000\"; it is left out",
            "16:5: unknown key `ports.onopen`, did you mean `onOpen`?; it is left out",
            "17:13: `ports.onOpen` must be one of notify, open-browser, open-preview, ignore, ignore-completely, not \
             \"open-window\"; it is left out",
            "18:17: `ports.visibility` must be one of private, public, not \"secret\"; it is left out",
            "20:19: `checkoutLocation` must be a path below /workspace; it is left out",
            "24:5: unknown key `github.prebuilds.main`; it is left out",
            "26:15: `vscode.extensions` must be a list, not text; it is left out",
            "27:1: `tasks` is there twice; this one counts",
        ]
    );
    let Config { tasks, ports, .. } = parsed.config;
    assert_eq!(tasks[0].command.as_deref(), Some("the second list counts"));
    assert_eq!(ports.iter().map(|port| port.first).collect::<Vec<_>>(), [3000, 8080]);
}

#[test]
fn mistakes_inside_a_task_leave_the_task() {
    let parsed = parse(b"tasks:\n  - comand: make\n    Init: x\n    env:\n      9LIVES: x\n      OK: y\n  - just text\n");
    assert_eq!(
        said(&parsed),
        [
            "2:5: unknown key `tasks.comand`; it is left out",
            "3:5: unknown key `tasks.Init`, did you mean `init`?; it is left out",
            "5:7: `tasks.env.9LIVES` is no name for a variable; it is left out",
            "7:5: `tasks` must be a mapping, not text; it is left out",
        ]
    );
    assert_eq!(parsed.config.tasks[0].env, [("OK".to_owned(), "y".to_owned())]);
}

#[test]
fn a_file_that_is_no_yaml_gives_the_defaults_and_an_error_with_its_place() {
    for (text, place) in [
        (&b"tasks:\n\t- command: x\n"[..], "2:2"),
        (b"tasks:\n  - command: 'open\n", "3:1"),
        (b"a: [1, 2\n", "1:4"),
        (b"a: *nobody\n", "1:4"),
        (b"tasks: x\n bad\n  - y: {\n", ""),
        (b"a\xff: 1\n", "1:2"),
        (b"a: 1\nbc\xff", "2:3"),
        (b"a: 1\n---\nb: 2\n", ""),
    ] {
        let parsed = parse(text);
        let shown = said(&parsed);
        assert!(parsed.has_error() && parsed.config == Config::default(), "{shown:?}");
        assert!(shown.len() == 1 && shown[0].starts_with(place), "{place}: {shown:?}");
        assert!(!shown[0].contains('\n') && shown[0].contains("left out"), "{shown:?}");
    }
}

#[test]
fn a_root_that_is_no_mapping_is_said_and_gives_the_defaults() {
    for text in [&b"- a\n- b\n"[..], b"just text\n", b"42\n"] {
        let parsed = parse(text);
        assert_eq!((parsed.config, parsed.problems.len()), (Config::default(), 1));
    }
}

#[test]
fn small_files_that_people_have_are_read() {
    assert_eq!(fixture("only-image.yml").config.image, Some(Image::Reference("x:lastest".into())));
    assert_eq!(fixture("only-repositories.yml").config.additional_repositories.len(), 1);
    for empty in ["empty.yml", "comment.yml"] {
        assert_eq!(fixture(empty), Parsed::default(), "{empty}");
    }
    let folding = fixture("folding.yml").config.tasks;
    assert_eq!(folding[0].init.as_deref(), Some("&& echo 1 && echo 2\n"));
    assert_eq!(folding[0].command.as_deref(), Some("echo \"emoji 🚀\"   \n"));
    assert_eq!(folding[0].name.as_deref(), Some("no"), "YAML 1.2: no is text");
    assert_eq!(folding[1].command, folding[1].before);
    assert_eq!(fixture("flat-lists.yml").config.tasks.len(), 1);
    assert_eq!(fixture("bom-crlf.yml").config.tasks[0].command.as_deref(), Some("crlf"));
}

#[test]
fn directories_stay_below_workspace() {
    let directories = |text: &str, path| {
        let found = parse(text.as_bytes()).config.directories("app", path);
        (found.below, found.repository, found.working)
    };
    let expect = |below: &str, repository: &str, working: &str| (below.into(), repository.into(), working.into());
    assert_eq!(directories("", ""), expect("app", "/workspace/app", "/workspace/app"));
    assert_eq!(directories("", "docs/a"), expect("app", "/workspace/app", "/workspace/app/docs/a"));
    assert_eq!(directories("workspaceLocation: /", "docs"), expect("app", "/workspace/app", "/workspace"));
    assert_eq!(directories("workspaceLocation: .", ""), expect("app", "/workspace/app", "/workspace"));
    assert_eq!(directories("checkoutLocation: a/b/", ""), expect("a/b", "/workspace/a/b", "/workspace/a/b"));
    assert_eq!(directories("checkoutLocation: /workspace/x", ""), expect("x", "/workspace/x", "/workspace/x"));
    assert_eq!(directories("workspaceLocation: app/x.code-workspace", ""), expect("app", "/workspace/app", "/workspace/app"));
    assert_eq!(directories("checkoutLocation: a/../../b", ""), expect("app", "/workspace/app", "/workspace/app"));
}

#[test]
fn every_real_file_is_read() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/gitpod-yml");
    let Ok(entries) = std::fs::read_dir(&corpus) else {
        println!("corpus: not here");
        return;
    };
    let files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    println!("corpus: {} files", files.len());
    for file in &files {
        let parsed = parse(&std::fs::read(file).expect("a file of the corpus"));
        assert!(!parsed.has_error(), "{}: {:?}", file.display(), said(&parsed));
        for problem in &parsed.problems {
            println!("{}:{problem}", file.file_name().unwrap_or_default().to_string_lossy());
        }
    }
}

#[test]
fn the_table_says_of_every_key_what_becomes_of_it() {
    let everything = include_str!("fixtures/gitpod-yml/everything.yml");
    let top = everything.lines().filter(|line| !line.starts_with([' ', '#', '-'])).filter_map(|line| line.split(':').next());
    for key in top.filter(|key| !key.is_empty()) {
        assert!(honoured().iter().any(|row| row.key == key), "{key} is not in the table");
    }
    for row in honoured() {
        assert_eq!(honoured().iter().filter(|other| other.key == row.key).count(), 1, "{} is there twice", row.key);
    }
}

#[test]
fn the_page_of_the_configuration_shows_the_table_as_it_is() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/gitpod-yml.md");
    let page = std::fs::read_to_string(path).unwrap_or_default();
    let (begin, end) = ("<!-- table: begin -->\n", "<!-- table: end -->");
    let (before, rest) = page.split_once(begin).expect("docs/gitpod-yml.md has the mark of the table's beginning");
    let (shown, after) = rest.split_once(end).expect("docs/gitpod-yml.md has the mark of the table's end");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, format!("{before}{begin}{}{end}{after}", honoured_table())).expect("write the page");
        return;
    }
    assert!(shown == honoured_table(), "docs/gitpod-yml.md is not what the code says: UPDATE_DOCS=1 cargo test -p domain");
}
