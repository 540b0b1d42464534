"""The Airbyte spec and the reference table, both generated from the settings models.

Airbyte's form reads a small part of JSON schema: everything inline, a `oneOf` whose choices share a property with a
`const`, one type per property, and no closed objects (unknown keys are refused when the configuration is read).
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from destination_marketo_programs.config.settings import DISCRIMINATORS, Settings

DOCUMENTATION_URL: Final = "https://docs.airbyte.com/integrations/destinations/marketo-programs"

_GROUPS: Final = (
    ("connection", "Marketo"),
    ("programs", "Programs"),
    ("records", "Records"),
    ("fields", "Field mappings"),
    ("people", "Person matching"),
    ("reconciliation", "Reconciliation"),
    ("delivery", "Delivery"),
)
"""The form shows no title for a group of settings, but one for each of these. `advanced` would be the form's own."""

_KEYWORDS_IN_ORDER = (
    "$schema",
    "title",
    "description",
    "type",
    "const",
    "enum",
    "default",
    "minimum",
    "maximum",
    "pattern",
    "pattern_descriptor",
    "examples",
    "airbyte_secret",
    "always_show",
    "display_type",
    "group",
    "order",
    "groups",
    "minItems",
    "items",
    "oneOf",
    "required",
    "additionalProperties",
    "properties",
)

Schema = dict[str, Any]


class ReferenceRow(NamedTuple):
    """One setting as the reference shows it.

    Attributes:
        path: `program_links[].event`; a setting of one choice only is `object_storage_config (S3).s3_bucket_name`.
        type: in words, with the choices or range if there are any.
        required: whether it has to be given.
        default: as JSON would show it, without quotes around text; "" if there is none or it is blank.
    """

    path: str
    title: str
    type: str
    required: bool
    default: str
    description: str


def connector_spec() -> Schema:
    """Return the `spec` member of Airbyte's SPEC message."""
    return {
        "documentationUrl": DOCUMENTATION_URL,
        "connectionSpecification": connection_specification(),
        "supportsIncremental": True,
        "supported_destination_sync_modes": ["append", "overwrite", "append_dedup"],
    }


def connection_specification() -> Schema:
    """Return the JSON schema of the configuration as Airbyte's form wants it. Each call gives a fresh one."""
    generated = Settings.model_json_schema()
    definitions = generated.pop("$defs")
    schema = _for_form(_without_docstring(generated), definitions)
    schema["$schema"] = "http://json-schema.org/draft-07/schema#"
    schema["groups"] = [{"id": name, "title": title} for name, title in _GROUPS]
    return _arranged(schema)


def _for_form(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """Return one schema without references, unions with null, discriminators and closed objects."""
    schema = {keyword: value for keyword, value in schema.items() if keyword != "discriminator"}
    if not isinstance(schema.get("default", ""), str | int) or schema.get("airbyte_secret"):
        # The form shows defaults of single values only, and the platform cannot find a blank secret that it stored.
        schema.pop("default", None)
    if reference := schema.pop("$ref", None):
        block = _without_docstring(definitions[reference.rpartition("/")[2]])
        return _arranged(_for_form(block, definitions) | schema)
    for alternative in schema.pop("anyOf", ()):
        if alternative != {"type": "null"}:
            schema = alternative | schema
    if "items" in schema:
        schema["items"] = _for_form(schema["items"], definitions)
    if "oneOf" in schema:
        schema["oneOf"] = [_for_form(choice, definitions) for choice in schema["oneOf"]]
        schema["type"] = "object"
    if "properties" in schema:
        schema["properties"] = {
            name: _arranged(_for_form(inner, definitions) | {"order": order})
            for order, (name, inner) in enumerate(schema["properties"].items())
        }
        choosers = [name for name in DISCRIMINATORS if name in schema["properties"]]
        for name in choosers:
            schema["description"] = schema["properties"][name]["description"]
        schema["required"] = [*choosers, *schema.get("required", [])]
        schema["additionalProperties"] = True
        if not schema["required"]:
            del schema["required"]
    return _arranged(schema)


def _without_docstring(block: Schema) -> Schema:
    """Leave out what pydantic takes from the model's docstring: that is written for programmers."""
    return {keyword: value for keyword, value in block.items() if keyword != "description"}


def _arranged(schema: Schema) -> Schema:
    return dict(sorted(schema.items(), key=lambda item: _KEYWORDS_IN_ORDER.index(item[0])))


def reference_rows() -> list[ReferenceRow]:
    """Return every setting in the order of the form, for the generated reference."""
    return list(_rows(connection_specification(), ""))


def _rows(block: Schema, prefix: str) -> list[ReferenceRow]:
    rows = []
    for name, schema in block["properties"].items():
        path = f"{prefix}{name}"
        rows.append(
            ReferenceRow(
                path,
                schema["title"],
                _type_in_words(schema),
                name in block.get("required", ()),
                _default_in_words(schema),
                schema["description"],
            )
        )
        rows += _rows(schema, f"{path}.") if "properties" in schema else []
        rows += _rows(schema["items"], f"{path}[].") if "properties" in schema.get("items", ()) else []
        for choice in schema.get("oneOf", ()):
            rows += _rows(choice, f"{path} ({_tag(choice)}).")
    return rows


def _tag(choice: Schema) -> str:
    return next(str(choice["properties"][name]["const"]) for name in DISCRIMINATORS if name in choice["properties"])


def _type_in_words(schema: Schema) -> str:
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{choice}`" for choice in schema["enum"])
    if "oneOf" in schema:
        return "one of " + ", ".join(f"`{_tag(choice)}`" for choice in schema["oneOf"])
    words = {
        "string": "text",
        "integer": "whole number",
        "boolean": "true or false",
        "array": "list",
        "object": "group",
    }
    word = words[schema["type"]]
    if "items" in schema and "properties" not in schema["items"]:
        word += f" of {words[schema['items']['type']]}s"
    if "minimum" in schema and "maximum" in schema:
        word += f", {schema['minimum']} to {schema['maximum']}"
    elif "minimum" in schema:
        word += f", {schema['minimum']} or more"
    return f"secret {word}" if schema.get("airbyte_secret") else word


def _default_in_words(schema: Schema) -> str:
    default = schema.get("default", "")
    return str(default).lower() if isinstance(default, bool) else str(default)
