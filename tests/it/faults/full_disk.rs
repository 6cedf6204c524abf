//! F10: a command that finds the disk full.

use std::fs;
use std::process::Command;

use crate::support::Ran;

/// Puts the folder `$1` on a file system without a free block and runs the rest.
const ON_A_FULL_DISK: &str = r#"
dir=$1
shift
cp -a "$dir" "$dir.copy"
mount -t tmpfs -o size=128k,mode=0700 none "$dir"
cp -a "$dir.copy/." "$dir"
dd if=/dev/zero of="$dir/filler" bs=4k 2>/dev/null || true
"$@"
code=$?
cmp "$dir/proxy-config.json" "$dir.copy/proxy-config.json" && echo unchanged
ls -A "$dir" | grep draft && echo a draft is left
exit $code
"#;

#[test]
fn a_policy_that_cannot_be_saved_is_an_error_and_the_old_one_stays() {
    let home = super::home();
    let dir = home.sandbox_dir("s");
    let before = fs::read(dir.join("proxy-config.json")).unwrap();
    let change = home.command(&["network", "proxy", "s", "--allow-host", "new.test"]);
    let mut command = Command::new("unshare");
    command
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            ON_A_FULL_DISK,
            "sh",
        ])
        .arg(&dir)
        .arg(change.get_program())
        .args(change.get_args())
        .current_dir(home.project());
    for (key, value) in change.get_envs() {
        command.env(key, value.unwrap());
    }
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.stdout, "unchanged\n", "{ran:?}");
    let told = format!(
        "error: cannot write `{}`: ",
        dir.join("proxy-config.json").display()
    );
    assert!(
        ran.stderr.contains(&told) && ran.stderr.contains("No space left"),
        "{ran:?}"
    );
    assert_eq!(fs::read(dir.join("proxy-config.json")).unwrap(), before);
}
