use super::*;
use crate::progress::Silent;
use crate::tool::Tool;
use std::fs;

/// The stand-in `tests/engine.sh` with a folder of its own.
fn engine(dir: &Path, name: &str) -> Tool {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/image/oci/tests/engine.sh");
    let path = dir.join(name);
    // A link: a script that was just written may still be open for writing in some child, and would not start.
    std::os::unix::fs::symlink(script, &path).unwrap();
    Tool {
        program: Box::leak(path.display().to_string().into_boxed_str()),
        package: "none",
    }
}

/// What `docker save` writes of an image with one file, `hello`.
fn docker_archive(hello: &str) -> Vec<u8> {
    let tar = |files: &[(&str, &[u8])]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    };
    let layer = tar(&[("hello", hello.as_bytes())]);
    let manifest::Platform { os, architecture } = manifest::Platform::here();
    let config = format!(
        r#"{{"os":"{os}","architecture":"{architecture}","config":{{}},"rootfs":{{"diff_ids":["{}"]}}}}"#,
        Digest::of(&layer)
    );
    let name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let list = format!(r#"[{{"Config":"{name}","RepoTags":null,"Layers":["a/layer.tar"]}}]"#);
    tar(&[
        (&name, config.as_bytes()),
        ("a/layer.tar", &layer),
        ("manifest.json", list.as_bytes()),
    ])
}

#[test]
fn an_engines_image_is_taken_again_only_when_it_changed() {
    let dir = tempfile::tempdir().unwrap();
    let bench = dir.path();
    let absent = Tool {
        program: "no-such-engine-here",
        package: "none",
    };
    let engines = [absent, engine(bench, "docker")];
    let cache = Cache::new(bench.join("cache"));
    let put = |id: &str, hello: &str| {
        fs::write(bench.join("id"), format!("sha256:{id}\n")).unwrap();
        fs::write(bench.join("archive"), docker_archive(hello)).unwrap();
    };
    let saves = || fs::read(bench.join("saves")).unwrap().len();
    put("1", "one");
    let first = import_from(&engines, &cache, "known", &Silent).unwrap();
    assert_eq!(
        import_from(&engines, &cache, "known", &Silent).unwrap(),
        first
    );
    assert_eq!(saves(), 1);
    put("2", "two");
    let second = import_from(&engines, &cache, "known", &Silent).unwrap();
    assert_ne!(first.digest, second.digest);
    assert_eq!(saves(), 2);
}

#[test]
fn what_engines_lack_is_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let cache = Cache::new(dir.path().join("cache"));
    let engines = [engine(dir.path(), "docker"), engine(dir.path(), "podman")];
    let rows: [(&[Tool], &str, &str); 3] = [
        (&[], "known", "no container engine is installed"),
        (
            &engines,
            "other",
            "no container engine on this machine has the image `other`",
        ),
        (
            &engines,
            "--all",
            "`--all` is not the name of an image: invalid reference format",
        ),
    ];
    for (engines, name, wanted) in rows {
        let error = import_from(engines, &cache, name, &Silent).unwrap_err();
        assert_eq!(error.to_string(), wanted);
        assert!(error.help().is_some());
    }
}
