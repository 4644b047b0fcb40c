//! Text that people read in a diff: a tree written as YAML for CloudFormation and as JSON for the dashboard. The order is
//! that of the code, so the same tree is the same file.

use std::fmt::Write;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// Written plain where YAML reads it as text, in quotes where not, and as a block when it has several lines.
    Text(String),
    /// A number, without a fraction when it has none.
    Number(f64),
    /// `true` or `false`.
    Truth(bool),
    /// A list, an item a line.
    List(Vec<Node>),
    /// A list or map on one line.
    Flow(Box<Node>),
    /// Keys in their order.
    Map(Vec<(String, Node)>),
    /// An intrinsic function of CloudFormation in its short form.
    Tag(&'static str, Box<Node>),
    /// A comment above what follows it in a map; its key is not written.
    Comment(String),
}

/// A text.
pub(crate) fn text(text: impl Into<String>) -> Node {
    Node::Text(text.into())
}

/// A map.
pub(crate) fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Node)>) -> Node {
    Node::Map(entries.into_iter().map(|(key, node)| (key.into(), node)).collect())
}

/// A map on one line.
pub(crate) fn flow<K: Into<String>>(entries: impl IntoIterator<Item = (K, Node)>) -> Node {
    Node::Flow(Box::new(map(entries)))
}

/// A text in which `${Name}` is filled in: `!Ref` when it is nothing else, `!Sub` where there is something to fill in.
pub(crate) fn filled(pattern: &str) -> Node {
    let name = pattern.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    match name {
        Some(name) if !name.contains(['$', '.']) => Node::Tag("Ref", Box::new(text(name))),
        _ if pattern.contains("${") => Node::Tag("Sub", Box::new(text(pattern))),
        _ => text(pattern),
    }
}

impl Node {
    /// A map as a YAML document.
    pub(crate) fn to_yaml(&self) -> String {
        let mut out = String::new();
        self.yaml(&mut out, 0);
        out.trim_start_matches('\n').to_owned() + "\n"
    }

    /// As JSON, lists of plain values on one line.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::new();
        self.json(&mut out, 0);
        out + "\n"
    }

    /// Writes what stands behind a key, from the blank or the line's end on.
    fn yaml(&self, out: &mut String, indent: usize) {
        let pad = " ".repeat(indent);
        match self {
            Self::Map(entries) => {
                for (key, node) in entries {
                    match node {
                        Self::Comment(comment) => {
                            let _ = write!(out, "\n\n{pad}# {comment}");
                        }
                        node => {
                            let _ = write!(out, "\n{pad}{}:", scalar(key, false));
                            node.yaml(out, indent + 2);
                        }
                    }
                }
            }
            Self::List(items) => {
                for item in items {
                    let mut inner = String::new();
                    item.yaml(&mut inner, indent + 2);
                    let _ = write!(out, "\n{pad}- {}", inner.trim_start());
                }
            }
            Self::Tag(name, node) => {
                let _ = write!(out, " !{name}");
                node.yaml(out, indent);
            }
            Self::Text(text) if text.contains('\n') => {
                out.push_str(" |-");
                for line in text.lines() {
                    let _ = if line.is_empty() { out.write_char('\n') } else { write!(out, "\n{pad}{line}") };
                }
            }
            Self::Flow(node) => {
                out.push(' ');
                node.flow(out);
            }
            Self::Text(text) => {
                out.push(' ');
                out.push_str(&scalar(text, false));
            }
            plain => {
                out.push(' ');
                plain.flow(out);
            }
        }
    }

    fn flow(&self, out: &mut String) {
        match self {
            Self::Map(entries) => {
                for (at, (key, node)) in entries.iter().enumerate() {
                    let _ = write!(out, "{}{}: ", if at == 0 { "{ " } else { ", " }, scalar(key, true));
                    node.flow(out);
                }
                out.push_str(if entries.is_empty() { "{}" } else { " }" });
            }
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    item.flow(out);
                }
                out.push(']');
            }
            Self::Tag(name, node) => {
                let _ = write!(out, "!{name} ");
                node.flow(out);
            }
            Self::Flow(node) => node.flow(out),
            Self::Text(text) => out.push_str(&scalar(text, true)),
            Self::Number(number) => {
                let _ = write!(out, "{number}");
            }
            Self::Truth(truth) => {
                let _ = write!(out, "{truth}");
            }
            Self::Comment(_) => {}
        }
    }

    fn json(&self, out: &mut String, indent: usize) {
        let pad = " ".repeat(indent + 2);
        match self {
            Self::Map(entries) => {
                for (at, (key, node)) in entries.iter().enumerate() {
                    let _ = write!(out, "{}\n{pad}{}: ", if at == 0 { "{" } else { "," }, quoted(key));
                    node.json(out, indent + 2);
                }
                let _ = if entries.is_empty() { write!(out, "{{}}") } else { write!(out, "\n{}}}", &pad[2..]) };
            }
            Self::List(items)
                if items.iter().any(|item| matches!(item, Self::Map(_) | Self::List(_) | Self::Flow(_))) =>
            {
                for (at, item) in items.iter().enumerate() {
                    let _ = write!(out, "{}\n{pad}", if at == 0 { "[" } else { "," });
                    item.json(out, indent + 2);
                }
                let _ = write!(out, "\n{}]", &pad[2..]);
            }
            Self::Flow(node) => node.json_flow(out),
            plain => plain.json_flow(out),
        }
    }

    fn json_flow(&self, out: &mut String) {
        match self {
            Self::Map(entries) => {
                for (at, (key, node)) in entries.iter().enumerate() {
                    let _ = write!(out, "{}{}: ", if at == 0 { "{ " } else { ", " }, quoted(key));
                    node.json_flow(out);
                }
                out.push_str(if entries.is_empty() { "{}" } else { " }" });
            }
            Self::List(items) => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    out.push_str(if at == 0 { "" } else { ", " });
                    item.json_flow(out);
                }
                out.push(']');
            }
            Self::Tag(_, node) | Self::Flow(node) => node.json_flow(out),
            Self::Text(text) | Self::Comment(text) => out.push_str(&quoted(text)),
            Self::Number(number) => {
                let _ = write!(out, "{number}");
            }
            Self::Truth(truth) => {
                let _ = write!(out, "{truth}");
            }
        }
    }
}

