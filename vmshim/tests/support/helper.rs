//! Stands in for `sandbox` where vmshim's tests need a program to re-execute.
//!
//! `supervise` reads a spec from standard input; `sleep` is a proxy that does nothing; anything else is a helper's role.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

#[expect(clippy::print_stderr, reason = "a program says why it failed")]
fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            let mut source = error.source();
            while let Some(cause) = source {
                eprintln!("  {cause}");
                source = cause.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args_os().nth(1).unwrap_or_default();
    if argument != "supervise" {
        return Ok(vmshim::helper::main(&argument)?);
    }
    let mut spec = String::new();
    std::io::stdin().read_to_string(&mut spec)?;
    Ok(vmshim::supervise::run(serde_json::from_str(&spec)?)?)
}
