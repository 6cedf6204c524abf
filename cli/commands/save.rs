//! `sandbox save`: a sandbox's file system as a template, or as an archive.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use vmshim::attach;
use vmshim::cache::Cache;
use vmshim::client::Client;
use vmshim::image::oci::{self, Export, Reference};
use wire::exec::Exit;
use wire::message::Exec;

use crate::args::SaveArgs;
use crate::lifecycle::{self, block_on};
use crate::progress::Progress;
use crate::report::{self, Failure, Outcome, USAGE};
use crate::state::Paths;

/// Prints the root file system as a tar stream. Other file systems are left out: shared folders, the kernel's,
/// images of a Docker inside. So is what each start writes anew, which may hold this sandbox's variables. No path may
/// come twice: Docker refuses such a layer.
const PACK: &str = r#"set -e
tar --version 2>/dev/null | grep -q GNU || { echo "the sandbox has no GNU tar" >&2; exit 1; }
clean=$(mktemp -d)
trap 'rm -rf "$clean"' EXIT
mkdir "$clean/etc"
for file in environment gitconfig hosts; do
    [ -f "/etc/$file" ] || continue
    sed '/^# >>> sandbox/,/^# <<< sandbox/d' "/etc/$file" > "$clean/etc/$file"
    set -- "$@" "etc/$file"
done
tar --create --file=- --one-file-system --numeric-owner --xattrs --xattrs-include='*' \
    --warning=no-file-changed --warning=no-file-ignored --warning=no-file-removed \
    --exclude=./etc/environment --exclude=./etc/gitconfig --exclude=./etc/hosts \
    --exclude=./etc/profile.d/sandbox.sh --exclude=./etc/sudoers.d/sandbox-proxy \
    --exclude=./etc/apt/apt.conf.d/90sandbox \
    --exclude="./${clean#/}" --exclude='./var/lib/docker/*' \
    --directory=/ . --directory="$clean" "$@" || [ $? = 1 ]
"#;

pub(super) fn run(args: &SaveArgs) -> Outcome {
    let tag: Reference = args.tag.parse().map_err(|error: oci::ReferenceError| {
        let help = error.help();
        Failure::of(&error).maybe_help(help).code(USAGE)
    })?;
    let paths = Paths::from_env()?;
    let sandbox = paths.open(&args.sandbox)?;
    let progress = Progress::new();
    let client = lifecycle::ensure_running(&paths, &sandbox, &progress)?;
    progress.phase("reading the sandbox's file system");
    let cache = Cache::new(paths.cache());
    let scratch = args.output.as_deref().and_then(Path::parent);
    let scratch = scratch.filter(|dir| !dir.as_os_str().is_empty());
    let scratch = match (&args.output, scratch) {
        (Some(_), Some(dir)) => dir,
        (Some(_), None) => Path::new("."),
        (None, _) => cache.root(),
    };
    let layer = temporary(scratch)?;
    let export = block_on(pack(&client, Export::new(layer)))?;
    let (layer, digest) = export.finish();
    progress.phase("writing the template");
    let mut archive =
        tempfile::NamedTempFile::new_in(scratch).map_err(|error| cannot(scratch, &error))?;
    oci::write_archive(&args.tag, layer, &digest, "agent", archive.as_file_mut())
        .map_err(|error| cannot(scratch, &error))?;
    match &args.output {
        Some(path) => {
            archive
                .persist(path)
                .map_err(|error| cannot(path, &error.error))?;
            drop(progress);
            report::print(path.display())?;
        }
        None => {
            let template = oci::import_archive(&cache, archive.path(), &progress);
            let template = template.map_err(|error| {
                let help = error.help();
                Failure::of(&error).maybe_help(help)
            })?;
            oci::name(&cache, &tag, &template).map_err(|error| Failure::of(&error))?;
            drop(progress);
            report::print(&args.tag)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn temporary(dir: &Path) -> Result<File, Failure> {
    tempfile::tempfile_in(dir).map_err(|error| cannot(dir, &error))
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::doing(format!("cannot write to `{}`", path.display()), error)
}

/// Runs [`PACK`] inside and takes its output.
async fn pack(client: &Client, export: Export<File>) -> Result<Export<File>, Failure> {
    let exec = Exec {
        argv: ["sh", "-c", PACK].map(str::to_owned).to_vec(),
        user: Some("root".to_owned()),
        cwd: Some("/".to_owned()),
        ..Exec::default()
    };
    let stream = client
        .exec(&exec)
        .await
        .map_err(|error| Failure::of(&error))?;
    let mut layer = Sink(export);
    let mut said = Vec::new();
    let ended = attach::converse(
        stream,
        None,
        &mut layer,
        &mut said,
        futures::stream::pending(),
    )
    .await;
    match ended.map_err(|error| Failure::of(&error))? {
        Exit::Code(0) => Ok(layer.0),
        _ => {
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().last().unwrap_or("no reason given");
            let last = crate::table::one_line(last);
            Err(Failure::new(format!(
                "the sandbox could not be read: {last}"
            )))
        }
    }
}

/// A blocking writer in an asynchronous conversation: this process has nothing else to do meanwhile.
struct Sink(Export<File>);

impl tokio::io::AsyncWrite for Sink {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        std::task::Poll::Ready(self.0.write(bytes))
    }

    fn poll_flush(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(self.0.flush())
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        self.poll_flush(context)
    }
}
