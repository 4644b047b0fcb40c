//! The tool `loadtest`.

use std::process::ExitCode;

use clap::Parser;
use loadtest::cli::Arguments;
use loadtest::commands::{self, USAGE};

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes; clap writes them to standard output.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    // One thread for what is not measured; the generator has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => {
            let code = runtime.block_on(commands::execute(arguments));
            runtime.shutdown_background(); // a name that is still being looked up does not keep the process
            code
        }
        Err(_) => ExitCode::from(2),
    }
}
