"""Pages in a real browser: no errors, nothing serious for people with disabilities, small, and usable by keyboard.

Chromium and the packages `playwright` and `axe-playwright-python` are installed by ``.ci/run``; without them, these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.cli.running import run
from tests.report.test_write import SMALL, pictures

from bitesize.report.page import number, render, write_page

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
MOST_BYTES = 3_000_000


def test_text_is_escaped_and_bytes_that_are_no_text_are_shown(tmp_path):
    name = "<img src=x onerror=alert(1)>" + b"caf\xe9".decode("utf-8", "surrogateescape")
    values = {"rows": [], "draws": 1, "said": [], "steps": "", "data": [("data", name)]}
    write_page(tmp_path / "page.html", "inspect.html", name=name, **values)
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;caf\\udce9" in text


def test_a_variable_that_is_missing_is_an_error():
    with pytest.raises(Exception, match="undefined"):
        render("inspect.html")


@pytest.mark.parametrize(
    ("value", "text"), [(float("nan"), "-"), (0.0, "0.000"), (1234567.0, "1,234,567"), (-0.5, "-0.500")]
)
def test_figures(value, text):
    assert number(value) == text


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        if CHROMIUM is None and not Path(started.chromium.executable_path).exists():
            pytest.skip("Chromium is not installed")
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All kinds of pages: runs of 2, 30 and 1,000 classes, numbers, a comparison, a plan, a check, and a grid."""
    pytest.importorskip("keras")
    top = tmp_path_factory.mktemp("pages")
    pictures(top / "photos", ["cat", "dog"], odd=True)
    (top / "photos" / "cat" / "bad.png").write_bytes(b"nothing")
    shutil.copy(top / "photos" / "cat" / "01.png", top / "photos" / "dog" / "copy.png")
    run("check", "photos", "--html", "check.html", code=3, cwd=top)
    (top / "photos" / "cat" / "bad.png").unlink()
    run("train", "photos", *SMALL, "--val-split", 0.5, "--image-size", 16, "--out", "few", cwd=top)
    for classes in (30, 1000):
        random = np.random.default_rng(classes)
        labels = np.arange(2 * max(classes, 100)) % classes
        values = (random.normal(size=(len(labels), 8)) + labels[:, None] % 7).round(3).tolist()
        lines = [
            ",".join(map(str, [*row, f"a class with a long name {label}"]))
            for row, label in zip(values, labels, strict=True)
        ]
        (top / "rows.csv").write_text("\n".join(["a,b,c,d,e,f,g,h,kind", *lines]))
        run("train", "rows.csv", "--labels", "kind", *SMALL, "--val-split", 0.5, "--out", f"classes{classes}", cwd=top)
    lines = ["a,b,price", *(f"{i % 7},{i % 5},{3000 * (i % 7) + i % 5}" for i in range(80))]
    (top / "houses.csv").write_text("\n".join(lines))
    run("train", "houses.csv", "--labels", "price", *SMALL, "--out", "numbers", cwd=top)
    run("report", "few", "classes30", "--out", "compared.html", cwd=top)
    run("plan", "photos", "--model", "mlp", "--html", "plan.html", cwd=top)
    run("inspect", "photos", "--rows", 40, "--out", "grid.html", cwd=top)
    return top


PAGES = [
    "few/report.html", "classes30/report.html", "classes1000/report.html", "numbers/report.html", "compared.html", "plan.html", "check.html", "grid.html",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_sound_on_each_screen(browser, pages, name):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    assert (pages / name).stat().st_size < MOST_BYTES
    for width, scheme in ((390, "dark"), (1024, "light"), (1600, "dark")):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
        page, problems = context.new_page(), []
        page.on("console", lambda message, problems=problems: problems.append(message.text))
        page.on("pageerror", lambda error, problems=problems: problems.append(str(error)))
        page.goto((pages / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"), (width, scheme)
        assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
        found = [each for each in axe.run(page).response["violations"] if each["impact"] in ("serious", "critical")]
        assert found == [], json.dumps(found)[:2000]
        assert problems == []
        context.close()


@pytest.mark.slow
def test_a_page_obeys_its_own_policy_and_is_sorted_by_keyboard(browser, pages):
    page, problems = browser.new_page(), []
    page.on("console", lambda message: problems.append(message.text))
    page.goto((pages / "classes30" / "report.html").as_uri())
    table = page.locator("table[data-sort]")
    head = table.locator("thead th").nth(3)
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    recall = [float(text) for text in table.locator("tbody tr td:nth-child(4)").all_inner_texts() if text != "-"]
    assert recall == sorted(recall)
    page.keyboard.press("Space")
    assert head.get_attribute("aria-sort") == "descending"
    assert problems == []
    page.close()


@pytest.mark.slow
def test_a_page_is_printed_in_dark_ink_on_white(browser, pages):
    page = browser.new_page(color_scheme="dark")
    page.goto((pages / "few" / "report.html").as_uri())
    page.emulate_media(media="print")
    colors = page.evaluate("[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]")
    assert colors == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    assert len(page.pdf(format="A4")) > 10_000
    page.close()