/// As JSON has it, which is a double-quoted scalar of YAML as well.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Without quotes where nothing else than this text could be meant.
fn scalar(text: &str, in_flow: bool) -> String {
    let word = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let inner = |c: char| word(c) || (!in_flow && " ()=+*<>,".contains(c)) || c == ' ';
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let ends = text.ends_with(|c: char| word(c) || c == ')');
    let other = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"].contains(&text.to_lowercase().as_str());
    if starts && ends && !other && text.chars().all(inner) {
        return text.to_owned();
    }
    let colons = text.contains(':') && !text.contains(": ") && !in_flow;
    if colons && starts && ends && text.chars().all(|c| inner(c) || c == ':') { text.to_owned() } else { quoted(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_text_is_read_back_as_it_was(value in "[ -~äß\n]{0,40}", key in "[a-zA-Z][a-zA-Z0-9:]{0,8}") {
            // CloudFormation's blocks keep no blank at a line's end or at the text's, and none is written.
            let value = value.lines().map(str::trim).collect::<Vec<_>>().join("\n").trim().to_owned();
            let one_line = value.replace('\n', " ");
            let line = flow([("Inner", text(one_line.clone()))]);
            let node = map([(key.clone(), text(value.clone())), ("Flow".to_owned(), line)]);
            let read: serde_norway::Value = serde_norway::from_str(&node.to_yaml()).expect("YAML");
            prop_assert_eq!(read[key.as_str()].as_str(), Some(value.as_str()));
            prop_assert_eq!(read["Flow"]["Inner"].as_str(), Some(one_line.as_str()));
            let read: serde_json::Value = serde_json::from_str(&node.to_json()).expect("JSON");
            prop_assert_eq!(read[key.as_str()].as_str(), Some(value.as_str()));
        }
    }

    #[test]
    fn what_is_written_reads_well() {
        let node = map([
            ("Description", text("A line, with: a colon")),
            ("Name", filled("${Service}-${Environment}-Alarm")),
            ("Topic", filled("${PageTopic}")),
            (
                "List",
                Node::List(vec![flow([("Name", text("LoadBalancer")), ("Value", filled("${Lb}"))]), Node::Number(0.2)]),
            ),
            ("Block", Node::Tag("Sub", Box::new(text("a\n\n  b")))),
            ("On", text("true")),
        ]);
        let expected = "Description: \"A line, with: a colon\"\nName: !Sub \"${Service}-${Environment}-Alarm\"\n\
                        Topic: !Ref PageTopic\nList:\n  - { Name: LoadBalancer, Value: !Ref Lb }\n  - 0.2\n\
                        Block: !Sub |-\n  a\n\n    b\n\"On\": \"true\"\n";
        assert_eq!(node.to_yaml(), expected);
    }
}
