"""The configuration as frozen, typed settings. Titles and descriptions here are what form and docs show.

A key that is null or blank counts as absent. Unknown keys are refused. Values are read leniently where only one
reading is possible (digits in text are a number), and never otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
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
    parse_endpoint,
    parse_program_id,
)

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


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _refuse_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "a flag is no number")
    return value


def _refuse_none(links: tuple[Any, ...]) -> tuple[Any, ...]:
    # A constraint on the length would also complain about a list whose only link is wrong.
    if not links:
        raise PydanticCustomError("missing", "no entry")
    return links


def _read_endpoint(text: str) -> str:
    try:
        return parse_endpoint(text)
    except UnusableTextError as error:
        raise _refused(error) from None


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
ExactText = Annotated[str, BeforeValidator(_number_as_text)]
StrippedText = Annotated[str, BeforeValidator(_number_as_text), StringConstraints(strip_whitespace=True)]
WholeNumber = Annotated[int, BeforeValidator(_refuse_flag)]
Secret = Annotated[str, StringConstraints(strip_whitespace=True)]


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


class _Block(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _drop_blanks(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if not (key in cls.model_fields and _is_blank(value))}


class ProgramLink(_Block):
    """Which records go to which program, and with which status.

    `event` and `stream` are "" where the link is not limited.
    """

    model_config = ConfigDict(title="Program link")

    event: StrippedText = Field(
        default="",
        title="Event",
        description="The event's ID or name, as it stands in your records (in Mobly: the number in the event's URL, "
        "or the event's name). Leave blank to link every record.",
        examples=["4711", "Spring Summit 2026"],
    )
    program_id: ProgramId = Field(
        title="Program ID",
        description="Open the program in Marketo and copy its URL from the browser, or only the end of it. In a URL "
        "that ends in PG1234A1 the ID is 1234. A list (ST), folder (MF) or smart campaign (SC) is no program.",
        examples=["1234", "PG1234A1", "https://app-sj01.marketo.com/#ME1234A1"],
    )
    program_status: ExactText = Field(
        title="Program status",
        description="The status people get in the program, spelled exactly as in Marketo (Attended and attended "
        "differ). You find the statuses under Admin > Tags > Channels: open the channel that the program's "
        "Summary tab names. Marketo never moves anyone back to an earlier status.",
        examples=["Registered", "Attended"],
    )
    stream: StrippedText = Field(
        default="",
        title="Stream",
        description="Limits this link to the records of one stream of your source. Leave blank for all streams.",
        examples=["event_leads"],
    )
    lead_scan_threshold: WholeNumber = Field(
        default=0,
        ge=0,
        title="Lead scan threshold",
        description="How often a lead must have been scanned to be added to the program. 0 adds every captured lead.",
        examples=[0, 2],
    )
    unmapped_qualifier: UnmappedQualifier = Field(
        default="use_program_status",
        title="If no qualifier mapping applies",
        description="What happens to a record when there are qualifier mappings for the program but none fits: "
        "use_program_status gives the status of this link, skip leaves the record out, reject reports it as "
        "rejected.",
    )
    allow_archived: bool = Field(
        default=False,
        title="Allow an archived program",
        description="Adds people although the program is archived. Marketo switches off campaigns in archived folders.",
    )


class QualifierMapping(_Block):
    """A status that a qualifier's value decides. `program_id` is None where it holds for every link."""

    model_config = ConfigDict(title="Qualifier mapping")

    program_id: ProgramId | None = Field(
        default=None,
        title="Program ID",
        description="The program this mapping is for, as in its program link. Leave blank for all of them.",
        examples=["1234", "PG1234A1"],
        json_schema_extra={"pattern": rf"^\s*$|{PROGRAM_ID_PATTERN}"},
    )
    qualifier: ExactText = Field(
        default="",
        title="Qualifier",
        description="The field of your records that holds the qualifier's value: a column name, or a JMESPath such "
        "as answers.demo. Leave blank with Mobly leads to use the qualifier values picked there (tags).",
        examples=["wants_demo", "answers.demo"],
    )
    value: ExactText = Field(
        title="Value",
        description="The value that decides, exactly as it stands in the record. Where a record has several values, "
        "one of them has to be this one.",
        examples=["Yes"],
    )
    program_status: ExactText = Field(
        title="Program status",
        description="The status to give instead of the link's own, spelled exactly as in Marketo (Admin > Tags > "
        "Channels). The first mapping in the list that applies decides.",
        examples=["Engaged"],
    )


