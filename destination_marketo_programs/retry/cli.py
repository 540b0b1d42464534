"""The `retry` command."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from destination_marketo_programs.arguments import add_several
from destination_marketo_programs.config import JsonFileError, load_settings, read_json_file, runs_in_cloud
from destination_marketo_programs.outcomes import Category
from destination_marketo_programs.people import tell
from destination_marketo_programs.report.output import reader_has_gone
from destination_marketo_programs.retry.delivering import deliver_messages
from destination_marketo_programs.retry.edits import EditError, read_edits
from destination_marketo_programs.retry.selection import Selection
from destination_marketo_programs.storage import StorageError, reader_for
from destination_marketo_programs.text import counted, on_one_line, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

FAILED, STOPPED = 1, 130
MAX_LISTED = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `main` reads."""
    parser.add_argument(
        "outcomes", nargs="+", metavar="OUTCOMES", help="outcome files, folders that hold them, or s3://bucket/path"
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, a JSON file")
    add_several(
        parser,
        "--category",
        lambda text: text in set(Category),
        choices=[str(category) for category in Category],
        metavar="CATEGORY",
        help="send only records of these categories, e.g. DUPLICATE_LEADS: one or more, and the option may be given "
        "several times",
    )
    parser.add_argument("--edit", metavar="FILE", help="the page's CSV with corrected cells")
    parser.add_argument("--dry-run", action="store_true", help="say what would be sent, and send nothing")


def main(args: argparse.Namespace, deliver: Callable[[Iterator[bytes]], int] | None = None) -> int:
    """Send them. Returns the exit code of the delivery; 1 with the reason on stderr; 130 if it was stopped.

    Args:
        args: as `add_arguments` declares them.
        deliver: takes the messages, tells people what happened to them, and returns an exit code; a session by default.
    """
    try:
        loaded = load_settings(read_json_file(args.config, "config"), cloud=runs_in_cloud())
        if loaded.settings is None:
            return _complain("\n".join(map(str, loaded.problems)))
        edits = read_edits(Path(args.edit)) if args.edit else None
        reader = reader_for(loaded.settings.object_storage_config)
        with Selection(args.outcomes, categories=args.category, edits=edits, reader=reader) as selection:
            tell(plan_of(selection, dry_run=args.dry_run))
            if args.dry_run or not selection.chosen:
                return 0
            if deliver is not None:
                return deliver(selection.messages())
            return deliver_messages(
                loaded.settings, loaded.problems, selection.streams(), selection.messages(), args.config
            )
    except (StorageError, EditError, JsonFileError) as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:
        reader_has_gone()
        return FAILED
    except OSError as error:
        return _complain(f"{error.filename} cannot be read: {error.strerror}.")


def plan_of(selection: Selection, *, dry_run: bool) -> list[str]:
    """What is sent and what is not, in lines. Without a value of a record."""
    chosen = list(selection.chosen.values())
    changed = sum(bool(each.changes) for each in chosen)
    would = "would be sent" if dry_run else "to send"
    lines = [f"{counted(len(chosen), 'record')} {would}, {changed:,} of them corrected."]
    by_category = Counter(category for each in chosen for category in each.categories)
    lines += [f"  {category}: {count:,}" for category, count in by_category.most_common()]
    left = selection.left
    if left["no_help"]:
        lines.append(
            f"{counted(left['no_help'], 'record')} not sent: sending the same again cannot help. "
            "Correct the cells in the page's CSV and use --edit, or fix the source."
        )
    if left["category"]:
        lines.append(f"{counted(left['category'], 'record')} of other categories not sent.")
    if left["not_stored"]:
        lines.append(f"{counted(left['not_stored'], 'record')} not sent: the rejected-*.jsonl files do not hold them.")
    if dry_run:
        for each in chosen[:MAX_LISTED]:
            what = f", corrected: {', '.join(map(on_one_line, each.changes))}" if each.changes else ""
            lines.append(f"  {each.ref}  {on_one_line(each.stream)}  {', '.join(each.categories)}{what}")
        if len(chosen) > MAX_LISTED:
            lines.append(f"  and {len(chosen) - MAX_LISTED:,} more")
    return lines


def _complain(text: str) -> int:
    sys.stderr.write("".join(f"retry: {printable(line)}\n" for line in text.splitlines()))
    return FAILED
