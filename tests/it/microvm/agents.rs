//! A real agent at work: the program that npm's registry has, a stand-in for its model, a key that only the proxy
//! knows.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::Running;
use crate::model::Model;
use crate::support::{Home, Ran};

/// No bytes of it may be found inside.
const KEY: &str = "sk-ant-api03-only-the-proxy-knows-this-6f1d9c";
/// Shows that the searches find what is there.
const CANARY: &str = "canary-that-every-search-must-find-41c7ab";

#[test]
fn claude_works_with_a_key_that_it_never_sees() {
    let model = Model::wanting("echo made by the agent > made.txt && git config user.email");
    let home = Home::new();
    let git = "[user]\n\tname = Ann\n\temail = ann@example.com\n";
    fs::write(home.path().join(".gitconfig"), git).unwrap();
    fs::write(home.project().join(".env"), "hidden").unwrap();
    let url = format!(
        "ANTHROPIC_BASE_URL=https://{}:{}",
        "localhost",
        model.addr.port()
    );
    home.ok(&[
        "create",
        "--name",
        "claude-1",
        "-e",
        &url,
        "-e",
        "NO_PROXY=",
        "-e",
        "no_proxy=",
        "-e",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
        "-e",
        &format!("CANARY={CANARY}"),
        "--memory",
        "1g",
        "claude",
        ".",
    ]);
    let dir = home.sandbox_dir("claude-1");
    let inject = "x-api-key from env ANTHROPIC_API_KEY";
    policy(&dir, model.addr.port(), inject);
    let vm = Running::adopt(
        home,
        "claude-1",
        &[
            ("ANTHROPIC_API_KEY", KEY),
            ("SSL_CERT_FILE", model.trust.roots().to_str().unwrap()),
        ],
    );

    let mut agent = vm.command(&["run", "claude-1", "--", "-p", "Make the file."]);
    let ran = Ran::from(agent.stdin(Stdio::null()).output().unwrap());
    assert_eq!(
        (ran.code, ran.stdout.trim()),
        (0, "The command ran."),
        "{ran:?}"
    );
    // Nobody was asked for permission, and the folder is the caller's.
    let made = fs::read_to_string(vm.home.project().join("made.txt")).unwrap();
    assert_eq!(made, "made by the agent\n");
    let heard = model.heard();
    let (_, last) = heard.last().unwrap();
    assert!(
        last["messages"].to_string().contains("ann@example.com"),
        "{last:#}"
    );
    for (head, body) in &heard {
        assert_eq!(head["x-api-key"], KEY);
        assert_eq!(body["stream"], true);
        let told = format!("{head:?} {body}").replace(KEY, "");
        assert!(!told.contains("only-the-proxy"), "{told}");
    }

    assert_eq!(
        vm.ok_inside("echo $ANTHROPIC_API_KEY").trim(),
        "proxy-managed"
    );
    let everywhere =
        "sudo sh -c 'cat /proc/[0-9]*/environ /etc/environment /etc/profile.d/*; true'";
    let seen = vm.ok_inside(everywhere);
    assert!(seen.contains(CANARY) && !seen.contains(KEY));
    key_is_nowhere_inside(&vm, &dir);
}

/// Deny all but the stand-in, whose key the proxy sets as `inject` says.
pub(super) fn policy(dir: &Path, port: u16, inject: &str) {
    let authority = format!("localhost:{port}");
    let rules = json!({
        "policy": "deny", "network": { "allowedDomains": [&authority] }, "include": ["keys.policy"],
    });
    fs::write(
        dir.join("keys.policy"),
        format!("inject {authority} {inject}\n"),
    )
    .unwrap();
    fs::write(dir.join("proxy-config.json"), rules.to_string()).unwrap();
}

/// Not in the guest's memory, all of which is the VMM's, nor on its disk.
fn key_is_nowhere_inside(vm: &Running, dir: &Path) {
    vm.ok_inside(&format!("echo {CANARY} > ~/canary && sync"));
    let told: Value = serde_json::from_str(&vm.ok(&["inspect", vm.name])).unwrap();
    let vmm = told[0]["vm"]["vmm_pid"].as_u64().unwrap();
    let [key, canary] = occurrences_in_memory(vmm, [KEY, CANARY]);
    assert_eq!((key, canary > 0), (0, true), "in the guest's memory");
    let [key, canary] = occurrences_in_file(&dir.join("data.img"), [KEY, CANARY]);
    assert_eq!((key, canary > 0), (0, true), "on the guest's disk");
    let spec = fs::read_to_string(dir.join("sandbox.json")).unwrap();
    assert!(!spec.contains(KEY) && !vm.log().contains(KEY));
}

fn occurrences_in_memory(process: u64, texts: [&str; 2]) -> [usize; 2] {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let ranges = maps.lines().filter_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        // What has no backing that can be read, such as [vvar], fails below and is passed over.
        rest.starts_with('r')
            .then_some((number(start)?, number(end)?))
    });
    ranges
        .map(|(start, end)| count(&memory, start, end, texts))
        .fold([0; 2], add)
}

fn occurrences_in_file(path: &Path, texts: [&str; 2]) -> [usize; 2] {
    let file = File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let mut counts = [0; 2];
    let mut at = 0;
    // The disk is sparse: only what was written is read.
    while let Ok(data) = rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
        let hole = rustix::fs::seek(&file, rustix::fs::SeekFrom::Hole(data)).unwrap_or(size);
        counts = add(counts, count(&file, data, hole, texts));
        at = hole;
    }
    counts
}

fn add(a: [usize; 2], b: [usize; 2]) -> [usize; 2] {
    [a[0] + b[0], a[1] + b[1]]
}

/// How often the texts are in the bytes from `at` to `end`, read in pieces that overlap by a text's length.
fn count(file: &File, mut at: u64, end: u64, texts: [&str; 2]) -> [usize; 2] {
    const OVERLAP: u64 = 64;
    let mut counts = [0; 2];
    let mut piece = vec![0; 8 << 20];
    while at < end {
        let most = usize::try_from(end - at).unwrap().min(piece.len());
        let Ok(read @ 1..) = file.read_at(&mut piece[..most], at) else {
            break;
        };
        counts = add(
            counts,
            texts.map(|text| {
                let finder = memchr::memmem::find_iter(&piece[..read], text);
                finder.count()
            }),
        );
        let step = u64::try_from(read).unwrap();
        if at + step >= end {
            break;
        }
        at += step.saturating_sub(OVERLAP).max(1);
    }
    counts
}
