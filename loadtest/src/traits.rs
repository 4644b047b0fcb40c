//! What is known of a task without keeping it: enough to say which filters and searches have to find it.

use serde_json::Value;

/// The words that titles and descriptions are made of. None is part of another.
pub const WORDS: [&str; 24] = [
    "invoice",
    "release",
    "customer",
    "report",
    "budget",
    "meeting",
    "deploy",
    "review",
    "contract",
    "migration",
    "backup",
    "interview",
    "roadmap",
    "incident",
    "newsletter",
    "audit",
    "travel",
    "training",
    "design",
    "inventory",
    "refund",
    "survey",
    "partner",
    "launch",
];
/// The labels that tasks have, one each.
pub const LABELS: [&str; 8] = ["bug", "urgent", "home", "finance", "q4", "waiting", "idea", "ops"];
/// Where a task may stand.
pub const STATUSES: [&str; 5] = ["todo", "in_progress", "blocked", "done", "cancelled"];
/// How urgent it may be.
pub const PRIORITIES: [&str; 4] = ["low", "medium", "high", "urgent"];
/// What the filter by due date asks for: due then or later.
pub const DUE_AFTER: &str = "2030-06-01T00:00:00Z";

/// What is known of a task; indices of the lists above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traits {
    /// Where it stands.
    pub status: u8,
    /// How urgent it is.
    pub priority: u8,
    /// Its label.
    pub label: u8,
    /// Whether it is due at [`DUE_AFTER`] or later.
    pub due_later: bool,
    /// The words of its title, a bit each.
    pub words: u32,
}

/// What a page is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Everything.
    Any,
    /// Tasks that stand there.
    Status(u8),
    /// Tasks that are so urgent.
    Priority(u8),
    /// Tasks with this label.
    Label(u8),
    /// Tasks that are due at [`DUE_AFTER`] or later.
    DueLater,
    /// Tasks that have this word in their title or description.
    Word(u8),
}

/// The place of a word in a list; the first, where it is in none.
pub fn place(list: &[&str], word: &str) -> u8 {
    list.iter().position(|other| *other == word).unwrap_or(0) as u8
}

/// The words of a title, a bit each.
pub fn words(title: &str) -> u32 {
    let bits = title.split(' ').filter_map(|word| WORDS.iter().position(|other| *other == word));
    bits.fold(0, |all, bit| all | 1 << bit)
}

impl Traits {
    /// Of a new task as it is sent.
    pub fn of(task: &Value) -> Self {
        let text = |field: &str| task[field].as_str().unwrap_or_default();
        Self {
            status: place(&STATUSES, text("status")),
            priority: place(&PRIORITIES, text("priority")),
            label: place(&LABELS, task["labels"][0].as_str().unwrap_or_default()),
            due_later: text("due_at") >= DUE_AFTER,
            words: words(text("title")),
        }
    }
}

impl Condition {
    /// Whether a task that is known has to be found.
    pub const fn fits(self, traits: &Traits) -> bool {
        match self {
            Self::Any => true,
            Self::Status(status) => traits.status == status,
            Self::Priority(priority) => traits.priority == priority,
            Self::Label(label) => traits.label == label,
            Self::DueLater => traits.due_later,
            Self::Word(word) => traits.words & (1 << word) != 0,
        }
    }
}
