//! The host edits files that a program in the sandbox has looked at a moment ago.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use vmshim::client::Client;

use super::ok;
use super::support::PATIENCE;

/// Watches its working directory by inotify(7), and shows what it hears of and finds at that moment. Says `ready` when
/// it does, and answers `tell…` with `toldtell…`; after `stop` it writes to `mine` itself; after `end` it ends.
const WATCHER: &str = r#"
import ctypes, os, struct
libc = ctypes.CDLL(None)
names = {0x2: "modify", 0x40: "moved_from", 0x80: "moved_to", 0x100: "create", 0x200: "delete"}
notify = libc.inotify_init()
libc.inotify_add_watch(notify, b".", sum(names))
# What is believed now must not be believed then.
for name in ("file", "saved", "mine"):
    open(name).read()
open("ready", "w").close()
while True:
    events = os.read(notify, 1 << 16)
    while events:
        _, mask, _, size = struct.unpack("iIII", events[:16])
        name = events[16:16 + size].rstrip(b"\0").decode()
        events = events[16 + size:]
        there = open(name).read().strip() if os.path.isfile(name) else ""
        print(name, names.get(mask & 0xfff, mask), there, sep=":")
        # It is heard of twice, as new and as written to.
        if name.startswith("tell") and mask & 0x100:
            open("told" + name, "w").close()
        if name == "stop" and mask & 0x100:
            os.write(os.open("mine", os.O_WRONLY | os.O_APPEND), b"more")
        if name == "end":
            raise SystemExit
"#;

/// A program that waits for files to change hears of the host's edits at once and finds what they made; of its own it
/// hears once.
pub(crate) async fn are_heard_of(client: &Client, folder: &Path) {
    let there = folder.join("w");
    fs::create_dir(&there).unwrap();
    for name in ["file", "saved", "mine"] {
        fs::write(there.join(name), "before\n").unwrap();
    }
    fs::write(folder.join("watcher.py"), WATCHER).unwrap();
    let edit = std::thread::spawn({
        let (there, beside) = (there.clone(), folder.join("beside"));
        move || {
            wait_for(|| there.join("ready").exists());
            // What was there before is told of late on a busy machine: not later than with the first of these, and to the
            // end before the second, which comes with another message.
            for name in ["tell1", "tell2"] {
                fs::write(there.join(name), "").unwrap();
                wait_for(|| there.join(format!("told{name}")).exists());
            }
            fs::write(there.join("file"), "after, in place\n").unwrap();
            fs::write(there.join("new"), "new\n").unwrap();
            fs::create_dir(there.join("folder")).unwrap();
            // As editors and git save: written beside, then renamed over.
            fs::write(&beside, "after, replaced\n").unwrap();
            fs::rename(&beside, there.join("saved")).unwrap();
            fs::write(there.join("stop"), "").unwrap();
            wait_for(|| fs::read_to_string(there.join("mine")).unwrap() == "before\nmore");
            fs::write(there.join("end"), "").unwrap();
        }
    });
    let told = ok(client, folder, "cd w && timeout 100 python3 ../watcher.py").await;
    edit.join().unwrap();
    for wanted in [
        "file:modify:after, in place",
        "new:create:new",
        "folder:create:",
        "saved:create:after, replaced",
        "end:create:",
    ] {
        assert!(told.lines().any(|line| line == wanted), "{wanted}: {told}");
    }
    let since = told.lines().skip_while(|line| !line.starts_with("stop:"));
    let own = since.filter(|line| line.starts_with("mine:"));
    assert_eq!(own.count(), 1, "{told}");
    ok(client, folder, "rm -r w watcher.py").await;
}

/// Looks at a file, has the host remove or replace it, and writes to it at once, in each way that there is. Then what it
/// may do with a file that has no name any more.
const WRITER: &str = r#"
import os

def truncate(name):
    try:
        os.truncate(name, 2)
    except FileNotFoundError:
        pass

def until_the_host_has_done(name):
    open(name + ".seen", "w").close()
    while not os.path.exists(name + ".done"):
        pass

ways = [lambda name: open(name, "w").write("new\n"), lambda name: open(name, "a").write("new\n"), truncate]
for deed in ("removed", "replaced"):
    for way, write in enumerate(ways):
        name = deed + str(way)
        os.stat(name)
        until_the_host_has_done(name)
        write(name)

os.stat("folder")
until_the_host_has_done("folder")
assert os.listdir("folder") == ["inside"], os.listdir("folder")

held = [open(name, "r+") for name in ("kept0", "kept1")]
os.remove("kept0")
until_the_host_has_done("kept1")
for file in held:
    by_number = "/proc/self/fd/%d" % file.fileno()
    with open(by_number, "a") as again:
        again.write("more\n")
    assert open(by_number).read() == "before\nmore\n"
    os.truncate(by_number, 6)
    os.fchmod(file.fileno(), 0o600)
    assert file.read() == "before"
    file.truncate(0)

os.chdir("left")
until_the_host_has_done("../left")
assert os.listdir(".") == []
"#;

/// What is written by a name that the host has just removed or replaced is written to what has the name then.
pub(crate) async fn are_not_written_past(client: &Client, folder: &Path) {
    let there = folder.join("w");
    fs::create_dir(&there).unwrap();
    for name in ["folder", "left"] {
        fs::create_dir(there.join(name)).unwrap();
    }
    let rows = [
        ("removed0", "new\n"),
        ("removed1", "new\n"),
        ("removed2", ""),
        ("replaced0", "new\n"),
        ("replaced1", "host\nnew\n"),
        ("replaced2", "ho"),
    ];
    for name in rows
        .map(|(name, _)| name)
        .into_iter()
        .chain(["kept0", "kept1"])
    {
        fs::write(there.join(name), "before\n").unwrap();
    }
    fs::write(folder.join("writer.py"), WRITER).unwrap();
    let edit = std::thread::spawn({
        let there = there.clone();
        move || {
            let at = |name: &str| there.join(name);
            let when_seen = |name: &str, edit: &dyn Fn()| {
                wait_for(|| at(&format!("{name}.seen")).exists());
                edit();
                fs::write(at(&format!("{name}.done")), "").unwrap();
            };
            for (name, _) in rows {
                when_seen(name, &|| match name.starts_with("removed") {
                    true => fs::remove_file(at(name)).unwrap(),
                    false => {
                        fs::write(at("beside"), "host\n").unwrap();
                        fs::rename(at("beside"), at(name)).unwrap();
                    }
                });
            }
            when_seen("folder", &|| {
                fs::create_dir(at("beside")).unwrap();
                fs::write(at("beside/inside"), "").unwrap();
                fs::rename(at("beside"), at("folder")).unwrap();
            });
            when_seen("kept1", &|| fs::remove_file(at("kept1")).unwrap());
            when_seen("left", &|| fs::remove_dir(at("left")).unwrap());
        }
    });
    ok(client, folder, "cd w && timeout 100 python3 ../writer.py").await;
    edit.join().unwrap();
    for (name, wanted) in rows {
        let found = fs::read_to_string(there.join(name)).unwrap_or_default();
        assert_eq!(found, wanted, "{name}");
    }
    ok(client, folder, "rm -r w writer.py").await;
}

fn wait_for(happened: impl Fn() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
}
