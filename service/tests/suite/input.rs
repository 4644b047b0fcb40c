//! Input that no client of good will sends. Each is refused with a problem that says why, and none is an error of ours.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::given::{self, task};
use super::harness::client::{Api, User};
use super::harness::reply::Reply;
use super::harness::{TestApp, on_both_backends};

const JSON: &str = "application/json";
const BODY_BYTES_MAX: usize = 1024 * 1024;
const URI_BYTES_MAX: usize = 8 * 1024;

async fn create(api: &Api, body: impl Into<reqwest::Body>) -> Reply {
    api.request(Method::POST, "tasks").body(JSON, body).await
}

/// Sends bytes that no HTTP client would, and returns the status and the rest of the answer.
async fn raw(app: &TestApp, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(app.running.api).await.expect("the service listens");
    stream.write_all(request).await.expect("the service reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("the service answers and closes");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status in {answer:?}")), answer)
}

/// A body of exactly so many bytes that creates a task.
fn padded(bytes: usize) -> String {
    format!("{{\"title\":\"t\"{}}}", " ".repeat(bytes - 13))
}

fn get(user: &User, target: &[u8], header: &[u8]) -> Vec<u8> {
    let token = format!("host: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n", user.access_token);
    [b"GET ".as_slice(), target, b" HTTP/1.1\r\n", token.as_bytes(), header, b"\r\n"].concat()
}

