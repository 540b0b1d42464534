"""The configuration as frozen, typed settings. Titles and descriptions here are what form and docs show.

A key that is null or blank counts as absent. Unknown keys are refused. Values are read leniently where only one
reading is possible (digits in text are a number, blanks around a text are not part of it), and never otherwise.

The form folds every setting that is neither required nor marked `always_show` under "Optional fields", and shows no
title for a group of settings: hence one form group (`group`) for each, whose title `spec` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError

from destination_marketo_programs.config.addresses import (
    MARKETO_ADDRESS_PATTERN,
    PROGRAM_ID_PATTERN,
    UnusableTextError,
    parse_domain_url,
    parse_email_domain,
    parse_endpoint,
    parse_folder,
    parse_program_id,
    pasted,
)
from destination_marketo_programs.config.columns import check_column

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UnmappedQualifier = Literal["use_program_status", "skip", "reject"]
MarketoObject = Literal["lead", "program_member"]
LeadSyncMode = Literal["create_or_update", "create_missing", "match_only"]
BlankValues = Literal["keep", "clear"]
DuplicateLeads = Literal["reject", "most_recently_updated"]
DeliveryMethod = Literal["auto", "rest", "bulk"]
OnRejected = Literal["continue", "fail_after_sync"]
FieldWrite = Literal["auto", "always", "on_create", "if_blank", "only_true"]
Send = Literal["everything", "changes"]
AcquisitionProgram = Literal["leave", "first_program"]

DISCRIMINATORS = ("mapping_type", "storage_type")
"""Keys by which the form chooses between blocks."""

UNUSABLE_TEXT = "unusable_text"
"""Error type that carries a finished `message` and `fix` in its context."""


def _refused(error: UnusableTextError) -> PydanticCustomError:
    return PydanticCustomError(UNUSABLE_TEXT, "{message}", {"message": error.message, "fix": error.fix})


def _read_domain_url(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return parse_domain_url(value, cloud=bool((info.context or {}).get("cloud")))
    except UnusableTextError as error:
        raise _refused(error) from None


def _read_program_id(value: Any) -> int:
    try:
        return parse_program_id(value)
    except UnusableTextError as error:
        raise _refused(error) from None


def _read_text(value: Any) -> Any:
    """Read a whole number as its digits."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LONGEST_NUMBER:
        return str(value)
    return _sound_text(value)


def _sound_text(value: Any) -> Any:
    """Refuse what no file and no call can carry."""
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" or letter == "\0" for letter in value):
        raise _refused(
            UnusableTextError("This holds a character that is not text (NUL, or half of a pair).", "Type it again.")
        )
    return value


_LONGEST_NUMBER = 10**18


def _read_endpoint(text: str) -> str:
    try:
        return parse_endpoint(text)
    except UnusableTextError as error:
        raise _refused(error) from None


def _read_folder(text: str) -> str:
    try:
        return parse_folder(text)
    except UnusableTextError as error:
        raise _refused(error) from None


def _read_email_domain(text: str) -> str:
    try:
        return text and parse_email_domain(text)
    except UnusableTextError as error:
        raise _refused(error) from None


def _read_column(text: str) -> str:
    try:
        return check_column(text)
    except UnusableTextError as error:
        raise _refused(error) from None


def _refuse_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "a flag is not a number")
    return pasted(value) if isinstance(value, str) else value


def _refuse_none(links: tuple[Any, ...], info: ValidationInfo) -> tuple[Any, ...]:
    # A constraint on the length would also complain about a list whose only link is wrong.
    if not links and "places" not in (info.context or {}):
        raise PydanticCustomError("missing", "no entry")
    return links


def _blank_to_text(value: Any) -> Any:
    return "" if value is None else value


def _without_blanks(texts: tuple[str, ...]) -> tuple[str, ...]:
    # After the entries are read: leaving blank ones out before would give those behind them the wrong path.
    return tuple(filter(None, texts))


@dataclass(frozen=True)
class Fix:
    """What to do about a setting that is missing, where its description does not say it."""

    text: str


