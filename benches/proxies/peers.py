"""The proxies: ours and its peers, each with one worker, no log, no cache, and origins verified against one authority.

What a peer is asked for is in its `ports`: `forward` takes absolute-form requests and CONNECT, `intercept` takes
CONNECT and ends the TLS inside, `relay` is a fixed way to the TLS origin, `sni` ends TLS without CONNECT.
"""

import json
import pathlib
import shutil
import sys

import places
from process import Process

WORKERS = "1"


class Proxy:
    """A proxy that runs."""

    def __init__(self, name, process, ports):
        self.name, self.process, self.ports = name, process, ports


def ours(folder, port=3128, blocked=(), name="ours", first_contact=False):
    """`proxy/examples/appliance.rs`: interception, tunnels for one name, every decision by policy."""
    allowed = [f"{places.PLAIN}:{places.HTTP}", f"{places.TUNNEL}:{places.HTTP}", f"{places.TUNNEL}:{places.SINK}"]
    for tls in (places.HTTPS, places.HTTPS_CLOSING, places.HOLD):
        allowed += [f"{name}:{tls}" for name in (places.MITM, places.TUNNEL)]
    if first_contact:
        allowed += [f"{host}:{places.HTTPS_CLOSING}" for host in places.FIRST_CONTACT]
    config = folder / f"{name}.json"
    config.write_text(json.dumps({
        "policy": "deny",
        "network": {"allowedDomains": allowed, "bypassDomains": [places.TUNNEL], "blockedDomains": list(blocked)}}))
    program = places.TARGET / "release/examples/appliance"
    process = Process(name, [program, f"127.0.0.1:{port}", config, folder / f"{name}-ca"], folder, port, {
        "WORKERS": WORKERS, "TRUST": str(folder / "trust.pem"), "CONNECTIONS": "15000"})
    return Proxy(name, process, {"forward": port, "intercept": port})


def squid(folder):
    helpers = "/usr/lib/squid/security_file_certgen"
    home = folder / "squid"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir()
    store = home / "certs"
    Process.run([helpers, "-c", "-s", store, "-M", "16MB"])
    # As root it wants another user; in a user namespace there is none.
    user = "root"
    if places.is_root():
        user = "proxy"
        Process.run(["chown", "-R", user, home])
    config = home / "squid.conf"
    config.write_text(f"""
http_port 127.0.0.1:3201
http_port 127.0.0.1:3202 ssl-bump tls-cert={folder}/peer-ca-both.pem generate-host-certificates=on dynamic_cert_mem_cache_size=16MB
sslcrtd_program {helpers} -s {store} -M 16MB
tls_outgoing_options cafile={folder}/trust.pem
acl bumped localport 3202
ssl_bump bump bumped
http_access allow all
cache deny all
access_log none
cache_log {home}/cache.log
visible_hostname bench
cache_store_log none
pid_filename {home}/pid
coredump_dir {home}
hosts_file /etc/hosts
shutdown_lifetime 0 seconds
workers {WORKERS}
cache_effective_user {user}
max_filedescriptors 18000
pinger_enable off
""")
    process = Process("squid", [places.program("squid"), "-N", "-f", config], folder, 3201)
    return Proxy("squid", process, {"forward": 3201, "intercept": 3202})


def tinyproxy(folder):
    config = folder / "tinyproxy.conf"
    config.write_text(f"Port 3211\nListen 127.0.0.1\nMaxClients 4000\nLogFile \"/dev/null\"\nLogLevel Critical\n"
                      f"ConnectPort {places.HTTPS}\nConnectPort {places.HTTP}\nConnectPort {places.SINK}\n")
    process = Process("tinyproxy", [places.program("tinyproxy"), "-d", "-c", config], folder, 3211)
    return Proxy("tinyproxy", process, {"forward": 3211})


