//! Templates from a real registry on loopback, and from archives that skopeo writes.
//!
//! Needs the packages docker-registry, skopeo and erofs-utils; a test without them fails and says so.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy's leave for tests does not reach their helpers"
)]

mod hostile;
mod image;
mod registry;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use hostile::{Endless, Hostile};
use image::{Layout, here, layers};
use registry::{Flaky, Registry, SKOPEO, run};
use tempfile::TempDir;
use vmshim::cache::Cache;
use vmshim::image::oci::{
    self, Auth, Error, ImageConfig, PullPolicy, Reference, RegistryError, Template,
};
use vmshim::progress::{Event, Silent};
use vmshim::tool::Tool;

const FSCK: Tool = Tool {
    program: "fsck.erofs",
    package: "erofs-utils",
};
const DUMP: Tool = Tool {
    program: "dump.erofs",
    package: "erofs-utils",
};

/// A scratch folder with the image's layout and an empty cache.
struct Bench {
    dir: TempDir,
    layout: Layout,
    cache: Cache,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut layout = Layout::new(&dir.path().join("layout"));
        layout.add(here(), &layers());
        let cache = Cache::new(dir.path().join("cache"));
        Self { dir, layout, cache }
    }

    fn pull(&self, name: &str, policy: PullPolicy) -> Result<Template, Error> {
        let reference: Reference = name.parse().unwrap();
        oci::ensure(&self.cache, &reference, policy, &Auth::Anonymous, &Silent)
    }

    /// Everything below the cache but locks and the parts of layers, which are kept on purpose.
    fn cached(&self) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for kind in fs::read_dir(self.cache.root()).into_iter().flatten() {
            let kind = kind.unwrap().path();
            for entry in fs::read_dir(&kind).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let kind = kind.file_name().unwrap().to_str().unwrap();
                if !name.ends_with(".lock") && !name.ends_with(".part") {
                    names.insert(format!("{kind}/{name}"));
                }
            }
        }
        names
    }
}

/// Compares the template's files with what the image's layers come to.
fn check(template: &Template) {
    let out = tempfile::tempdir().unwrap();
    let tree = out.path().join("tree");
    let mut command = FSCK.command();
    command
        .arg("--no-preserve")
        .arg(format!("--extract={}", tree.display()))
        .arg(&template.root);
    FSCK.output(&mut command).unwrap();
    for (path, wanted) in image::files() {
        assert!(fs::read(tree.join(path)).unwrap() == wanted, "{path}");
    }
    for path in image::ABSENT {
        assert!(!tree.join(path).exists(), "{path}");
    }
    assert_eq!(
        fs::read_link(tree.join("lib")).unwrap(),
        Path::new("usr/lib")
    );
    let rows = [
        ("/bin/su", "Links: 2", "Uid: 0"),
        ("/home/agent", "Uid: 1000   Gid: 1000", "Access: 0700"),
        ("/opt/big", "Uid: 70000   Gid: 70000", "Access: 0640"),
        // 12 bytes of header, 4 of the attribute's head, 10 of its name, 20 of its value, filled up to 4.
        ("/usr/bin/ping", "Xattr size: 48", "Access: 0755"),
    ];
    for (path, one, two) in rows {
        let mut command = DUMP.command();
        let said = DUMP
            .output(command.arg(format!("--path={path}")).arg(&template.root))
            .unwrap();
        assert!(said.contains(one) && said.contains(two), "{path}: {said}");
    }
    let wanted = ImageConfig {
        env: vec!["PATH=/usr/bin:/bin".to_owned(), "LANG=C.UTF-8".to_owned()],
        user: "agent".to_owned(),
        working_dir: "/home/agent/workspace".to_owned(),
        entrypoint: vec!["/bin/sh".to_owned()],
        cmd: vec!["-l".to_owned()],
    };
    assert_eq!(template.config, wanted);
}