DomainUrl = Annotated[str, BeforeValidator(_read_domain_url)]
ProgramId = Annotated[
    int,
    BeforeValidator(_read_program_id),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": PROGRAM_ID_PATTERN,
            "pattern_descriptor": "1234, PG1234A1 or the program's URL",
        }
    ),
]
ExactText = Annotated[str, BeforeValidator(_read_text)]
StrippedText = Annotated[str, BeforeValidator(_read_text), AfterValidator(pasted)]
ColumnText = Annotated[str, BeforeValidator(_read_text), AfterValidator(_read_column)]
WholeNumber = Annotated[int, BeforeValidator(_refuse_flag)]
EmailDomain = Annotated[StrippedText, AfterValidator(_read_email_domain), BeforeValidator(_blank_to_text)]
EmailDomains = Annotated[tuple[EmailDomain, ...], AfterValidator(_without_blanks)]
Secret = Annotated[str, BeforeValidator(_sound_text), AfterValidator(pasted)]


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not pasted(value))


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_blanks(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not (key in cls.model_fields and _is_blank(value))}


def _shown(**more: Any) -> dict[str, Any]:
    """Keep an optional setting open in the form."""
    return {"always_show": True, **more}


class ProgramLink(_Block):
    """Which records go to which program, and with which status.

    `event` and `stream` are "" where the link is not limited.
    """

    model_config = ConfigDict(title="Program link")

    event: StrippedText = Field(
        default="",
        title="Event",
        description="Event ID or name as in your records. In Mobly: the number in the event's URL. Blank: all records.",
        examples=["4711", "Spring Summit 2026"],
        json_schema_extra=_shown(),
    )
    program_id: ProgramId = Field(
        title="Program ID",
        description="The program's URL in Marketo, its end (PG1234A1), or the digits. ST, MF and SC won't work.",
        examples=["1234", "PG1234A1", "https://app-sj01.marketo.com/#ME1234A1"],
    )
    program_status: StrippedText = Field(
        title="Program status",
        description="Status to set, spelled exactly as in Marketo: Admin > Tags > Channels lists the statuses.",
        examples=["Registered", "Attended"],
    )
    stream: StrippedText = Field(
        default="",
        title="Stream",
        description="Limits this link to one stream, named with the connection's prefix. Blank: all streams.",
        examples=["event_leads"],
    )
    lead_scan_threshold: WholeNumber = Field(
        default=0,
        ge=0,
        le=1_000_000,
        title="Lead scan threshold",
        description="Minimum number of scans for a lead to be added. 0 adds every captured lead.",
        examples=[0, 2],
    )
    unmapped_qualifier: UnmappedQualifier = Field(
        default="use_program_status",
        title="If no qualifier answer matches",
        description="use_program_status sets this link's status, skip leaves the record out, reject reports it.",
    )
    allow_archived: bool = Field(
        default=False,
        title="Allow an archived program",
        description="Add people even if the program is archived. Marketo turns campaigns off in archived folders.",
    )


class QualifierMapping(_Block):
    """A status that a qualifier's value decides. `program_id` is None if it holds for every link."""

    model_config = ConfigDict(title="Mapping")

    program_id: ProgramId | None = Field(
        default=None,
        title="Program ID",
        description="The program that this mapping is for, as in its link above. Leave blank for all programs.",
        examples=["1234", "PG1234A1"],
        json_schema_extra=_shown(pattern=rf"^[\s\uFEFF]*$|{PROGRAM_ID_PATTERN}"),
    )
    qualifier: ColumnText = Field(
        default="",
        title="Qualifier",
        description="Column with the answer, by name or JMESPath. Blank for Mobly leads: the qualifiers picked there.",
        examples=["wants_demo", "answers.demo"],
        json_schema_extra=_shown(),
    )
    value: ExactText = Field(
        title="Answer",
        description="The answer to match, exactly as in the record. If a record has several, one of them must match.",
        examples=["Yes"],
    )
    program_status: StrippedText = Field(
        title="Program status",
        description="Status to set instead, spelled exactly as in Marketo. The first matching mapping wins.",
        examples=["Engaged"],
    )


class MoblyMapping(_Block):
    """Records are leads as Mobly's REST API gives them."""

    model_config = ConfigDict(title="Mobly leads")

    mapping_type: Literal["mobly"] = Field(
        default="mobly",
        title="Record format",
        description="Leads from Mobly. Email, scans, qualifiers and common lead fields are mapped for you.",
    )


