"""The page holds all that was found, needs nothing else, and takes no text for a mark."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from cloudedge_pl.paper.part import PartResult, Table
from cloudedge_pl.paper.verdict import Trial, judge
from cloudedge_pl.reports.paper.page import MOST_OPEN_ROWS, MOST_ROWS, About, Section, save_page

HOSTILE = (
    "</td><script>alert(1)</script> & \"quoted\" 'too' | `code` *stars* _under_ [x](y) # $m$ \\ \n# head "
    "{{ 7 * 7 }}"
)
ABOUT = About(
    command="cloudedge reproduce",
    setting={"nodes": "10 raspberry-pi-4"},
    machine="a laptop",
    versions={"torch": "2.15.0"},
    wall_seconds=12.0,
    made_on="2026-01-01 12:00",
)


class Seen(HTMLParser):
    """Tags in order, those that are open, the text and the attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.references: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def section(text: str = "plain", rows: int = 2, picture: Path | None = None) -> Section:
    axis = "link rate in Mbit/s"
    tried = [Trial(setting={axis: rate}, holds=rate < 6) for rate in (1.0, 5.0, 7.0)]
    named = [Trial(setting={text: name}, holds=True) for name in (text, "other")]
    verdict = judge(text, text, {"x": 1.0}, at_setting=True, axes={axis: tried, text: named})
    table = Table(title=text, columns={text: [text] * rows, "delay_seconds": [0.25] * rows})
    result = PartResult(verdicts=(verdict,), tables={"main": table}, notes=(text,), commands=(text,))
    return Section(
        name="fig6", title=text, state="made", result=result, picture=picture, seconds=1.5,
        made_on="2026-01-01 12:00", machine=text,
    )  # fmt: skip


def saved(folder: Path, *sections: Section, about: About = ABOUT) -> tuple[str, str]:
    html, markdown = save_page(sections, about, folder)
    return html.read_text(encoding="utf-8"), markdown.read_text(encoding="utf-8")


def test_everything_that_was_found_is_on_the_page(tmp_path):
    html, markdown = saved(tmp_path, replace(section(), title="Figure 6: delay"))
    for page in (Seen(html).text, markdown):
        for text in (
            "Figure 6: delay",
            "1 claim: 1 holds under conditions (1 of them at this setting)",
            "link rate: up to 5 Mbit/s, not at 7 (tried: 1 to 7)",
            "250 ms",
            "fig6.csv",
            "The paper's own values are not in its published text",
            "a laptop",
            "torch 2.15.0",
            "10 raspberry-pi-4",
            "1.5 s",
            "cloudedge reproduce",
        ):
            assert text in page, text


def test_no_text_is_taken_for_a_mark_in_html(tmp_path):
    about = replace(
        ABOUT, command=HOSTILE, machine=HOSTILE, setting={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE}
    )
    failed = Section(name="fig7", title=HOSTILE, state="failed", error=HOSTILE)
    plain = saved(tmp_path, section(), replace(failed, title="t", error="e"))[0]
    hostile = saved(tmp_path, section(HOSTILE), failed, about=about)[0]
    before, after = Seen(plain), Seen(hostile)
    assert after.tags == before.tags
    assert not before.open
    assert not after.open
    assert "script" not in after.tags
    assert "{{ 7 * 7 }}" in after.text


def test_no_text_is_taken_for_a_mark_in_markdown(tmp_path):
    about = replace(ABOUT, machine=HOSTILE, setting={HOSTILE: HOSTILE}, versions={HOSTILE: HOSTILE})
    failed = Section(name="fig7", title=HOSTILE, state="failed", error=HOSTILE)
    plain = saved(tmp_path, section(), replace(failed, title="t", error="e"))[1].splitlines()
    hostile = saved(tmp_path, section(HOSTILE), failed, about=about)[1].splitlines()
    assert len(plain) == len(hostile)
    in_code = False
    for before, after in zip(plain, hostile, strict=True):
        in_code ^= after.startswith("```")
        if in_code or after.startswith("```"):
            continue
        assert re.sub(r"\\.", "", after).count("|") == before.count("|"), after
        assert "<" not in after
        unescaped = re.sub(r"\\.", "", after.replace(HOSTILE, ""))
        assert unescaped.count("`") == before.count("`")
        assert unescaped.count("*") == before.count("*")
        assert unescaped.startswith("#") == before.startswith("#")


