"""The workloads of a proxy's life. Each takes a `Bench` and yields rows for the report.

A row compares one peer with ours in one figure; `goal` is what ours / peer must not exceed (or, for throughput, fall
below), where there is one.
"""

import json
import urllib.request

import bulk
import contact
import idle
import load
import places
import peers
import stream
from report import Row

PLAIN = f"http://{places.PLAIN}:{places.HTTP}/1k"
MITM = f"https://{places.MITM}:{places.HTTPS}/1k"
CLOSING = f"https://{places.MITM}:{places.HTTPS_CLOSING}/1k"
TUNNEL = f"https://{places.TUNNEL}:{places.HTTPS}/1k"


def mode_for(proxy, wanted):
    return next(mode for mode in wanted if mode in proxy.ports)


def requests(bench, names, modes, url, what, goals=None, keys=("cpu", "kernel", "rps", "p50", "p99"), slow=(), **extra):
    """Requests through each peer and ours: cost of one, rate, latency."""
    def sample(proxy):
        way = load.through(proxy, url, mode_for(proxy, modes))
        seconds = bench.seconds * 2 if proxy.name in slow else bench.seconds
        return load.measured(proxy, lambda: load.oha(way, seconds, **extra))

    pairs = load.interleaved(bench.peers(names), bench.ours, bench.rounds, sample, bench.say)
    units = {"cpu": "CPU µs", "kernel": "of it in the kernel, µs", "rps": "requests/s", "p50": "p50 ms",
             "p99": "p99 ms"}
    for peer, found in pairs.items():
        for key in keys:
            goal = (goals or {}).get((peer, key))
            yield Row(f"{what}: {units[key]}", peer, found, key, goal, more_is_better=key == "rps")


def w1(bench):
    goals = {("hudsucker", "cpu"): 0.75, ("squid", "cpu"): 0.25}
    names = ["hudsucker", "squid", "envoy", *bench.slow("mitmproxy")]
    yield from requests(bench, names, ["forward"], PLAIN, "plain HTTP, 32 connections", goals)
    yield from requests(bench, ["hudsucker", "squid"], ["forward"], PLAIN, "plain HTTP, 256 connections", goals,
                        connections=256)


def w2(bench):
    """A fixed rate, so that latency is not the price of throughput."""
    extra = ["-q", "2000", "--latency-correction"]
    direct = []

    def sample(proxy):
        way = load.through(proxy, PLAIN, "forward")
        result = load.measured(proxy, lambda: load.oha(way, bench.seconds * 2, extra=extra))
        direct.append(load.oha([PLAIN], bench.seconds, extra=extra))
        return {**result, **{f"added {p}": result[p] - direct[-1][p] for p in ("p50", "p99", "p99.9")}}

    pairs = load.interleaved(bench.peers(["hudsucker", "squid", "envoy"]), bench.ours, bench.rounds, sample, bench.say)
    for peer, found in pairs.items():
        for key in ("added p50", "added p99", "added p99.9"):
            yield Row(f"plain HTTP at 2,000 requests/s: {key} ms over direct", peer, found, key, is_difference=True)


def w3(bench):
    goals = {(peer, "cpu"): 0.70 for peer in ("squid", "envoy", "tinyproxy")}
    yield from requests(bench, ["envoy", "squid", "tinyproxy", "haproxy"], ["forward", "relay"], TUNNEL,
                        "tunnel kept alive", goals)


def w4(bench):
    goals = {(peer, "cpu"): 0.45 for peer in ("squid", "envoy", "tinyproxy")}
    yield from requests(bench, ["squid", "envoy", "tinyproxy", "haproxy"], ["forward", "relay"], TUNNEL,
                        "new tunnel for each request", goals, extra=["--disable-keepalive"])