class CustomMapping(_Block):
    """Records of any other source: a column name or JMESPath for each thing; "" where the records have none."""

    model_config = ConfigDict(title="Custom columns")

    mapping_type: Literal["custom"] = Field(
        default="custom",
        title="Record format",
        description="Records of any other source. You name the columns to read.",
    )
    email: ColumnText = Field(
        default="email",
        title="Email column",
        description="Column with the email address: its name or a JMESPath.",
        examples=["email", "contact.email"],
        json_schema_extra=_shown(),
    )
    event: ColumnText = Field(
        default="event_id",
        title="Event ID column",
        description="Column with the event ID, which is compared with the events of the program links.",
        examples=["event_id"],
        json_schema_extra=_shown(),
    )
    event_name: ColumnText = Field(
        default="",
        title="Event name column",
        description="Column with the event name, if program links name events by name.",
        examples=["event_name"],
    )
    marketo_lead_id: ColumnText = Field(
        default="",
        title="Marketo lead ID column",
        description="Column with the Marketo lead ID, if your records have one. It is tried before the email address.",
        examples=["marketo_id"],
    )
    scan_count: ColumnText = Field(
        default="",
        title="Scan count column",
        description="Column with the number of scans. Required if a program link has a lead scan threshold.",
        examples=["scans"],
    )


RecordMapping = Annotated[MoblyMapping | CustomMapping, Field(discriminator="mapping_type")]


class FieldMapping(_Block):
    """One column that goes to one Marketo field."""

    model_config = ConfigDict(title="Field mapping")

    record_field: ColumnText = Field(
        title="Record field",
        description="Column to read: its name, or a JMESPath such as job.title.",
        examples=["job.title"],
    )
    marketo_object: MarketoObject = Field(
        default="lead",
        title="Marketo object",
        description="lead: a field of the person. program_member: a custom field of the program member.",
        json_schema_extra=_shown(),
    )
    marketo_field: StrippedText = Field(
        title="Marketo field",
        description="REST API name of the field: Admin > Field Management > Export Field Names lists them.",
        examples=["title", "leadSource"],
    )
    write: FieldWrite = Field(
        default="auto",
        title="When to write",
        description="auto: always, but opt-out fields only if true. on_create and if_blank read people first.",
    )


class LeadSync(_Block):
    """How people are found, created and updated."""

    model_config = ConfigDict(title="Person matching")

    mode: LeadSyncMode = Field(
        default="create_or_update",
        title="Create and update",
        description="create_missing never changes fields of existing people. match_only never creates anyone.",
        json_schema_extra=_shown(),
    )
    lookup_field: StrippedText = Field(
        default="email",
        title="Lookup field",
        description="REST API name of the field to find people by. A field other than email needs a field mapping.",
        examples=["email"],
    )
    partition_name: StrippedText = Field(
        default="",
        title="Lead partition",
        description="Where new people are created, if Marketo has lead partitions: Admin > Workspaces & Partitions.",
        examples=["EMEA"],
    )
    blank_values: BlankValues = Field(
        default="keep",
        title="Blank values",
        description="keep leaves the Marketo field as it is if the record's value is blank. clear empties the field.",
    )
    duplicate_leads: DuplicateLeads = Field(
        default="most_recently_updated",
        title="If several people match",
        description="Use the most recently updated person, or reject the record so that you can merge them.",
    )
    send: Send = Field(
        default="everything",
        title="What to send",
        description="changes skips records and fields that were sent before and have not changed. Needs a storage.",
        json_schema_extra=_shown(),
    )
    send_again_after_days: WholeNumber = Field(
        default=30,
        ge=0,
        le=3_650,
        title="Send again after (days)",
        description="With changes, unchanged records are sent again after this many days. 0 means never.",
    )
    acquisition_program: AcquisitionProgram = Field(
        default="leave",
        title="Acquisition program",
        description="first_program sets it for people whom this connector creates. Nobody else's is changed.",
    )
    excluded_email_domains: EmailDomains = Field(
        default=(),
        title="Excluded email domains",
        description="People with an email of these domains or their subdomains are skipped, for example your staff.",
        examples=["example.com"],
    )


class NoStorage(_Block):
    """Outcomes are summarised in the log only."""

    model_config = ConfigDict(title="None")

    storage_type: Literal["None"] = Field(
        default="None",
        title="Storage type",
        description="Nothing is stored: a summary in the log, no page, no memory, no waiting for another sync.",
    )


class LocalStorage(_Block):
    """Outcomes are written to a folder."""

    model_config = ConfigDict(title="Local folder")

    storage_type: Literal["Local"] = Field(
        default="Local",
        title="Storage type",
        description="Files in a folder. On Kubernetes, only a mounted volume is kept. Not for Airbyte Cloud.",
    )
    path: Annotated[StrippedText, AfterValidator(_read_folder)] = Field(
        default="/local/marketo",
        title="Folder",
        description="Folder to write to; it is created if it doesn't exist. /local is kept only if it is mounted.",
        examples=["/local/marketo"],
        json_schema_extra=_shown(),
    )


