"""A page and its Chinese translation have the same headings, code blocks, tables, lists, links and figures."""

import hashlib
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAIRS = {"README.md": "README.zh.md", "docs/tutorial.md": "docs/zh/tutorial.md"}
pairs = pytest.mark.parametrize(("english", "chinese"), PAIRS.items(), ids=PAIRS)
FENCE = re.compile(r"^```(.*)\n((?s:.*?))^```$", re.MULTILINE)
FIGURES = {"1,200": "12"}  # Chinese counts in ten thousands: 12 megapixels
HAN = re.compile(r"[\u4e00-\u9fff]")


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def without_blocks(text):
    return re.sub(r"<!--.*?-->", "", FENCE.sub("", text), flags=re.DOTALL)


def blocks_of(text):
    """Return (info line, code) of each block; comments are left out, because translations have them in Chinese."""
    return [(info.strip(), without_comments(info, code)) for info, code in FENCE.findall(text)]


def without_comments(info, code):
    if info.startswith("python"):
        tokens = tokenize.generate_tokens(io.StringIO(code).readline)
        kept = [(t.type, t.string) for t in tokens if t.type not in (tokenize.COMMENT, tokenize.NL)]
        return tuple(kept)
    if info.startswith(("bash", "powershell")):
        return tuple(re.sub(r"(^|\s+)# ?.*", "", line).rstrip() for line in code.splitlines())
    return code  # what a program prints is English in both


def headings_of(text):
    """Return the level of each heading, and its number or the code in it, which a translation keeps."""
    found = re.findall(r"^(#+) (.*)$", without_blocks(text), re.MULTILINE)
    return [(len(marks), re.findall(r"^\d+\.|`[^`]+`", title)) for marks, title in found]


def targets_of(name):
    """Return what the links of a page lead to, as paths of the project: a translated page counts as the page itself."""
    original = {chinese: english for english, chinese in PAIRS.items()}
    found = []
    for target in re.findall(r"\]\(([^)]+)\)", without_blocks(text_of(name))):
        path, _, anchor = target.partition("#")
        if "://" not in path:
            path = (ROOT / name).parent.joinpath(path).resolve().relative_to(ROOT).as_posix() if path else name
            path = original.get(path, path)
        # Anchors of a translated page are its own headings.
        found.append((path, anchor if path not in PAIRS else bool(anchor)))
    return sorted(found)


@pairs
def test_the_translation_is_of_this_state_of_the_page(english, chinese):
    """The other tests miss a sentence that changes neither figures nor names."""
    state = hashlib.sha256(text_of(english).encode()).hexdigest()[:12]
    last = text_of(chinese).splitlines()[-1]
    line = f"<!-- {english} {state} -->"
    assert last == line, f"{english} has changed: bring {chinese} up to date, then make its last line {line}"


@pairs
def test_headings_have_the_same_levels_in_the_same_order(english, chinese):
    assert headings_of(text_of(chinese)) == headings_of(text_of(english))


@pairs
def test_code_blocks_are_the_same_but_for_comments(english, chinese):
    ours, theirs = blocks_of(text_of(english)), blocks_of(text_of(chinese))
    assert [info for info, _ in theirs] == [info for info, _ in ours]
    for (info, code), (_, translated) in zip(ours, theirs, strict=True):
        assert translated == code, f"a block of {info}"


@pairs
def test_tables_and_lists_have_the_same_lines(english, chinese):
    for start in (r"\|", r"- ", r"\d+\. "):
        count = [len(re.findall(rf"^{start}", without_blocks(text_of(name)), re.MULTILINE)) for name in (english, chinese)]
        assert count[0] == count[1], f"lines that start with {start}"


@pairs
def test_links_lead_to_the_same_places(english, chinese):
    assert targets_of(chinese) == targets_of(english)


@pairs
def test_what_a_reader_types_or_measures_is_the_same_in_the_text(english, chinese):
    """So a changed figure, option or name of the English page needs a changed translation."""
    for pattern in (r"`([^`\n]+)`", r"\d[\d,.]*\d|\d"):
        ours, theirs = (
            set(re.findall(pattern, re.sub(r"\]\([^)]*\)", "]", without_blocks(text_of(name)))))
            for name in (english, chinese)
        )
        assert {FIGURES.get(figure, figure) for figure in theirs} == ours


@pairs
def test_each_links_to_the_other_in_its_first_lines(english, chinese):
    for name, other in ((english, chinese), (chinese, english)):
        heads = "\n".join(text_of(name).splitlines()[:4])
        (target,) = re.findall(r"\]\(([^)]+)\)", heads)
        assert (ROOT / name).parent.joinpath(target).resolve() == ROOT / other


@pairs
def test_paragraphs_are_translated(english, chinese):
    """Every paragraph and list item with words of the English page has Chinese ones."""
    paragraphs = [part for part in re.split(r"\n\s*\n", without_blocks(text_of(chinese))) if re.search(r"[A-Za-z]{3}", part)]
    code = [part for part in paragraphs if part.startswith(("    ", "![")) or "English |" in part or part == "# bitesize"]
    left = [part for part in paragraphs if not HAN.search(part) and part not in code]
    assert left in ([], ["Apache-2.0."])


@pairs
def test_pages_that_are_only_english_are_marked(english, chinese):
    """Where a link leads a reader of Chinese to English, the same paragraph or table says so."""
    for part in re.split(r"\n\s*\n", without_blocks(text_of(chinese))):
        targets = re.findall(r"\]\((?!http|#)([^)#]+)", part)
        pages = [
            target for target in targets if target.endswith((".md", "/")) and "zh" not in target and "English" not in part
        ]
        assert not pages or "英文" in part, pages
