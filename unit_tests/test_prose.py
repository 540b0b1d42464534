"""Texts that users read keep to the house's words, and the rules find what they are meant to find."""

from __future__ import annotations

from pathlib import Path

import prose
import pytest

FILE = Path("page.md")


def found(text: str) -> list[str]:
    return [finding.found.strip() for finding in prose.findings(prose.Text(FILE, 1, text))]


def test_nothing_that_users_read_falls_back_into_old_habits() -> None:
    assert [str(finding) for finding in prose.everything()] == []


@pytest.mark.parametrize(
    ("text", "habit"),
    [
        ("This is no program ID.", "is no"),
        ("Lists and folders are no programs.", "are no"),
        ("Mend the source.", "Mend"),
        ("once the cause is mended", "mended"),
        ("says what became of each record", "what became of"),
        ("what would become of them", "what would become of"),
        ("a higher status goes out instead", "goes out"),
        ("The next sync goes on from the last STATE.", "goes on"),
        ("Rows that go by file are imported.", "by file"),
        ("The sums follow.", "The sums"),
        ("The plan takes it that such a text is refused.", "takes it that"),
        ("it tells all mistakes at once", "tells"),
        ("is told by its category", "is told"),
        ("is compared letter by letter", "letter by letter"),
        ("Files are reckoned as if they were there.", "reckoned"),
        ("it is created if need be", "if need be"),
        ("Leave blank for no cap of ours.", "cap of ours"),
        ("Whoever already has the status is unchanged.", "Whoever"),
        ("slower by 65 %", "%"),
        ("where none does, the link decides", "where none"),
        ("Where records are imported, the plan says so.", "Where"),
        ("starts an engine where there is none", "where there is"),
    ],
)
def test_each_habit_is_found(text: str, habit: str) -> None:
    assert habit in found(text)


@pytest.mark.parametrize(
    "text",
    [
        "There is no such bucket, and nobody is no longer a member.",
        "The folder where outcomes are kept.",
        "Where to find the address: Admin > Web Services.",
        "65% of 20 calls",
        "`is no` is what the code says",
        "fix the source, then send the records again",
    ],
)
def test_ordinary_sentences_pass(text: str) -> None:
    assert found(text) == []


def test_a_finding_names_file_line_and_remedy() -> None:
    finding = next(prose.findings(prose.Text(FILE, 3, "One.\nMend it.")))
    assert str(finding) == "page.md:4: Mend → fix"


def test_a_sentence_of_a_message_has_an_end() -> None:
    short, long = "word " * 25, "word " * 26
    assert list(prose.long_sentences(prose.Text(FILE, 1, f"{short.strip()}. {short}"))) == []
    assert [finding.say for finding in prose.long_sentences(prose.Text(FILE, 1, long))] == ["two sentences"]
    assert list(prose.long_sentences(prose.Text(FILE, 1, f"SELECT {long}"))) == []


def test_code_blocks_are_passed_over_and_lines_kept() -> None:
    text = prose.markdown(FILE, "a\n```text\nMend it.\n```\nMend it.\n")
    assert [finding.line for finding in prose.findings(text)] == [5]


def test_template_tags_of_a_page_are_passed_over() -> None:
    page = prose.page(FILE, "{% if runs > 1 %}Mended{% endif %}")
    assert [finding.found for finding in prose.findings(page)] == ["Mended"]


def test_messages_are_literals_and_not_docstrings() -> None:
    source = 'def check(n):\n    """Mend this."""\n    raise ValueError(f"Row {n} tells " "nothing")\n'
    texts = list(prose.messages(FILE, source))
    assert [text.text for text in texts] == ["Row … tells nothing"]
    assert [text.text for text in prose.docstrings(FILE, source)] == ["Mend this."]


@pytest.mark.parametrize("marker", ["TO" + "DO", "FIX" + "ME", "XX" + "X"])
def test_work_markers_are_found(marker: str) -> None:
    assert [finding.found for finding in prose.findings(prose.Text(FILE, 1, f"# {marker}: later"), [prose.MARKERS])]
