//! Builds a template: mmdebstrap installs the packages, npm's are laid over them, mkfs.erofs makes the disk image inside its last hook.
//!
//! The image is made inside the hook because only there, when an unprivileged user builds, do files show the owners
//! that the guest must see. mmdebstrap throws the tree away itself, also when it is interrupted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Error, Recipe, Sources, npm, root_disk};
use crate::cache;
use crate::progress::{Event, Progress};
use crate::space;
use crate::tool::{self, Tool};

const MMDEBSTRAP: Tool = Tool {
    program: "mmdebstrap",
    package: "mmdebstrap",
};
const MKFS_EROFS: Tool = Tool {
    program: "mkfs.erofs",
    package: "erofs-utils",
};

/// What the image may take, in bytes.
const IMAGE_SPACE: u64 = 512 << 20;
/// What the tree that it is made of may take, with the downloaded packages, in bytes.
const TREE_SPACE: u64 = 1536 << 20;

/// What an agent and Node take, unpacked, in bytes.
const NPM_SPACE: u64 = 1 << 30;

/// What Docker takes, unpacked, in bytes.
const DOCKER_SPACE: u64 = 512 << 20;

/// Runs with the new tree as `$1`: makes the user, forgets what mmdebstrap copied from the host, drops caches.
///
/// INVARIANT: `$1/tmp` is left alone. mmdebstrap keeps its apt configuration there; without it the apt commands that
/// follow would work on the host's own lists.
pub(super) const SETUP: &str = r#"set -e
chroot "$1" useradd --create-home --uid 1000 --user-group --shell /bin/bash agent
echo 'agent ALL=(ALL:ALL) NOPASSWD: ALL' > "$1/etc/sudoers.d/agent"
chmod 0440 "$1/etc/sudoers.d/agent"
echo 'LANG=C.UTF-8' > "$1/etc/default/locale"
echo sandbox > "$1/etc/hostname"
printf '127.0.0.1 localhost sandbox\n::1 localhost\n' > "$1/etc/hosts"
rm -f "$1/etc/resolv.conf" "$1/etc/apt/apt.conf.d/99mmdebstrap"
: > "$1/etc/resolv.conf"
: > "$1/etc/machine-id"
echo force-unsafe-io > "$1/etc/dpkg/dpkg.cfg.d/sandbox"
rm -rf "$1/var/lib/apt/lists/"* "$1/var/cache/apt/"*.bin "$1/var/cache/apt/archives/"*.deb
rm -rf "$1/var/log/"*.log "$1/var/log/apt" "$1/var/tmp/"*
"#;

/// Runs with the new tree as `$1`, where it has Docker: the user may use it, and where Compose is only the older
/// program `docker-compose`, `docker compose` finds that.
pub(super) const DOCKER_SETUP: &str = r#"set -e
chroot "$1" usermod --append --groups docker agent
for dir in usr/libexec usr/lib; do
    if [ -e "$1/$dir/docker/cli-plugins/docker-compose" ]; then exit 0; fi
done
plugins="$1/usr/local/lib/docker/cli-plugins"
mkdir -p "$plugins"
cat > "$plugins/docker-compose" <<'END'
#!/bin/sh
if [ "$1" = docker-cli-plugin-metadata ]; then
    echo '{"SchemaVersion":"0.1.0","Vendor":"sandbox","Version":"1","ShortDescription":"Docker Compose"}'
    exit
fi
shift
exec docker-compose "$@"
END
chmod 755 "$plugins/docker-compose"
"#;

/// A bind mount shows the tree without the `/proc`, `/sys` and `/dev` that mmdebstrap mounted over it.
const PACK: &str = r#"set -e
mount --bind "$1" "$1/mnt"
mkfs.erofs --quiet -zlz4 --exclude-regex='^(run|tmp)/' "$1/tmp/root.erofs" "$1/mnt" >&2
umount "$1/mnt"
"#;

