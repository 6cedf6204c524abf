"""Processes and what they use."""

import contextlib
import os
import pathlib
import socket
import subprocess
import time

TICK = 1 / os.sysconf("SC_CLK_TCK")


class Process:
    """A running program with all its helpers. Ready when it listens on `port`."""

    def __init__(self, name, command, folder, port, environment=None):
        self.name = name
        self.log = folder / f"{name}.log"
        with open(self.log, "wb") as log:
            self.child = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=folder, env={**os.environ, **(environment or {})}, start_new_session=True)
        self.wait_for(port)

    @staticmethod
    def run(command):
        """Runs a program to its end."""
        subprocess.run([str(part) for part in command], check=True, capture_output=True)

    def wait_for(self, port):
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.child.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"{self.name} does not listen on {port}: {self.log.read_text()[-2000:]}")

    def family(self):
        """The process and its descendants."""
        children = {}
        for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                children.setdefault(int(fields(entry)[1]), []).append(int(entry.parent.name))
        found, waiting = [], [self.child.pid]
        while waiting:
            pid = waiting.pop()
            found.append(pid)
            waiting += children.get(pid, [])
        return found

    def cpu(self):
        """Seconds of processor time, all of it and the kernel's: all threads, helpers and finished children."""
        total = kernel = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                stat = fields(pathlib.Path(f"/proc/{pid}/stat"))
                total += sum(int(ticks) for ticks in stat[11:15])
                kernel += int(stat[12]) + int(stat[14])
        return total * TICK, kernel * TICK

    def resident(self):
        """KiB of resident memory."""
        total = 0
        for pid in self.family():
            with contextlib.suppress(OSError):
                for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("VmRSS:"):
                        total += int(line.split()[1])
        return total

    def stop(self):
        """Ends the program and its helpers, and waits."""
        for pid in reversed(self.family()):
            with contextlib.suppress(OSError):
                os.kill(pid, 15)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.child.wait(3)
        for pid in [self.child.pid]:
            with contextlib.suppress(OSError):
                os.killpg(pid, 9)
        self.child.wait()


def fields(stat):
    """The fields of a `/proc/PID/stat` after the command: state, parent, …; user and system time are 11 to 14."""
    return stat.read_text().rsplit(")", 1)[1].split()


class Steal:
    """The share of the machine's time that its host gave to others since this was made."""

    def __init__(self):
        self.before = self.read()

    @staticmethod
    def read():
        with open("/proc/stat") as stat:
            times = [int(ticks) for ticks in stat.readline().split()[1:9]]
        return times[7], sum(times)

    def share(self):
        steal, total = self.read()
        return (steal - self.before[0]) / max(1, total - self.before[1])
