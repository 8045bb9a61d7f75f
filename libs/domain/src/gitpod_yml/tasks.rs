//! `tasks`.

use super::node::Node;
use super::reader::Reader;
use super::{MAX_TASKS, Task};

const KEYS: [&str; 8] = ["name", "before", "init", "prebuild", "command", "env", "openIn", "openMode"];
const OPEN_IN: [&str; 4] = ["bottom", "main", "left", "right"];
const OPEN_MODE: [&str; 6] = ["split-left", "split-right", "split-top", "split-bottom", "tab-before", "tab-after"];

/// Reads the list. A task without anything to run is kept: it is a terminal.
pub(super) fn tasks(node: &Node, reader: &mut Reader) -> Vec<Task> {
    let items = reader.items(node, "tasks");
    if let Some(first_too_many) = items.get(MAX_TASKS) {
        let message = format!("there are {} tasks; the first {MAX_TASKS} count", items.len());
        reader.warn(&first_too_many.referenced, message);
    }
    items.iter().take(MAX_TASKS).map(|item| task(item, reader)).collect()
}

fn task(node: &Node, reader: &mut Reader) -> Task {
    let mut task = Task::default();
    for (key, value) in reader.known(node, "tasks", &KEYS) {
        let path = format!("tasks.{key}");
        match key {
            "name" => task.name = reader.title(value, &path),
            "before" => task.before = reader.text(value, &path),
            "init" => task.init = reader.text(value, &path),
            "prebuild" => task.prebuild = reader.text(value, &path),
            "command" => task.command = reader.text(value, &path),
            "env" => task.env = reader.variables(value, &path),
            "openIn" => task.open_in = reader.word(value, &path, &OPEN_IN).map(str::to_owned),
            _ => task.open_mode = reader.word(value, &path, &OPEN_MODE).map(str::to_owned),
        }
    }
    task
}
