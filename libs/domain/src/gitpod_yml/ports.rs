//! `ports`.

use super::node::{Node, Value};
use super::reader::Reader;
use super::{MAX_PORTS, OnOpen, Port};

const KEYS: [&str; 6] = ["port", "onOpen", "visibility", "name", "description", "protocol"];
const ON_OPEN: [&str; 5] = ["notify", "open-browser", "open-preview", "ignore", "ignore-completely"];

/// Reads the list. An entry without a port that can be is left out whole.
pub(super) fn ports(node: &Node, reader: &mut Reader) -> Vec<Port> {
    let items = reader.items(node, "ports");
    if let Some(first_too_many) = items.get(MAX_PORTS) {
        let message = format!("there are {} ports; the first {MAX_PORTS} count", items.len());
        reader.warn(&first_too_many.referenced, message);
    }
    items.iter().take(MAX_PORTS).filter_map(|item| port(item, reader)).collect()
}

fn port(node: &Node, reader: &mut Reader) -> Option<Port> {
    // `ports: [3000]` is not in the schema, but what it means is clear.
    if matches!(node.value, Value::Integer(_) | Value::Text(_)) {
        let (first, last) = range(node, reader)?;
        return Some(Port::plain(first, last));
    }
    let entries = reader.known(node, "ports", &KEYS);
    let Some((_, number)) = entries.iter().find(|(key, _)| *key == "port") else {
        if matches!(node.value, Value::Map(_) | Value::Null) {
            reader.warn(&node.referenced, "`ports` has an entry without `port`; it is left out");
        }
        return None;
    };
    let (first, last) = range(number, reader)?;
    let mut port = Port::plain(first, last);
    for (key, value) in entries {
        let path = format!("ports.{key}");
        match key {
            "onOpen" => port.on_open = reader.word(value, &path, &ON_OPEN).map(on_open).unwrap_or_default(),
            "visibility" => port.is_public = reader.word(value, &path, &["private", "public"]) == Some("public"),
            "name" => port.name = reader.title(value, &path).unwrap_or_default(),
            "description" => port.description = reader.title(value, &path).unwrap_or_default(),
            "protocol" => port.is_https = reader.word(value, &path, &["http", "https"]) == Some("https"),
            _ => {}
        }
    }
    Some(port)
}

/// `3000`, `"3000"`, `3000-3999`, `3000:3999`.
fn range(node: &Node, reader: &mut Reader) -> Option<(u16, u16)> {
    let text = reader.text(node, "ports.port")?;
    let (first, last) = text.split_once(['-', ':']).unwrap_or((&text, &text));
    let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let range = number(first).zip(number(last)).filter(|(first, last)| first <= last);
    if range.is_none() {
        let shown: String = text.chars().take(40).collect();
        let message = format!("`ports.port` must be a port or a range like 3000-3999, not {shown:?}; it is left out");
        reader.warn(&node.referenced, message);
    }
    range
}

fn on_open(word: &str) -> OnOpen {
    match word {
        "open-browser" => OnOpen::OpenBrowser,
        "open-preview" => OnOpen::OpenPreview,
        "ignore" => OnOpen::Ignore,
        "ignore-completely" => OnOpen::IgnoreCompletely,
        _ => OnOpen::Notify,
    }
}

impl Port {
    /// A port, or a range, about which nothing else is said.
    pub fn plain(first: u16, last: u16) -> Self {
        Self {
            first,
            last,
            on_open: OnOpen::default(),
            is_public: false,
            name: String::new(),
            description: String::new(),
            is_https: false,
        }
    }
}
