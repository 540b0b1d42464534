"""The configured catalog: whatever JSON it is, streams or problems."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.catalog import Catalog, ConfiguredStream, read_catalog, stream_problems
from destination_marketo_programs.model import Problem

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def entry(name: str = "leads", /, **members: Any) -> dict[str, Any]:
    return {"stream": {"name": name, "json_schema": {}}, "destination_sync_mode": "append", **members}


def read(*entries: Any) -> Catalog:
    return read_catalog({"streams": list(entries)})


def paths(problems: Any) -> list[str]:
    return [problem.path for problem in problems]


def test_a_catalog_as_airbyte_writes_it() -> None:
    stream = {
        "name": "leads",
        "namespace": "public",
        "json_schema": {"properties": {"id": {}, "email": {}}},
        "source_defined_primary_key": [["other"]],
        "supported_sync_modes": ["full_refresh"],
    }
    catalog = read(
        {
            "stream": stream,
            "sync_mode": "incremental",
            "destination_sync_mode": "append_dedup",
            "primary_key": [["id"], ["nested", "key"]],
            "destination_object_name": "Program members",
            "sync_id": 4711,
            "generation_id": 1,
        },
        entry("other"),
    )
    assert catalog.problems == ()
    assert catalog.sync_id == 4711
    assert catalog.streams == (
        ConfiguredStream(
            ("public", "leads"), (("id",), ("nested", "key")), "append_dedup", "Program members", 0, ("id", "email")
        ),
        ConfiguredStream(("", "other"), (), "append", "", 1, ()),
    )


def test_the_source_s_primary_key_is_used_if_the_connection_names_none() -> None:
    stream = {"name": "leads", "source_defined_primary_key": [["id"]]}
    (found,) = read({"stream": stream, "primary_key": []}).streams
    assert found.primary_key == (("id",),)


def test_streams_of_one_name_are_told_apart_by_their_namespace() -> None:
    catalog = read(
        {"stream": {"name": "leads", "namespace": "a"}}, {"stream": {"name": "leads", "namespace": "b"}}, entry("leads")
    )
    assert [stream.key for stream in catalog.streams] == [("a", "leads"), ("b", "leads"), ("", "leads")]
    assert catalog.problems == ()


@pytest.mark.parametrize("raw", [None, 7, "text", [], [{"streams": []}]])
def test_a_catalog_that_is_not_an_object_is_a_problem(raw: Any) -> None:
    assert paths(read_catalog(raw).problems) == ["catalog"]


@pytest.mark.parametrize("streams", [None, 5, "leads", {"leads": {}}])
def test_streams_that_are_not_a_list_are_a_problem(streams: Any) -> None:
    assert paths(read_catalog({"streams": streams}).problems) == ["catalog.streams"]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"stream": None}, "stream"),
        ({"stream": {"name": 7}}, "stream.name"),
        ({"stream": {"name": ""}}, "stream.name"),
        ({"stream": {"name": "leads", "namespace": ["a"]}}, "stream.namespace"),
        ({"primary_key": 7}, "primary_key"),
        ({"primary_key": [7]}, "primary_key"),
        ({"primary_key": [[7]]}, "primary_key"),
        ({"primary_key": [[]]}, "primary_key"),
        ({"stream": {"name": "leads", "source_defined_primary_key": 7}}, "stream.source_defined_primary_key"),
        ({"destination_sync_mode": 7}, "destination_sync_mode"),
        ({"destination_object_name": ["x"]}, "destination_object_name"),
    ],
)
def test_a_stream_that_cannot_be_read_is_named_by_its_place(changes: dict[str, Any], path: str) -> None:
    catalog = read(entry("first"), entry() | changes)
    assert paths(catalog.problems) == [f"catalog.streams[1].{path}"]
    assert catalog.streams[0].key == ("", "first")


def test_a_stream_that_comes_twice_is_a_problem() -> None:
    catalog = read(entry(), entry("other"), entry())
    assert paths(catalog.problems) == ["catalog.streams[2].stream.name"]


@pytest.mark.parametrize("sync_id", [True, -1, "7", 10**30, None, 1.5])
def test_a_sync_id_that_is_no_number_is_none(sync_id: Any) -> None:
    assert read(entry(sync_id=sync_id)).sync_id is None


@given(ANY_JSON | st.fixed_dictionaries({"streams": ANY_JSON}))
def test_any_json_is_streams_or_problems(raw: Any) -> None:
    catalog = read_catalog(raw)
    assert catalog.problems or isinstance(raw["streams"], list)
    assert isinstance(stream_problems(catalog.streams, "match_only"), list)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"stream": ANY_JSON | st.fixed_dictionaries({"name": ANY_JSON, "source_defined_primary_key": ANY_JSON})},
            optional={"primary_key": ANY_JSON, "sync_id": ANY_JSON, "destination_sync_mode": ANY_JSON},
        )
    )
)
def test_any_stream_is_read_or_told(entries: list[Any]) -> None:
    catalog = read_catalog({"streams": entries})
    told = {problem.location[2] for problem in catalog.problems}
    assert {stream.position for stream in catalog.streams} | told == set(range(len(entries)))


# --- what is asked of the destination --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["append", "overwrite", "append_dedup", ""])
def test_ordinary_modes_are_delivered(mode: str) -> None:
    assert stream_problems(read(entry(destination_sync_mode=mode)).streams, "create_or_update") == []


@pytest.mark.parametrize("lead_mode", ["create_or_update", "create_missing", "match_only"])
def test_nobody_is_deleted(lead_mode: Any) -> None:
    """0.1.0 delivered it as an upsert: a removal added people."""
    (problem,) = stream_problems(read(entry("a"), entry(destination_sync_mode="soft_delete")).streams, lead_mode)
    assert problem.path == "catalog.streams[1].destination_sync_mode"
    assert "nobody is removed" in problem.message


def test_update_goes_with_match_only() -> None:
    streams = read(entry(destination_sync_mode="update")).streams
    assert stream_problems(streams, "match_only") == []
    (problem,) = stream_problems(streams, "create_or_update")
    assert problem.path == "catalog.streams[0].destination_sync_mode"
    assert "match_only" in problem.fix


def test_a_mode_of_a_later_protocol_is_not_taken_for_an_upsert() -> None:
    (problem,) = stream_problems(read(entry(destination_sync_mode="truncate")).streams, "create_or_update")
    assert "`truncate`" in problem.message


def test_an_object_is_judged_by_whoever_knows_objects() -> None:
    """0.1.0 wrote to the programs of the links, whichever object was asked for."""
    streams = read(entry(), entry("other", destination_object_name="Program 1004")).streams
    (problem,) = stream_problems(streams, "create_or_update")
    assert problem.path == "catalog.streams[1].destination_object_name"

    def judge(stream: ConfiguredStream) -> list[Problem]:
        return [Problem((*stream.location, "x"), stream.destination_object_name, "")]

    (own,) = stream_problems(streams, "create_or_update", judge)
    assert own.path == "catalog.streams[1].x"
    assert own.message == "Program 1004"
