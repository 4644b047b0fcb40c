//! What a change of an OpenAPI document takes away from those who rely on the one before.
//!
//! A request may not be asked for more than before, nor an answer give less. Adding is no break; texts and examples are not
//! looked at.

use std::collections::BTreeSet;

use serde_json::Value;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];
/// Deep enough for any schema; a schema that contains itself ends here.
const DEPTH_MAX: usize = 20;

/// Which way a value travels: what is a relief for one side is a burden for the other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Request,
    Response,
}

/// The breaks from `old` to `new`, a line each.
pub fn breaks(old: &Value, new: &Value) -> Vec<String> {
    let mut comparison = Comparison { old, new, breaks: Vec::new() };
    comparison.paths();
    comparison.breaks
}

struct Comparison<'a> {
    old: &'a Value,
    new: &'a Value,
    breaks: Vec<String>,
}

/// The members of an object; none for anything else.
fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> BTreeSet<&str> {
    items(value).filter_map(Value::as_str).collect()
}

/// Follows references.
fn resolved<'a>(document: &'a Value, mut value: &'a Value) -> &'a Value {
    for _ in 0..DEPTH_MAX {
        let Some(pointer) = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) else { break };
        value = document.pointer(pointer).unwrap_or(&Value::Null);
    }
    value
}

/// The types of a schema; `null` also when it is one of several choices. Empty for any.
fn types<'a>(document: &'a Value, schema: &'a Value) -> BTreeSet<&'a str> {
    let mut types = texts(&schema["type"]);
    types.extend(schema["type"].as_str());
    for choice in items(&schema["oneOf"]).chain(items(&schema["anyOf"])) {
        types.extend(self::types(document, resolved(document, choice)));
    }
    types
}

/// The choices of a schema beside null, each with what it is known by.
fn choices<'a>(document: &'a Value, schema: &'a Value) -> Vec<(String, &'a Value)> {
    let all = items(&schema["oneOf"]).chain(items(&schema["anyOf"]));
    let named = all.map(|choice| {
        let target = resolved(document, choice);
        // A tagged choice has a field that can be one word only.
        let tag = members(&target["properties"]).find_map(|(name, value)| match value["enum"].as_array()?.as_slice() {
            [word] => Some(format!("{name}={word}")),
            _ => None,
        });
        let reference = choice["$ref"].as_str().map(str::to_owned);
        (reference.or(tag).unwrap_or_else(|| target["type"].to_string()), target)
    });
    named.filter(|(_, target)| target["type"] != "null").collect()
}

