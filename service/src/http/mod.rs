//! HTTP: the routes, the edge around them, errors as problem details, and the two listeners.

pub mod admin;
pub mod cursor;
pub mod docs;
pub mod edge;
pub mod etag;
pub mod extract;
pub mod guarded;
pub mod json;
pub mod linger;
pub mod merge_patch;
pub mod object;
pub mod observed;
pub mod openapi;
pub mod problem;
pub mod query;
pub mod rate_limit;
pub mod replay;
pub mod routes;
pub mod serve;
pub mod stream;
pub mod validate;