#[test]
fn an_image_is_pulled_once_and_then_found_offline() {
    let bench = Bench::new();
    let registry = Registry::open();
    registry.push(&bench.layout.dir, "team/image:1");
    let name = format!("{}/team/image:1", registry.address);

    let never = bench.pull(&name, PullPolicy::Never).unwrap_err();
    assert!(matches!(never, Error::NotCached(_)), "{never}");
    assert!(bench.cached().is_empty());

    let percents = Mutex::new(Vec::new());
    let progress = |event: Event<'_>| {
        if let Event::Percent(percent) = event {
            percents.lock().unwrap().push(percent);
        }
    };
    let reference: Reference = name.parse().unwrap();
    let policy = PullPolicy::Missing;
    let pulled = oci::ensure(
        &bench.cache,
        &reference,
        policy,
        &Auth::Anonymous,
        &progress,
    )
    .unwrap();
    check(&pulled);
    assert!(percents.into_inner().unwrap().contains(&100));

    assert_eq!(bench.pull(&name, PullPolicy::Always).unwrap(), pulled);
    let pinned = format!("{}/team/image@{}", registry.address, pulled.digest);
    assert_eq!(bench.pull(&pinned, PullPolicy::Always).unwrap(), pulled);

    let names: Vec<_> = oci::pulled(&bench.cache);
    let wanted = [
        (reference, pulled.clone()),
        (pinned.parse().unwrap(), pulled.clone()),
    ];
    assert_eq!(names, wanted);

    drop(registry);
    for policy in [PullPolicy::Missing, PullPolicy::Never] {
        assert_eq!(bench.pull(&name, policy).unwrap(), pulled);
    }
    let gone = bench.pull(&name, PullPolicy::Always).unwrap_err();
    assert!(
        matches!(gone, Error::Registry(RegistryError::Unreachable { .. })),
        "{gone}"
    );
    assert!(gone.help().is_some());
}

#[test]
fn a_tag_that_moved_is_followed_only_when_asked() {
    let bench = Bench::new();
    let registry = Registry::open();
    let name = format!("{}/image:1", registry.address);
    registry.push(&bench.layout.dir, "image:1");
    let first = bench.pull(&name, PullPolicy::Missing).unwrap();
    let mut other = Layout::new(&bench.dir.path().join("other"));
    other.add(here(), &layers()[..2]);
    registry.push(&other.dir, "image:1");
    assert_eq!(bench.pull(&name, PullPolicy::Missing).unwrap(), first);
    let second = bench.pull(&name, PullPolicy::Always).unwrap();
    assert_ne!(second.digest, first.digest);
    assert_eq!(bench.pull(&name, PullPolicy::Never).unwrap(), second);
}

#[test]
fn callers_for_one_image_get_one_template() {
    let bench = Bench::new();
    let registry = Registry::open();
    registry.push(&bench.layout.dir, "image:1");
    let name = format!("{}/image:1", registry.address);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..6)
            .map(|_| scope.spawn(|| bench.pull(&name, PullPolicy::Always).unwrap()))
            .collect();
        let templates: Vec<_> = callers
            .into_iter()
            .map(|caller| caller.join().unwrap())
            .collect();
        assert!(templates.windows(2).all(|pair| pair[0] == pair[1]));
    });
    let kinds: Vec<_> = bench
        .cached()
        .into_iter()
        .map(|name| name.split('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(
        kinds,
        ["layers", "layers", "layers", "references", "templates"]
    );
}

#[tokio::test]
async fn asynchronous_callers_may_use_it() {
    let bench = Bench::new();
    let registry = Registry::open();
    registry.push(&bench.layout.dir, "image:1");
    let name = format!("{}/image:1", registry.address);
    bench.pull(&name, PullPolicy::Missing).unwrap();
}

#[test]
fn a_private_image_needs_the_stored_password() {
    let bench = Bench::new();
    let registry = Registry::closed();
    registry.push(&bench.layout.dir, "image:1");
    let name = format!("{}/image:1", registry.address);
    let denied = bench.pull(&name, PullPolicy::Missing).unwrap_err();
    assert!(
        matches!(denied, Error::Registry(RegistryError::Denied { .. })),
        "{denied}"
    );
    assert!(denied.help().unwrap().contains("docker login"));

    // `me:wrong`, then `me:secret`.
    for (auth, good) in [("bWU6d3Jvbmc=", false), ("bWU6c2VjcmV0", true)] {
        let file = bench.dir.path().join("config.json");
        let text = format!(
            r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#,
            registry.address
        );
        fs::write(&file, text).unwrap();
        let reference: Reference = name.parse().unwrap();
        let auth = Auth::Files(vec![file]);
        let pulled = oci::ensure(
            &bench.cache,
            &reference,
            PullPolicy::Missing,
            &auth,
            &Silent,
        );
        assert_eq!(pulled.is_ok(), good, "{pulled:?}");
    }
}

