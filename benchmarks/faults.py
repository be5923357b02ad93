"""A campaign of faults: killed commands, mutated inputs, a full disk. It prints what it tried and what it found.

    python benchmarks/faults.py kills [--count 100] [--workers-killed 10] [--seed 0]
    python benchmarks/faults.py mutations [--count 10000] [--seed 0] [--processes 2] [--only NUMBER]
    sudo python benchmarks/faults.py disk

`kills`: `kill -9` of the real commands with all their processes, at moments drawn over the work of an uninterrupted
run; then whatever has the published name is verified, and after at most three kills the same command must complete to
the uninterrupted bytes. After that an extension of virtual hearts, which has worker processes, loses one of them.

`mutations`: every case (see `mutations.py`) must give the content as it was or a `SynthgenError`, within 2 s of
processor time and 500 MB of memory beyond what the process had; `--only` runs one case again and shows its traceback.

`disk` (Linux, as root): `build` into a file system of 1 MiB, into one that is read-only, and twice at once.

The exit code is 1 when a fault was found.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import synthgen.build  # noqa: F401 - imported before commands are forked
from synthgen.cli import run
from synthgen.datasets.verify import verify
from synthgen.seeding import Stage, numpy_stream

MEMORY = 500 << 20
WALL_S = 600  # of one mutated case: it hangs, however busy the machine is
SHARES = ("build", "export hdf5", "export nifti", "extend", "export hdf5", "build", "export nifti", "extend hearts")
"""The command of kill k, in turn."""

Tree = dict[str, bytes]


def contents(path: Path) -> Tree:
    """Return every file below a folder with its bytes."""
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


class Child:
    """A command of the program, running as the leader of a session of its own.

    It is forked from this process, which has imported what commands need: the start of an interpreter, in which nothing
    is written, is not worth killing.
    """

    def __init__(self, arguments: Sequence[str | Path]) -> None:
        handle, name = tempfile.mkstemp()
        self._log = Path(name)
        self.pid = os.fork()
        self.code: int | None = None
        if self.pid == 0:
            os.setsid()
            os.dup2(handle, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            code = 1
            try:
                code = run(list(map(str, arguments)))
            finally:
                os._exit(code)
        os.close(handle)

    def poll(self) -> int | None:
        """Return its exit code, negative for a signal; None while it runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code

    def kill(self) -> None:
        """Kill it with all its processes."""
        os.killpg(self.pid, signal.SIGKILL)

    def finish(self, timeout: float = 1200) -> tuple[int, str]:
        """Wait for its end; return exit code and what it said on standard error."""
        deadline = time.monotonic() + timeout
        while self.poll() is None:
            time.sleep(0.002)
            if time.monotonic() > deadline:
                self.kill()
                deadline = float("inf")
                self._log.write_text("it hangs", encoding="ascii")
        said = self._log.read_text(encoding="utf-8")
        self._log.unlink()
        assert self.code is not None
        return self.code, said


def complete(arguments: Sequence[str | Path]) -> tuple[int, str]:
    """Run a command to its end; return exit code and what it said on standard error."""
    return Child(arguments).finish()


# --- kills ---


