"""S3 and what is compatible with it: each commit uploads what was added as new objects."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    Credentials,
    DeferredRefreshableCredentials,
)
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

from destination_marketo_programs.storage.lines import Kind, append_outcome, append_rejected
from destination_marketo_programs.storage.store import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mypy_boto3_s3 import S3Client

    from destination_marketo_programs.config import S3Storage
    from destination_marketo_programs.outcomes import Outcome
    from destination_marketo_programs.storage.store import PartNames

MAX_PART_BYTES = 8_000_000
"""Size of one object, and bound of what is kept in memory for each of the two kinds."""

COMMIT_INTERVAL_SECONDS = 10.0
"""Objects cost per upload: at most about 720 an hour, and STATE waits no longer than this."""

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
MAX_ATTEMPTS = 5


class Patience(NamedTuple):
    """How long one call to S3 may take before the store counts as failed."""

    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    max_attempts: int = MAX_ATTEMPTS


PATIENCE = Patience()


class S3Store:
    """An `OutcomeStore` in a bucket. Every upload is an object of its own; none is ever written twice."""

    commit_interval_seconds = COMMIT_INTERVAL_SECONDS

    def __init__(
        self, client: S3Client, storage: S3Storage, names: PartNames, *, max_part_bytes: int = MAX_PART_BYTES
    ) -> None:
        self._client = client
        self._bucket = storage.s3_bucket_name
        self._folder = storage.bucket_path.strip("/")
        self._names = names
        self._max_part_bytes = max_part_bytes
        self._buffers = {kind: bytearray() for kind in Kind}
        self._outcomes = self._buffers[Kind.OUTCOMES]
        self._rejected = self._buffers[Kind.REJECTED]
        self._numbers = dict.fromkeys(Kind, 0)
        self._secrets = _secrets_of(storage)
        self._failure: StorageError | None = None

    @property
    def location(self) -> str:
        """`s3://bucket/path`."""
        return f"s3://{self._bucket}/{self._folder}".rstrip("/")

    @property
    def pending_bytes(self) -> int:
        """Bytes in the two buffers."""
        return sum(map(len, self._buffers.values()))

    def add(self, outcome: Outcome) -> None:
        """See `OutcomeStore`."""
        append_outcome(self._outcomes, outcome)
        if len(self._outcomes) >= self._max_part_bytes:
            self._upload(Kind.OUTCOMES)

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        """See `OutcomeStore`."""
        append_rejected(self._rejected, line, rejections)
        if len(self._rejected) >= self._max_part_bytes:
            self._upload(Kind.REJECTED)

    def commit(self) -> None:
        """See `OutcomeStore`."""
        for kind in Kind:
            self._upload(kind)

    def probe(self) -> None:
        """See `OutcomeStore`."""
        key = self._key(self._names.probe())
        content = b"destination-marketo-programs\n"
        with self._explaining("s3:PutObject"):
            self._client.put_object(Bucket=self._bucket, Key=key, Body=content)
        try:
            with self._explaining("s3:GetObject"):
                given = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        finally:
            with self._explaining("s3:DeleteObject"):
                self._client.delete_object(Bucket=self._bucket, Key=key)
        if given != content:
            raise StorageError(
                "object_storage_config", "the bucket gives back other bytes than were written.", "Use another bucket."
            )

    def close(self) -> None:
        """See `OutcomeStore`."""
        try:
            if self._failure is None:
                self.commit()
        finally:
            self._client.close()

    def _upload(self, kind: Kind) -> None:
        if self._failure is not None:
            raise self._failure
        buffer = self._buffers[kind]
        if not buffer:
            return
        self._numbers[kind] += 1
        key = self._key(self._names.part(kind, self._numbers[kind]))
        try:
            with self._explaining("s3:PutObject"):
                self._client.put_object(
                    Bucket=self._bucket, Key=key, Body=bytes(buffer), ContentType="application/x-ndjson"
                )
        except StorageError as error:
            self._failure = error
            raise
        buffer.clear()

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name

    @contextmanager
    def _explaining(self, permission: str) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError, OSError) as error:
            # The original is not chained: its text may quote the request, and with it a key id.
            raise _explained(error, self._bucket, permission, self._secrets) from None


def make_client(storage: S3Storage, patience: Patience = PATIENCE) -> S3Client:
    """A client for the bucket of the configuration. Contacts nobody yet.

    Blank keys mean the default credential chain (environment, profile, the machine's own role). With `role_arn`,
    those credentials assume the role, and go on renewing it; `AWS_ASSUME_ROLE_EXTERNAL_ID` is passed on as
    Airbyte's own destinations do.

    Raises:
        StorageError: the settings cannot make a client, e.g. a malformed endpoint.
    """
    session = botocore.session.Session()
    if storage.access_key_id and storage.secret_access_key:
        session.set_credentials(storage.access_key_id, storage.secret_access_key)
    if storage.s3_bucket_region:
        session.set_config_variable("region", storage.s3_bucket_region)
    secrets = _secrets_of(storage)
    try:
        if storage.role_arn:
            session = _with_role(session, storage.role_arn, storage.s3_bucket_region, patience)
        endpoint = storage.s3_endpoint.strip() or None
        if endpoint is not None and "://" not in endpoint:
            endpoint = f"https://{endpoint}"
        return boto3.Session(botocore_session=session).client(
            "s3", endpoint_url=endpoint, config=_config(patience, custom_endpoint=endpoint is not None)
        )
    except (BotoCoreError, ClientError, ValueError) as error:
        raise _explained(error, storage.s3_bucket_name, "sts:AssumeRole", secrets) from None


def make_default_client(patience: Patience = PATIENCE) -> S3Client:
    """A client by the default credential chain, region and endpoint of the environment, for reading."""
    custom_endpoint = bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    try:
        return boto3.Session().client("s3", config=_config(patience, custom_endpoint=custom_endpoint))
    except (BotoCoreError, ValueError) as error:
        raise _explained(error, "", "s3:GetObject", ()) from None


def list_keys(client: S3Client, bucket: str, prefix: str, location: str) -> Iterator[str]:
    """Keys that begin with the prefix.

    Raises:
        StorageError: with `location` as its path.
    """
    with _reading(location, bucket, "s3:ListBucket"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield entry["Key"]


def read_chunks(client: S3Client, bucket: str, key: str, location: str, chunk_bytes: int) -> Iterator[bytes]:
    """The object's bytes.

    Raises:
        StorageError: with `location` as its path.
    """
    with _reading(location, bucket, "s3:GetObject"):
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        yield from body.iter_chunks(chunk_bytes)


@contextmanager
def _reading(location: str, bucket: str, permission: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, OSError) as error:
        explained = _explained(error, bucket, permission, ())
        raise StorageError(location, explained.message, explained.fix, transient=explained.transient) from None


def _config(patience: Patience, *, custom_endpoint: bool) -> Config:
    config = Config(
        connect_timeout=patience.connect_timeout_seconds,
        read_timeout=patience.read_timeout_seconds,
        retries={"total_max_attempts": patience.max_attempts, "mode": "standard"},
        user_agent_extra="destination-marketo-programs",
    )
    if custom_endpoint:
        # Compatible servers seldom have a host name per bucket, and many refuse AWS's newer checksum headers.
        config = config.merge(
            Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            )
        )
    return config


class _RoleProvider(CredentialProvider):
    """Hands botocore the credentials of the assumed role, which renew themselves before they expire."""

    METHOD = "outcome-storage-role"
    CANONICAL_NAME = "outcome-storage-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> Credentials:
        return DeferredRefreshableCredentials(method=self.METHOD, refresh_using=self._fetcher.fetch_credentials)


def _with_role(
    source: botocore.session.Session, role_arn: str, region: str, patience: Patience
) -> botocore.session.Session:
    credentials = source.get_credentials()
    if credentials is None:
        raise NoCredentialsError
    arguments = {"RoleSessionName": "destination-marketo-programs"}
    external_id = os.environ.get("AWS_ASSUME_ROLE_EXTERNAL_ID")
    if external_id:
        arguments["ExternalId"] = external_id
    fetcher = AssumeRoleCredentialFetcher(
        client_creator=lambda name, **of_call: source.create_client(
            name, config=_config(patience, custom_endpoint=False), **of_call
        ),
        source_credentials=credentials,
        role_arn=role_arn,
        extra_args=arguments,
    )
    session = botocore.session.Session()
    if region:
        session.set_config_variable("region", region)
    resolver = session.get_component("credential_provider")
    resolver.insert_before("env", _RoleProvider(fetcher))
    return session


def _secrets_of(storage: S3Storage) -> tuple[str, ...]:
    return tuple(secret for secret in (storage.access_key_id, storage.secret_access_key) if secret)


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
_DENIED = {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403", "Forbidden"}
_CLIENT_ERROR_STATUS = range(400, 500)
_SEND_LATER_STATUS = {408, 409, 425, 429}


def _explained(error: Exception, bucket: str, permission: str, secrets: tuple[str, ...]) -> StorageError:
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
        return (
            "s3_bucket_name",
            f"access to bucket {bucket} denied.",
            f"Allow {permission} on arn:aws:s3:::{bucket}/* for this key or role.",
            False,
        )
    if code in _SETTINGS:
        return (*_SETTINGS[code], False)
    transient = status not in _CLIENT_ERROR_STATUS or status in _SEND_LATER_STATUS
    fix = "Sync again later." if transient else "Check the bucket and its policies."
    return "s3_bucket_name", f"bucket {bucket} answers with {code or status}.", fix, transient


def _host_of(error: Exception) -> str | None:
    if isinstance(error, BotoCoreError):
        return urlsplit(str(error.kwargs.get("endpoint_url", ""))).hostname
    return None
