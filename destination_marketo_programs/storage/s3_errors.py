"""What a failure of S3 means: the setting at fault, the cause and the remedy, with no secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from destination_marketo_programs.storage.store import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable

_SETTINGS: dict[str, tuple[str, str, str]] = {
    "NoSuchBucket": (
        "s3_bucket_name",
        "there is no such bucket.",
        "Create it, or correct the name and s3_endpoint.",
    ),
    "InvalidBucketName": ("s3_bucket_name", "this is not a valid bucket name.", "Correct it."),
    "InvalidAccessKeyId": (
        "access_key_id",
        "this key is not known.",
        "Copy the access key again, or create a new one.",
    ),
    "SignatureDoesNotMatch": (
        "secret_access_key",
        "the secret does not belong to the key.",
        "Copy key and secret again.",
    ),
    "ExpiredToken": ("access_key_id", "the credentials have expired.", "Give new ones."),
    "InvalidClientTokenId": ("access_key_id", "this key is not known.", "Copy the access key again."),
    "PermanentRedirect": (
        "s3_bucket_region",
        "the bucket is in another region.",
        "Give the region that the bucket's properties show.",
    ),
    "AuthorizationHeaderMalformed": (
        "s3_bucket_region",
        "the bucket is in another region.",
        "Give the region that the bucket's properties show.",
    ),
    "IllegalLocationConstraintException": (
        "s3_bucket_region",
        "the bucket is in another region.",
        "Give the region that the bucket's properties show.",
    ),
}
_REDIRECTED = (
    "s3_endpoint",
    "the storage redirects every call to another place.",
    "Give the address and region that serve this bucket.",
    False,
)
_REDIRECT_STATUS = range(300, 400)
_DENIED = {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403", "Forbidden"}
_CLIENT_ERROR_STATUS = range(400, 500)
_SEND_LATER_STATUS = {408, 409, 425, 429}


def explained(error: Exception, bucket: str, permission: str, secrets: Iterable[str]) -> StorageError:
    """The failure as path, cause and remedy, with no secret in it."""
    if isinstance(error, ClientError):
        setting, message, fix, transient = _of_answer(error, bucket, permission)
    elif isinstance(error, NoCredentialsError | PartialCredentialsError):
        setting, message, fix, transient = (
            "access_key_id",
            "no credentials were found.",
            "Give access_key_id and secret_access_key, or run where AWS provides credentials.",
            False,
        )
    elif isinstance(error, CredentialRetrievalError):
        setting, message, fix, transient = (
            "role_arn",
            "the role cannot be assumed.",
            "Check the ARN and the role's trust policy.",
            False,
        )
    elif isinstance(error, ParamValidationError):
        setting, message, fix, transient = (
            "s3_bucket_name",
            "this is not a valid bucket name.",
            "Correct it.",
            False,
        )
    elif isinstance(error, RecursionError):
        # botocore follows redirects to the bucket's region by asking where it is, and is redirected again.
        setting, message, fix, transient = _REDIRECTED
    elif isinstance(error, HTTPClientError | BotoConnectionError | OSError):
        host = _host_of(error)
        setting, message, fix, transient = (
            "s3_endpoint",
            f"the storage{f' at {host}' if host else ''} does not answer ({type(error).__name__}).",
            "Check s3_endpoint and s3_bucket_region, or sync again when it is up.",
            True,
        )
    else:
        setting, message, fix, transient = (
            "s3_endpoint",
            f"the storage cannot be used ({type(error).__name__}: {error}).",
            "Check s3_endpoint and s3_bucket_region.",
            False,
        )
    for secret in secrets:
        message = message.replace(secret, "***")
    return StorageError(f"object_storage_config.{setting}", message, fix, transient=transient)


def _of_answer(error: ClientError, bucket: str, permission: str) -> tuple[str, str, str, bool]:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if error.operation_name == "AssumeRole":
        return (
            "role_arn",
            f"the role cannot be assumed ({code}).",
            "Check the ARN and that its trust policy names these credentials (and the external id).",
            False,
        )
    if code in _DENIED:
        objects = "" if permission == "s3:ListBucket" else "/*"
        return (
            "s3_bucket_name",
            f"access to bucket {bucket} denied.",
            f"Allow {permission} on arn:aws:s3:::{bucket}{objects} for this key or role.",
            False,
        )
    if code in _SETTINGS:
        return (*_SETTINGS[code], False)
    if status in _REDIRECT_STATUS:
        return _REDIRECTED
    transient = status not in _CLIENT_ERROR_STATUS or status in _SEND_LATER_STATUS
    fix = "Sync again later." if transient else "Check the bucket and its policies."
    return "s3_bucket_name", f"bucket {bucket} answers with {code or status}.", fix, transient


def _host_of(error: Exception) -> str | None:
    if isinstance(error, BotoCoreError):
        return urlsplit(str(error.kwargs.get("endpoint_url", ""))).hostname
    return None
