//! The top level, and the parts that are small.

use super::git_config;
use super::node::{Node, Value};
use super::reader::Reader;
use super::{AdditionalRepository, Config, CoreDump, Image, JetBrains, locations, ports, tasks};

/// Every key of the top level. `ideCredentials` is of an older schema.
pub(super) const KEYS: [&str; 15] = [
    "additionalRepositories",
    "checkoutLocation",
    "coreDump",
    "env",
    "experimentalNetwork",
    "gitConfig",
    "github",
    "ideCredentials",
    "image",
    "jetbrains",
    "mainConfiguration",
    "ports",
    "tasks",
    "vscode",
    "workspaceLocation",
];

const PREBUILDS: [&str; 8] =
    ["master", "branches", "pullRequests", "pullRequestsFromForks", "addBadge", "addCheck", "addComment", "addLabel"];

const JETBRAINS: [&str; 10] =
    ["plugins", "intellij", "goland", "pycharm", "phpstorm", "rubymine", "webstorm", "rider", "clion", "rustrover"];

/// What Gitpod allows when nothing is said.
const CORE_LIMIT: u64 = 1_073_741_824;

/// Reads the whole file.
pub(super) fn config(root: &Node, reader: &mut Reader) -> Config {
    let mut config = Config::default();
    for (key, value) in reader.known(root, "", &KEYS) {
        match key {
            "image" => config.image = image(value, reader),
            "tasks" => config.tasks = tasks::tasks(value, reader),
            "ports" => config.ports = ports::ports(value, reader),
            "env" => config.env = reader.variables(value, key),
            "additionalRepositories" => config.additional_repositories = repositories(value, reader),
            "mainConfiguration" => config.main_configuration = reader.text(value, key),
            "checkoutLocation" => config.checkout_location = locations::read(value, key, reader),
            "workspaceLocation" => config.workspace_location = locations::read(value, key, reader),
            "gitConfig" => config.git_config = git_config::read(value, reader),
            "github" => config.github_prebuilds = prebuilds(value, reader),
            "vscode" => config.vscode_extensions = extensions(value, reader),
            "jetbrains" => config.jetbrains = jetbrains(value, reader),
            "coreDump" => config.core_dump = core_dump(value, reader),
            // Read so that what is in them is no unknown key; nothing of them counts.
            _ => {}
        }
    }
    config
}

fn image(node: &Node, reader: &mut Reader) -> Option<Image> {
    if !matches!(node.value, Value::Map(_)) {
        return reader.title(node, "image").map(|text| Image::Reference(text.trim().to_owned()));
    }
    let (mut file, mut context) = (None, None);
    for (key, value) in reader.known(node, "image", &["file", "context"]) {
        let path = format!("image.{key}");
        match key {
            "file" => file = reader.text(value, &path),
            _ => context = reader.text(value, &path),
        }
    }
    let message = match file {
        Some(_) => "images are not built yet; start with `--image host`, or name an image that is built",
        None => "`image` has no `file`; it is left out",
    };
    reader.warn(&node.referenced, message);
    file.map(|file| Image::File { file, context })
}

fn repositories(node: &Node, reader: &mut Reader) -> Vec<AdditionalRepository> {
    let items = reader.items(node, "additionalRepositories");
    items.iter().take(64).filter_map(|item| repository(item, reader)).collect()
}

fn repository(node: &Node, reader: &mut Reader) -> Option<AdditionalRepository> {
    let (mut url, mut checkout_location) = (None, None);
    for (key, value) in reader.known(node, "additionalRepositories", &["url", "checkoutLocation"]) {
        let path = format!("additionalRepositories.{key}");
        match key {
            "url" => url = reader.text(value, &path),
            _ => checkout_location = locations::read(value, &path, reader),
        }
    }
    if url.is_none() {
        reader.warn(&node.referenced, "`additionalRepositories` has an entry without `url`; it is left out");
    }
    url.map(|url| AdditionalRepository { url, checkout_location })
}

fn prebuilds(node: &Node, reader: &mut Reader) -> Vec<(String, String)> {
    let entries = reader.known(node, "github", &["prebuilds"]);
    let Some((_, prebuilds)) = entries.first() else { return Vec::new() };
    if let Value::Bool(value) = prebuilds.value {
        return vec![("prebuilds".into(), value.to_string())];
    }
    let settings = reader.known(prebuilds, "github.prebuilds", &PREBUILDS);
    let text = |(key, value): (&str, &Node)| Some((key.to_owned(), reader.text(value, "github.prebuilds")?));
    settings.into_iter().filter_map(text).collect()
}

fn extensions(node: &Node, reader: &mut Reader) -> Vec<String> {
    let entries = reader.known(node, "vscode", &["extensions"]);
    entries.first().map(|(_, list)| reader.texts(list, "vscode.extensions")).unwrap_or_default()
}

fn jetbrains(node: &Node, reader: &mut Reader) -> Vec<JetBrains> {
    let mut products = Vec::new();
    for (key, value) in reader.known(node, "jetbrains", &JETBRAINS) {
        let path = format!("jetbrains.{key}");
        match key {
            "plugins" => {
                let plugins = reader.texts(value, &path);
                products.insert(0, JetBrains { plugins, ..JetBrains::default() });
            }
            product => products.push(jetbrains_product(product, value, &path, reader)),
        }
    }
    products
}

fn jetbrains_product(product: &str, node: &Node, path: &str, reader: &mut Reader) -> JetBrains {
    let mut settings = JetBrains { product: product.to_owned(), ..JetBrains::default() };
    for (key, value) in reader.known(node, path, &["plugins", "prebuilds", "vmoptions"]) {
        let path = format!("{path}.{key}");
        match key {
            "plugins" => settings.plugins = reader.texts(value, &path),
            "vmoptions" => settings.vm_options = reader.text(value, &path),
            _ => {
                let entries = reader.known(value, &path, &["version"]);
                let version = entries.first().and_then(|(_, word)| reader.word(word, &path, &["stable", "latest", "both"]));
                settings.prebuild_version = version.map(str::to_owned);
            }
        }
    }
    settings
}

fn core_dump(node: &Node, reader: &mut Reader) -> Option<CoreDump> {
    let mut dump = CoreDump { enabled: false, soft_limit: CORE_LIMIT, hard_limit: CORE_LIMIT };
    for (key, value) in reader.known(node, "coreDump", &["enabled", "softLimit", "hardLimit"]) {
        let path = format!("coreDump.{key}");
        match key {
            "enabled" => dump.enabled = reader.truth(value, &path).unwrap_or(false),
            "softLimit" => dump.soft_limit = reader.number(value, &path).unwrap_or(CORE_LIMIT),
            _ => dump.hard_limit = reader.number(value, &path).unwrap_or(CORE_LIMIT),
        }
    }
    Some(dump)
}
