"""Where things are: tools, ports, names and certificates."""

import os
import pathlib
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
TOOLS = TARGET / "bench"
OHA = TOOLS / "bin/oha"

# Names of the one origin. Which one a client asks for is what our policy tells workloads apart by.
PLAIN, MITM, TUNNEL = "plain.bench.test", "mitm.bench.test", "tunnel.bench.test"
FIRST_CONTACT = [f"h{number}.bench.test" for number in range(1000)]

# Ports of the origins.
HTTP, HTTPS, HTTPS_CLOSING, HOLD, SINK = 18080, 18443, 18444, 18445, 18446


def program(name):
    """The path of an installed program; those of the system's administrator are looked for, too."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    return found or TOOLS / "venv/bin" / name


def certificates(folder):
    """An authority that origins are verified against, with a leaf for them, and one for the peers to sign with."""
    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, cwd=folder)

    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3")
    for name in ("trust", "peer-ca"):
        openssl("req", "-x509", *ec, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
                "-addext", "keyUsage=critical,keyCertSign,cRLSign")
    openssl("req", *ec, "-keyout", "origin.key", "-out", "origin.csr", "-subj", "/CN=origin")
    (folder / "origin.ext").write_text(
        "subjectAltName=DNS:*.bench.test,DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", "origin.csr", "-CA", "trust.pem", "-CAkey", "trust.key", "-days", "3",
            "-extfile", "origin.ext", "-out", "origin.pem")
    both = (folder / "peer-ca.key").read_text() + (folder / "peer-ca.pem").read_text()
    (folder / "peer-ca-both.pem").write_text(both)


def names(folder):
    """Every name of the benchmark is this machine: in the hosts file, and by the name server in `origins.py`."""
    lines = [f"127.0.0.1 {name}\n" for name in ["localhost", PLAIN, MITM, TUNNEL, *FIRST_CONTACT]]
    (folder / "hosts").write_text("".join(lines))
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
    for name in ("hosts", "resolv.conf"):
        subprocess.run(["mount", "--bind", folder / name, f"/etc/{name}"], check=True)


def is_root():
    """Whether this is the machine's root, and not a user namespace's."""
    return pathlib.Path("/proc/self/uid_map").read_text().split()[1:] == ["0", "4294967295"]