/// Builds `recipe` into `draft`.
pub(super) fn template(
    recipe: &Recipe,
    sources: &Sources,
    draft: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    // Asked for early: the hook would find out only after a minute of work.
    MKFS_EROFS.output(MKFS_EROFS.command().arg("--help"))?;
    let docker = if recipe.has_docker() { DOCKER_SPACE } else { 0 };
    let extra = docker + recipe.npm().map_or(0, |_| NPM_SPACE);
    space::require(draft, IMAGE_SPACE + 2 * extra)?;
    let tree = tree_dir(draft)?;
    space::require(&tree, TREE_SPACE + extra)?;
    let npm = recipe.npm().map(|npm| npm::fetch(npm, draft, progress));
    let npm = npm.transpose()?;
    progress.event(Event::Phase("building the template"));
    let mut files = write_sources(sources, draft)?;
    let image = root_disk(draft);
    let mut command = mmdebstrap(recipe, sources, &image, npm.as_deref(), &files);
    MMDEBSTRAP.stream(command.env("TMPDIR", &tree), progress, report)?;
    // Not part of the entry; leftovers would be harmless.
    let _ = fs::remove_dir(draft.join("tree"));
    files.extend(npm);
    for file in files {
        let _ = fs::remove_file(file);
    }
    Ok(())
}

/// Where the tree grows: inside the draft, whose next builder clears it, if no mount can survive there.
///
/// An ordinary user's tree belongs to other user numbers, who may not be able to enter the cache.
fn tree_dir(draft: &Path) -> Result<PathBuf, Error> {
    if !tool::can_contain() {
        return Ok(std::env::temp_dir());
    }
    let dir = draft.join("tree");
    fs::create_dir(&dir).map_err(|source| cache::Error::Io {
        path: dir.clone(),
        source,
    })?;
    Ok(dir)
}

fn mmdebstrap(
    recipe: &Recipe,
    sources: &Sources,
    image: &Path,
    npm: Option<&Path>,
    files: &[PathBuf],
) -> Command {
    let mut command = MMDEBSTRAP.contained_command();
    command
        // The image is complete when the hooks have run; what is thrown away need not be cleaned.
        .args(["--variant=minbase", "--format=null", "--skip=cleanup"])
        .arg(format!("--include={}", recipe.packages()))
        .args(
            sources
                .keyrings
                .iter()
                .map(|path| format!("--customize-hook={}", copy_key(path))),
        )
        .args(npm.map(|tar| format!("--customize-hook=tar-in {} /usr/local", quote(tar))))
        .arg(format!("--customize-hook={SETUP}"))
        .args(
            recipe
                .has_docker()
                .then(|| format!("--customize-hook={DOCKER_SETUP}")),
        )
        .arg(format!("--customize-hook={PACK}"))
        .arg(format!(
            "--customize-hook=download /tmp/root.erofs {}",
            quote(image)
        ))
        .arg(&sources.release)
        .arg("/dev/null")
        .args(files);
    command
}

/// A hook that copies a key file to the same place in the tree, so that its apt trusts what ours trusts.
fn copy_key(path: &Path) -> String {
    let path = quote(path);
    format!(r#"mkdir -p "$1"/"$(dirname {path})" && cp {path} "$1"/{path}"#)
}

/// Quotes for the shell and for mmdebstrap's own commands alike.
fn quote(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

fn write_sources(sources: &Sources, dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for (name, text) in [
        ("sandbox.list", &sources.one_line),
        ("sandbox.sources", &sources.deb822),
    ] {
        if text.is_empty() {
            continue;
        }
        let path = dir.join(name);
        fs::write(&path, text).map_err(|source| cache::Error::Io {
            path: path.clone(),
            source,
        })?;
        files.push(path);
    }
    Ok(files)
}

/// Turns mmdebstrap's own log into a phase and a share of the usual duration.
fn report(line: &str, progress: &dyn Progress) {
    const STEPS: [(&str, u8); 7] = [
        ("running apt-get update", 2),
        ("downloading packages", 8),
        ("extracting archives", 20),
        ("installing essential", 30),
        ("installing remaining", 45),
        ("running --customize-hook", 85),
        ("cleaning package lists", 98),
    ];
    // The hooks are echoed in full; only mmdebstrap's own lines are for people.
    if ["I: ", "W: ", "E: "]
        .iter()
        .any(|kind| line.starts_with(kind))
    {
        progress.event(Event::Line(line));
    }
    if let Some((_, percent)) = STEPS.iter().find(|(text, _)| line.contains(text)) {
        progress.event(Event::Percent(*percent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(quote(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }

    #[test]
    fn log_lines_become_percentages() {
        let seen = Mutex::new(Vec::new());
        let progress = |event: Event<'_>| {
            if let Event::Percent(percent) = event {
                seen.lock().unwrap().push(percent);
            }
        };
        for line in [
            "I: running apt-get update...",
            "noise",
            "I: installing remaining packages",
        ] {
            report(line, &progress);
        }
        assert_eq!(*seen.lock().unwrap(), [2, 45]);
    }
}