impl Comparison<'_> {
    fn found(&mut self, place: &str, what: impl std::fmt::Display) {
        self.breaks.push(format!("{place}: {what}"));
    }

    fn paths(&mut self) {
        for (path, old) in members(&self.old["paths"]) {
            let new = &self.new["paths"][path];
            for method in METHODS.iter().filter(|method| old.get(**method).is_some()) {
                let place = format!("{} {path}", method.to_uppercase());
                match new.get(*method) {
                    None => self.found(&place, "the operation is gone"),
                    Some(operation) => self.operation(&place, &old[*method], operation),
                }
            }
        }
    }

    fn operation(&mut self, place: &str, old: &Value, new: &Value) {
        let open = |operation: &Value| items(&operation["security"]).all(|way| members(way).next().is_none());
        if open(old) && !open(new) {
            self.found(place, "it now needs a token");
        }
        self.parameters(place, old, new);
        let (old_body, new_body) = (resolved(self.old, &old["requestBody"]), resolved(self.new, &new["requestBody"]));
        if new_body["required"] == true && old_body["required"] != true {
            self.found(place, "a body is now required");
        }
        self.contents(&format!("{place} request"), old_body, new_body, Way::Request);
        for (status, old) in members(&old["responses"]) {
            let place = format!("{place} {status}");
            let Some(new) = new["responses"].get(status) else {
                self.found(&place, "the status is gone");
                continue;
            };
            let (old, new) = (resolved(self.old, old), resolved(self.new, new));
            for (name, _) in members(&old["headers"]) {
                if new["headers"].get(name).is_none() {
                    self.found(&place, format!("the header {name} is gone"));
                }
            }
            self.contents(&place, old, new, Way::Response);
        }
    }

    fn parameters(&mut self, place: &str, old: &Value, new: &Value) {
        let same = |one: &Value, other: &Value| one["name"] == other["name"] && one["in"] == other["in"];
        for parameter in items(&old["parameters"]) {
            let place = format!("{place} parameter {}", parameter["name"]);
            match items(&new["parameters"]).find(|other| same(parameter, other)) {
                None => self.found(&place, "it is gone"),
                Some(other) => self.schema(&place, &parameter["schema"], &other["schema"], Way::Request, 0),
            }
        }
        for parameter in items(&new["parameters"]).filter(|parameter| parameter["required"] == true) {
            let was = items(&old["parameters"]).find(|other| same(parameter, other));
            if was.is_none_or(|was| was["required"] != true) {
                self.found(place, format!("the parameter {} is now required", parameter["name"]));
            }
        }
    }

    fn contents(&mut self, place: &str, old: &Value, new: &Value, way: Way) {
        for (kind, content) in members(&old["content"]) {
            match new["content"].get(kind) {
                None => self.found(place, format!("{kind} is gone")),
                Some(other) => self.schema(place, &content["schema"], &other["schema"], way, 0),
            }
        }
    }

    fn schema(&mut self, place: &str, old: &Value, new: &Value, way: Way, depth: usize) {
        if depth > DEPTH_MAX {
            return;
        }
        let (old, new) = (resolved(self.old, old), resolved(self.new, new));
        self.types(place, old, new, way);
        for value in items(&old["enum"]) {
            let kept = new["enum"].is_null() && way == Way::Request || items(&new["enum"]).any(|other| other == value);
            if !kept {
                self.found(place, format!("the value {value} is gone"));
            }
        }
        if way == Way::Request {
            self.limits(place, old, new);
        }
        self.properties(place, old, new, way, depth);
        if !old["items"].is_null() && !new["items"].is_null() {
            self.schema(&format!("{place}/*"), &old["items"], &new["items"], way, depth + 1);
        }
        let (old_choices, new_choices) = (choices(self.old, old), choices(self.new, new));
        if let ([(_, choice)], [] | [_]) = (old_choices.as_slice(), new_choices.as_slice()) {
            let other = new_choices.first().map_or(new, |(_, other)| other);
            return self.schema(place, choice, other, way, depth + 1); // whatever they are called
        }
        for (name, choice) in &old_choices {
            let place = format!("{place} ({name})");
            match new_choices.iter().find(|(other, _)| other == name) {
                Some((_, other)) => self.schema(&place, choice, other, way, depth + 1),
                None => self.found(&place, "the choice is gone"),
            }
        }
    }

    fn types(&mut self, place: &str, old: &Value, new: &Value, way: Way) {
        let (was, is) = (types(self.old, old), types(self.new, new));
        let (wide, narrow) = if way == Way::Request { (&is, &was) } else { (&was, &is) };
        // No type is any type. An integer is a number.
        let fits = |kind: &&str| wide.contains(kind) || **kind == *"integer" && wide.contains("number");
        let within = wide.is_empty() || !narrow.is_empty() && narrow.iter().all(fits);
        if !within {
            self.found(place, format!("the type was {was:?} and is {is:?}"));
        }
    }

    /// A request that was within the limits must still be.
    fn limits(&mut self, place: &str, old: &Value, new: &Value) {
        for (name, rises) in [
            ("minimum", true),
            ("exclusiveMinimum", true),
            ("minLength", true),
            ("minItems", true),
            ("maximum", false),
            ("exclusiveMaximum", false),
            ("maxLength", false),
            ("maxItems", false),
        ] {
            let (was, is) = (old[name].as_f64(), new[name].as_f64());
            let tighter = match (was, is) {
                (Some(was), Some(is)) => {
                    if rises {
                        is > was
                    } else {
                        is < was
                    }
                }
                (None, Some(_)) => true,
                (_, None) => false,
            };
            if tighter {
                self.found(place, format!("{name} was {} and is {}", old[name], new[name]));
            }
        }
        for name in ["pattern", "format", "const", "enum", "uniqueItems"] {
            // Of two patterns it cannot be told which takes more.
            let changed = !old[name].is_null() && old[name] != new[name] && name != "enum";
            if !new[name].is_null() && (old[name].is_null() || changed) {
                self.found(place, format!("{name} was {} and is {}", old[name], new[name]));
            }
        }
        if new["additionalProperties"] == false && old["additionalProperties"] != false && !old["properties"].is_null()
        {
            self.found(place, "unknown fields are now refused");
        }
    }

    fn properties(&mut self, place: &str, old: &Value, new: &Value, way: Way, depth: usize) {
        for (name, property) in members(&old["properties"]) {
            let place = format!("{place}/{name}");
            match new["properties"].get(name) {
                None => self.found(&place, "the field is gone"),
                Some(other) => self.schema(&place, property, other, way, depth + 1),
            }
        }
        let (was, is) = (texts(&old["required"]), texts(&new["required"]));
        match way {
            Way::Request => {
                for name in is.difference(&was) {
                    self.found(place, format!("the field {name} is now required"));
                }
            }
            Way::Response => {
                for name in was.difference(&is).filter(|name| new["properties"].get(**name).is_some()) {
                    self.found(place, format!("the field {name} may now be missing"));
                }
            }
        }
    }
}
