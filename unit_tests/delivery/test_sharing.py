"""People with different keys who share an email are told of: on both outcomes, and in the summary."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.delivery import sharing
from destination_marketo_programs.delivery.sharing import NOTE, SharedEmails
from destination_marketo_programs.delivery.tally import Tally

if TYPE_CHECKING:
    import pytest
    from delivery_bench import Build


def test_two_keys_with_one_email_are_noted_on_both_and_counted_once_each(build: Build) -> None:
    tally = Tally()
    watcher = SharedEmails(tally)
    one = build.entry("b-1", {"email": "Ada@x.example"})
    other = build.entry("b-2", {}, on_create={"email": "ada@x.example"})
    again = build.entry("b-2", {"email": "ada@x.example"})
    stranger = build.entry("b-3", {"email": "bob@x.example"})
    assert watcher.watch([one, other, again, stranger]) == [one, other, again, stranger]
    assert [entry.note for entry in (one, other, again, stranger)] == [NOTE, NOTE, NOTE, None]
    assert tally.shared_emails == 2
    assert "2 people with different keys share an email" in tally.summary(dry_run=False, calls="", pace="")


def test_one_person_twice_and_people_without_email_share_nothing(build: Build) -> None:
    tally = Tally()
    entries = [build.entry("b-1", {"email": "ada@x.example"}) for _ in range(2)]
    entries += [build.entry("b-2", {"email": None}), build.entry("b-3"), build.entry(None, {"email": "ada@x.example"})]
    SharedEmails(tally).watch(entries)
    assert {entry.note for entry in entries} == {None}
    assert tally.shared_emails == 0


def test_what_is_kept_for_comparison_is_bounded(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MAX_EMAILS", 3)
    monkeypatch.setattr(sharing, "MAX_RECENT", 2)
    watcher = SharedEmails(Tally())
    first = build.entry("b-0", {"email": "ada@x.example"})
    watcher.watch([first, *(build.entry(f"b-{n}", {"email": f"{n}@x.example"}) for n in range(1, 3))])
    later = build.entry("b-9", {"email": "ada@x.example"})
    watcher.watch([later])
    assert (first.note, later.note) == (None, NOTE), "the first one is long on its way, its email is still known"
    watcher.watch([build.entry(f"c-{n}", {"email": f"c{n}@x.example"}) for n in range(3)])
    forgotten = build.entry("b-10", {"email": "ada@x.example"})
    watcher.watch([forgotten])
    assert forgotten.note is None
