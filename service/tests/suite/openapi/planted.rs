//! The checker of breaks, tried on breaks and on changes that are none.

use serde_json::{Value, json};

use super::breaking::breaks;

fn document() -> Value {
    json!({
        "paths": {
            "/things": {
                "get": {
                    "parameters": [
                        {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 200}},
                        {"name": "sort", "in": "query", "schema": {"type": "string"}},
                    ],
                    "responses": {
                        "200": {
                            "headers": {"link": {}},
                            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
                        },
                        "400": {"$ref": "#/components/responses/Bad"},
                    },
                },
                "post": {
                    "requestBody": {"content": {"application/json": {"schema": {"oneOf": [
                        {"type": "null"},
                        {"$ref": "#/components/schemas/NewThing"},
                    ]}}}},
                    "responses": {"201": {}},
                },
            },
        },
        "components": {
            "responses": {"Bad": {"headers": {"retry-after": {}}, "content": {"application/problem+json": {"schema": {}}}}},
            "schemas": {
                "Thing": {
                    "type": "object",
                    "required": ["id", "colour"],
                    "properties": {
                        "id": {"type": "string"},
                        "colour": {"enum": ["red", "green"]},
                        "size": {"type": ["number", "null"]},
                        "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Thing"}},
                    },
                },
                "NewThing": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string", "maxLength": 100},
                        "note": {"type": ["string", "null"]},
                        "kind": {"enum": ["big", "small"]},
                        "tags": {"type": "array", "items": {"type": "string", "minLength": 1}},
                        "shape": {"oneOf": [
                            {"type": "object", "properties": {"op": {"enum": ["round"]}, "radius": {"type": "number"}}},
                            {"type": "object", "properties": {"op": {"enum": ["square"]}}},
                        ]},
                    },
                },
            },
        },
    })
}

const GET: &str = "/paths/~1things/get";
const POST: &str = "/paths/~1things/post";
const THING: &str = "/components/schemas/Thing";
const NEW: &str = "/components/schemas/NewThing";

/// The document with one value replaced, added or, by null, taken away.
fn changed(place: &str, pointer: &str, value: Value) -> Value {
    let mut document = document();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer");
    let name = name.replace("~1", "/");
    let parent = document.pointer_mut(&format!("{place}{parent}")).unwrap_or_else(|| panic!("{place}{parent}"));
    match (parent, value) {
        (Value::Object(members), Value::Null) => drop(members.remove(&name).expect("what is taken away is there")),
        (Value::Object(members), value) => drop(members.insert(name, value)),
        (Value::Array(items), Value::Null) => drop(items.remove(name.parse().expect("a number"))),
        (Value::Array(items), value) => items.push(value),
        (parent, _) => panic!("{parent} has no members"),
    }
    document
}

