//! Phases and conclusions on the wire, and the owner's choice of a port in a spec.

use api::v1::{self, PortRule, Visibility};
use domain::phase::{Conclusion, Phase};

/// A phase on the wire.
pub fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Pending => v1::Phase::Pending,
        Phase::Preparing => v1::Phase::Preparing,
        Phase::Starting => v1::Phase::Starting,
        Phase::Running => v1::Phase::Running,
        Phase::Stopping => v1::Phase::Stopping,
        Phase::Storing => v1::Phase::Storing,
        Phase::Stopped => v1::Phase::Stopped,
        Phase::Removed => v1::Phase::Removed,
        Phase::Unknown => v1::Phase::Unknown,
    }
}

/// A conclusion on the wire.
pub fn conclusion(conclusion: Conclusion) -> v1::Conclusion {
    match conclusion {
        Conclusion::Succeeded => v1::Conclusion::Succeeded,
        Conclusion::Failed => v1::Conclusion::Failed,
        Conclusion::Canceled => v1::Conclusion::Canceled,
        Conclusion::TimedOut => v1::Conclusion::TimedOut,
        Conclusion::Lost => v1::Conclusion::Lost,
    }
}

/// Puts the owner's choice before every rule of the repository: the first that matches a port decides.
pub fn set_port_rule(rules: &mut Vec<PortRule>, port: u16, visibility: Visibility) {
    let port = u32::from(port);
    if let Some(rule) = rules.iter_mut().find(|rule| rule.first == port && rule.last == port) {
        rule.visibility = visibility.into();
        return;
    }
    let covering = rules.iter().find(|rule| (rule.first..=rule.last).contains(&port)).cloned().unwrap_or_default();
    rules.insert(0, PortRule { first: port, last: port, visibility: visibility.into(), ..covering });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_port_of_a_range_can_be_shown_without_the_others() {
        let range = PortRule { first: 3000, last: 3010, name: "web".into(), ..PortRule::default() };
        let mut rules = vec![range];
        set_port_rule(&mut rules, 3005, Visibility::Public);
        set_port_rule(&mut rules, 3005, Visibility::Public);
        assert_eq!(rules.len(), 2);
        assert_eq!((rules[0].first, rules[0].visibility(), rules[0].name.as_str()), (3005, Visibility::Public, "web"));
        assert_eq!((rules[1].first, rules[1].visibility()), (3000, Visibility::Unspecified));
    }
}
