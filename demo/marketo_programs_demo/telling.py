"""What the demo says: tables of what is in Marketo and what is not, what happened, and what to try next."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table

from destination_marketo_programs.hints import explain
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.shell import program_name, shell_word

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.storage.lines import StoredOutcome
    from destination_marketo_programs.summary import LeadCounts
    from marketo_programs_demo.files import DemoFiles
    from marketo_programs_demo.later import Told
    from marketo_sandbox.server import SandboxServer


def members_table(sandbox: SandboxServer) -> Table:
    """Members per program and status, as Marketo has them now; steps in their order."""
    table = Table(title="Program members in Marketo", title_justify="left")
    table.add_column("Program")
    table.add_column("Status")
    table.add_column("Members", justify="right")
    counts = sandbox.state.status_counts()
    for program in sandbox.state.programs():
        found = counts[program.id]
        ordered = [status.name for status in sandbox.state.channel(program.channel).statuses if status.name in found]
        for position, status in enumerate(ordered):
            name = f"{program.name} ({program.id}, {program.type})" if position == 0 else ""
            table.add_row(name, status, str(found[status]), end_section=position == len(ordered) - 1)
    return table


def leftovers_table(outcomes: Sequence[StoredOutcome]) -> Table:
    """Rejections and skips by category with what they mean, rejections first."""
    counts = Counter(
        (outcome.outcome, outcome.category or "")
        for outcome in outcomes
        if outcome.outcome in {Result.REJECTED, Result.SKIPPED}
    )
    table = Table(title="Not delivered, by category", title_justify="left")
    table.add_column("Outcome")
    table.add_column("Category", no_wrap=True)
    table.add_column("Count", justify="right")
    table.add_column("What it means", overflow="fold")
    for (result, category), count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
        table.add_row(result, category, str(count), explain(category, None).title)
    return table


def what_happened(leads: LeadCounts, members: int) -> str:
    """The demo in three sentences, in the counts of its page."""
    arrived = leads.delivered + leads.unchanged
    return (
        f"Of {leads.total:,} captures, {arrived:,} are in their programs; Marketo has {members:,} program members.\n"
        f"The configuration left out {leads.skipped:,}, and {leads.rejected:,} were rejected.\n"
        "The page shows the reason for each rejection and how to fix it."
    )


def second_sync(told: Told) -> str:
    """What the second sync sent, and what it did not."""
    return (
        f"{told.remembered:,} captures did not change: nothing was sent for them.\n"
        f'1 capture has a new job title at the source: only that field was sent ("{told.sent}").\n'
        f'1 job title was corrected in Marketo by sales: the correction stays ("{told.kept}").'
    )


def where_things_are(files: DemoFiles) -> str:
    """The page and the files."""
    return f"Page: {files.report}\nOutcomes and rejected records: {files.outcomes}"


def what_to_try(files: DemoFiles, url: str, *, running: bool) -> str:
    """The commands that do it again, to copy into a shell.

    Args:
        files: the demo's.
        url: of the sandbox.
        running: whether the sandbox stays up.
    """
    program = program_name()
    config, catalog = shell_word(str(files.config)), shell_word(str(files.catalog))
    messages, outcomes = shell_word(str(files.messages)), shell_word(str(files.outcomes))
    report = shell_word(str(files.report))
    if running:
        first = [f"The sandbox runs at {url} until you press Ctrl-C; open that address to see who is in which program."]
    else:
        output = "" if str(files.folder) == "demo-output" else f" --output {shell_word(str(files.folder))}"
        first = ["To leave the sandbox running with everyone in it:", f"  {program} demo --keep{output}"]
    return "\n".join(
        [
            *first,
            f"Then edit {files.config} and run these commands in another terminal:",
            f"  {program} check --config {config}",
            f"  {program} plan --config {config} --catalog {catalog} < {messages}",
            f"  {program} write --config {config} --catalog {catalog} < {messages}",
            f"  {program} report {outcomes} --output {report}",
        ]
    )