#[test]
fn every_planted_break_is_found() {
    let breaking = [
        ("/paths", "/~1things", json!({}), "GET /things: the operation is gone"),
        ("/paths/~1things", "/post", json!(null), "POST /things: the operation is gone"),
        (GET, "/security", json!([{"bearer": []}]), "GET /things: it now needs a token"),
        (GET, "/parameters/0", json!(null), "parameter \"limit\": it is gone"),
        (GET, "/parameters/0/required", json!(true), "the parameter \"limit\" is now required"),
        (
            GET,
            "/parameters/-",
            json!({"name": "q", "in": "query", "required": true}),
            "the parameter \"q\" is now required",
        ),
        (GET, "/parameters/0/schema/maximum", json!(100), "maximum was 200 and is 100"),
        (GET, "/parameters/0/schema/minimum", json!(2), "minimum was 1 and is 2"),
        (GET, "/parameters/0/schema/type", json!("string"), "the type was {\"integer\"} and is {\"string\"}"),
        (GET, "/parameters/1/schema/pattern", json!("^a"), "pattern was null and is \"^a\""),
        (GET, "/parameters/1/schema/enum", json!(["a"]), "enum was null and is [\"a\"]"),
        (GET, "/responses/200", json!(null), "GET /things 200: the status is gone"),
        (GET, "/responses/400", json!(null), "GET /things 400: the status is gone"),
        (GET, "/responses/200/headers/link", json!(null), "the header link is gone"),
        ("/components/responses/Bad", "/headers/retry-after", json!(null), "the header retry-after is gone"),
        (GET, "/responses/200/content/application~1json", json!(null), "200: application/json is gone"),
        (THING, "/properties/id", json!(null), "200/id: the field is gone"),
        (THING, "/required/1", json!(null), "the field colour may now be missing"),
        (THING, "/properties/colour/enum", json!(["red"]), "200/colour: the value \"green\" is gone"),
        (THING, "/properties/id/type", json!(["string", "null"]), "200/id: the type was"),
        (THING, "/properties/size/type", json!("string"), "200/size: the type was"),
        (POST, "/requestBody/required", json!(true), "a body is now required"),
        (POST, "/requestBody/content/application~1json", json!(null), "request: application/json is gone"),
        (NEW, "/required/-", json!("note"), "the field note is now required"),
        (NEW, "/properties/note/type", json!("string"), "/note: the type was"),
        (NEW, "/properties/note", json!(null), "/note: the field is gone"),
        (NEW, "/properties/name/maxLength", json!(99), "/name: maxLength was 100 and is 99"),
        (NEW, "/properties/note/maxLength", json!(9), "/note: maxLength was null and is 9"),
        (NEW, "/properties/note/format", json!("date"), "/note: format was null and is \"date\""),
        (NEW, "/properties/kind/enum", json!(["big"]), "/kind: the value \"small\" is gone"),
        (NEW, "/properties/tags/items/minLength", json!(2), "/tags/*: minLength was 1 and is 2"),
        (NEW, "/properties/tags/uniqueItems", json!(true), "/tags: uniqueItems was null and is true"),
        (NEW, "/properties/shape/oneOf/1", json!(null), "the choice is gone"),
        (NEW, "/properties/shape/oneOf/0/properties/radius/minimum", json!(0), "radius: minimum was null and is 0"),
        (NEW, "/additionalProperties", json!(false), "unknown fields are now refused"),
    ];
    for (place, pointer, value, expected) in breaking {
        let found = breaks(&document(), &changed(place, pointer, value));
        assert!(found.iter().any(|line| line.contains(expected)), "{place}{pointer}: {expected} is not in {found:#?}");
    }
}

#[test]
fn what_takes_nothing_away_is_no_break() {
    let harmless = [
        ("/paths", "/~1others", json!({"get": {"responses": {}}})),
        (GET, "/parameters/-", json!({"name": "q", "in": "query"})),
        (GET, "/parameters/0/schema/maximum", json!(500)),
        (GET, "/parameters/0/schema/minimum", json!(null)),
        (GET, "/parameters/0/schema/type", json!(["integer", "string"])),
        (GET, "/responses/503", json!({})),
        (GET, "/responses/200/headers/etag", json!({})),
        (GET, "/summary", json!("Lists things")),
        (THING, "/properties/weight", json!({"type": "number"})),
        (THING, "/properties/id/maxLength", json!(36)),
        (THING, "/properties/size/type", json!("integer")),
        (THING, "/required/-", json!("size")),
        (NEW, "/required/0", json!(null)),
        (NEW, "/properties/hue", json!({"type": "string"})),
        (NEW, "/properties/kind/enum", json!(["big", "small", "tiny"])),
        (NEW, "/properties/kind/enum", json!(null)),
        (NEW, "/properties/name/maxLength", json!(200)),
        (NEW, "/properties/name/type", json!(["string", "null"])),
        (NEW, "/properties/shape/oneOf/-", json!({"type": "object", "properties": {"op": {"enum": ["oval"]}}})),
        (POST, "/requestBody/content/text~1plain", json!({})),
    ];
    assert_eq!(breaks(&document(), &document()), [""; 0]);
    for (place, pointer, value) in harmless {
        assert_eq!(breaks(&document(), &changed(place, pointer, value)), [""; 0], "{place}{pointer}");
    }
}