#[test]
fn what_is_not_there_is_said_so() {
    let bench = Bench::new();
    let registry = Registry::open();
    let mut foreign = Layout::new(&bench.dir.path().join("foreign"));
    foreign.add("linux/s390x", &layers()[..1]);
    foreign.add("linux/riscv64", &layers()[..1]);
    registry.push(&foreign.dir, "foreign:1");
    let rows = [
        ("absent:1", "has no `"),
        ("foreign:1", "` cannot be used"),
        ("foreign:2", "has no `"),
    ];
    for (name, wanted) in rows {
        let name = format!("{}/{name}", registry.address);
        let error = bench.pull(&name, PullPolicy::Missing).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    assert!(bench.cached().is_empty(), "{:?}", bench.cached());
}

/// Each is one sentence, and no more was read than such an answer may have, and what lies in the kernel's buffers.
#[test]
fn an_answer_without_end_is_not_waited_for() {
    let bench = Bench::new();
    for (endless, says) in [
        (
            Endless::Manifest,
            "gave an answer that is too long to be one",
        ),
        (Endless::Refusal, "has no `"),
        (Endless::Token, "gave an answer that is too long to be one"),
        (Endless::TokenRefusal, "does not give out `"),
        (Endless::BlobRefusal, "has no `"),
    ] {
        let registry = Hostile::start(endless);
        let name = format!("{}/team/image:1", registry.address);
        let error = bench.pull(&name, PullPolicy::Always).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains(says) && text.len() < 120,
            "{endless:?}: {text}"
        );
        assert!(error.help().is_some(), "{endless:?}");
        let sent = registry.sent.load(Ordering::SeqCst);
        assert!(sent < 32 << 20, "{endless:?}: {sent} bytes were taken");
    }
    assert!(bench.cached().is_empty());
}

#[test]
fn this_machines_image_is_chosen_from_an_index() {
    let bench = Bench::new();
    let registry = Registry::open();
    let mut layout = Layout::new(&bench.dir.path().join("many"));
    layout.add("linux/s390x", &layers()[..1]);
    layout.add(here(), &layers());
    registry.push(&layout.dir, "many:1");
    check(
        &bench
            .pull(&format!("{}/many:1", registry.address), PullPolicy::Missing)
            .unwrap(),
    );
}

#[test]
fn a_cut_download_goes_on_where_it_stopped() {
    let bench = Bench::new();
    let registry = Registry::open();
    registry.push(&bench.layout.dir, "image:1");
    let whole = fs::metadata(&registry.blobs()[0]).unwrap().len();
    let flaky = Flaky::start(registry.address);
    flaky.cuts.store(4, Ordering::SeqCst);
    let name = format!("{}/image:1", flaky.address);
    check(&bench.pull(&name, PullPolicy::Missing).unwrap());
    assert_eq!(flaky.cuts.load(Ordering::SeqCst), 0);
    let passed = flaky.passed.load(Ordering::SeqCst);
    assert!(passed < whole + whole / 3, "{passed} bytes for {whole}");
}

#[test]
fn a_failed_pull_leaves_only_what_the_next_one_uses() {
    let bench = Bench::new();
    let registry = Registry::open();
    registry.push(&bench.layout.dir, "image:1");
    let whole = fs::metadata(&registry.blobs()[0]).unwrap().len();
    let flaky = Flaky::start(registry.address);
    flaky.allowance.store(whole / 2, Ordering::SeqCst);
    let name = format!("{}/image:1", flaky.address);
    let error = bench.pull(&name, PullPolicy::Missing).unwrap_err();
    let unreachable = matches!(error, Error::Registry(RegistryError::Unreachable { .. }));
    assert!(unreachable, "{error}");
    let whole_layers = |name: &String| name.starts_with("layers/sha256-");
    assert!(
        bench.cached().iter().all(whole_layers),
        "{:?}",
        bench.cached()
    );

    flaky.allowance.store(u64::MAX, Ordering::SeqCst);
    check(&bench.pull(&name, PullPolicy::Missing).unwrap());
    let passed = flaky.passed.load(Ordering::SeqCst);
    assert!(passed < whole + whole / 3, "{passed} bytes for {whole}");
}

