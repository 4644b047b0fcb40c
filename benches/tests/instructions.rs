//! The gate: no change makes a request dearer unseen.

use std::io::Write as _;

use benches::instructions::{Counted, count, file};

#[tokio::test]
async fn no_request_takes_more_instructions_than_the_committed_figures_and_five_percent() {
    let committed = std::fs::read_to_string(file()).expect("the committed figures");
    let committed = Counted::parse(&committed).expect("the committed figures");
    let Some(counted) = count(None).await.expect("the requests are counted") else {
        return testkit::skip("valgrind");
    };
    // Past the harness, which shows nothing of a test that passes: a build log is where figures are compared over time.
    let _ = writeln!(std::io::stderr(), "{}", counted.table(&committed));
    let differences = counted.differences(&committed);
    assert!(differences.is_empty(), "\n{}\n", differences.join("\n"));
}