class S3Storage(_Block):
    """Outcomes are written to an S3 bucket. Without key and role, the machine's own AWS access is used."""

    model_config = ConfigDict(title="S3")

    storage_type: Literal["S3"] = Field(
        default="S3",
        title="Storage type",
        description="Files in a bucket of Amazon S3 or of a compatible service.",
    )
    s3_bucket_name: StrippedText = Field(
        title="Bucket name",
        description="Name of the bucket, as in the list of buckets in the S3 console.",
        examples=["marketo-outcomes"],
    )
    s3_bucket_region: StrippedText = Field(
        default="",
        title="Bucket region",
        description="AWS region of the bucket (its Properties tab shows it). Required unless you give an endpoint.",
        examples=["eu-central-1"],
        json_schema_extra=_shown(),
    )
    bucket_path: StrippedText = Field(
        default="",
        title="Path in the bucket",
        description="Folder in the bucket. Leave blank for the top of the bucket.",
        examples=["airbyte/marketo"],
        json_schema_extra=_shown(),
    )
    access_key_id: Secret = Field(
        default="",
        repr=False,
        title="Access key ID",
        description="IAM console > Users > Security credentials. The user reads, writes and deletes objects here.",
        examples=["AKIAIOSFODNN7EXAMPLE"],
        json_schema_extra=_shown(airbyte_secret=True),
    )
    secret_access_key: Secret = Field(
        default="",
        repr=False,
        title="Secret access key",
        description="The secret of the access key ID. AWS shows it once, when the key is created.",
        json_schema_extra=_shown(airbyte_secret=True),
    )
    role_arn: StrippedText = Field(
        default="",
        title="Role ARN",
        description="IAM role to assume for writing to the bucket.",
        examples=["arn:aws:iam::123456789012:role/marketo-outcomes"],
    )
    s3_endpoint: Annotated[StrippedText, AfterValidator(_read_endpoint)] = Field(
        default="",
        title="Endpoint",
        description="Address of an S3-compatible service. Leave blank for Amazon S3.",
        examples=["https://minio.example.com:9000"],
    )


OutcomeStorage = Annotated[NoStorage | LocalStorage | S3Storage, Field(discriminator="storage_type")]


class DeliverySettings(_Block):
    """How fast and by which way records are sent. `daily_call_budget` is None if there is no limit of ours."""

    model_config = ConfigDict(title="Delivery")

    method: DeliveryMethod = Field(
        default="auto",
        title="Method",
        description="rest reports the result of each lead; bulk uploads files; auto uses whichever needs fewer calls.",
    )
    calls_per_20_seconds: WholeNumber = Field(
        default=50,
        ge=1,
        le=100,
        title="Calls per 20 seconds",
        description="Share of the 100 calls per 20 seconds that all integrations have. Adobe advises 50 for one.",
    )
    concurrent_calls: WholeNumber = Field(
        default=5,
        ge=1,
        le=10,
        title="Calls at once",
        description="Share of the 10 concurrent calls that all integrations have. Adobe advises 5 for one.",
    )
    daily_call_budget: Annotated[int, Field(ge=1, le=100_000_000), BeforeValidator(_refuse_flag)] | None = Field(
        default=None,
        title="Daily call budget",
        description="Stops the sync at this number of calls per day; the next sync resumes. Leave blank for no limit.",
        examples=[40000],
    )
    max_batch_age_seconds: WholeNumber = Field(
        default=60,
        ge=1,
        le=900,
        title="Maximum batching delay (seconds)",
        description="Longest time that a record waits for a call of up to 300 to fill up.",
    )
    on_rejected: OnRejected = Field(
        default="continue",
        title="If records are rejected",
        description="fail_after_sync delivers everything, then ends the sync as failed so that Airbyte alerts you.",
        json_schema_extra=_shown(),
    )
    dry_run: bool = Field(
        default=False,
        title="Dry run",
        description="Writes nothing to Marketo and reports what a sync would do.",
        json_schema_extra=_shown(),
    )
    wait_for_other_sync_minutes: WholeNumber = Field(
        default=60,
        ge=0,
        le=10_080,
        title="Wait for another sync (minutes)",
        description="How long to wait for another sync to the same Marketo instance to finish. Needs a storage.",
    )


_ADD_LINK = "Add at least one link: an event, the ID of its program, and the status to set."


