//! What one connection of a load sends: one request again and again, or with another id each time.

use serde_json::Value;

/// Ids of one kind that a request can name: numbered ones, so that SQL and pgbench can name them too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ids {
    /// Which kind.
    pub kind: Kind,
    /// The first number.
    pub first: u64,
    /// From one to the next.
    pub step: u64,
    /// How many there are, one at least.
    pub count: u64,
}

/// Kinds of numbered ids: UUIDs of version 7, told apart by the digit behind the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tasks.
    Task = 0,
    /// Users.
    User = 1,
    /// Projects.
    Project = 2,
    /// Sessions.
    Session = 3,
}

/// What is added to the number of an id: all have twelve digits then, and a script of pgbench need not fill them up.
pub const FIRST: u64 = 100_000_000_000;

impl Kind {
    /// The id with this number.
    pub fn id(self, number: u64) -> String {
        format!("01970000-0000-700{}-8000-{}", self as u8, FIRST + number)
    }

    /// SQL that makes an id of text, its number and [`FIRST`]: one operator and one cast, 0.3 µs, are all that a script of
    /// pgbench adds to a statement for it.
    pub fn sql(self, text: &str) -> String {
        numbered(text, &format!("01970000-0000-700{}-8000", self as u8))
    }
}

/// SQL that makes an id of the text of twelve digits behind these first ones.
pub fn numbered(text: &str, first: &str) -> String {
    format!("('{}' || {text})::uuid", first.replace('-', ""))
}

/// One connection's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    before: Vec<u8>,
    ids: Option<Ids>,
    after: Vec<u8>,
}

impl Script {
    /// A GET of one path.
    pub fn get(path: &str, token: Option<&str>) -> Self {
        let (before, after) = (format!("GET {path}"), head("", token));
        Self { before: before.into_bytes(), ids: None, after: after.into_bytes() }
    }

    /// A GET of one path after the other: `{id}` in it is one of `ids`, drawn anew for each request.
    pub fn get_any(path: &str, ids: Ids, token: &str) -> Self {
        let (before, after) = path.split_once("{id}").unwrap_or((path, ""));
        let (before, after) = (format!("GET {before}"), format!("{after}{}", head("", Some(token))));
        Self { before: before.into_bytes(), ids: Some(ids), after: after.into_bytes() }
    }

    /// A POST of one body; the first `{id}` in it is one of `ids`, drawn anew for each request.
    pub fn post_any(path: &str, body: &Value, ids: Ids, token: &str) -> Self {
        let body = body.to_string();
        let (before, after, ids) = match body.split_once("{id}") {
            Some((before, after)) => (before, after, Some(ids)),
            None => (body.as_str(), "", None),
        };
        let length = before.len() + ids.map_or(0, |ids| ids.kind.id(ids.first).len()) + after.len();
        let more = format!("content-type: application/json\r\ncontent-length: {length}\r\n");
        let before = format!("POST {path}{}{before}", head(&more, Some(token)));
        Self { before: before.into_bytes(), ids, after: after.as_bytes().to_vec() }
    }

    /// The request, with the first of its ids where it has any.
    pub fn first(&self) -> Vec<u8> {
        let id = self.ids.map(|ids| ids.kind.id(ids.first).into_bytes()).unwrap_or_default();
        [self.before.as_slice(), &id, &self.after].concat()
    }

    /// Replaces what is in `request` by the next one.
    pub fn write(&self, request: &mut Vec<u8>, random: &mut Random) {
        request.clear();
        request.extend_from_slice(&self.before);
        if let Some(Ids { kind, first, step, count }) = self.ids {
            request.extend_from_slice(kind.id(first + random.below(count) * step).as_bytes());
        }
        request.extend_from_slice(&self.after);
    }
}

/// The rest of a request's head behind its path.
fn head(more: &str, token: Option<&str>) -> String {
    let authorization = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    format!(" HTTP/1.1\r\nhost: localhost\r\n{authorization}{more}\r\n")
}

/// Numbers that look random and cost nothing, the same in each run (splitmix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one, below `count`, which is one at least.
    pub fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % count.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(script: &Script, random: &mut Random) -> String {
        let mut request = b"what was there before".to_vec();
        script.write(&mut request, random);
        String::from_utf8(request).unwrap()
    }

    #[test]
    fn a_script_names_ids_of_its_own_and_many_of_them() {
        let ids = Ids { kind: Kind::Task, first: 3, step: 8, count: 1000 };
        let script = Script::get_any("/tasks/{id}?a=b", ids, "secret");
        let mut random = Random::new(1);
        let requests: std::collections::BTreeSet<String> = (0..1000).map(|_| text(&script, &mut random)).collect();
        assert!(requests.len() > 500, "1000 draws of 1000 ids gave {} different ones", requests.len());
        for request in requests {
            let id = request.strip_prefix("GET /tasks/").unwrap().split('?').next().unwrap();
            let number: u64 = id.strip_prefix("01970000-0000-7000-8000-").unwrap().parse().unwrap();
            let number = number - FIRST;
            assert!(number % 8 == 3 && number < 8000, "{id}");
            assert!(request.ends_with("?a=b HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer secret\r\n\r\n"));
        }
    }

    #[test]
    fn a_post_announces_the_length_of_its_body() {
        let ids = Ids { kind: Kind::Project, first: 1, step: 8, count: 10 };
        for body in [serde_json::json!({"title": "Grüße"}), serde_json::json!({"project_id": "{id}", "title": "a"})] {
            let request = text(&Script::post_any("/tasks", &body, ids, "secret"), &mut Random::new(0));
            let (head, sent) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /tasks HTTP/1.1\r\n"));
            assert!(head.contains(&format!("content-length: {}", sent.len())), "{head}");
            let sent: Value = serde_json::from_str(sent).unwrap();
            assert_eq!(sent["title"], body["title"]);
            assert_eq!(sent["project_id"].as_str().map(str::len), body["project_id"].as_str().map(|_| 36));
        }
    }

    #[test]
    fn an_id_is_a_uuid_and_sql_fills_the_same_digits() {
        let id = Kind::Project.id(42);
        assert_eq!(uuid::Uuid::parse_str(&id).unwrap().get_version_num(), 7);
        assert_eq!(Kind::Project.sql(":p"), "('01970000000070028000' || :p)::uuid");
        assert_eq!(id.replace('-', ""), format!("01970000000070028000{}", FIRST + 42));
    }
}