def w5(bench):
    sink = bulk.Sink()
    for streams, down in [(1, True), (1, False), (4, True), (16, True)]:
        if streams > 1 and bench.quick:
            continue

        def sample(proxy, streams=streams, down=down):
            return load.measured(proxy, lambda: bulk.tunnel(proxy, streams, down, bench.seconds), "gigabytes")

        pairs = load.interleaved(bench.peers(["haproxy", "squid", "envoy", "bare"]), bench.ours, bench.rounds, sample,
                                 bench.say)
        what = f"tunnel, bulk {'down' if down else 'up'}, {streams} stream{'s' * (streams > 1)}"
        for peer, found in pairs.items():
            is_goal = peer == "haproxy"
            yield Row(f"{what}: CPU-s/GB", peer, found, "cpu", 0.35 if is_goal else None, scale=1e-6)
            yield Row(f"{what}: Gb/s", peer, found, "gbps", 1.6 if is_goal else None, more_is_better=True)
    del sink


def w6(bench):
    goals = {("hudsucker", "cpu"): 0.70, ("haproxy", "cpu"): 1.0, ("squid", "cpu"): 0.28}
    names = ["hudsucker", "haproxy", "squid", *bench.slow("mitmproxy")]
    yield from requests(bench, names, ["intercept", "sni"], MITM, "intercepted, kept alive, HTTP/1.1", goals)
    yield from requests(bench, ["haproxy"], ["intercept", "sni"], MITM, "intercepted, kept alive, HTTP/2 × 8",
                        connections=8, extra=["--http2", "-p", "8"])


def accepts():
    text = urllib.request.urlopen(f"http://127.0.0.1:{places.HTTP}/status").read().decode().splitlines()
    return int(text[2].split()[0])


def w7(bench):
    for url, what, goals in [
            (MITM, "new intercepted connection, upstream may be kept", {("hudsucker", "cpu"): 0.40}),
            (CLOSING, "new intercepted connection, upstream closes",
             {("hudsucker", "cpu"): 0.75, ("haproxy", "cpu"): 0.45})]:
        def sample(proxy, url=url):
            way = load.through(proxy, url, mode_for(proxy, ["intercept", "sni"]))
            before = accepts()
            result = load.measured(proxy, lambda: load.oha(way, bench.seconds, extra=["--disable-keepalive"]))
            return {**result, "upstream": (accepts() - before) / result["requests"]}

        names = ["hudsucker", "haproxy", "squid"]
        pairs = load.interleaved(bench.peers(names), bench.ours, bench.rounds, sample, bench.say)
        for peer, found in pairs.items():
            yield Row(f"{what}: CPU µs", peer, found, "cpu", goals.get((peer, "cpu")))
            yield Row(f"{what}: of it in the kernel, µs", peer, found, "kernel")
            yield Row(f"{what}: connections/s", peer, found, "rps", more_is_better=True)
            yield Row(f"{what}: upstream connections a request", peer, found, "upstream")


def w8(bench):
    """A thousand hosts nobody has asked for, and then once more: the difference is the mint path."""
    def sample(proxy):
        proxy = bench.again(proxy.name, first_contact=True)
        first = load.measured(proxy, lambda: contact.everybody(proxy))
        second = load.measured(proxy, lambda: contact.everybody(proxy))
        return {**first, "mint": first["cpu"] - second["cpu"]}

    pairs = load.interleaved(bench.peers(["hudsucker", "squid"]), bench.ours, bench.rounds, sample, bench.say)
    for peer, found in pairs.items():
        yield Row("first contact: CPU µs over a second contact", peer, found, "mint", limit=60, is_difference=True)
        yield Row("first contact: p50 ms", peer, found, "p50")
        yield Row("first contact: p99 ms", peer, found, "p99")


