"""Everything that `marketorestpython` finds in a Marketo: programs, who is in them, and the people, as JSON.

Runs in the environment that has this client. Arguments: URL, client id, client secret, names of the lead fields.
"""

from __future__ import annotations

import json
import sys

from marketorestpython.client import MarketoClient  # type: ignore[import-not-found] # in an environment of its own


def main(url: str, client_id: str, client_secret: str, *fields: str) -> None:
    """Read it all, and print it as one JSON object."""
    client = MarketoClient("123-ABC-456", client_id, client_secret)
    client.host = url
    programs = client.execute(method="browse_programs", maxReturn=200)
    members = {
        program["id"]: client.execute(
            method="get_multiple_leads_by_program_id", programId=program["id"], fields=["id", *fields]
        )
        for program in programs
    }
    ids = sorted({row["id"] for rows in members.values() for row in rows})
    people = []
    for start in range(0, len(ids), 300):
        values = [str(number) for number in ids[start : start + 300]]
        people += client.execute(
            method="get_multiple_leads_by_filter_type",
            filterType="id",
            filterValues=values,
            fields=["id", *fields],
        )
    changes = client.execute(
        method="get_lead_activities", activityTypeIds=["104"], sinceDatetime="2026-01-01", batchSize=300
    )
    json.dump({"programs": programs, "members": members, "people": people, "changes": changes}, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