#[test]
fn damaged_content_is_never_kept() {
    let bench = Bench::new();
    let registry = Registry::open();
    registry.push(&bench.layout.dir, "image:1");
    let name = format!("{}/image:1", registry.address);
    let blob = &registry.blobs()[0];
    let good = fs::read(blob).unwrap();
    let rows: [(&str, Vec<u8>); 2] = [
        ("one bit", {
            let mut bytes = good.clone();
            bytes[good.len() / 2] ^= 1;
            bytes
        }),
        ("another blob", vec![b'x'; good.len()]),
    ];
    for (what, bytes) in rows {
        fs::write(blob, bytes).unwrap();
        let error = bench.pull(&name, PullPolicy::Missing).unwrap_err();
        assert!(
            matches!(error, Error::Registry(RegistryError::Mismatch(_))),
            "{what}: {error}"
        );
        assert!(
            !bench.cached().iter().any(|name| name.contains("templates")),
            "{what}"
        );
    }
    fs::write(blob, good).unwrap();
    check(&bench.pull(&name, PullPolicy::Missing).unwrap());
}

#[test]
fn a_layer_that_rots_in_the_cache_is_fetched_again() {
    let bench = Bench::new();
    let registry = Registry::open();
    registry.push(&bench.layout.dir, "image:1");
    let name = format!("{}/image:1", registry.address);
    let template = bench.pull(&name, PullPolicy::Missing).unwrap();
    fs::remove_dir_all(template.root.parent().unwrap()).unwrap();
    let layers = bench.cache.names("layers");
    for layer in &layers {
        let blob = bench.cache.path("layers", layer).join("blob");
        let mut bytes = fs::read(&blob).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&blob, bytes).unwrap();
    }
    for layer in 1..=layers.len() {
        let error = bench.pull(&name, PullPolicy::Missing).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("layer {layer} of the image is not usable")
        );
        assert!(error.help().unwrap().starts_with("try again"));
    }
    check(&bench.pull(&name, PullPolicy::Missing).unwrap());
}

#[test]
fn archives_and_layouts_give_the_same_files() {
    let bench = Bench::new();
    let at = |name: &str| bench.dir.path().join(name);
    // Docker's own archives know no zstd.
    let mut layers = layers();
    layers[1] = ("", layers[1].2.clone(), layers[1].2.clone());
    let mut layout = Layout::new(&at("plain"));
    layout.add(here(), &layers);
    for (kind, name) in [("docker-archive", "docker.tar"), ("oci-archive", "oci.tar")] {
        let mut command = SKOPEO.command();
        command
            .args(["--insecure-policy", "copy", "--quiet"])
            .arg(format!("oci:{}", layout.dir.display()))
            .arg(format!("{kind}:{}:image:1", at(name).display()));
        run(&mut command);
        check(&oci::import_archive(&bench.cache, &at(name), &Silent).unwrap());
    }
    let from_layout = oci::import_layout(&bench.cache, &bench.layout.dir, &Silent).unwrap();
    check(&from_layout);
    // A compressed archive is the same image, and so the same template.
    let mut gzip = flate2::write::GzEncoder::new(
        fs::File::create(at("oci.tar.gz")).unwrap(),
        flate2::Compression::fast(),
    );
    std::io::copy(&mut fs::File::open(at("oci.tar")).unwrap(), &mut gzip).unwrap();
    gzip.finish().unwrap();
    let zipped = oci::import_archive(&bench.cache, &at("oci.tar.gz"), &Silent).unwrap();
    assert_eq!(
        zipped,
        oci::import_archive(&bench.cache, &at("oci.tar"), &Silent).unwrap()
    );
}

#[test]
fn hostile_and_foreign_files_are_refused() {
    let bench = Bench::new();
    let at = |name: &str| bench.dir.path().join(name);
    fs::write(at("text"), "not a tar archive").unwrap();
    fs::write(at("empty.tar"), [0; 1024]).unwrap();
    let not_image = "is neither an OCI image layout nor an archive of `docker save`";
    for (path, wanted) in [
        ("text", "could not be read"),
        ("absent", "could not be read"),
        ("empty.tar", not_image),
    ] {
        let error = oci::import_archive(&bench.cache, &at(path), &Silent).unwrap_err();
        assert!(error.to_string().contains(wanted), "{path}: {error}");
    }
    let error = oci::import_layout(&bench.cache, bench.cache.root(), &Silent).unwrap_err();
    assert!(error.to_string().contains(not_image), "{error}");

    // A layer that is not what the config promised.
    let mut lying = Layout::new(&at("lying"));
    let mut layers = layers();
    layers[1].1 = layers[2].1.clone();
    lying.add(here(), &layers);
    let error = oci::import_layout(&bench.cache, &lying.dir, &Silent).unwrap_err();
    assert_eq!(error.to_string(), "layer 2 of the image is not usable");
    assert!(bench.cached().is_empty(), "{:?}", bench.cached());
}
