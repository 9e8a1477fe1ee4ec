"""Build the documentation as a site with search in build/site: ``python tools/make_site.py``.

It needs the extra `docs` and no network; its pages need none either, also opened from disk. A link that leads nowhere
ends it with an error, and so does a page that docs/index.md does not link.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from quantum_trader import __version__

ROOT: Final = Path(__file__).resolve().parent.parent
DOCS: Final = ROOT / "docs"
WORKER: Final = ROOT / "tools" / "site" / "iframe-worker.js"
OUTSIDE_WORKER: Final = "https://unpkg.com/iframe-worker/shim"  # what the site builder would load from elsewhere
SECTIONS: Final = (("How-to", "how-to-"), ("Concepts", "concepts"), ("Reference", "reference-"))
ALSO: Final = {  # pages whose names do not tell their section
    "architecture.md": "Concepts", "safety.md": "Concepts", "published-names.md": "Reference",
}
SETTINGS: Final = """[project]
site_name = "Quantum Trader"
site_description = "A crypto-futures trading system around one trading policy."
site_author = "Quantum Trader {version}"
docs_dir = "docs"
use_directory_urls = false
nav = {nav}

[project.theme]
language = "en"
font = false
features = ["navigation.tabs", "navigation.top", "search.highlight", "content.code.copy", "toc.follow"]

[[project.theme.palette]]
media = "(prefers-color-scheme)"
toggle.icon = "lucide/sun-moon"
toggle.name = "Use the light theme"

[[project.theme.palette]]
media = "(prefers-color-scheme: light)"
scheme = "default"
toggle.icon = "lucide/sun"
toggle.name = "Use the dark theme"

[[project.theme.palette]]
media = "(prefers-color-scheme: dark)"
scheme = "slate"
toggle.icon = "lucide/moon"
toggle.name = "Use the theme of the system"

[project.plugins.offline]
"""


def pages_in_order(docs: Path) -> list[str]:
    """The pages of *docs* in the order in which its index links them. SystemExit names those that it does not link."""
    linked = dict.fromkeys(re.findall(r"\]\(([\w-]+\.md)[)#]", (docs / "index.md").read_text("utf-8")))
    left = sorted({path.name for path in docs.glob("*.md")} - linked.keys() - {"index.md"})
    if left:
        raise SystemExit(f"docs/index.md links no {', '.join(left)}: link each page there, in its place")
    return list(linked)


def navigation(docs: Path) -> str:
    """The tabs of the site and their pages, as TOML; the decisions are listed by their own index."""
    pages = pages_in_order(docs)
    sections = {title: [page for page in pages if page.startswith(start)] for title, start in SECTIONS}
    for page, title in ALSO.items():
        sections[title].append(page)
    tabs = ['{"Start" = ["index.md"]}', '{"Tour" = ["tour.md"]}']
    tabs += [f"{{{json.dumps(title)} = {json.dumps(found)}}}" for title, found in sections.items()]
    tabs.append('{"Decisions" = ["decisions/README.md"]}')
    return f"[{', '.join(tabs)}]"


def build_site(docs: Path, build: Path) -> Path:
    """Build the pages of *docs* into the folder site in *build*, and return it. SystemExit where a link is broken."""
    site, source = build / "site", build / "site-source"  # the builder takes pages from beside its settings alone
    for folder in (site, source):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(docs, source / "docs")
    settings = source / "zensical.toml"
    settings.write_text(SETTINGS.format(version=__version__, nav=navigation(docs)), "utf-8")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict", "--config-file", str(settings)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    if built.returncode:
        raise SystemExit(f"{built.stdout}{built.stderr}the site was not built: mend the links above")
    (source / "site").rename(site)
    _keep_inside(site)
    missing = missing_pictures(site)
    if missing:
        raise SystemExit("\n".join([*missing, "the site was not built: mend the links above"]))
    return site


def _keep_inside(site: Path) -> None:
    """Put the one script that the builder takes from the internet into the *site*."""
    place = "assets/javascripts/iframe-worker.js"
    shutil.copy(WORKER, site / place)
    for page in site.rglob("*.html"):
        up = "../" * (len(page.relative_to(site).parts) - 1)
        page.write_text(page.read_text("utf-8").replace(OUTSIDE_WORKER, up + place), "utf-8")


def missing_pictures(site: Path) -> list[str]:
    """The pictures that pages of *site* show and that are not there, which the builder does not look for."""
    return [
        f"{page.relative_to(site).with_suffix('.md')}: {name}: there is no such picture"
        for page in sorted(site.rglob("*.html"))
        for name in re.findall(r"<img\b[^>]*?src=\"([^\":]+)\"", page.read_text("utf-8"))
        if not (page.parent / name).is_file()
    ]


if __name__ == "__main__":
    print(f"{build_site(DOCS, ROOT / 'build') / 'index.html'}")
