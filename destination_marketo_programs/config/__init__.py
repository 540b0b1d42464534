"""The whole configuration: raw JSON in, frozen typed settings or a list of problems out; and the spec of it.

Entry points: `read_json_file`, `load_settings`, `runs_in_cloud`, `connector_spec`, `connection_specification`,
`reference_rows`.
"""

from destination_marketo_programs.config.loading import JsonFileError, LoadedSettings, load_settings, read_json_file
from destination_marketo_programs.config.settings import (
    BlankValues,
    CustomMapping,
    DeliveryMethod,
    DeliverySettings,
    DuplicateLeads,
    FieldMapping,
    LeadSync,
    LeadSyncMode,
    LocalStorage,
    MarketoObject,
    MoblyMapping,
    NoStorage,
    OnRejected,
    OutcomeStorage,
    ProgramLink,
    QualifierMapping,
    RecordMapping,
    S3Storage,
    Settings,
    UnmappedQualifier,
)
from destination_marketo_programs.config.spec import (
    ReferenceRow,
    connection_specification,
    connector_spec,
    reference_rows,
)
from destination_marketo_programs.config.surroundings import runs_in_cloud

__all__ = [
    "BlankValues",
    "CustomMapping",
    "DeliveryMethod",
    "DeliverySettings",
    "DuplicateLeads",
    "FieldMapping",
    "JsonFileError",
    "LeadSync",
    "LeadSyncMode",
    "LoadedSettings",
    "LocalStorage",
    "MarketoObject",
    "MoblyMapping",
    "NoStorage",
    "OnRejected",
    "OutcomeStorage",
    "ProgramLink",
    "QualifierMapping",
    "RecordMapping",
    "ReferenceRow",
    "S3Storage",
    "Settings",
    "UnmappedQualifier",
    "connection_specification",
    "connector_spec",
    "load_settings",
    "read_json_file",
    "reference_rows",
    "runs_in_cloud",
]