class MoblyMapping(_Block):
    """Records are leads as Mobly's REST API gives them."""

    model_config = ConfigDict(title="Mobly leads")

    mapping_type: Literal["mobly"] = Field(
        default="mobly",
        title="Mapping type",
        description="Leads as Mobly gives them. Email, scans, qualifiers and the usual lead fields are known.",
    )


class CustomMapping(_Block):
    """Records of any other source: a column name or JMESPath for each thing; "" where the records have none."""

    model_config = ConfigDict(title="Custom columns")

    mapping_type: Literal["custom"] = Field(
        default="custom",
        title="Mapping type",
        description="Records of any other source. Name the columns to read below.",
    )
    email: str = Field(
        default="email",
        title="Email column",
        description="Column name or JMESPath of the email address.",
        examples=["email", "contact.email"],
    )
    marketo_lead_id: str = Field(
        default="",
        title="Marketo lead ID column",
        description="Column name or JMESPath of Marketo's own number of the person, if your records have it. It is "
        "tried before the email address.",
        examples=["marketo_id"],
    )
    event: str = Field(
        default="event_id",
        title="Event ID column",
        description="Column name or JMESPath of the event's ID, which is compared with the events in the program "
        "links.",
        examples=["event_id"],
    )
    event_name: str = Field(
        default="",
        title="Event name column",
        description="Column name or JMESPath of the event's name, if program links name events by their names.",
        examples=["event_name"],
    )
    scan_count: str = Field(
        default="",
        title="Scan count column",
        description="Column name or JMESPath of the number of scans, for the lead scan threshold.",
        examples=["scans"],
    )


RecordMapping = Annotated[MoblyMapping | CustomMapping, Field(discriminator="mapping_type")]


class FieldMapping(_Block):
    """One column that goes to one Marketo field."""

    model_config = ConfigDict(title="Field mapping")

    record_field: str = Field(
        title="Record field",
        description="The column to read: its name, or a JMESPath such as job.title.",
        examples=["job.title"],
    )
    marketo_object: MarketoObject = Field(
        default="lead",
        title="Marketo object",
        description="lead for a field of the person, program_member for a custom field of the membership.",
    )
    marketo_field: StrippedText = Field(
        title="Marketo field",
        description="The field's REST API name, which differs from the name on screen: Admin > Field Management > "
        "Export Field Names lists both.",
        examples=["title", "leadSource"],
    )
    write: FieldWrite = Field(
        default="auto",
        title="When to write",
        description="auto protects Marketo's opt-out fields (only true is sent) and always writes other fields.",
    )


class LeadSync(_Block):
    """How people are found, created and updated."""

    model_config = ConfigDict(title="People")

    mode: LeadSyncMode = Field(
        default="create_or_update",
        title="Create and update",
        description="create_or_update creates people Marketo does not know and updates the fields of those it does; "
        "create_missing creates people but never touches the fields of existing ones; match_only never creates "
        "anyone.",
    )
    lookup_field: StrippedText = Field(
        default="email",
        title="Lookup field",
        description="REST API name of the field by which Marketo finds a person. A Marketo lead ID on the record is "
        "used before it. For a field other than email, add a field mapping that fills it.",
        examples=["email"],
    )
    partition_name: str = Field(
        default="",
        title="Lead partition",
        description="Only if your Marketo has lead partitions: the one that new people go to, named as under Admin > "
        "Workspaces & Partitions.",
        examples=["EMEA"],
    )
    blank_values: BlankValues = Field(
        default="keep",
        title="Blank values",
        description="keep leaves a Marketo field as it is where the record's value is empty; clear empties the field.",
    )
    duplicate_leads: DuplicateLeads = Field(
        default="most_recently_updated",
        title="Several people share the lookup field",
        description="reject reports the record as rejected so that you can merge the people in Marketo; "
        "most_recently_updated takes the person that was changed last.",
    )
    send: Send = Field(
        default="everything",
        title="What to send",
        description="everything sends every record. changes skips records that have not changed; needs a storage.",
    )
    send_again_after_days: WholeNumber = Field(
        default=30,
        ge=0,
        title="Send again after (days)",
        description="With changes, sends a record again after this many days although it has not changed. 0 = never.",
    )
    acquisition_program: AcquisitionProgram = Field(
        default="leave",
        title="Acquisition program",
        description="first_program sets the first program of the record for people whom this connector creates.",
    )
    excluded_email_domains: tuple[StrippedText, ...] = Field(
        default=(),
        title="Excluded email domains",
        description="People with an email of these domains or their subdomains are skipped.",
        examples=["example.com"],
    )


