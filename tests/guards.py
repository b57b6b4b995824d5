#!/usr/bin/env python3
"""Removes each guard in turn and expects its test to notice.

    python3 tests/guards.py            every guard
    python3 tests/guards.py NAME       those whose name contains NAME

Works on a copy of the commit in a folder of its own. A guard that is removed and not noticed, or whose
text is no longer found, fails the run: then either the test or this list has gone stale.
"""
import os
import pathlib
import subprocess
import sys
import tempfile

from guard_list import GUARDS

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(tree: pathlib.Path, target: str, package: str, test: str) -> tuple[bool, str]:
    """Do the package's tests whose name contains `test` pass? And what was printed."""
    command = ["cargo", "test", "--offline", "--quiet", "--package", package, "--", test]
    done = subprocess.run(
        command, cwd=tree, env={**os.environ, "CARGO_TARGET_DIR": target},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )
    return done.returncode == 0, done.stdout


def main() -> int:
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    guards = [guard for guard in GUARDS if wanted in guard.name]
    target = os.environ.get("CARGO_TARGET_DIR", str(ROOT / "target" / "guards"))
    noticed, failed = 0, []
    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "keystile"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tree)], check=True)
        for number, guard in enumerate(guards, 1):
            label = f"[{number}/{len(guards)}] threat {guard.threat}: {guard.name}"
            path = tree / guard.file
            source = path.read_text()
            if source.count(guard.old) != 1:
                failed.append(f"{label}: its text stands {source.count(guard.old)} times in {guard.file}")
                print(failed[-1], flush=True)
                continue
            path.write_text(source.replace(guard.old, guard.new))
            passed, output = run(tree, target, guard.package, guard.test)
            path.write_text(source)
            if passed:
                failed.append(f"{label}: NOT NOTICED by {guard.test}")
            elif "could not compile" in output:
                failed.append(f"{label}: the change does not compile\n{output[-2000:]}")
            elif "test result: FAILED" not in output:
                failed.append(f"{label}: no test failed\n{output[-2000:]}")
            else:
                noticed += 1
                print(f"{label}: noticed by {guard.test}", flush=True)
                continue
            print(failed[-1], flush=True)
    print(f"{len(guards)} guards removed, {noticed} noticed, {len(failed)} not")
    return 1 if failed or not guards else 0


if __name__ == "__main__":
    sys.exit(main())
