# SPDX-License-Identifier: Apache-2.0
"""
The documentation may only speak of what is there: every relative link and every file that is
named in backquotes exists, every heading that is linked to too, every file of ours has its
licence line; every cause in the log is explained.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.*-]*)`")
CODE = re.compile(r"^```.*?^```", re.M | re.S)
LICENSED = {".c", ".h", ".py"}


def tracked():
    listing = subprocess.run(["git", "-c", "safe.directory=*", "ls-files"], cwd=ROOT, text=True,
                             capture_output=True, check=False)
    if listing.returncode == 0 and listing.stdout:
        return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]
    return [path for path in ROOT.rglob("*") if path.is_file()
            and not path.relative_to(ROOT).parts[0].startswith((".git", "build"))]


def anchors(path):
    """Headings as GitHub and GitLab make anchors of them."""
    text = CODE.sub("", path.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")
            for title in re.findall(r"^#+ +(.+)$", text, re.M)}


def check_links(path, report):
    text = CODE.sub("", path.read_text())
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        where = (path.parent / name).resolve() if name else path
        if not where.exists():
            report(path, f"link to {target}, which is not there")
        elif anchor and where.suffix == ".md" and anchor not in anchors(where):
            report(path, f"link to {target}: there is no such heading")


def check_names(path, report, top):
    text = CODE.sub("", path.read_text())
    for name in set(NAMED.findall(text)):
        if name.split("/")[0] not in top or name.startswith("build"):
            continue  # a path that is not of this tree
        if not list(ROOT.glob(name.rstrip("/"))):
            report(path, f"names `{name}`, which is not there")


def check_causes(report):
    """Every cause that the log can name is explained to those who read the log."""
    header = (ROOT / "dataplane" / "conn_log.h").read_text()
    listed = header.split("#define SESSION_CAUSES(X)")[1].split("\n\n")[0]
    causes = re.findall(r'X\(\w+, "(\w+)"', listed)
    manual = ROOT / "docs" / "operations.md"
    text = manual.read_text()
    for cause in causes:
        if f"`{cause}`" not in text:
            report(manual, f"does not explain the cause {cause}")
    if len(causes) < 20:
        report(manual, "the list of causes in dataplane/conn_log.h could not be read")


def main():
    files = tracked()
    top = {path.relative_to(ROOT).parts[0] for path in files}
    problems = {}

    def report(path, text):
        problems.setdefault(path, []).append(text)

    checked = 0
    for path in files:
        if path.suffix == ".md":
            check_links(path, report)
            check_names(path, report, top)
        elif path.suffix in LICENSED:
            if "SPDX-License-Identifier: Apache-2.0" not in path.read_text()[:300]:
                report(path, "has no licence line")
        else:
            continue
        checked += 1
    check_causes(report)
    for path, texts in problems.items():
        for text in texts:
            print(f"{path.relative_to(ROOT)}: {text}")
    print(f"{checked - len(problems)} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