class NoStorage(_Block):
    """Outcomes are summarised in the log only."""

    model_config = ConfigDict(title="None")

    storage_type: Literal["None"] = Field(
        default="None",
        title="Storage type",
        description="Nothing is stored. The log has a summary, and the rejections without personal data.",
    )


class LocalStorage(_Block):
    """Outcomes are written to a folder."""

    model_config = ConfigDict(title="Local folder")

    storage_type: Literal["Local"] = Field(
        default="Local",
        title="Storage type",
        description="Files in a folder of the machine that runs the sync. Not for Airbyte Cloud.",
    )
    path: StrippedText = Field(
        default="/local/marketo",
        title="Folder",
        description="The folder to write to; it is created if need be. Self-managed Airbyte keeps what is under "
        "/local after the sync.",
        examples=["/local/marketo"],
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
        description="The bucket that takes the files, named as in the list of buckets in the S3 console.",
        examples=["marketo-outcomes"],
    )
    s3_bucket_region: StrippedText = Field(
        default="",
        title="Bucket region",
        description="AWS region of the bucket, as its Properties tab in the S3 console shows it. Needed unless an "
        "endpoint is given.",
        examples=["eu-central-1"],
    )
    bucket_path: StrippedText = Field(
        default="",
        title="Path in the bucket",
        description="Folder in the bucket. Leave blank for the top of the bucket.",
        examples=["airbyte/marketo"],
    )
    access_key_id: Secret = Field(
        default="",
        repr=False,
        title="Access key ID",
        description="From the IAM console: Users > the user > Security credentials. The user needs to read, write "
        "and delete objects in the bucket.",
        examples=["AKIAIOSFODNN7EXAMPLE"],
        json_schema_extra={"airbyte_secret": True},
    )
    secret_access_key: Secret = Field(
        default="",
        repr=False,
        title="Secret access key",
        description="The secret that belongs to the access key ID. AWS shows it once, when the key is made.",
        json_schema_extra={"airbyte_secret": True},
    )
    role_arn: StrippedText = Field(
        default="",
        title="Role ARN",
        description="A role to take on for writing to the bucket, if your organisation works with roles.",
        examples=["arn:aws:iam::123456789012:role/marketo-outcomes"],
    )
    s3_endpoint: Annotated[StrippedText, AfterValidator(_read_endpoint)] = Field(
        default="",
        title="Endpoint",
        description="Only for a service other than Amazon's: its address. Leave blank for Amazon S3.",
        examples=["https://minio.example.com:9000"],
    )


OutcomeStorage = Annotated[NoStorage | LocalStorage | S3Storage, Field(discriminator="storage_type")]


