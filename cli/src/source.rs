//! What the user named as SOURCE. Only this side can read a local directory: it becomes a Git bundle, which goes to the
//! server through the API. A URL is sent as it is; the server understands it.

use std::path::{Path, PathBuf};

use api::v1;
use domain::class::Class;

use crate::client::Api;
use crate::error::CommandError;

mod bundle;
mod upload;

/// Reads what the user typed and, where it is local, brings it to the server.
pub async fn resolve(api: &mut Api, text: &str, with_changes: bool) -> Result<v1::Source, CommandError> {
    match classify(text)? {
        Place::Remote(url) => {
            if with_changes {
                return Err(CommandError::here(
                    Class::InvalidArgument,
                    "--with-changes is for a local directory",
                    "leave it out, or name a directory",
                ));
            }
            Ok(v1::Source { display: url.clone(), url, ..Default::default() })
        }
        Place::Directory(directory) => from_directory(api, &directory, with_changes).await,
        Place::Bundle(file) => {
            let bundle_digest = upload::send(api, &file).await?;
            Ok(v1::Source { bundle_digest, display: file.display().to_string(), ..Default::default() })
        }
    }
}

enum Place {
    Remote(String),
    Directory(PathBuf),
    Bundle(PathBuf),
}

fn classify(text: &str) -> Result<Place, CommandError> {
    let path = expand_home(text);
    let looks_remote = text.contains("://") || text.starts_with("git@");
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(Place::Directory(path)),
        Ok(_) if bundle::is_bundle(&path)? => Ok(Place::Bundle(path)),
        Ok(_) => Err(CommandError::here(
            Class::InvalidArgument,
            format!("{} is a file, but not a Git bundle", path.display()),
            "name a directory, a bundle made by `git bundle create`, or a URL",
        )),
        Err(_) if !looks_remote && is_path(text) => Err(CommandError::here(
            Class::NotFound,
            format!("there is no directory or bundle at {}", path.display()),
            "check the path, or name a Git URL such as https://HOST/OWNER/NAME",
        )),
        Err(_) => Ok(Place::Remote(text.to_owned())),
    }
}

fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/', '~']) || text.ends_with(".bundle")
}

fn expand_home(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(text),
    }
}

async fn from_directory(api: &mut Api, directory: &Path, with_changes: bool) -> Result<v1::Source, CommandError> {
    let scratch = tempfile::tempdir().map_err(CommandError::io("make a temporary directory"))?;
    let made = bundle::make(directory, scratch.path(), with_changes)?;
    if !with_changes && made.uncommitted > 0 {
        let things = if made.uncommitted == 1 {
            "1 uncommitted change stays".into()
        } else {
            format!("{} uncommitted changes stay", made.uncommitted)
        };
        eprintln!("note: {things} here; --with-changes brings them along");
    }
    let bundle_digest = upload::send(api, &made.file).await?;
    let url = String::new();
    Ok(v1::Source {
        url,
        bundle_digest,
        r#ref: made.branch,
        commit: made.commit,
        changes_ref: made.changes_ref,
        display: made.display,
        origin: made.origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_path_is_not_taken_for_a_url() {
        for text in ["./nowhere", "/no/where", "~/nowhere-at-all", "gone.bundle"] {
            let error = classify(text).err().unwrap_or_else(|| panic!("{text}"));
            assert_eq!(error.exit_code(), Class::NotFound.exit_code(), "{text}");
        }
        for text in ["https://example.com/a/b", "git@example.com:a/b.git", "example.com/a/b"] {
            assert!(matches!(classify(text), Ok(Place::Remote(_))), "{text}");
        }
    }

    #[test]
    fn a_file_that_is_no_bundle_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = classify(file.path().to_str().unwrap()).err().expect("not a bundle");
        assert!(error.to_string().contains("not a Git bundle"), "{error}");
    }
}
