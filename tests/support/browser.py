"""Measures pages in headless Chromium, where Debian's package of it is installed."""

import html
import json
import re
import shutil
import subprocess

WIDE, NARROW = 1280, 390  # pixels
_PROBE = """
addEventListener("load", () => {
  const measured = [...document.querySelectorAll("iframe")].map((frame) => {
    const page = frame.contentDocument, height = page.documentElement.scrollHeight;
    const scrolls = [...page.querySelectorAll(".scroll")]
      .filter((part) => part.scrollWidth > part.clientWidth + 1)
      .map((part) => part.textContent.trim().slice(0, 60));
    page.querySelectorAll("details").forEach((fold) => { fold.open = true; });
    const cut = [...page.querySelectorAll("h1, h2, h3, p, table, td, th, li, figure")]
      .filter((part) => part.getBoundingClientRect().right > frame.clientWidth + 1)
      .map((part) => part.tagName + ": " + part.textContent.trim().slice(0, 60));
    const wide = page.scrollingElement.scrollWidth;
    return {height: height, cut: cut.slice(0, 9), wide: wide, scrolls: scrolls};
  });
  document.title = JSON.stringify(measured);
});
"""


def path() -> str | None:
    """The program; None where it is not installed."""
    return shutil.which("chromium")


def measure(pages: dict[str, str], folder) -> dict[str, dict[str, dict]]:
    """name -> width -> {"height", "cut", "wide", "scrolls"} of pages, in one start.

    `height` is that of the page as it opens, `cut` lists what reaches beyond its width
    with every fold open, `wide` is its width then; `scrolls` are tables that need
    scrolling to the side as the page opens.
    """
    frames = [
        f'<iframe width="{width}" height="900" style="border: 0" '
        f'srcdoc="{html.escape(source)}"></iframe>'
        for source in pages.values()
        for width in (WIDE, NARROW)
    ]
    whole = folder / "frames.html"
    head = '<!doctype html><meta charset="utf-8"><title></title>'
    whole.write_text(f"{head}{''.join(frames)}<script>{_PROBE}</script>")
    call = [path(), "--headless=new", "--no-sandbox", "--disable-gpu"]
    call += ["--hide-scrollbars", "--dump-dom", f"--user-data-dir={folder / 'profile'}"]
    done = subprocess.run(
        [*call, whole.as_uri()], capture_output=True, text=True, check=True
    )
    told = html.unescape(re.search("<title>(.*?)</title>", done.stdout, re.DOTALL)[1])
    measured = iter(json.loads(told))
    return {name: {width: next(measured) for width in (WIDE, NARROW)} for name in pages}
