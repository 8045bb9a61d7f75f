//! What a node is asked to run, made from the request, the repository's configuration and the settings. Nothing here
//! looks anything up.

use api::v1::{
    ContentSpec, EnvVar, ErrorDetail, GitSource, InstanceSpec, Kind, PortRule, ResolveRequest, ResolveResponse, Source,
    Visibility, content_spec,
};
use domain::gitpod_yml::{self, Config, Image, Parsed};
use domain::source;

use super::record::Record;
use super::settings::Settings;
use crate::error::WorkspaceError;

/// The source as it is to be looked into.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// What the node is asked.
    pub request: ResolveRequest,
    /// The reading of the URL; `None` for a bundle.
    reading: Option<source::Source>,
}

/// What came of looking: the configuration and its problems.
#[derive(Debug)]
pub struct Found {
    /// What counts of the configuration.
    pub parsed: Parsed,
    /// The name of its file; empty when there is none.
    pub file: String,
    /// Its text.
    text: String,
}

/// Says what to look for.
pub fn wanted(source: &Source) -> Result<Wanted, WorkspaceError> {
    let config_files = gitpod_yml::FILE_NAMES.map(str::to_owned).to_vec();
    if !source.bundle_digest.is_empty() {
        let candidates = [&source.r#ref, &source.commit].into_iter().find(|text| !text.is_empty()).cloned();
        let request = ResolveRequest {
            bundle_digest: source.bundle_digest.clone(),
            candidates: candidates.into_iter().collect(),
            config_files,
            ..Default::default()
        };
        return Ok(Wanted { request, reading: None });
    }
    let reading = source::parse(&source.url)?;
    let request = ResolveRequest {
        remote: reading.remote.clone(),
        candidates: reading.references(),
        fetch: reading.fetch.iter().map(|name| api::v1::GitRef { name: name.clone() }).collect(),
        config_files,
        ..Default::default()
    };
    Ok(Wanted { request, reading: Some(reading) })
}

/// Reads the configuration file that was found, if any.
pub fn found(answer: &ResolveResponse) -> Found {
    match answer.files.iter().find(|file| gitpod_yml::FILE_NAMES.contains(&file.path.as_str())) {
        Some(file) => Found {
            parsed: gitpod_yml::parse(&file.data),
            file: file.path.clone(),
            text: String::from_utf8_lossy(&file.data).into_owned(),
        },
        None => Found { parsed: Parsed::default(), file: String::new(), text: String::new() },
    }
}

/// Chooses the image: what was asked for, else what the repository names, else the default.
pub fn image(record: &Record, config: &Config, settings: &Settings) -> Result<String, ErrorDetail> {
    if !record.request.image.is_empty() {
        return Ok(record.request.image.clone());
    }
    match &config.image {
        None => Ok(settings.config().default_image.clone()),
        Some(Image::Reference(reference)) => Ok(reference.clone()),
        Some(Image::File { file, .. }) => Err(ErrorDetail {
            class: domain::class::Class::Unimplemented.as_str().into(),
            reason: "ImageFromDockerfile".into(),
            message: format!("the repository's image is to be built from {file}, and images are not built yet"),
            hint: "use `--image host`, or `--image` with an image that is built already".into(),
        }),
    }
}

/// Makes the spec of a workspace's first start.
pub fn spec(
    record: &Record,
    wanted: &Wanted,
    answer: &ResolveResponse,
    found: &Found,
    image: String,
    settings: &Settings,
    memory: u64,
) -> Result<InstanceSpec, WorkspaceError> {
    let source = record.request.source.clone().unwrap_or_default();
    let config = &found.parsed.config;
    let class = settings.class(&record.request)?;
    let path = wanted.reading.as_ref().map(|reading| reading.directory_of(&answer.candidate)).unwrap_or_default();
    let directories = config.directories(&repository_name(&source, wanted), path);
    let mut env = api::convert::variables(&config.env);
    env.extend(record.request.env.iter().cloned());
    Ok(InstanceSpec {
        id: record.instance.id.clone(),
        workspace_id: record.id.clone(),
        workspace_name: record.name.clone(),
        kind: Kind::Workspace.into(),
        generation: 1,
        image,
        content: Some(ContentSpec {
            initial: Some(content_spec::Initial::Git(git_source(&source, wanted, answer, directories.below.clone()))),
        }),
        tasks: api::convert::tasks_of(&config.tasks),
        ports: rules(record, &api::convert::ports_of(&config.ports)),
        env: last_of_each(env),
        resources: Some(class.resources(memory)),
        lifecycle: Some(settings.lifecycle(&record.request)),
        working_directory: directories.working,
        repository_directory: directories.repository,
        edge_url_template: settings.edge_template(&record.name),
        allow_sudo: class.sudo,
        config_file: found.text.clone(),
        run_init: true,
        git_user_name: settings.config().git_user_name.clone(),
        git_user_email: settings.config().git_user_email.clone(),
        git_config: git_settings(config),
    })
}

fn git_settings(config: &Config) -> Vec<api::v1::GitSetting> {
    let setting = |(key, value): &(String, String)| api::v1::GitSetting { key: key.clone(), value: value.clone() };
    config.git_config.iter().map(setting).collect()
}

/// The spec of a later start: the same, for a new instance.
pub fn again(spec: InstanceSpec, instance_id: &str, record: &Record) -> InstanceSpec {
    InstanceSpec {
        id: instance_id.to_owned(),
        generation: 1,
        run_init: !record.init_done,
        ports: rules(record, &spec.ports),
        ..spec
    }
}

/// The rules with what the owner chose before them; what was chosen earlier is not kept twice.
fn rules(record: &Record, of_file: &[PortRule]) -> Vec<PortRule> {
    let base = |port: u32| of_file.iter().find(|rule| (rule.first..=rule.last).contains(&port)).cloned().unwrap_or_default();
    let chosen = record.visibility.iter().map(|(port, visibility)| {
        let visibility = Visibility::try_from(*visibility).unwrap_or(Visibility::Private);
        PortRule { first: *port, last: *port, visibility: visibility.into(), ..base(*port) }
    });
    let is_replaced = |rule: &&PortRule| rule.first == rule.last && record.visibility.contains_key(&rule.first);
    chosen.chain(of_file.iter().filter(|rule| !is_replaced(rule)).cloned()).collect()
}

fn git_source(source: &Source, wanted: &Wanted, answer: &ResolveResponse, directory: String) -> GitSource {
    let remote = wanted.request.remote.clone();
    GitSource {
        origin: if remote.is_empty() { origin(source) } else { remote.clone() },
        remote,
        bundle_digest: source.bundle_digest.clone(),
        r#ref: answer.r#ref.clone(),
        commit: answer.commit.clone(),
        changes_ref: source.changes_ref.clone(),
        partial: answer.partial_clone,
        submodules: true,
        lfs: false,
        directory,
        fetch_refs: wanted.request.fetch.iter().map(|reference| reference.name.clone()).collect(),
    }
}

/// The `origin` of a local repository, if it is an address; a path of the client's machine is of no use inside.
fn origin(source: &Source) -> String {
    source::parse(&source.origin).map(|reading| reading.remote).unwrap_or_default()
}

/// What to call the directory: the repository's own name, in its own letters.
fn repository_name(source: &Source, wanted: &Wanted) -> String {
    let reading = wanted.reading.as_ref();
    let raw = reading.map_or_else(|| local_name(source), |reading| last_part(&reading.remote).to_owned());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let usable = !raw.is_empty() && raw.len() <= 100 && !raw.starts_with(['-', '.']) && raw.bytes().all(is_plain);
    if usable { raw } else { domain::name::from_repository(&raw) }
}

/// The name of a repository that came as a bundle: of its origin, else of what the client shows it as.
pub(super) fn local_name(source: &Source) -> String {
    let of_origin = source::parse(&source.origin).ok().map(|reading| last_part(&reading.remote).to_owned());
    let shown = source.display.split_whitespace().next().unwrap_or_default();
    let shown = last_part(shown).trim_end_matches(".bundle").to_owned();
    of_origin.filter(|name| !name.is_empty()).unwrap_or(shown)
}

fn last_part(path: &str) -> &str {
    let last = path.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or_default();
    last.strip_suffix(".git").unwrap_or(last)
}

/// For a name that is set twice the later value counts, at the place of the first.
fn last_of_each(env: Vec<EnvVar>) -> Vec<EnvVar> {
    let mut kept: Vec<EnvVar> = Vec::with_capacity(env.len());
    for variable in env {
        match kept.iter_mut().find(|known| known.name == variable.name) {
            Some(known) => known.value = variable.value,
            None => kept.push(variable),
        }
    }
    kept
}
