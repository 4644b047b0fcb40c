//! The tool `ops`: writes, compares and lists what follows from the objectives.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use ops::catalogue::Catalogue;
use ops::tree::Tree;
use slo::Slo;

/// What EX_USAGE of sysexits.h is.
const USAGE: u8 = 64;

/// Rules, alarms and dashboards from slo.toml and the catalogue of signals.
#[derive(Parser)]
#[command(name = "ops", version)]
struct Arguments {
    /// The repository's root.
    #[arg(long, default_value = ".", global = true)]
    root: PathBuf,
    /// The objectives, from the root.
    #[arg(long, default_value = "slo.toml", global = true)]
    slo: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Writes every file that follows from the objectives.
    Render,
    /// Compares the files with what would be written, and looks for names that nobody emits; 1 when something is wrong.
    Check,
    /// Prints every objective, alert, alarm and panel with its file.
    List {
        /// For people or for machines.
        #[arg(long, value_enum, default_value_t)]
        output: Output,
    },
}

#[derive(Clone, Copy, Default, ValueEnum)]
enum Output {
    #[default]
    Text,
    Json,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no mistakes; clap writes them to standard output.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let slo = match Slo::read(&arguments.root.join(&arguments.slo)) {
        Ok(slo) => slo,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error}");
            return ExitCode::from(USAGE);
        }
    };
    let tree = Tree::new(arguments.root);
    let mut out = io::stdout().lock();
    let done = match arguments.command {
        Command::Render => render(&tree, &slo, &mut out),
        Command::Check => check(&tree, &slo, &mut out),
        Command::List { output } => list(&slo, output, &mut out),
    };
    match done {
        Ok(code) => code,
        // Nobody reads on: `ops list | head`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "ops: {error}");
            ExitCode::FAILURE
        }
    }
}

fn render(tree: &Tree, slo: &Slo, out: &mut impl Write) -> io::Result<ExitCode> {
    for file in ops::rendered(slo) {
        let written =
            tree.write(&file).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.path)))?;
        writeln!(out, "{} {}", if written { "written  " } else { "unchanged" }, file.path)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(tree: &Tree, slo: &Slo, out: &mut impl Write) -> io::Result<ExitCode> {
    let problems = ops::problems(tree, slo, &Catalogue::of_the_code());
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    if problems.is_empty() {
        writeln!(out, "all that is rendered is as it should be, and names only what is emitted")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "{} problem{}", problems.len(), if problems.len() == 1 { "" } else { "s" })?;
    Ok(ExitCode::FAILURE)
}

fn list(slo: &Slo, output: Output, out: &mut impl Write) -> io::Result<ExitCode> {
    let items = ops::items(slo);
    match output {
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&items)?)?,
        Output::Text => {
            for item in items {
                writeln!(out, "{:<10} {:<44} {}\n{:56}{}", item.kind, item.name, item.file, "", item.summary)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}
