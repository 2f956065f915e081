# SPDX-License-Identifier: Apache-2.0
"""The phases of ../test: runs them, times them, adds up what passed and failed."""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SANITIZERS = ["-Db_sanitize=address,undefined", "-Db_lundef=false"]
VALGRIND = "valgrind --leak-check=full --show-leak-kinds=definite " \
    "--errors-for-leak-kinds=definite --error-exitcode=9"
# folder -> (compiler, meson options)
BUILDS = {
    "build": ("gcc", []),
    "build-asan": ("gcc", SANITIZERS),
    "build-clang": ("clang", [*SANITIZERS, "-Dfuzz=true"]),
}


class Tally:
    """What one phase counted, and the line with which its runner closed."""

    def __init__(self, passed, failed, closing):
        self.passed, self.failed, self.closing = passed, failed, closing


def stream(command, **environment):
    """Runs a command with its output passed on; (exit status, its last lines)."""
    process = subprocess.Popen([str(part) for part in command], cwd=ROOT, text=True,
                               errors="replace", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, env={**os.environ, **environment})
    last = []
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
            last = [*last[-19:], line.rstrip()]
    except BaseException:
        process.terminate()
        raise
    finally:
        status = process.wait()
    return status, [line for line in last if line.strip()]


def need(*folders):
    """Builds what a phase needs; whether all of it could be built."""
    for folder in folders:
        compiler, options = BUILDS[folder]
        status, _ = stream(["tests/build", folder, *options], CC=compiler)
        if status != 0:
            return False
    return True


def counted(lines, pattern=r"(\d+) passed, (\d+) failed"):
    for line in reversed(lines):
        if found := re.search(pattern, line):
            return Tally(int(found[1]), int(found[2]), line)
    return Tally(0, 1, lines[-1] if lines else "(no output)")


def phase_build(_):
    failed = [folder for folder in BUILDS if not need(folder)]
    text = "all built" if not failed else f"not built: {', '.join(failed)}"
    return Tally(len(BUILDS) - len(failed), len(failed), text)


def phase_docs(_):
    return counted(stream(["/usr/bin/python3", "-B", "tests/check_docs.py"])[1])


def phase_unit(_):
    if not need("build-asan"):
        return Tally(0, 1, "not built")
    log = ROOT / "build-asan" / "meson-logs" / "testlog.json"
    log.unlink(missing_ok=True)
    status, lines = stream(["tests/as-owner", "meson", "test", "-C", "build-asan", "--no-rebuild",
                            "--print-errorlogs", "--timeout-multiplier", "4"])
    results = [json.loads(line)["result"] for line in log.read_text().splitlines()] \
        if log.exists() else []
    good = sum(result in ("OK", "EXPECTEDFAIL") for result in results)
    bad = sum(result not in ("OK", "EXPECTEDFAIL", "SKIP") for result in results)
    closing = ", ".join(" ".join(line.split()) for line in lines
                        if re.match(r"(Ok|Fail|Skipped|Timeout|Unexpected Pass):", line))
    return Tally(good, max(bad, int(status != 0)), closing or lines[-1])


def phase_fuzz(_):
    if not need("build-clang"):
        return Tally(0, 1, "not built")
    return counted(stream(["tests/fuzz/run", "build-clang",
                           os.environ.get("FUZZ_SECONDS", "10")])[1])


def pytest(arguments, folder, *more):
    if not need(*{folder, "build"}):
        return Tally(0, 1, "not built")
    report = ROOT / folder / "e2e.xml"
    report.unlink(missing_ok=True)
    status, lines = stream(["/usr/bin/python3", "-B", "-m", "pytest", "tests/e2e", "-q",
                            "--binary", f"{folder}/dataplane/portcullis",
                            "--junitxml", report, *more, *arguments], PYTHONUNBUFFERED="1")
    if not report.exists():
        return Tally(0, 1, lines[-1] if lines else "(no output)")
    suite = ElementTree.parse(report).getroot().find("testsuite")
    number = {key: int(suite.get(key)) for key in ("tests", "failures", "errors", "skipped")}
    failed = number["failures"] + number["errors"]
    passed = number["tests"] - failed - number["skipped"]
    return Tally(passed, max(failed, int(status != 0)), lines[-1])


def phase_e2e(arguments):
    return pytest(arguments, "build", "--durations=10")


def phase_sanitize(arguments):
    return pytest(arguments, "build-asan", "-m", "core")


def phase_valgrind(arguments):
    return pytest(["-m", "core", "--wrapper", VALGRIND, *arguments], "build")


def phase_demo(_):
    status, lines = stream(["./demo", "--no-color"])
    tally = counted(lines, r"(\d+) of (\d+) steps showed")
    steps, tally.failed = tally.failed, tally.failed - tally.passed
    return tally if steps and (status == 0) == (tally.failed == 0) else Tally(0, 1, tally.closing)


PHASES = {
    "build": phase_build, "docs": phase_docs, "unit": phase_unit, "fuzz": phase_fuzz,
    "e2e": phase_e2e, "sanitize": phase_sanitize, "demo": phase_demo,
    "valgrind": phase_valgrind,
}
ON_REQUEST = {"valgrind"}  # takes five minutes, and finds less than the sanitizers


def main(arguments):
    names = arguments[:arguments.index("--")] if "--" in arguments else arguments
    rest = arguments[len(names) + 1:]
    if unknown := [name for name in names if name not in PHASES]:
        print(f"no such phase: {', '.join(unknown)}; there are {', '.join(PHASES)}",
              file=sys.stderr)
        return 2
    tallies = {}
    for name in names or [phase for phase in PHASES if phase not in ON_REQUEST]:
        print(f"\n=== {name} " + "=" * (74 - len(name)), flush=True)
        started = time.monotonic()
        tallies[name] = PHASES[name](rest)
        tallies[name].seconds = time.monotonic() - started
        print(f"--- {name}: {tallies[name].seconds:.0f} s", flush=True)
        if name == "build" and tallies[name].failed:
            break  # nothing below can mean anything
    print("\n=== summary " + "=" * 67)
    for name, tally in tallies.items():
        print(f"{name:<9} {tally.seconds:5.0f} s  {tally.closing}")
    passed = sum(tally.passed for tally in tallies.values())
    failed = sum(tally.failed for tally in tallies.values())
    print(f"{sum(tally.seconds for tally in tallies.values()):.0f} s in all")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
