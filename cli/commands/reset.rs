//! `sandbox reset`

use std::io::{BufRead, Write};
use std::process::ExitCode;

use vmshim::cache::Cache;
use vmshim::image::inventory::{self, Source};

use crate::args::ResetArgs;
use crate::report::{self, Failure, Outcome};
use crate::state::Paths;

pub(super) fn run(args: &ResetArgs) -> Outcome {
    if !args.force && !confirmed() {
        return Err(Failure::new("nothing was reset")
            .help("answer `y`, or do not be asked with `sandbox reset --force`"));
    }
    let paths = Paths::from_env()?;
    for name in paths.names()? {
        super::rm::remove(&paths, &name)?;
    }
    // Recipes' templates are this program's own and cost a minute each; images can be pulled again.
    let cache = Cache::new(paths.cache());
    let images = inventory::list(&cache);
    for image in images.iter().filter(|entry| entry.source == Source::Image) {
        inventory::remove(&cache, image).map_err(|error| Failure::of(&error))?;
    }
    inventory::sweep(&cache).map_err(|error| Failure::of(&error))?;
    // Made again from the lists when a proxy next reads them.
    let _ = std::fs::remove_dir_all(paths.lists());
    report::print("All VMs reset successfully")?;
    Ok(ExitCode::SUCCESS)
}

/// Asks at the terminal, in Docker's words. No answer is a no.
fn confirmed() -> bool {
    let question = "⚠️  WARNING: This will permanently delete all VM data and stop all running agents!\n\
                    Are you sure you want to continue? (y/N): ";
    let mut stderr = std::io::stderr().lock();
    // Whoever does not see the question does not answer it.
    let asked = write!(stderr, "{question}").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().lock().read_line(&mut answer));
    if !answer.ends_with('\n') {
        report::say("");
    }
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
