//! How SQLite runs the lists: off an index, whatever is asked. PostgreSQL's real plans are in `tests/suite/plans.rs`.

use diesel::SqliteConnection;

use super::sqlite::PLACES;
use super::*;
use crate::store::{migrate, sqlite};

fn filters() -> Vec<(Filter, &'static [Sort])> {
    let (id, time) = (Some(Uuid::nil()), Some(Timestamp::UNIX_EPOCH));
    vec![
        (Filter::default(), &Sort::ALL),
        (Filter { status: Some(Status::Todo), ..Filter::default() }, &Sort::ALL),
        (Filter { priority: Some(Priority::High), ..Filter::default() }, &[Sort::CreatedAt, Sort::Priority]),
        (Filter { assignee_id: id, ..Filter::default() }, &[Sort::CreatedAt, Sort::DueAt]),
        (Filter { parent_id: id, ..Filter::default() }, &[Sort::CreatedAt]),
        (Filter { due_before: time, ..Filter::default() }, &[Sort::DueAt]),
        (Filter { due_after: time, ..Filter::default() }, &[Sort::DueAt]),
        (Filter { label: Some("bug".into()), ..Filter::default() }, &[Sort::CreatedAt]),
        (Filter { words: Some(vec!["word".into()]), ..Filter::default() }, &[Sort::CreatedAt]),
    ]
}

fn plan(connection: &mut SqliteConnection, statement: Statement<SeenRow>) -> Vec<String> {
    let rows: Vec<(i32, i32, i32, String)> = diesel::RunQueryDsl::load(statement.explained(), connection).unwrap();
    rows.into_iter().map(|(_, _, _, text)| text).collect()
}

/// The searches of an index of tasks: whether each reads the index alone.
fn from_index(lines: &[String]) -> impl Iterator<Item = bool> {
    lines.iter().filter_map(|line| {
        let is_alone = line.starts_with("SEARCH x USING COVERING INDEX tasks_by_");
        (is_alone || line.starts_with("SEARCH x USING INDEX tasks_by_")).then_some(is_alone)
    })
}

async fn migrated(directory: &std::path::Path) -> SqliteConnection {
    let path = directory.join("tasks.db");
    migrate::run(&format!("sqlite://{}", path.display()), migrate::Command::Up).await.unwrap();
    sqlite::connect(path.to_str().unwrap(), true).unwrap()
}

/// Every filter with every sort that serves it, either way, from the first row and from a key.
fn every_page() -> impl Iterator<Item = (Filter, Order, Option<Key>)> {
    let key = Key { first: 1, second: 1, id: Uuid::nil() };
    filters().into_iter().flat_map(move |(filter, sorts)| {
        sorts.iter().flat_map(move |sort| {
            let filter = filter.clone();
            [Direction::Ascending, Direction::Descending].into_iter().flat_map(move |direction| {
                [None, Some(key)].map(|after| (filter.clone(), Order { sort: *sort, direction }, after))
            })
        })
    })
}

#[tokio::test]
async fn sqlite_serves_every_list_from_an_index_in_its_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut connection = migrated(directory.path()).await;
    for (mut filter, order, after) in every_page() {
        for project_id in [None, Some(Uuid::nil())] {
            filter.project_id = project_id;
            let lines = plan(&mut connection, statement(true, Uuid::nil(), &filter, order, after, 50).unwrap());
            let shown = format!("{filter:?} by {order:?} from {after:?}: {lines:#?}");
            let starts = |text: &str| lines.iter().filter(|line| line.starts_with(text)).count();
            assert_eq!(from_index(&lines).count(), 1, "tasks come off an index: {shown}");
            assert_eq!(starts("SCAN x") + starts("SCAN t ") + starts("SCAN m"), 0, "no table is read whole: {shown}");
            let sorts = usize::from(project_id.is_none());
            assert_eq!(starts("USE TEMP B-TREE"), sorts, "only the merged pages are sorted: {shown}");
            let seeks = lines.iter().any(|line| line.starts_with("SEARCH x") && line.contains(",id)"));
            assert_eq!(seeks, after.is_some(), "a deep page begins at its key: {shown}");
        }
    }
}

#[tokio::test]
async fn sqlite_merges_a_few_projects_without_sorting_anything() {
    let directory = tempfile::tempdir().unwrap();
    let mut connection = migrated(directory.path()).await;
    for (filter, order, after) in every_page() {
        for places in PLACES {
            let projects = vec![Uuid::nil(); places];
            let page = merged(Uuid::nil(), &projects, &filter, order, after, 50).unwrap();
            let lines = plan(&mut connection, page);
            let shown = format!("{filter:?} by {order:?} from {after:?}: {lines:#?}");
            let starts = |text: &str| lines.iter().filter(|line| line.starts_with(text)).count();
            assert_eq!(from_index(&lines).count(), places, "each comes off an index: {shown}");
            let narrowed = Filter { status: None, words: None, label: None, ..filter.clone() };
            let common = [Sort::CreatedAt, Sort::UpdatedAt].contains(&order.sort) && narrowed == Filter::default();
            assert_eq!(from_index(&lines).all(|is_alone| is_alone), common, "nothing else is read: {shown}");
            assert_eq!(starts("MERGE (UNION ALL)"), places - 1, "{shown}");
            assert_eq!(starts("SCAN x") + starts("SCAN m") + starts("USE TEMP B-TREE"), 0, "{shown}");
            let legs = lines.iter().filter_map(|line| {
                let is_membership = line.starts_with("SEARCH m EXISTS USING PRIMARY KEY");
                (is_membership || line.starts_with("SEARCH x")).then_some(is_membership)
            });
            assert!(legs.eq([true, false].repeat(places)), "who has no membership reads nothing: {shown}");
            let seeks = lines.iter().filter(|line| line.starts_with("SEARCH x") && line.contains(",id)")).count();
            assert_eq!(seeks, if after.is_some() { places } else { 0 }, "a deep page begins at its key: {shown}");
        }
    }
}

#[tokio::test]
async fn a_search_of_somebody_without_a_project_matches_nothing_and_is_no_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let mut connection = migrated(directory.path()).await;
    let text = format!("SELECT rowid FROM tasks_text WHERE tasks_text MATCH ({MATCHING})");
    let binds = vec![Bind::from("\"word\"".to_owned()), Bind::from(Uuid::nil())];
    let statement = Statement::<(diesel::sql_types::BigInt,)>::new(text, binds);
    let rows: Vec<(i64,)> = diesel::RunQueryDsl::load(statement, &mut connection).unwrap();
    assert_eq!(rows, []);
}
