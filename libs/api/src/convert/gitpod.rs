//! A repository's configuration, as an instance's specification has it.

use domain::gitpod_yml::{Port, Task};

use crate::v1;

/// The tasks, in order; a task's id is its place.
pub fn tasks_of(tasks: &[Task]) -> Vec<v1::TaskSpec> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let spec = |(index, task): (usize, &Task)| v1::TaskSpec {
        id: index.to_string(),
        name: text(&task.name),
        before: text(&task.before),
        init: text(&task.init),
        prebuild: text(&task.prebuild),
        command: text(&task.command),
        env: variables(&task.env),
        open_in: text(&task.open_in),
        open_mode: text(&task.open_mode),
    };
    tasks.iter().enumerate().map(spec).collect()
}

/// How ports are treated, in order: the first rule that names a port counts.
pub fn ports_of(ports: &[Port]) -> Vec<v1::PortRule> {
    let visibility = |public| if public { v1::Visibility::Public } else { v1::Visibility::Private };
    let rule = |port: &Port| v1::PortRule {
        first: port.first.into(),
        last: port.last.into(),
        visibility: visibility(port.is_public).into(),
        on_open: port.on_open.as_str().into(),
        name: port.name.clone(),
        description: port.description.clone(),
        protocol: if port.is_https { "https" } else { "http" }.into(),
    };
    ports.iter().map(rule).collect()
}

/// Variables as messages carry them.
pub fn variables(pairs: &[(String, String)]) -> Vec<v1::EnvVar> {
    pairs.iter().map(|(name, value)| v1::EnvVar { name: name.clone(), value: value.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_tasks_and_rules_in_its_order() {
        let text = "tasks:\n- init: make\n- name: web\n  command: serve\nports:\n- port: 3000-3010\n  visibility: public\n";
        let config = domain::gitpod_yml::parse(text.as_bytes()).config;
        let tasks = tasks_of(&config.tasks);
        assert_eq!((tasks[0].id.as_str(), tasks[0].init.as_str()), ("0", "make"));
        assert_eq!((tasks[1].id.as_str(), tasks[1].name.as_str(), tasks[1].command.as_str()), ("1", "web", "serve"));
        let rules = ports_of(&config.ports);
        assert_eq!((rules[0].first, rules[0].last, rules[0].visibility()), (3000, 3010, v1::Visibility::Public));
    }
}
