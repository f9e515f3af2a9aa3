"""What every page must be, looked at in a real browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 900}

CONTRAST = """() => {
  const parts = (text) => text.match(/[0-9.]+/g).map(Number);
  const light = (text) => {
    const [r, g, b] = parts(text).slice(0, 3).map((c) => c / 255)
      .map((c) => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  // The page's own ground is the canvas, whose colour a filled element tells.
  const ground = document.createElement("div");
  ground.style.background = "Canvas";
  document.body.append(ground);
  const back = light(getComputedStyle(ground).backgroundColor);
  ground.remove();
  return [...document.querySelectorAll("body, h1, td, th, p, .quiet, caption")].map((one) => {
    const front = light(getComputedStyle(one).color);
    return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
  }).reduce((a, b) => Math.min(a, b));
}"""
"""the least contrast of any text, by WCAG 2.2"""


@contextmanager
def opened(browser: Browser, file: Path) -> Iterator[Page]:
    """A page, opened; it must ask for nothing and complain of nothing."""
    context = browser.new_context(viewport=DESK)  # type: ignore[arg-type]
    page = context.new_page()
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda line: complaints.append(line.text))
    page.goto(file.as_uri())
    yield page
    context.close()
    assert asked == [file.as_uri()]
    assert complaints == []


def assert_readable(page: Page, scheme: str) -> None:
    """On a phone, by day or night."""
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    # Tables scroll on their own; the page does not.
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.evaluate(CONTRAST) >= 4.5
    dark = page.evaluate(
        "getComputedStyle(document.body).color.match(/[0-9]+/g).every((c) => c > 127)"
    )
    assert dark == (scheme == "dark")
    small = page.evaluate(
        "Math.min(...[...document.querySelectorAll('td, p')]"
        ".map((one) => parseFloat(getComputedStyle(one).fontSize)))"
    )
    assert small >= 14