class Settings(_Block):
    """Everything the connector is told. Nothing downstream reads the raw configuration."""

    model_config = ConfigDict(title="Marketo Programs destination")

    _places: dict[str, tuple[int, ...]] | None = PrivateAttr(default=None)

    domain_url: DomainUrl = Field(
        title="REST API endpoint",
        description="In Marketo open Admin > Integration > Web Services and copy the Endpoint under REST API.",
        examples=["https://123-ABC-456.mktorest.com"],
        json_schema_extra={
            "pattern": MARKETO_ADDRESS_PATTERN,
            "pattern_descriptor": "https://123-ABC-456.mktorest.com",
            "group": "connection",
        },
    )
    client_id: Secret = Field(
        repr=False,
        title="Client ID",
        description="In Marketo open Admin > Integration > LaunchPoint > View Details of the service made for Airbyte.",
        json_schema_extra={"airbyte_secret": True, "group": "connection"},
    )
    client_secret: Secret = Field(
        repr=False,
        title="Client secret",
        description="Shown beside the client ID, in Marketo under Admin > Integration > LaunchPoint.",
        json_schema_extra={"airbyte_secret": True, "group": "connection"},
    )
    program_links: Annotated[tuple[ProgramLink, ...], AfterValidator(_refuse_none), Fix(_ADD_LINK)] = Field(
        title="Events → Marketo programs",
        description="A record is added to the program of every matching link. For one program, the first link wins.",
        json_schema_extra={"group": "programs", "minItems": 1},
    )
    qualifier_mappings: tuple[QualifierMapping, ...] = Field(
        default=(),
        title="Status by qualifier answer",
        description="Sets the status by a qualifier answer, for example Yes → Engaged, No → Member.",
        json_schema_extra=_shown(group="programs"),
    )
    record_mapping: RecordMapping = Field(
        default=MoblyMapping(),
        title="Record format",
        description="The format of your records.",
        json_schema_extra=_shown(group="records", display_type="radio"),
    )
    field_mappings: tuple[FieldMapping, ...] = Field(
        default=(),
        title="Field mappings",
        description="Additional columns to write to person or program member fields.",
        json_schema_extra=_shown(group="fields"),
    )
    lead_sync: LeadSync = Field(
        default=LeadSync(),
        title="Person matching",
        description="How people are found in Marketo, and if they are created and updated.",
        json_schema_extra={"group": "people"},
    )
    object_storage_config: OutcomeStorage = Field(
        default=NoStorage(),
        title="Storage",
        description="Where to store per-record results and rejected records. Required for the reconciliation page.",
        json_schema_extra=_shown(group="reconciliation", display_type="radio"),
    )
    delivery: DeliverySettings = Field(
        default=DeliverySettings(),
        title="Delivery",
        description="Method and pace, and what to do about rejected records.",
        json_schema_extra={"group": "delivery"},
    )

    def model_post_init(self, context: Any, /) -> None:
        """Keep where the entries of lists stood if some were left out: `places` in the context of the validation."""
        self._places = (context or {}).get("places")

    @property
    def is_partial(self) -> bool:
        """Whether what cannot be read was left out: good for finding further problems, and for nothing else."""
        return self._places is not None

    def places(self, setting: Literal["program_links", "qualifier_mappings", "field_mappings"]) -> Sequence[int]:
        """Return where each entry of a list stands in the form, from 0: entries that cannot be read are left out."""
        return (self._places or {}).get(setting, range(len(getattr(self, setting))))

    def placed_links(self) -> Iterator[tuple[int, ProgramLink]]:
        """Return each program link behind its place."""
        return zip(self.places("program_links"), self.program_links, strict=True)

    def placed_qualifier_mappings(self) -> Iterator[tuple[int, QualifierMapping]]:
        """Return each qualifier mapping behind its place."""
        return zip(self.places("qualifier_mappings"), self.qualifier_mappings, strict=True)

    def placed_field_mappings(self) -> Iterator[tuple[int, FieldMapping]]:
        """Return each field mapping behind its place."""
        return zip(self.places("field_mappings"), self.field_mappings, strict=True)

    def secrets(self) -> tuple[str, ...]:
        """Return every secret text of the configuration, for masking; blank ones left out."""
        found = [self.client_id, self.client_secret]
        if isinstance(self.object_storage_config, S3Storage):
            found += [self.object_storage_config.access_key_id, self.object_storage_config.secret_access_key]
        return tuple(secret for secret in found if secret)