def w9(bench):
    def sample(proxy):
        mode = mode_for(proxy, ["intercept", "sni"])
        return load.measured(proxy, lambda: bulk.intercepted(proxy, mode), "gigabytes")

    pairs = load.interleaved(bench.peers(["haproxy", "hudsucker", "squid"]), bench.ours, bench.rounds, sample, bench.say)
    for peer, found in pairs.items():
        yield Row("intercepted, 256 MiB: CPU-s/GB", peer, found, "cpu", {"haproxy": 0.85}.get(peer), scale=1e-6)
        yield Row("intercepted, 256 MiB: Gb/s", peer, found, "gbps", {"hudsucker": 1.2}.get(peer), more_is_better=True)


def w10(bench):
    count = 500 if bench.quick else 2000
    for what, opener, names, size, limit in [
            ("idle tunnel: KiB", idle.tunnels, ["squid", "envoy"], count, 3.6),
            ("idle intercepted pair: KiB", idle.pairs, ["hudsucker", "haproxy", "squid"], count // 4, 24)]:
        def sample(proxy, opener=opener, size=size):
            return idle.cost(bench.again(proxy.name), opener, size // 10, size)

        pairs = load.interleaved(bench.peers(names), bench.ours, 1 if bench.quick else 3, sample, bench.say)
        for peer, found in pairs.items():
            yield Row(what, peer, found, "kib", limit=limit)
            yield Row(what.replace("KiB", "CPU-s a second, all of them"), peer, found, "idle", is_difference=True)
            if opener is idle.tunnels:
                yield Row("process with 10 rules, after a few connections: KiB", peer, found, "base", limit=10_240)


def w14(bench):
    """Ours alone: a million rules read anew every second, under load."""
    many = peers.ours(bench.folder, 3161, bench.million(), "ours-1M")
    config = bench.folder / "ours-1M.json"

    def sample(reloading):
        way = load.through(many, PLAIN, "forward")
        with bench.every_second(lambda: config.touch() or config.write_text(config.read_text()), reloading):
            return load.measured(many, lambda: load.oha(way, bench.seconds * 2, extra=["-q", "1000"]))

    found = [(sample(False), sample(True)) for _ in range(bench.rounds)]
    many.process.stop()
    for key in ("p99", "p99.9"):
        yield Row(f"1M rules reloaded every second: {key} ms", "steady", found, key)


def w15(bench):
    many = peers.ours(bench.folder, 3161, bench.million(), "ours-1M")
    few = peers.ours(bench.folder, 3162, [f"blocked{n}.example" for n in range(4)], "ours-10")
    few.name = "10 rules"
    for url, what in [(PLAIN, "plain HTTP"), (MITM, "intercepted")]:
        def sample(proxy, url=url):
            return load.measured(proxy, lambda: load.oha(load.through(proxy, url, "forward"), bench.seconds))

        found = load.interleaved([few], many, bench.rounds * 2, sample, bench.say)["10 rules"]
        yield Row(f"1M rules, {what}: requests/s", "10 rules", found, "rps", 0.98, more_is_better=True)
        yield Row(f"1M rules, {what}: CPU µs", "10 rules", found, "cpu")
    many.process.stop()
    few.process.stop()


def w16(bench):
    def sample(proxy):
        direct, result = stream.sample(None), stream.sample(proxy)
        return {p: result[p] - direct[p] for p in result}

    names = ["hudsucker", "haproxy", "squid"]
    pairs = load.interleaved(bench.peers(names), bench.ours, bench.rounds, sample, bench.say)
    for peer, found in pairs.items():
        yield Row("server-sent events: added p50 ms a chunk", peer, found, "p50", is_difference=True)
        yield Row("server-sent events: added p99 ms a chunk", peer, found, "p99", limit=0.3, is_difference=True)
    body = bench.folder / "50k"
    body.write_bytes(json.dumps({"text": "x" * 50_000}).encode())
    yield from requests(bench, names, ["intercept", "sni"], MITM.replace("/1k", "/post"), "intercepted, 50 KB POST",
                        extra=["-m", "POST", "-D", body])


ALL = {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5, "W6": w6, "W7": w7, "W8": w8, "W9": w9, "W10": w10,
       "W14": w14, "W15": w15, "W16": w16}
