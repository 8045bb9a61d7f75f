//! What a registry does wrong when it is told to.

use bytes::Bytes;

/// One way to fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Answers with a status and no content.
    Status(u16),
    /// Answers with a status and a header.
    StatusWith(u16, &'static str, String),
    /// Answers something else, under a content type.
    Instead(&'static str, Bytes),
    /// One bit is wrong, in the middle.
    FlipBit,
    /// The connection breaks after so many bytes of the answer.
    CutAfter(usize),
    /// The answer ends after so many bytes, as if that were all.
    EndAfter(usize),
    /// Nothing more comes after so many bytes.
    StallAfter(usize),
    /// So many bytes more than there are.
    Longer(usize),
    /// Ranges are not known: all of it is sent.
    IgnoreRange,
    /// The range that is sent is not the one that was asked for.
    WrongRange,
    /// Sends the client to the same path below this URL.
    RedirectTo(String),
    /// Sends the client to exactly this URL.
    RedirectExactly(String),
}

/// A fault, and whom it meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Part of the path.
    pub part: String,
    /// How many requests more; `None`: all.
    pub times: Option<u32>,
    /// What happens to them.
    pub fault: Fault,
}

/// The fault that a request meets, if any.
pub fn meet(rules: &mut Vec<Rule>, path: &str) -> Option<Fault> {
    let index = rules.iter().position(|rule| path.contains(&rule.part))?;
    let fault = rules[index].fault.clone();
    if let Some(times) = &mut rules[index].times {
        *times = times.saturating_sub(1);
        if *times == 0 {
            rules.remove(index);
        }
    }
    Some(fault)
}