def test_a_command_stays_as_it_is_typed(tmp_path):
    given = section()
    assert given.result is not None
    command = "cloudedge plan 'x=[1,2]' a_b=*"
    result = PartResult(verdicts=(), tables=given.result.tables, commands=(command, "a ``` b"))
    html, markdown = saved(tmp_path, replace(given, result=result))
    assert f"\n```\n{command}\n```\n" in markdown
    assert "\n````\na ``` b\n````\n" in markdown
    assert command in Seen(html).text


def test_the_page_needs_no_other_file_for_what_it_shows(tmp_path):
    picture = tmp_path / "fig6.png"
    picture.write_bytes(b"\x89PNG not really")
    html, markdown = saved(tmp_path, section(picture=picture))
    references = Seen(html).references
    loaded = [each for each in references if each not in ("fig6.csv", "#fig6")]
    assert [each.partition(",")[0] for each in loaded] == [
        "https://doi.org/10.1186/s13638-020-01794-2",
        "data:image/png;base64",
    ]
    assert not {"script", "link", "iframe"} & set(Seen(html).tags)
    assert "](fig6.png)" in markdown


@pytest.mark.parametrize(
    ("rows", "folded", "shown"),
    [
        (MOST_OPEN_ROWS, False, True),
        (MOST_OPEN_ROWS + 1, True, True),
        (MOST_ROWS, True, True),
        (MOST_ROWS + 1, False, False),
    ],
)
def test_long_tables_are_folded_and_longer_ones_left_to_their_file(tmp_path, rows, folded, shown):
    html, markdown = saved(tmp_path, section(rows=rows))
    seen = Seen(html)
    assert ("details" in seen.tags) == folded
    assert seen.text.count("250 ms") == (rows if shown else 0)
    assert markdown.count("250 ms") == (rows if shown and not folded else 0)
    assert f"{rows} rows" in seen.text or not (folded or not shown)
    assert "fig6.csv" in seen.references


def test_shown_columns_are_the_only_ones(tmp_path):
    table = Table(title="t", columns={"a": [1], "secret": [2]}, shown=("a",))
    result = PartResult(verdicts=(), tables={"main": table})
    html, markdown = saved(tmp_path, replace(section(), result=result))
    assert "secret" not in html
    assert "secret" not in markdown


@pytest.mark.parametrize(("here", "words"), [(True, "also at this setting"), (False, "not at this setting")])
def test_a_claim_under_conditions_says_whether_it_holds_at_the_setting(tmp_path, here, words):
    tried = [Trial(setting={"nodes": 1 + holds}, holds=holds) for holds in (True, False)]
    verdict = judge("c", "m", {}, at_setting=here, axes={"nodes": tried})
    result = PartResult(verdicts=(verdict,), tables={"main": Table(title="t", columns={"a": [1]})})
    for page in saved(tmp_path, replace(section(), result=result)):
        assert page.count(words) == 2


def test_parts_without_a_result_are_listed_and_nothing_is_fine(tmp_path):
    missing = Section(name="fig9", title="Figure 9: error", state="not made")
    html, markdown = saved(tmp_path, missing)
    assert "Figure 9: error: not made; cloudedge reproduce only=[fig9] makes it" in Seen(html).text
    assert "- Figure 9: error: not made; `cloudedge reproduce only=[fig9]` makes it\n" in markdown
    assert "claims:" not in saved(tmp_path)[0]


def test_states_are_counted_in_plain_words(tmp_path):
    good, bad = (judge("c", "m", {}, at_setting=holds) for holds in (True, False))
    table = {"main": Table(title="t", columns={"a": [1]})}
    result = PartResult(verdicts=(good, good, bad, bad), tables=table)
    html, _ = saved(tmp_path, replace(section(), result=result))
    assert "4 claims: 2 hold, 2 do not hold" in html
