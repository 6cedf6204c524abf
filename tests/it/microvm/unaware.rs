//! Programs that know of no proxy: their names are answered inside, and their connections judged outside.

use std::fs;

use super::Running;
use crate::origin::Origin;

/// Runs the rest with an empty environment.
const BARE: &str = "env -i PATH=/usr/bin:/bin";

#[test]
fn programs_that_know_of_no_proxy_get_out_by_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello"), "hello from outside\n").unwrap();
    let origin = Origin::serving(folder.path());
    let roots = origin.roots();
    let vm = Running::start("unaware", &[("SSL_CERT_FILE", roots.to_str().unwrap())]);

    names_are_answered_inside(&vm);
    nothing_else_waits(&vm);
    by_name(&vm);
    to_the_host(&vm, &origin);
}

/// Clients of other languages, which read no proxy variable (aiohttp, `ws`, Java) or not those that they have here
/// (Node's `fetch`). Each prints what the origin or the wall said.
const CLIENTS: [(&str, &str, &str); 4] = [
    (
        "python3 -c 'import aiohttp, asyncio, sys
async def get():
    async with aiohttp.ClientSession() as session:
        async with session.get(sys.argv[1]) as answer:
            print(answer.status)
asyncio.run(get())'",
        "200",
        "TLSV1_ALERT_ACCESS_DENIED",
    ),
    (
        "node -e 'fetch(process.argv[1]).then(r => console.log(r.status), e => console.log(e.cause.code))'",
        "200",
        "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED",
    ),
    (
        "NODE_PATH=/usr/share/nodejs node -e 'new (require(\"ws\"))(process.argv[1].replace(\"https\", \"wss\"))
.on(\"error\", e => console.log(e.message))'",
        "Unexpected server response",
        "access denied",
    ),
    ("java Get.java", "200", "(access_denied)"),
];

/// Java runs a file of source as it is.
const GET_JAVA: &str = r#"
import java.net.URI;
import java.net.http.*;

class Get {
    public static void main(String[] args) throws Exception {
        var request = HttpRequest.newBuilder(URI.create(args[0])).build();
        var answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.discarding());
        System.out.println(answer.statusCode());
    }
}
"#;

/// In a container, where the same relay runs and installing is quick.
#[test]
fn clients_of_other_languages_get_out_by_the_policy() {
    let vm = Running::start_with("clients", &[], &["--isolation", "container"]);
    vm.policy(&["--policy", "allow"]);
    vm.ok_inside("pip install -q --break-system-packages --no-warn-script-location aiohttp");
    vm.ok_inside("sudo apt-get update -q -q");
    let packages = "nodejs node-ws default-jdk-headless";
    vm.ok_inside(&format!(
        "sudo apt-get install -y -q -q --no-install-recommends {packages}"
    ));
    fs::write(vm.home.project().join("Get.java"), GET_JAVA).unwrap();
    let index = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
    let index = vm.ok_inside(&format!("python3 -c '{index}'"));
    let url = format!("{}/six/", index.trim());
    let host = url.split('/').nth(2).unwrap();
    // Also those that other clients would read.
    let bare = "for name in $(env | grep -io '^[a-z_]*proxy='); do unset ${name%=}; done";

    vm.policy(&["--policy", "deny"]);
    for (client, _, denied) in CLIENTS {
        let ran = vm.inside(&format!("{bare}; {client} {url}"));
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(denied), "{client}: {said}");
    }
    vm.policy(&["--allow-host", &format!("{host}:443")]);
    for (client, allowed, _) in CLIENTS {
        let said = vm.ok_inside(&format!("{bare}; {client} {url}"));
        assert!(said.starts_with(allowed), "{client}: {said}");
    }
}

