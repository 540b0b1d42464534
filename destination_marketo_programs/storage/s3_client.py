"""Clients for S3: credentials, roles, endpoints and time limits."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    Credentials,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from destination_marketo_programs.storage.s3_errors import explained
from destination_marketo_programs.storage.store import Blob, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mypy_boto3_s3 import S3Client

    from destination_marketo_programs.config import S3Storage

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 60.0
MAX_ATTEMPTS = 5
CALL_LIMIT_SECONDS = 150.0


class Patience(NamedTuple):
    """How long a call to S3 may take before the store counts as failed.

    Attributes:
        call_limit_seconds: bound of a call with all its attempts, whatever happens inside it.
    """

    connect_timeout_seconds: float = CONNECT_TIMEOUT_SECONDS
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    max_attempts: int = MAX_ATTEMPTS
    call_limit_seconds: float = CALL_LIMIT_SECONDS


PATIENCE = Patience()


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
    secrets = secrets_of(storage)
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
        raise explained(error, storage.s3_bucket_name, "sts:AssumeRole", secrets) from None


def make_default_client(patience: Patience = PATIENCE) -> S3Client:
    """A client by the default credential chain, region and endpoint of the environment, for reading."""
    custom_endpoint = bool(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    try:
        return boto3.Session().client("s3", config=_config(patience, custom_endpoint=custom_endpoint))
    except (BotoCoreError, ValueError) as error:
        raise explained(error, "", "s3:GetObject", ()) from None


def list_objects(client: S3Client, bucket: str, prefix: str, location: str) -> Iterator[Blob]:
    """Objects whose key begins with the prefix, by their keys.

    Raises:
        StorageError: with `location` as its path.
    """
    with _reading(location, bucket, "s3:ListBucket"):
        for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield Blob(entry["Key"], entry["Size"], entry["LastModified"])


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
    except (BotoCoreError, ClientError, OSError, RecursionError) as error:
        told = explained(error, bucket, permission, ())
        raise StorageError(location, told.message, told.fix, transient=told.transient) from None


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


def secrets_of(storage: S3Storage) -> tuple[str, ...]:
    """What no message may show."""
    return tuple(secret for secret in (storage.access_key_id, storage.secret_access_key) if secret)