@dataclass
class Victim:
    """A command to be killed, and what it makes when it is not."""

    name: str
    command: Callable[[Path], list[str | Path]]
    folder: Path
    sources: tuple[Path, ...]
    whole: Tree = field(default_factory=dict)
    before: list[Tree] = field(default_factory=list)
    seconds: float = 0.0
    out: Path | None = None
    strikes: int = 0
    rounds: int = 0

    def measure(self) -> None:
        """Run it once, undisturbed."""
        out = self.folder / "whole" / "cohort"
        self.before = [contents(source) for source in self.sources]
        child = Child(self.command(out))
        began = wait_for_work(child, out)
        code, said = child.finish()
        self.seconds = time.monotonic() - began
        if code:
            raise SystemExit(f"{self.name} fails undisturbed: {said}")
        self.whole = contents(out)

    def check(self, out: Path) -> list[str]:
        """Return what is wrong now."""
        wrong = [damage.what for damage in verify(out)] if out.exists() else []
        if [contents(source) for source in self.sources] != self.before:
            wrong.append("a dataset that is only read was changed")
        return wrong

    def strike(self, moment: float) -> tuple[bool, list[str]]:
        """Kill the command `moment` seconds into its work, three times before it may complete.

        Returns
        -------
        bool, list[str]
            Whether a live process was hit, and what is wrong.
        """
        if self.out is None:
            self.begin()
        assert self.out is not None
        child = Child(self.command(self.out))
        wait_for_work(child, self.out)
        time.sleep(moment)
        if child.poll() is None:
            child.kill()
        code, _ = child.finish()
        self.strikes += 1
        wrong = self.check(self.out)
        if self.strikes == 3 or self.out.exists():
            wrong += self.finish()
        return code == -signal.SIGKILL, wrong

    def begin(self) -> Path:
        """Take a new folder to work in."""
        self.rounds, self.strikes = self.rounds + 1, 0
        self.out = self.folder / str(self.rounds) / "cohort"
        self.out.parent.mkdir()
        return self.out

    def finish(self) -> list[str]:
        """Let the command that was killed complete; return what is wrong."""
        if self.out is None:
            return []
        out, self.out = self.out, None
        if not out.exists():
            code, said = complete(self.command(out))
            if code:
                return [f"the same command ended with {code}: {said[-300:]}"]
        wrong = self.check(out)
        if contents(out) != self.whole:
            wrong.append("the bytes differ from those of an uninterrupted run")
        left = sorted({path.name for path in out.parent.iterdir()} - {out.name})
        return [*wrong, *([f"left behind: {left}"] if left else [])]


def wait_for_work(child: Child, out: Path) -> float:
    """Wait until the unfinished folder is there."""
    partial = out.with_name(out.name + ".partial")
    while child.poll() is None and not partial.exists() and not out.exists():
        time.sleep(0.002)
    return time.monotonic()


def victims(folder: Path) -> dict[str, Victim]:
    """Return the commands, each with its inputs made."""
    parent, hearts = folder / "parent" / "cohort", folder / "hearts" / "cohort"
    build = ["build", "--target", "ARV", "--workers", "2", "--device", "cpu"]
    for command in ([*build, "--count", "2", "--out", parent], ["hearts", "--count", "2", "--out", hearts]):
        code, said = complete(command)
        if code:
            raise SystemExit(said)
    grow = ["extend", "--count", "2", "--workers", "2"]
    made = {
        "build": (lambda out: [*build, "--count", "3", "--out", out], ()),
        "extend": (lambda out: [*grow, parent, "--out", out, "--device", "cpu"], (parent,)),
        "extend hearts": (lambda out: [*grow, hearts, "--out", out], (hearts,)),
        "export hdf5": (lambda out: ["export", parent, "--to", "hdf5", "--out", out], (parent,)),
        "export nifti": (lambda out: ["export", parent, "--to", "nifti", "--out", out], (parent,)),
    }
    found = {}
    for name, (command, sources) in made.items():
        place = folder / name.replace(" ", "-")
        place.mkdir()
        victim = Victim(name, command, place, sources)
        victim.measure()
        print(f"{name}: {victim.seconds:.2f} s of work, {len(victim.whole)} files", flush=True)
        found[name] = victim
    return found


