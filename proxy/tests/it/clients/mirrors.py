"""Small registries as files: what pip, npm, cargo, go, apt, git and skopeo ask for, below FOLDER, to be served at BASE."""

import hashlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import zipfile

folder, base = pathlib.Path(sys.argv[1]), sys.argv[2]


def put(path, data):
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data if isinstance(data, bytes) else data.encode())


def tar(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def sha(data, kind="sha256"):
    return hashlib.new(kind, data).hexdigest()


put("file", "hello from the origin\n")

# pip and uv: a simple index and a wheel.
wheel = io.BytesIO()
with zipfile.ZipFile(wheel, "w") as archive:
    info = "tiny-1.0.dist-info/"
    archive.writestr("tiny.py", "")
    archive.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    archive.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    archive.writestr(info + "RECORD", "tiny.py,,\n" + info + "METADATA,,\n" + info + "WHEEL,,\n" + info + "RECORD,,\n")
put("packages/tiny-1.0-py3-none-any.whl", wheel.getvalue())
put("simple/tiny/index.html", '<a href="../../packages/tiny-1.0-py3-none-any.whl">tiny-1.0-py3-none-any.whl</a>')

# npm, yarn and pnpm.
package = tar({"package/package.json": json.dumps({"name": "tiny", "version": "1.0.0"})})
put("npm/tiny/-/tiny-1.0.0.tgz", package)
version = {
    "name": "tiny",
    "version": "1.0.0",
    "dist": {"tarball": f"{base}/npm/tiny/-/tiny-1.0.0.tgz", "shasum": sha(package, "sha1")},
}
put("npm/tiny/index.html", json.dumps({"name": "tiny", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}))

# cargo: a sparse index.
crate = tar(
    {
        "tiny-1.0.0/Cargo.toml": '[package]\nname = "tiny"\nversion = "1.0.0"\nedition = "2021"\n',
        "tiny-1.0.0/src/lib.rs": "",
    }
)
put("cargo/config.json", json.dumps({"dl": f"{base}/crates"}))
put("crates/tiny/1.0.0/download", crate)
line = {"name": "tiny", "vers": "1.0.0", "deps": [], "cksum": sha(crate), "features": {}, "yanked": False}
put("cargo/ti/ny/tiny", json.dumps(line) + "\n")

# go: a module proxy.
module = io.BytesIO()
with zipfile.ZipFile(module, "w") as archive:
    archive.writestr("tiny.test/tiny@v1.0.0/go.mod", "module tiny.test/tiny\n")
    archive.writestr("tiny.test/tiny@v1.0.0/tiny.go", "package tiny\n")
for name, content in {"info": json.dumps({"Version": "v1.0.0"}), "mod": "module tiny.test/tiny\n", "zip": module.getvalue()}.items():
    put(f"go/tiny.test/tiny/@v/v1.0.0.{name}", content)

# apt: a flat repository with one package.
data, control = tar({"./usr/share/tiny": "tiny"}), "Package: tiny\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n"
members = {"debian-binary": b"2.0\n", "control.tar.gz": tar({"./control": control}), "data.tar.gz": data}
deb = b"!<arch>\n"
for name, content in members.items():
    deb += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
put("apt/tiny_1_all.deb", deb)
packages = f"{control}Filename: ./tiny_1_all.deb\nSize: {len(deb)}\nSHA256: {sha(deb)}\n".encode()
put("apt/Packages", packages)
put("apt/Release", f"Suite: x\nSHA256:\n {sha(packages)} {len(packages)} Packages\n")

# skopeo: an image of one layer.
layer = tar({"tiny": "tiny"})
config = json.dumps(
    {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + sha(layer)]}}
).encode()


def described(kind, data):
    put(f"v2/tiny/blobs/sha256:{sha(data)}", data)
    return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": "sha256:" + sha(data), "size": len(data)}


manifest = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", config),
        "layers": [described("layer.v1.tar+gzip", layer)],
    }
).encode()
put("v2/index.html", "{}")
put("v2/tiny/manifests/latest", manifest)
put(f"v2/tiny/manifests/sha256:{sha(manifest)}", manifest)

# git: a bare repository that any file server can serve.
def git(*arguments, cwd=folder):
    identity = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@example.com", "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@example.com"}
    subprocess.run(["git", *arguments], cwd=cwd, env={**os.environ, **identity}, check=True, stdout=subprocess.DEVNULL)


work = folder / "work"
git("init", "-q", "-b", "main", str(work))
put("work/file", "committed\n")
git("add", ".", cwd=work)
git("commit", "-q", "-m", "One file", cwd=work)
git("clone", "-q", "--bare", "work", "project.git")
git("update-server-info", cwd=folder / "project.git")
