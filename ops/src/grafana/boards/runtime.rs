//! Runtime and process: which build runs where, and has it what it needs?

use crate::grafana::board::Board;
use crate::grafana::panel::{Limit, Panel, Unit};
use crate::prometheus::BUSY_MAX;

/// Of what a process may use at most: above it, it is time to look.
const FULL: f64 = 0.8;

/// The dashboard.
pub(super) fn board() -> Board {
    Board {
        uid: "task-api-runtime",
        title: "Task API / Runtime and process",
        about: "Which build runs where, and has each process the CPU, memory and descriptors that it needs?",
        from: "now-6h",
        targets_of: "build_info",
        choices: Vec::new(),
        sections: vec![
            ("What runs?", vec![builds(), started(), scraped()]),
            ("Does the runtime keep up?", vec![workers(), queue(), delay(), alive(), parks()]),
            ("Has it what it needs?", vec![cpu(), memory(), address_space(), descriptors(), threads(), panics()]),
        ],
    }
}

fn builds() -> Panel {
    Panel::figures("Which build runs, on how many instances?", Unit::Count)
        .good("Good is one, or two while a release rolls out.")
        .query("{{version}} ({{revision}})", "count by (version, revision) (build_info{@target})")
}

fn started() -> Panel {
    Panel::figures("When did each instance start?", Unit::Ago)
        .good("Good is at the last release; an instance that is much younger crashed or was moved.")
        .query("{{instance}}", "max by (instance) (process_start_time_seconds{@target}) * 1000")
}

fn scraped() -> Panel {
    Panel::figures("Is each instance scraped?", Unit::Count)
        .good("1 is yes. Good is 1 everywhere: what is not scraped can be seen on no panel.")
        .query("{{instance}}", "min by (instance) (up{@target})")
        .limit(Limit::AtLeast(1.0))
        .word("0", "down")
        .word("1", "up")
        .runbook("TargetDown")
}

fn workers() -> Panel {
    let busy = "sum by (instance) (rate(tokio_worker_busy_seconds_total{@target}@rate))";
    Panel::graph("How busy are the runtime's workers?", Unit::Share)
        .good(
            "Time that workers were busy over the time they had. Good is below the line, above which RuntimeSaturated comes: at \
             100 % every request waits.",
        )
        .query("{{instance}}", format!("{busy} / sum by (instance) (tokio_workers{{@target}})"))
        .limit(Limit::AtMost(BUSY_MAX))
        .runbook("RuntimeSaturated")
}

fn queue() -> Panel {
    Panel::graph("How many tasks wait for a worker?", Unit::Count)
        .good(
            "In the queue that all workers share. Good is 0 or little more; a queue that stays is a saturated runtime.",
        )
        .query("{{instance}}", "sum by (instance) (tokio_global_queue_depth{@target})")
        .runbook("RuntimeSaturated")
}

fn delay() -> Panel {
    let buckets = "sum by (le, instance) (rate(tokio_scheduling_delay_seconds_bucket{@target}@rate))";
    Panel::graph("How much later than asked does the runtime wake a task?", Unit::Seconds)
        .good("What 99 % of the wakes stay below. Good is some milliseconds: every request pays this at each of its waits.")
        .query("{{instance}}", format!("histogram_quantile(0.99, {buckets})"))
        .runbook("RuntimeSaturated")
}

fn alive() -> Panel {
    Panel::graph("How many tasks does the runtime hold?", Unit::Count)
        .good("Good follows connections and requests; one that only grows is a leak.")
        .query("{{instance}}", "sum by (instance) (tokio_alive_tasks{@target})")
        .width(12)
}

fn parks() -> Panel {
    Panel::graph("How often do workers find nothing to do?", Unit::Rate)
        .good("Times per second that a worker went to sleep. Good is many; near 0 under load is a saturated runtime.")
        .query("{{instance}}", "sum by (instance) (rate(tokio_worker_parks_total{@target}@rate))")
        .width(12)
}

fn cpu() -> Panel {
    Panel::graph("How many cores does each instance keep busy?", Unit::Count)
        .good("User and system time per second. Good is below what the task was given (0.25 on the smallest).")
        .query("{{instance}}", "sum by (instance) (rate(process_cpu_seconds_total{@target}@rate))")
}

fn memory() -> Panel {
    Panel::graph("How much memory does each instance hold?", Unit::Bytes)
        .good(
            "In RAM. Good is flat after some minutes, and far below what the task was given (512 MiB on the smallest).",
        )
        .query("{{instance}}", "sum by (instance) (process_resident_memory_bytes{@target})")
}

fn address_space() -> Panel {
    Panel::graph("How much address space does each instance map?", Unit::Bytes)
        .good("Costs nothing by itself. Good is flat: steps that never end are a leak of threads or maps.")
        .query("{{instance}}", "sum by (instance) (process_virtual_memory_bytes{@target})")
}

fn descriptors() -> Panel {
    Panel::graph("How many of its file descriptors does each instance use?", Unit::Share)
        .good("Open over the most that it may open. Good is far below the line: without one no connection is accepted.")
        .query(
            "{{instance}}",
            "sum by (instance) (process_open_fds{@target}) / sum by (instance) (process_max_fds{@target})",
        )
        .limit(Limit::AtMost(FULL))
}

fn threads() -> Panel {
    Panel::graph("How many threads does each instance have?", Unit::Count)
        .good("Good is flat: the workers, and those for files and passwords.")
        .query("{{instance}}", "sum by (instance) (process_threads{@target})")
}

fn panics() -> Panel {
    Panel::graph("Does anything panic?", Unit::Rate)
        .good("Panics per second. Good is 0: each is a mistake in our code, a 500 for a user and an event in Sentry.")
        .query("{{instance}}", "sum by (instance) (rate(panics_total{@target}@rate))")
        .runbook("RequestPanicked")
}