def kill_campaign(options: argparse.Namespace) -> int:
    """Kill, check, complete, compare; return the number of faults."""
    faults: list[str] = []
    tried: Counter[str] = Counter()
    hit: Counter[str] = Counter()

    def note(where: str, wrong: Sequence[str]) -> None:
        faults.extend(f"{where}: {what}" for what in wrong)
        for what in wrong:
            print(f"{where}: {what}", flush=True)

    with tempfile.TemporaryDirectory() as place:
        every = victims(Path(place))
        for number in range(options.count):
            victim = every[SHARES[number % len(SHARES)]]
            rng = numpy_stream(options.seed, subject=number, stage=Stage.EVALUATION)
            moment = float(rng.uniform(0, victim.seconds))
            died, wrong = victim.strike(moment)
            tried[victim.name] += 1
            hit[victim.name] += died
            note(f"kill {number}, {victim.name} after {moment:.3f} s", wrong)
            if number % 10 == 9:
                print(f"{number + 1} kills so far, {sum(hit.values())} of a live process", flush=True)
        for victim in every.values():
            note(f"last of {victim.name}", victim.finish())
        ended = lose_workers(every["extend hearts"], options, note)
    for name, count in tried.items():
        print(f"{name}: {count} kills, {hit[name]} of a live process")
    print(f"all: {sum(tried.values())} kills, {sum(hit.values())} of a live process")
    print(f"one worker killed: {sum(ended.values())} times; " + ", ".join(f"{v} {k}" for k, v in sorted(ended.items())))
    return report(faults)


def lose_workers(
    victim: Victim, options: argparse.Namespace, note: Callable[[str, Sequence[str]], None]
) -> Counter[str]:
    """Kill one worker process of a command at a time: it ends with a message or completes, and never hangs."""
    ended: Counter[str] = Counter()
    for number in range(options.workers_killed):
        rng = numpy_stream(options.seed, subject=number, attempt=1, stage=Stage.EVALUATION)
        out = victim.begin()
        child = Child(victim.command(out))
        wait_for_work(child, out)
        while child.poll() is None and not (workers := _workers(child.pid)):
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.8 * victim.seconds)))
        workers = _workers(child.pid)
        if workers:
            os.kill(int(rng.choice(workers)), signal.SIGKILL)
        code, said = child.finish()
        last = said.strip().rpartition("\n")[2]
        clear = last.startswith("synthgen: ") and "unexpected" not in last and "Traceback" not in said
        wrong = [] if code == 0 or clear else [f"exit code {code}: {said[-600:]}"]
        ended["had none left" if not workers else "ended with a message" if code else "completed"] += 1
        note(f"worker {number}", [*wrong, *victim.finish()])
    return ended


