"""The proxies' part of `benches/RESULTS.md`."""

import os
import re
import time

import load
import places

BEGIN, END = "<!-- proxies: written by `make bench-peers` -->", "<!-- proxies: end -->"


class Row:
    """One figure, ours against one peer's. `goal` bounds the ratio, `limit` our own value. A difference has no ratio."""

    def __init__(self, what, peer, pairs, key, goal=None, limit=None, more_is_better=False, scale=1.0,
                 is_difference=False):
        self.what, self.peer, self.goal, self.limit = what, peer, goal, limit
        self.more_is_better, self.is_difference = more_is_better, is_difference
        self.ratio = load.ratio(pairs, key)
        self.theirs = [scale * value for value in load.summary([pair[0] for pair in pairs], key)]
        self.ours = [scale * value for value in load.summary([pair[1] for pair in pairs], key)]
        self.steal = max(sample.get("steal", 0) for pair in pairs for sample in pair)

    def verdict(self):
        if self.limit is not None:
            return "met" if self.ours[0] <= self.limit else "**missed**"
        if self.goal is None:
            return ""
        met = self.ratio[0] >= self.goal if self.more_is_better else self.ratio[0] <= self.goal
        return "met" if met else "**missed**"

    def is_loss(self):
        """Whether the peer is better, beyond what its spread explains."""
        if self.is_difference:
            return self.ours[1] > self.theirs[2]
        low, high = self.ratio[1], self.ratio[2]
        return high < 1 if self.more_is_better else low > 1

    def line(self):
        bound = "" if self.goal is None else f"{'≥' if self.more_is_better else '≤'} {self.goal:g}×"
        if self.limit is not None:
            bound = f"≤ {self.limit:g}"
        spread = "" if self.is_difference else f"{self.ratio[0]:.2f} ({self.ratio[1]:.2f}–{self.ratio[2]:.2f})"
        return (f"| {self.what} | {self.peer} | {number(self.theirs[0])} | {number(self.ours[0])} "
                f"({number(self.ours[1])}–{number(self.ours[2])}) | {spread} | {bound} | {self.verdict()} |")


def number(value):
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def write(path, rows, rounds, seconds, note):
    """Puts the rows between the marks in the file, leaving the rest of it alone."""
    model = next(line.split(":")[1].strip() for line in open("/proc/cpuinfo") if "model name" in line)
    lost = [row for row in rows if row.is_loss()]
    section = [
        BEGIN, "## Proxies against their peers", "",
        f"{time.strftime('%Y-%m-%d')}, {model}, {os.cpu_count()} processors, shared with others. "
        f"{rounds} rounds of {seconds:g} s; peer and ours in turn; every proxy with one worker and without a log; "
        "origins verified against the same authority by all. "
        f"Host's steal at most {100 * max(row.steal for row in rows):.0f} %. {note}".rstrip(), "",
        "Ratios are ours / peer, median (least–most) of pairs measured one after the other. CPU is the proxy's, user and "
        "system, with its helpers, for one request, connection or gigabyte.", "",
        "| figure | peer | peer's | ours | ours / peer | goal | |", "| --- | --- | --- | --- | --- | --- | --- |",
        *(row.line() for row in rows), "", "### Losses", ""]
    section += [f"- {row.what}: {row.peer} {number(row.theirs[0])}, ours {number(row.ours[0])}." for row in lost]
    section += ["None beyond the spread."] if not lost else []
    section += [END]
    text = path.read_text() if path.exists() else "# Results of the benchmarks\n"
    block = "\n".join(section)
    marked = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.S)
    text = marked.sub(lambda _: block, text) if marked.search(text) else f"{text.rstrip()}\n\n{block}\n"
    path.write_text(text)


RESULTS = places.ROOT / "benches/RESULTS.md"