on_both_backends! {
    async fn a_nul_is_refused_wherever_text_goes(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        for (field, value) in [
            ("title", json!("a\0b")), ("description", json!("\0")), ("labels", json!(["a\0"])), ("status", json!("todo\0")),
            ("priority", json!("\0low")), ("assignee_id", json!("\0")), ("parent_id", json!("\0")),
            ("due_at", json!("2026-12-01T00:00:00Z\0")),
        ] {
            let pointer = if field == "labels" { "/labels/0".to_owned() } else { format!("/{field}") };
            let mut body = json!({"title": "t"});
            body[field] = value.clone();
            ann.post("tasks", body.clone()).await.problem(422, "invalid-body").pointer(&pointer);
            ann.patch(&given::path(&made), body).await.problem(422, "invalid-body").pointer(&pointer);
        }
        for field in ["id", "project_id"] {
            let mut body = json!({"title": "t"});
            body[field] = json!("\0");
            ann.post("tasks", body).await.problem(422, "invalid-body").pointer(&format!("/{field}"));
        }
        for (path, field) in [("projects", "name"), ("auth/register", "name"), ("auth/register", "email")] {
            let mut body = match path {
                "projects" => json!({"name": "n"}),
                _ => json!({"name": "n", "email": "n@example.com", "password": "long enough"}),
            };
            body[field] = json!("a\0@example.com");
            ann.post(path, body).await.problem(422, "invalid-body").pointer(&format!("/{field}"));
        }
        for parameter in ["q", "label", "cursor", "status", "sort", "limit", "project_id", "due_after"] {
            ann.get(&format!("tasks?{parameter}=a%00b")).await.problem(400, "");
        }
        for path in ["tasks/%00", "tasks/%00/activity", "%00"] {
            ann.get(path).await.problem(404, "not-found");
        }
        assert_eq!(given::now(&ann, &made).await, made);
    }

    async fn half_a_surrogate_pair_is_no_text(app: TestApp) {
        let ann = app.register("ann").await;
        for body in [
            r#"{"title":"\ud800"}"#, r#"{"title":"\udc00"}"#, r#"{"title":"a\ud83dx"}"#, r#"{"title":"\ud83d\ud83d"}"#,
            r#"{"title":"t","description":"\udfff"}"#, r#"{"title":"t","labels":["\ud800"]}"#,
            r#"{"title":"t","\ud800":1}"#, r#"{"title":"\u00g0"}"#, r#"{"title":"\u12"}"#, r#"{"title":"\x41"}"#,
        ] {
            create(&ann, body).await.problem(400, "malformed-request");
        }
        assert_eq!(create(&ann, r#"{"title":"\ud83d\ude80"}"#).await.expect(201).text_at("/title"), "🚀");
    }

    async fn what_is_not_json_is_400_and_says_where(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let nested = [b"{\"title\":\"".as_slice(), &[0xff, 0xfe], b"\"}"].concat();
        for body in [
            &b""[..], b" ", b"{", b"{\"title\":\"t\"", b"{\"title\":\"t\"}}", b"{\"title\":\"t\"} x", b"title=t", b"\xff\xfe",
            b"\xef\xbb\xbf{\"title\":\"t\"}", b"{'title':'t'}", b"{\"title\":\"a\nb\"}", b"{title:\"t\"}", b"{\"title\":NaN}",
            b"{\"title\":\"t\",}", b"{\"title\":01}", b"\0", b"{\"title\":\"\xc3\x28\"}", nested.as_slice(),
        ] {
            create(&ann, body.to_vec()).await.problem(400, "malformed-request");
            let patch = ann.request(Method::PATCH, &given::path(&made)).body(JSON, body.to_vec());
            patch.await.problem(400, "malformed-request");
        }
        create(&ann, r#"{"title":"t","labels":["a", nope]}"#).await.problem(400, "").pointer("/labels/1");
        assert_eq!(given::now(&ann, &made).await, made);
    }

    async fn a_value_of_the_wrong_type_is_refused_by_name(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let scalars = [json!(0), json!(-1), json!(1.5), json!(true), json!({}), json!({"a": 1}), json!([]), json!([null])];
        let fields =
            ["title", "description", "status", "priority", "labels", "assignee_id", "parent_id", "due_at", "id", "project_id"];
        for field in fields {
            for value in &scalars {
                if field == "labels" && *value == json!([]) {
                    continue;
                }
                let mut body = json!({"title": "t"});
                body[field] = value.clone();
                let pointer = if field == "labels" && value.is_array() { "/labels/0".into() } else { format!("/{field}") };
                ann.post("tasks", body.clone()).await.problem(422, "invalid-body").pointer(&pointer);
                let reply = ann.patch(&given::path(&made), body).await.problem(422, "invalid-body");
                reply.pointer(&pointer);
            }
        }
        for body in [json!([]), json!("title"), json!(7), json!(null), json!(true), json!([{"title": "t"}])] {
            ann.post("tasks", body.clone()).await.problem(422, "invalid-body");
            ann.patch(&given::path(&made), body.clone()).await.problem(422, "invalid-body");
            ann.post("tasks/batch", body).await.problem(422, "invalid-body");
        }
        assert_eq!(given::now(&ann, &made).await, made);
    }

    async fn an_unknown_missing_or_repeated_field_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        for field in ["titel", "Title", "created_by", "version", "__proto__", "", "a/b", "a~b", "ü", "completed_at"] {
            let mut body = json!({"title": "t"});
            body[field] = json!("x");
            let pointer = format!("/{}", field.replace('~', "~0").replace('/', "~1"));
            ann.post("tasks", body).await.problem(422, "invalid-body").pointer(&pointer);
        }
        ann.post("tasks", json!({})).await.problem(422, "invalid-body").pointer("/title");
        ann.post("tasks", json!({"description": "d"})).await.problem(422, "invalid-body").pointer("/title");
        create(&ann, r#"{"title":"a","title":"b"}"#).await.problem(422, "invalid-body").pointer("/title");
        assert_eq!(given::titles(&ann, "").await, Vec::<String>::new());
    }

    async fn numbers_beyond_all_bounds_are_refused(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let digits = "9".repeat(10_000);
        for number in ["-0", "-0.0", "1e400", "-1e400", "1e-400", "9223372036854775808", "18446744073709551616", &digits] {
            let reply = create(&ann, format!(r#"{{"title":{number}}}"#)).await;
            assert!([400, 422].contains(&reply.status), "{reply}");
            let status = reply.status;
            reply.problem(status, "").pointer("/title");
            let id = made["id"].as_str().unwrap_or_default();
            let body = format!(r#"{{"operations":[{{"op":"delete","id":"{id}","version":{number}}}]}}"#);
            let reply = ann.request(Method::POST, "tasks/batch").body(JSON, body).await;
            // A version may be any whole number; none of these is the task's.
            assert!([400, 422].contains(&reply.status) || *reply.at("/results/0/status") == json!(412), "{reply}");
        }
        assert_eq!(given::now(&ann, &made).await, made);
    }

    async fn a_day_that_does_not_exist_is_no_due_date(app: TestApp) {
        let ann = app.register("ann").await;
        for due_at in [
            "2026-02-30T00:00:00Z", "2025-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z",
            "9999-12-31T23:59:59Z", "3000-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "0000-01-01T00:00:00Z",
            "+10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00Z",
            "2026-1-1T00:00:00Z", "20260101T000000Z", "2026-W01-1", "1767225600", "now", "", " ", "2026-01-01T00:00:00+25:00",
            "2026-01-01T00:00:00Z ", "2026-01-01T00:00:00+02", "2026-01-01T00:00:00[Europe/Paris]", "２０２６-01-01T00:00:00Z",
            "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00,5Z", "2026-01-01_00:00:00Z", "1970-01-01T00:00:00+00:01",
        ] {
            let body = json!({"title": due_at, "due_at": due_at});
            let reply = ann.post("tasks", body).await;
            assert!(reply.status == 422, "{due_at}\n{reply}");
            reply.problem(422, "invalid-body").pointer("/due_at");
        }
    }

    async fn more_than_a_field_holds_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        let labels: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
        ann.post("tasks", json!({"title": "t", "labels": labels})).await.problem(422, "invalid-body").pointer("/labels");
        let long = "x".repeat(64 * 1024 + 1);
        let body = json!({"title": "t", "description": long});
        ann.post("tasks", body).await.problem(422, "invalid-body").pointer("/description");
        for (title, labels) in [(long.as_str(), json!([])), ("t", json!([long]))] {
            ann.post("tasks", json!({"title": title, "labels": labels})).await.problem(422, "invalid-body");
        }
        let many: Vec<Value> = (0..5_000).map(|_| json!({"op": "delete", "id": "x"})).collect();
        let reply = ann.post("tasks/batch", json!({"operations": many})).await;
        reply.problem(422, "invalid-body").pointer("/operations");
    }

    async fn a_body_of_more_than_a_mebibyte_is_413(app: TestApp) {
        let ann = app.register("ann").await;
        create(&ann, padded(BODY_BYTES_MAX)).await.expect(201);
        for bytes in [BODY_BYTES_MAX + 1, 2 * BODY_BYTES_MAX, 8 * BODY_BYTES_MAX] {
            create(&ann, padded(bytes)).await.problem(413, "body-too-large");
            let head = format!(
                "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
                 content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{bytes:x}\r\n",
                ann.access_token
            );
            let chunked = [head.as_bytes(), padded(bytes).as_bytes(), b"\r\n0\r\n\r\n"].concat();
            let (status, answer) = raw(&app, &chunked).await;
            assert_eq!(status, 413, "{answer}");
            assert!(answer.contains("body-too-large"), "{answer}");
        }
        // What is announced is refused before any of it is sent.
        let announced = format!(
            "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n\
             content-type: application/json\r\ncontent-length: 1099511627776\r\n\r\n",
            ann.access_token
        );
        let mut stream = TcpStream::connect(app.running.api).await.expect("the service listens");
        stream.write_all(announced.as_bytes()).await.expect("the service reads");
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.expect("the service answers");
        assert_eq!(answer, *b"HTTP/1.1 413");
        assert_eq!(given::titles(&ann, "").await, ["t"]);
    }

    /// A client that is still sending when it is refused must get to read why, not a broken connection.
    async fn a_refusal_reaches_a_client_that_is_still_sending(app: TestApp) {
        let ann = app.register("ann").await;
        let stranger = app.api.with_token("not a token");
        let body = || padded(8 * BODY_BYTES_MAX);
        for _ in 0..3 {
            create(&stranger, body()).await.problem(401, "unauthenticated");
            let text = ann.request(Method::POST, "tasks").body("text/plain", body());
            text.await.problem(415, "unsupported-media-type");
            ann.request(Method::POST, "nowhere").body(JSON, body()).await.problem(404, "not-found");
            ann.request(Method::PUT, "tasks").body(JSON, body()).await.problem(405, "method-not-allowed");
        }
    }

    async fn json_of_any_depth_is_refused_without_harm(app: TestApp) {
        let ann = app.register("ann").await;
        for depth in [10, 127, 128, 129, 1_000, 100_000] {
            for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
                let deep = format!("{}null{}", open.repeat(depth), close.repeat(depth));
                for body in [
                    deep.clone(),
                    format!(r#"{{"title":{deep}}}"#),
                    format!(r#"{{"title":"t","labels":{deep}}}"#),
                    format!(r#"{{"title":"t","unknown":{deep}}}"#),
                ] {
                    let reply = create(&ann, body).await;
                    assert!([400, 422].contains(&reply.status), "depth {depth}: {}", reply.status);
                    let status = reply.status;
                    reply.problem(status, "");
                }
                let body = format!(r#"{{"operations":[{{"op":"create","task":{deep}}}]}}"#);
                let reply = ann.request(Method::POST, "tasks/batch").body(JSON, body).await;
                assert!([400, 422].contains(&reply.status), "depth {depth}: {}", reply.status);
            }
        }
        assert_eq!(given::titles(&ann, "").await, Vec::<String>::new());
    }

    async fn a_body_of_another_type_is_415(app: TestApp) {
        let ann = app.register("ann").await;
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "text/json", "application/json, text/plain", "*/*", ""] {
            let call = ann.request(Method::POST, "tasks").body(content_type, r#"{"title":"t"}"#);
            call.await.problem(415, "unsupported-media-type");
        }
        ann.request(Method::POST, "tasks").await.problem(415, "unsupported-media-type");
        assert_eq!(given::titles(&ann, "").await, Vec::<String>::new());
    }

    async fn a_uri_over_8_kib_is_414(app: TestApp) {
        let ann = app.register("ann").await;
        let padding = |path: &str, bytes: usize| "x".repeat(bytes - path.len());
        let (path, query) = ("/api/v1/tasks/", "/api/v1/tasks?label=");
        let long = |start: &str, bytes: usize| format!("{start}{}", padding(start, bytes));
        ann.get(&long(path, URI_BYTES_MAX)).await.problem(404, "not-found");
        ann.get(&long(query, URI_BYTES_MAX)).await.problem(400, "invalid-parameter");
        for bytes in [URI_BYTES_MAX + 2, 4 * URI_BYTES_MAX] {
            ann.get(&long(path, bytes)).await.problem(414, "uri-too-long");
            ann.get(&long(query, bytes)).await.problem(414, "uri-too-long");
            app.api.get(&long("/", bytes)).await.problem(414, "uri-too-long");
        }
    }

    async fn what_decodes_to_no_text_is_refused(app: TestApp) {
        let ann = app.register("ann").await;
        for path in ["tasks/%FF", "tasks/%C3%28", "tasks/%", "tasks/%zz", "tasks/%E0%80%AF", "%FF", "tasks/%2e%2e%2fme"] {
            let (status, answer) = raw(&app, &get(&ann, format!("/api/v1/{path}").as_bytes(), b"")).await;
            assert_eq!(status, 404, "{path}: {answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
        for query in [
            "label=%FF", "label=%C3%28", "label=%", "label=%zz", "label=a%2", "q=%FFword", "cursor=%FF", "%FF=x", "label=%ED%A0%80",
            "sort=created_at&label=%C0%80",
        ] {
            let (status, answer) = raw(&app, &get(&ann, format!("/api/v1/tasks?{query}").as_bytes(), b"")).await;
            assert_eq!(status, 400, "{query}: {answer}");
            assert!(answer.contains("application/problem+json") && answer.contains("invalid-parameter"), "{answer}");
        }
    }

    async fn headers_that_are_no_text_are_refused_or_ignored(app: TestApp) {
        let ann = app.register("ann").await;
        let made = task(&ann, json!({"title": "t"})).await;
        let target = format!("/api/v1/{}", given::path(&made));
        for (header, expected) in [
            (&b"if-none-match: \xff\xfe\r\n"[..], 200), (b"if-none-match: \"1\"\xff\r\n", 200), (b"x-request-id: \xff\r\n", 200),
            (b"traceparent: 00-\xff\r\n", 200), (b"accept: \xff\r\n", 200), (b"content-type: \xff\r\n", 200),
        ] {
            let (status, answer) = raw(&app, &get(&ann, target.as_bytes(), header)).await;
            assert_eq!(status, expected, "{}: {answer}", String::from_utf8_lossy(header));
        }
        let post = |headers: &[u8], body: &str| {
            let head = format!(
                "POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\ncontent-length: {}\r\n",
                ann.access_token,
                body.len()
            );
            [head.as_bytes(), headers, b"\r\n", body.as_bytes()].concat()
        };
        for (headers, expected) in [
            (&b"content-type: application/json\r\nidempotency-key: \xff\r\n"[..], 400),
            (b"content-type: application/\xffjson\r\n", 415),
        ] {
            let (status, answer) = raw(&app, &post(headers, r#"{"title":"t2"}"#)).await;
            assert_eq!(status, expected, "{answer}");
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
        let bearer = b"GET /api/v1/me HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer \xff\xfe\r\n\r\n";
        assert_eq!(raw(&app, bearer).await.0, 401);
        let if_match = format!(
            "DELETE {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {}\r\n", ann.access_token
        );
        let stale = [if_match.as_bytes(), b"if-match: \"1\"\xff\r\n\r\n"].concat();
        assert_eq!(raw(&app, &stale).await.0, 412, "an If-Match that cannot be read matches nothing");
        assert_eq!(given::titles(&ann, "").await, ["t"]);
    }

    async fn bytes_that_are_no_http_get_400_and_the_service_lives_on(app: TestApp) {
        let ann = app.register("ann").await;
        let uri = [b"/api/v1/tasks?label=".as_slice(), &[0xff, 0xfe]].concat();
        for request in [
            get(&ann, &uri, b""),
            get(&ann, b"/api/v1/tasks/\xff", b""),
            get(&ann, b"/api/v1/tasks", b"bad header: x\r\n"),
            get(&ann, b"/api/v1/tasks", b"x: a\0b\r\n"),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
            b"GET\r\n\r\n".to_vec(),
            b"POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".to_vec(),
            b"POST /api/v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_vec(),
        ] {
            let (status, answer) = raw(&app, &request).await;
            assert_eq!(status, 400, "{}\n{answer}", String::from_utf8_lossy(&request));
        }
        ann.get("tasks").await.expect(200);
    }
}