def _workers(parent: int) -> list[int]:
    """Return the worker processes of a command, without the helper that tracks shared resources."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                command = (stat.parent / "cmdline").read_bytes()
                found += [int(stat.parent.name)] if b"spawn_main" in command else []
        except OSError:
            continue
    return found


# --- mutations ---


def mutation_campaign(options: argparse.Namespace) -> int:
    """Run every case in processes that are started anew when one dies; return the number of faults."""
    if options.only is not None:
        return run_cases(options, [options.only], tell=True)
    outcomes: Counter[tuple[str, str]] = Counter()
    faults: list[str] = []
    guard = threading.Lock()

    def note(number: int, kind: str, outcome: str, what: str) -> None:
        with guard:
            right = outcome in {"same", "refused", "other"}
            outcomes[kind, outcome if right else "fault"] += 1
            if sum(outcomes.values()) % 500 == 0:
                print(f"{sum(outcomes.values())} cases so far", flush=True)
            if not right:
                faults.append(f"case {number} ({kind}; {what}): {outcome}")
                print(faults[-1], flush=True)

    threads = [threading.Thread(target=_stripe, args=(options, k, note)) for k in range(options.processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kinds = sorted({kind for kind, _ in outcomes})
    print("| kind | tried | as it was | refused | other valid content | faults |\n|---|---|---|---|---|---|")
    for kind in kinds:
        row = [outcomes[kind, outcome] for outcome in ("same", "refused", "other", "fault")]
        print(f"| {kind} | {sum(row)} | " + " | ".join(map(str, row)) + " |")
    print(f"all: {sum(outcomes.values())} cases, seed {options.seed}")
    return report(faults)


def _stripe(options: argparse.Namespace, first: int, note: Callable[[int, str, str, str], None]) -> None:
    """Run cases first, first + processes, ... in a process; go on behind a case that killed it."""
    todo = list(range(first, options.count, options.processes))
    while todo:
        span = f"{todo[0]}:{options.count}:{options.processes}"
        command = [sys.executable, __file__, "mutations", "--seed", str(options.seed), "--cases", span]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            current = None
            for line in child.stdout or ():
                message = json.loads(line)
                if len(message) == 1:
                    current = message[0]
                else:
                    note(*message)
                    current = None
                    todo.remove(message[0])
        if todo:
            number = todo[0] if current is None else current
            note(number, "process", f"it ended with {child.returncode}", "unknown")
            todo.remove(number)


def run_cases(options: argparse.Namespace, numbers: Sequence[int], *, tell: bool = False) -> int:
    """Run cases in this process, with its memory bounded."""
    import torch  # noqa: PLC0415 - heavy; the process that only counts does without
    from mutations import make_kinds, run_case  # noqa: PLC0415

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        kinds = make_kinds(Path(place))
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        for number in numbers:
            if not tell:
                print(json.dumps([number]), flush=True)
            signal.alarm(WALL_S)  # its default action ends the process: Python code need not run for it
            kind, outcome, what = run_case(kinds, options.seed, number, tell=tell)
            signal.alarm(0)
            print(f"{kind}; {what}: {outcome}" if tell else json.dumps([number, kind, outcome, what]), flush=True)
    return 0


# --- disk ---


@contextmanager
def file_system(place: Path, *options: str) -> Iterator[Path]:
    """Mount a file system in memory."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def disk_campaign(_options: argparse.Namespace) -> int:
    """Build where there is no room, where nothing may be written, and twice at once; return the number of faults."""
    faults: list[str] = []

    def expect(name: str, code: int, said: str, out: Path, words: str) -> None:
        lines = [line for line in said.splitlines() if line.startswith("synthgen: ")]
        print(f"{name}: exit code {code}: {' '.join(lines)}", flush=True)
        if code == 0 or len(lines) != 1 or "Traceback" in said or words not in said or out.exists():
            faults.append(f"{name}: {said}")

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build = ["build", "--target", "ARV", "--count", "3", "--workers", "2", "--device", "cpu", "--out"]
        if complete([*build, folder / "cohort"])[0]:
            raise SystemExit("the build fails undisturbed")
        whole = contents(folder / "cohort")
        with file_system(folder / "full", "size=1m") as place:
            expect("full disk", *complete([*build, place / "cohort"]), place / "cohort", "No space left")
            subprocess.run(["mount", "-o", "remount,size=64m", str(place)], check=True)
            code, said = complete([*build, place / "cohort"])
            print(f"with more room: exit code {code}")
            if code or contents(place / "cohort") != whole or verify(place / "cohort"):
                faults.append(f"with more room: {said}")
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
            expect("read-only", *complete([*build, place / "other"]), place / "other", "Read-only")
        pair = [Child([*build, folder / "twice"]) for _ in range(2)]
        ends = sorted(child.finish() for child in pair)
        print(f"two at once: exit codes {[code for code, _ in ends]}: {ends[1][1].strip()}")
        if [code for code, _ in ends] != [0, 2] or contents(folder / "twice") != whole:
            faults.append(f"two at once: {ends}")
    return report(faults)


def report(faults: Sequence[str]) -> int:
    """Print the faults and return how many there are."""
    print(f"faults: {len(faults)}", *faults, sep="\n  ", flush=True)
    return len(faults)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    kills = commands.add_parser("kills")
    kills.add_argument("--count", type=int, default=100)
    kills.add_argument("--workers-killed", type=int, default=10)
    mutations = commands.add_parser("mutations")
    mutations.add_argument("--count", type=int, default=10_000)
    mutations.add_argument("--processes", type=int, default=2)
    mutations.add_argument("--only", type=int)
    mutations.add_argument("--cases", help=argparse.SUPPRESS)
    for command, work in ((kills, kill_campaign), (mutations, mutation_campaign)):
        command.add_argument("--seed", type=int, default=0)
        command.set_defaults(work=work)
    commands.add_parser("disk").set_defaults(work=disk_campaign)
    options = parser.parse_args()
    if getattr(options, "cases", None):
        sys.exit(run_cases(options, range(*map(int, options.cases.split(":")))))
    sys.exit(min(options.work(options), 1))


if __name__ == "__main__":
    main()
