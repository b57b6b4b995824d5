#!/usr/bin/env python3
"""Removes each guard in turn and expects its test to notice.

    python3 tests/guards.py            every guard
    python3 tests/guards.py NAME       those whose name, package or test contains NAME

Works on a clone of the commit, in a folder of the target directory. First every test that is named
must pass with all guards in place. Then a guard is noticed if the test that is named for it fails,
crashes or hangs without it. A guard whose text is no longer found once, whose removal does not
compile or is not noticed fails the run: then either the test or the list has gone stale.
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

from guard_list import GUARDS, Guard

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "guards")).resolve()
TREE = TARGET / "tree"
# Seconds that the tests may take, without compiling them. Whatever takes longer hangs.
LIMIT = 300
# What a package's tests start, beside what cargo builds for them.
BINARIES = {"keystile-tests": "keystile"}


def clone() -> None:
    """The commit as it is, with nothing of an earlier run that was broken off."""
    if TREE.exists():
        subprocess.run(["git", "-C", TREE, "fetch", "--quiet", ROOT, "HEAD"], check=True)
        subprocess.run(["git", "-C", TREE, "reset", "--quiet", "--hard", "FETCH_HEAD"], check=True)
    else:
        subprocess.run(["git", "clone", "--quiet", ROOT, TREE], check=True)


def cargo(*arguments: str, limit: int | None = None) -> tuple[int | None, str, str]:
    """How cargo ended (`None`: not within `limit` seconds), its output and its errors."""
    process = subprocess.Popen(
        ["cargo", *arguments], cwd=TREE, env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        errors="replace", start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=limit)
        return process.returncode, output, errors
    except subprocess.TimeoutExpired:
        # The whole group: cargo, the test and what the test has started.
        os.killpg(process.pid, signal.SIGKILL)
        output, errors = process.communicate()
        return None, output, errors


def compiled(package: str) -> str | None:
    """Builds the tests of `package`; what the compiler said if it cannot."""
    steps = [["test", "--no-run", "--tests", "--package", package]]
    if package in BINARIES:
        steps.insert(0, ["build", "--package", BINARIES[package]])
    for step in steps:
        code, _, errors = cargo(step[0], "--locked", "--quiet", *step[1:])
        if code != 0:
            return errors
    return None


def run(package: str, tests: list[str]) -> tuple[int | None, str, str]:
    command = ["test", "--locked", "--tests", "--no-fail-fast", "--package", package, "--", *tests]
    return cargo(*command, limit=LIMIT)


def ended(output: str, test: str, how: str) -> bool:
    """Did the test of that name, in whatever module, end that way?"""
    return re.search(rf"^test (?:\S+::)?{test} (?:- should panic )?\.\.\. .*{how}$", output, re.M) is not None


def failed(output: str, test: str) -> bool:
    """The same from the list at the end, which nothing that a test prints can break up."""
    return re.search(rf"^    (?:\S+::)?{test}$", output, re.M) is not None


def baseline(package: str, tests: list[str]) -> list[str]:
    """The named tests that do not pass, or do not exist, with every guard in place."""
    errors = compiled(package)
    if errors is not None:
        return [f"{package} does not compile\n{errors[-2000:]}"]
    code, output, _ = run(package, tests)
    absent = [test for test in tests if not ended(output, test, "ok")]
    if code == 0 and not absent:
        return []
    return [f"{package}: does not pass with every guard in place: {', '.join(absent)}\n{output[-2000:]}"]


def without(guard: Guard) -> tuple[bool, str]:
    """Was it noticed that `guard` is gone? And how, or why not."""
    path = TREE / guard.file
    source = text = path.read_text()
    for old, new in guard.edits.items():
        if text.count(old) != 1:
            return False, f"its text stands {text.count(old)} times in {guard.file}: {old.strip()}"
        text = text.replace(old, new)
    try:
        path.write_text(text)
        errors = compiled(guard.package)
        if errors is not None:
            return False, f"its removal does not compile\n{errors[-2000:]}"
        code, output, errors = run(guard.package, [guard.test])
    finally:
        path.write_text(source)
    if code is None:
        return True, f"noticed by {guard.test}: it hung, ended after {LIMIT} s"
    if failed(output, guard.test):
        return True, f"noticed by {guard.test}"
    if code != 0 and "signal:" in errors:
        return True, f"noticed by {guard.test}: it crashed"
    if code == 0:
        return False, f"NOT NOTICED by {guard.test}"
    return False, f"another failure than {guard.test}\n{output[-2000:]}{errors[-2000:]}"


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    guards = [guard for guard in GUARDS if any(wanted in text for text in (guard.name, guard.package, guard.test))]
    clone()
    problems, noticed = [], []
    for package in dict.fromkeys(guard.package for guard in guards):
        own = [guard for guard in guards if guard.package == package]
        tests = list(dict.fromkeys(guard.test for guard in own))
        before = baseline(package, tests)
        problems += before
        print(*before or [f"{package}: {len(tests)} tests pass with every guard in place"], flush=True)
        for guard in [] if before else own:
            started = time.monotonic()
            good, said = without(guard)
            label = f"threat {guard.threat}: {guard.name}: "
            print(f"  {label}{said} ({time.monotonic() - started:.0f} s)", flush=True)
            (noticed if good else problems).append(guard if good else label + said)
    threats = sorted({guard.threat for guard in noticed}, key=int)
    print(f"{len(guards)} guards removed, {len(noticed)} noticed, {len(guards) - len(noticed)} not")
    print(f"threats of which a guard was removed and its test failed: {', '.join(threats)}")
    return 1 if problems or not guards else 0


if __name__ == "__main__":
    sys.exit(main())