class DeliverySettings(_Block):
    """How fast and by which way records go out. `daily_call_budget` is None where we set no cap."""

    model_config = ConfigDict(title="Delivery")

    method: DeliveryMethod = Field(
        default="auto",
        title="Method",
        description="rest sends up to 300 people per call and learns what became of each; bulk uploads files, which "
        "saves calls with large loads; auto takes whichever needs fewer calls.",
    )
    calls_per_20_seconds: WholeNumber = Field(
        default=50,
        ge=1,
        le=100,
        title="Calls per 20 seconds",
        description="This connector's share of the 100 calls per 20 seconds that Marketo allows all integrations "
        "together. Adobe advises 50 for one of them.",
    )
    concurrent_calls: WholeNumber = Field(
        default=5,
        ge=1,
        le=10,
        title="Calls at once",
        description="This connector's share of the 10 calls that Marketo works on at once. Adobe advises 5 for one "
        "integration.",
    )
    daily_call_budget: Annotated[int, Field(ge=1), BeforeValidator(_refuse_flag)] | None = Field(
        default=None,
        title="Daily call budget",
        description="The sync stops, to go on at the next one, once this connector's user has made this many calls "
        "today. Admin > Integration > Web Services shows how many your subscription allows (usually 50,000 for all "
        "integrations). Leave blank for no cap of ours.",
        examples=[40000],
    )
    max_batch_age_seconds: WholeNumber = Field(
        default=60,
        ge=1,
        le=900,
        title="Longest wait of a record (seconds)",
        description="Records are collected into calls of up to 300. After this time a call goes out even if it is "
        "not full.",
    )
    on_rejected: OnRejected = Field(
        default="continue",
        title="If records are rejected",
        description="continue ends the sync as succeeded and reports them; fail_after_sync delivers everything and "
        "then ends the sync as failed, so that someone is alerted.",
    )
    dry_run: bool = Field(
        default=False,
        title="Dry run",
        description="Writes nothing to Marketo and reports what would have been done.",
    )
    wait_for_other_sync_minutes: WholeNumber = Field(
        default=60,
        ge=0,
        title="Wait for another sync (minutes)",
        description="How long to wait for another sync of the same Marketo instance to end. Needs a storage.",
    )


_ADD_LINK = "Add at least one link: an event, the ID of its program, and the status people get there."


class Settings(_Block):
    """Everything the connector is told. Nothing downstream reads the raw configuration."""

    model_config = ConfigDict(title="Marketo Programs destination")

    domain_url: DomainUrl = Field(
        title="Domain URL",
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
        description="You find it in Marketo under Admin > Integration > LaunchPoint: View Details of the custom "
        "service that was made for Airbyte.",
        json_schema_extra={"airbyte_secret": True, "group": "connection"},
    )
    client_secret: Secret = Field(
        repr=False,
        title="Client secret",
        description="You find it beside the client ID, in Marketo under Admin > Integration > LaunchPoint.",
        json_schema_extra={"airbyte_secret": True, "group": "connection"},
    )
    program_links: Annotated[tuple[ProgramLink, ...], AfterValidator(_refuse_none), Fix(_ADD_LINK)] = Field(
        title="Program links",
        description="Which records become members of which program, and with which status. A record goes to the "
        "program of every link that matches it; where two of them name one program, the earlier link counts.",
        json_schema_extra={"group": "programs", "minItems": 1},
    )
    qualifier_mappings: tuple[QualifierMapping, ...] = Field(
        default=(),
        title="Qualifier mappings",
        description="Lets the value of a qualifier decide the status, such as Yes to Engaged and No to Member.",
        json_schema_extra={"group": "programs", "always_show": True},
    )
    record_mapping: RecordMapping = Field(
        default=MoblyMapping(),
        title="Record mapping",
        description="What your records look like. Mobly leads, unless you choose otherwise.",
        json_schema_extra={"group": "records", "always_show": True},
    )
    field_mappings: tuple[FieldMapping, ...] = Field(
        default=(),
        title="Field mappings",
        description="Further columns to write to fields of the person or of the membership.",
        json_schema_extra={"group": "records"},
    )
    lead_sync: LeadSync = Field(
        default=LeadSync(),
        title="People",
        description="How people are found in Marketo, and whether they are created and updated.",
        json_schema_extra={"group": "advanced"},
    )
    object_storage_config: OutcomeStorage = Field(
        default=NoStorage(),
        title="Outcome storage",
        description="Where to keep what became of each record, and the rejected records for sending them again. "
        "The files hold personal data.",
        json_schema_extra={"group": "advanced"},
    )
    delivery: DeliverySettings = Field(
        default=DeliverySettings(),
        title="Delivery",
        description="Pace, method, and what to do about rejected records.",
        json_schema_extra={"group": "advanced"},
    )

    def secrets(self) -> tuple[str, ...]:
        """Return every secret text of the configuration, for masking; blank ones left out."""
        found = [self.client_id, self.client_secret]
        if isinstance(self.object_storage_config, S3Storage):
            found += [self.object_storage_config.access_key_id, self.object_storage_config.secret_access_key]
        return tuple(secret for secret in found if secret)
