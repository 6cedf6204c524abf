"""Load: oha, curl, and what it cost the proxy."""

import json
import statistics
import subprocess
import time

import places
from process import Steal

# A sample taken while the machine's host gave more than this to others is taken again.
MOST_STEAL = 0.05


def through(proxy, url, mode):
    """oha's arguments to reach `url` through `proxy`: by CONNECT or absolute-form, by a relay, by server name."""
    if proxy is None:
        return [url]
    host_and_port = url.split("//")[1].split("/")[0]
    port = int(host_and_port.split(":")[1])
    if mode in ("relay", "sni"):
        return ["--connect-to", f"{host_and_port}:127.0.0.1:{proxy.ports[mode][port]}", url]
    # Its CONNECT has no `Host` of its own, which RFC 9112 §3.2 has a server refuse.
    host = ["--proxy-header", f"Host: {host_and_port}"] if url.startswith("https:") else []
    return ["-x", f"http://127.0.0.1:{proxy.ports[mode]}", *host, url]


def oha(arguments, seconds=None, count=None, connections=32, extra=()):
    """One run; its result. Raises if anything but 200 came back."""
    amount = ["-z", f"{seconds}s", "-w"] if count is None else ["-n", str(count)]
    command = [places.OHA, "--no-tui", "--output-format", "json", "--insecure", "-c", str(connections),
               *amount, *extra, *arguments]
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=180)
    if run.returncode != 0:
        raise RuntimeError(f"oha: {run.stderr[-500:]}")
    result = json.loads(run.stdout)
    codes, errors = result["statusCodeDistribution"], result["errorDistribution"]
    errors.pop("aborted due to deadline", None)
    good = codes.get("200", 0)
    if good == 0 or sum(codes.values()) != good or sum(errors.values()) > good / 1000:
        raise RuntimeError(f"oha: answers {codes}, errors {errors}")
    return {"requests": good, "rps": result["summary"]["requestsPerSec"],
            **{p: 1000 * (result["latencyPercentiles"][p] or 0) for p in ("p50", "p99", "p99.9")}}


def measured(proxy, work, unit="requests"):
    """Runs `work` and adds what each of its units cost `proxy`: microseconds of processor time, and the kernel's part."""
    for _ in range(3):
        steal, before = Steal(), proxy.process.cpu() if proxy else (0, 0)
        result = work()
        time.sleep(0.05)
        after = proxy.process.cpu() if proxy else (0, 0)
        result["cpu"], result["kernel"] = ((now - then) / result[unit] * 1e6 for then, now in zip(before, after))
        result["steal"] = steal.share()
        if result["steal"] <= MOST_STEAL:
            break
    return result


def interleaved(peers, ours, rounds, sample, say):
    """Samples of every peer, each beside one of ours: {peer: [(peer's, ours'), …]}."""
    pairs = {peer.name: [] for peer in peers}
    for peer in [*peers, ours]:
        try:
            sample(peer)
        except Exception as error:
            if peer is ours:
                raise
            say(f"    {peer.name} is left out: {error}")
            pairs.pop(peer.name)
    for number in range(rounds):
        for peer in peers:
            if peer.name in pairs:
                try:
                    pairs[peer.name].append((sample(peer), sample(ours)))
                except RuntimeError as error:
                    say(f"    round {number + 1}, {peer.name}: {error}")
        say(f"    round {number + 1} of {rounds}")
    return {name: samples for name, samples in pairs.items() if samples}


def summary(samples, key):
    """(median, least, most) of one figure."""
    values = [sample[key] for sample in samples]
    return statistics.median(values), min(values), max(values)


def ratio(pairs, key):
    """(median, least, most) of ours / peer, by pairs."""
    values = [ours[key] / peer[key] for peer, ours in pairs if peer[key]]
    return (statistics.median(values), min(values), max(values)) if values else (0, 0, 0)