def haproxy(folder):
    """It ends no CONNECT: relays go to one origin, and interception is by server name."""
    config = folder / "haproxy.cfg"
    config.write_text(f"""
global
  nbthread {WORKERS}
  maxconn 8000
  ca-base {folder}
  tune.ssl.default-dh-param 2048
  tune.ssl.ssl-ctx-cache-size 2000
defaults
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen relay-tls
  mode tcp
  bind 127.0.0.1:3221
  server origin 127.0.0.1:{places.HTTPS}
listen relay-http
  mode tcp
  bind 127.0.0.1:3222
  server origin 127.0.0.1:{places.HTTP}
listen relay-sink
  mode tcp
  bind 127.0.0.1:3225
  server origin 127.0.0.1:{places.SINK}
listen intercept
  mode http
  http-reuse always
  bind 127.0.0.1:3223 ssl crt {folder}/origin-both.pem ca-sign-file {folder}/peer-ca-both.pem generate-certificates alpn h2,http/1.1
  server origin 127.0.0.1:{places.HTTPS} ssl verify required ca-file {folder}/trust.pem sni ssl_fc_sni verifyhost localhost
listen intercept-closing
  mode http
  bind 127.0.0.1:3224 ssl crt {folder}/origin-both.pem ca-sign-file {folder}/peer-ca-both.pem generate-certificates
  server origin 127.0.0.1:{places.HTTPS_CLOSING} ssl verify required ca-file {folder}/trust.pem sni ssl_fc_sni verifyhost localhost
listen intercept-hold
  mode http
  bind 127.0.0.1:3226 ssl crt {folder}/origin-both.pem ca-sign-file {folder}/peer-ca-both.pem generate-certificates
  server origin 127.0.0.1:{places.HOLD} ssl verify required ca-file {folder}/trust.pem sni ssl_fc_sni verifyhost localhost
""")
    both = (folder / "origin.key").read_text() + (folder / "origin.pem").read_text()
    (folder / "origin-both.pem").write_text(both)
    process = Process("haproxy", [places.program("haproxy"), "-f", config], folder, 3221)
    relays = {places.HTTPS: 3221, places.HTTP: 3222, places.SINK: 3225}
    ends = {places.HTTPS: 3223, places.HTTPS_CLOSING: 3224, places.HOLD: 3226}
    return Proxy("haproxy", process, {"relay": relays, "sni": ends})


def envoy(folder):
    config = folder / "envoy.json"
    cache = {"name": "c", "dns_lookup_family": "V4_ONLY",
             "typed_dns_resolver_config": {"name": "envoy.network.dns_resolver.getaddrinfo", "typed_config": {
                 "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig"}}}
    kind = "type.googleapis.com/envoy.extensions."
    filters = [
        {"name": "dfp", "typed_config": {
            "@type": kind + "filters.http.dynamic_forward_proxy.v3.FilterConfig", "dns_cache_config": cache}},
        {"name": "router", "typed_config": {"@type": kind + "filters.http.router.v3.Router"}}]
    connect = {"upgrade_type": "CONNECT", "connect_config": {}}
    routes = [{"match": {"connect_matcher": {}}, "route": {"cluster": "any", "upgrade_configs": [connect]}},
              {"match": {"prefix": "/"}, "route": {"cluster": "any"}}]
    manager = {"@type": kind + "filters.network.http_connection_manager.v3.HttpConnectionManager",
               "stat_prefix": "p", "http_filters": filters, "generate_request_id": False,
               "upgrade_configs": [{"upgrade_type": "CONNECT"}],
               "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]}}
    limits = {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
    config.write_text(json.dumps({"static_resources": {
        "listeners": [{
            "name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": 3231}},
            "filter_chains": [{"filters": [{"name": "m", "typed_config": manager}]}]}],
        "clusters": [{
            "name": "any", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [limits]},
            "cluster_type": {"name": "dfp", "typed_config": {
                "@type": kind + "clusters.dynamic_forward_proxy.v3.ClusterConfig", "dns_cache_config": cache}}}]}}))
    command = [places.program("envoy"), "-c", config, "--concurrency", WORKERS, "-l", "critical"]
    return Proxy("envoy", Process("envoy", command, folder, 3231), {"forward": 3231})


def hudsucker(folder):
    program = places.TOOLS / "hudsucker/release/peer-hudsucker"
    files = [folder / name for name in ("peer-ca.pem", "peer-ca.key", "trust.pem")]
    process = Process("hudsucker", [program, "127.0.0.1:3241", *files], folder, 3241)
    return Proxy("hudsucker", process, {"forward": 3241, "intercept": 3241})


def mitmproxy(folder):
    home = folder / "mitmproxy"
    home.mkdir(exist_ok=True)
    (home / "mitmproxy-ca.pem").write_text((folder / "peer-ca-both.pem").read_text())
    command = [places.TOOLS / "venv/bin/mitmdump", "-q", "--listen-host", "127.0.0.1", "-p", "3251",
               "--set", f"confdir={home}", "--set", f"ssl_verify_upstream_trusted_ca={folder}/trust.pem",
               "--set", "stream_large_bodies=1m", "--set", "flow_detail=0"]
    return Proxy("mitmproxy", Process("mitmproxy", command, folder, 3251), {"forward": 3251, "intercept": 3251})


def bare(folder):
    """No proxy, but the kernel's share of one; see `bare.py`."""
    program = pathlib.Path(__file__).with_name("bare.py")
    process = Process("bare", [sys.executable, program, 3261, places.SINK], folder, 3261)
    return Proxy("bare", process, {"relay": {places.SINK: 3261}})


PEERS = {maker.__name__: maker for maker in (squid, tinyproxy, haproxy, envoy, hudsucker, mitmproxy, bare)}