/// Every name has an address, always the same one, and nothing is asked outside for it.
fn names_are_answered_inside(vm: &Running) {
    let script = "getent ahostsv4 secret.example.org | head -1; getent ahostsv4 SECRET.example.org | head -1";
    let told = vm.ok_inside(script);
    let addresses: Vec<&str> = told
        .split_whitespace()
        .filter(|word| word.starts_with("198.1"))
        .collect();
    assert!(matches!(addresses[..], [one, two] if one == two), "{told}");
    assert_ne!(
        vm.inside("getent hosts printer").code,
        0,
        "a name of one label is nobody's"
    );
    let table = vm.ok_inside("cat /etc/resolv.conf");
    assert!(table.contains("nameserver 198.18.0.1"), "{table}");
    assert_eq!(vm.log(), "", "a question is no request");
}

/// UDP and addresses fail at once: with them a client would wait for its own time limit.
fn nothing_else_waits(vm: &Running) {
    let script = r#"
import errno, socket, time
began = time.monotonic()
def code(kind, address):
    with socket.socket(socket.AF_INET, kind) as s:
        s.settimeout(30)
        try:
            s.connect(address)
            s.send(b"x")
            s.recv(1)
        except OSError as error:
            return errno.errorcode.get(error.errno, repr(error))
print(code(socket.SOCK_DGRAM, ("example.org", 443)), code(socket.SOCK_DGRAM, ("192.0.2.1", 53)),
      code(socket.SOCK_STREAM, ("192.0.2.1", 443)), code(socket.SOCK_STREAM, ("198.18.200.200", 443)),
      time.monotonic() - began < 10)
"#;
    let told = vm.ok_inside(&format!("{BARE} python3 -c '{script}'"));
    assert_eq!(
        told,
        "ECONNREFUSED ENETUNREACH ENETUNREACH ECONNRESET True\n"
    );
}

/// A public name: refused in the client's own language, then allowed and intercepted.
fn by_name(vm: &Running) {
    let index = "from pip._internal.models.index import PyPI; print(PyPI.simple_url)";
    let index = vm.ok_inside(&format!("python3 -c '{index}'"));
    let index = index.trim();
    let host = index
        .trim_start_matches("https://")
        .split('/')
        .next()
        .unwrap();

    let get = format!(
        "{BARE} curl -sS --max-time 60 -o /dev/null -w '%{{http_code}} %{{remote_ip}}' {index}/six/"
    );
    let denied = vm.inside(&get);
    assert_ne!(denied.code, 0, "{denied:?}");
    assert!(denied.stderr.contains("access denied"), "{denied:?}");
    let plain = vm.ok_inside(&format!("{BARE} curl -sS -i http://{host}/"));
    assert!(plain.starts_with("HTTP/1.1 403"), "{plain}");
    assert!(plain.contains("x-sandbox-reason: "), "{plain}");

    vm.policy(&["--allow-host", &format!("{host}:443")]);
    let allowed = vm.ok_inside(&get);
    assert!(
        allowed.starts_with("200 198.1"),
        "a synthetic address: {allowed}"
    );
    let python = format!(
        "import socket, ssl, urllib.request as r\n\
         print(r.urlopen(\"{index}/six/\", timeout=60).status)\n\
         raw = ssl.create_default_context().wrap_socket(socket.create_connection((\"{host}\", 443)), server_hostname=\"{host}\")\n\
         print(dict(raw.getpeercert()[\"issuer\"][0])[\"commonName\"])"
    );
    let told = vm.ok_inside(&format!("{BARE} python3 -c '{python}'"));
    assert_eq!(told, "200\nSandbox Proxy CA\n");
    let requests = vm.log();
    let allowed = requests
        .lines()
        .filter(|line| line.ends_with("/six/ allowed"));
    assert_eq!(allowed.count(), 2, "{requests}");
}

/// A service of the host, by the name that Docker gives the host.
fn to_the_host(vm: &Running, origin: &Origin) {
    let port = origin.addr.port();
    let get =
        format!("{BARE} curl -sS --max-time 60 --fail https://host.docker.internal:{port}/hello");
    assert_ne!(vm.inside(&get).code, 0);
    assert_eq!(origin.requests(), 0);
    vm.policy(&["--allow-host", &format!("localhost:{port}")]);
    assert_eq!(vm.ok_inside(&get), "hello from outside\n");
}
