//! A container's root file system: the template's files, unpacked once for each sandbox.
//!
//! They belong to the container's users, so it takes their user namespace to make them and to remove
//! them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Error, Ids, no_devices, set_id};
use crate::tool::{self, Tool};

const FSCK_EROFS: Tool = Tool {
    program: "fsck.erofs",
    package: "erofs-utils",
};
const RM: Tool = Tool {
    program: "rm",
    package: "coreutils",
};
const CHMOD: Tool = Tool {
    program: "chmod",
    package: "coreutils",
};
const MKDIR: Tool = Tool {
    program: "mkdir",
    package: "coreutils",
};

/// Unpacks `template` to `root` unless that was done before.
///
/// COST: a second and 350 MB for a template of the distribution's packages.
pub fn ensure(root: &Path, template: &Path, ids: &Ids) -> Result<(), Error> {
    if root.exists() {
        return forget_runtime(root, ids);
    }
    let draft = draft(root);
    remove_one(&draft, ids)?;
    let unpack = |draft: &Path| {
        // The unpacked root's own folder belongs to the container's root.
        fs::create_dir(draft).map_err(Error::doing("make the root's folder"))?;
        open_to_everybody(draft)?;
        let mut command = FSCK_EROFS.command();
        let inner = draft.join("root");
        command
            .arg(format!("--extract={}", inner.display()))
            .args(["--preserve", "--overwrite"])
            .arg(template);
        no_devices::pretend(&mut command);
        run(FSCK_EROFS, command, ids)?;
        // What the image leaves out because the runtime mounts it.
        let mut command = MKDIR.command();
        command.arg("-p");
        command.args(["proc", "sys", "dev", "run", "tmp"].map(|dir| inner.join(dir)));
        run(MKDIR, command, ids)?;
        lend_identity(template, &inner, ids)
    };
    unpack(&draft)?;
    fs::rename(&draft, root).map_err(Error::doing("put the root in place"))
}

/// Gives back the set-user-ID and set-group-ID bits that unpacking loses.
fn lend_identity(template: &Path, root: &Path, ids: &Ids) -> Result<(), Error> {
    let files = set_id::find(template).map_err(Error::doing("read the template"))?;
    for (path, mode) in files {
        let mut command = CHMOD.command();
        command.arg(format!("{mode:o}")).arg(root.join(path));
        run(CHMOD, command, ids)?;
    }
    Ok(())
}

/// Where a root is unpacked before it takes its place.
fn draft(root: &Path) -> PathBuf {
    root.with_extension("new")
}

/// Whether there is a root, or part of one.
#[must_use]
pub fn is_begun(root: &Path) -> bool {
    root.exists() || draft(root).exists()
}

/// Removes a root, if there is one, and what a killed unpacking left.
pub fn remove(root: &Path, ids: &Ids) -> Result<(), Error> {
    remove_one(&draft(root), ids)?;
    remove_one(root, ids)
}

fn remove_one(root: &Path, ids: &Ids) -> Result<(), Error> {
    if !root.exists() {
        return Ok(());
    }
    let mut command = RM.command();
    command.args(["-r", "-f"]).arg(root.join("root"));
    run(RM, command, ids)?;
    forget_runtime(root, ids)?;
    fs::remove_dir_all(root).map_err(Error::doing("remove the container's root"))
}

/// Removes what a runtime that was killed knew of its container.
fn forget_runtime(root: &Path, ids: &Ids) -> Result<(), Error> {
    let runtime = root.join("runtime");
    if !runtime.exists() {
        return Ok(());
    }
    let mut command = RM.command();
    command.args(["-r", "-f"]).arg(runtime);
    run(RM, command, ids)
}

/// The container's root is another user, who must be able to write here while it is unpacked.
fn open_to_everybody(dir: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))
        .map_err(Error::doing("open the root's folder"))
}

fn run(tool: Tool, mut command: Command, ids: &Ids) -> Result<(), Error> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = ids
        .run(command)
        .map_err(|source| tool.start_error(source))?;
    if output.status.success() {
        return Ok(());
    }
    let last = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        text.lines()
            .rfind(|line| !line.trim().is_empty())
            .map(str::to_owned)
    };
    let said = last(&output.stderr).or_else(|| last(&output.stdout));
    Err(tool::Error::Failed {
        program: tool.program.to_owned(),
        said: said.unwrap_or_else(|| output.status.to_string()),
    }
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Caller;

    #[test]
    fn a_missing_tool_is_told_with_its_package() {
        const TOOL: Tool = Tool {
            program: "a-tool-that-nobody-has",
            package: "some-package",
        };
        // A user without subordinate numbers is told of those first.
        let Ok(ids) = Ids::of(Caller::current()) else {
            return;
        };
        let error = run(TOOL, TOOL.command(), &ids).unwrap_err();
        assert!(error.help().unwrap().contains("some-package"), "{error}");
    }
}
