"""Airbyte's quality checks (airbyte-internal-ops) on a copy of this connector in the layout of Airbyte's repository.

Usage: qa_checks.py, in the root of that layout. Runs what needs no network. Exits with 1 where a check fails that
docs/decisions/0022-airbyte-quality-checks.md does not explain, or passes although it is explained there.
"""

from __future__ import annotations

import sys

from airbyte_ops_mcp.connector_ops.utils import Connector
from airbyte_ops_mcp.connector_qa.checks import ENABLED_CHECKS
from airbyte_ops_mcp.connector_qa.checks.metadata import ValidateMetadata
from airbyte_ops_mcp.connector_qa.checks.security import CheckConnectorUsesHTTPSOnly
from airbyte_ops_mcp.connector_qa.models import CheckStatus
from airbyte_ops_mcp.metadata_validator import PRE_UPLOAD_VALIDATORS, ValidatorOptions, validate_and_load

EXPLAINED = {"CheckConnectorUsesPoetry", "CheckConnectorUsesPythonBaseImage"}
NEEDS_NETWORK = {"CheckVersionIncrement"}
# Addresses of this machine, and XML namespaces, which nothing ever connects to.
HARMLESS = {"http://127.0.0.1", "http://www.w3.org/", "http://(localhost|127", "http://{host}:"}


def main() -> int:
    """Run the checks; returns the exit code."""
    # The connector is in no registry; asking would need the network.
    Connector.is_released = property(lambda _connector: False)
    CheckConnectorUsesHTTPSOnly.ignored_url_prefixes = CheckConnectorUsesHTTPSOnly.ignored_url_prefixes | HARMLESS
    # Beside the test folders, which the check passes over by itself.
    CheckConnectorUsesHTTPSOnly.ignored_directories_for_https_checks.add("benchmarks")
    connector = Connector("destination-marketo-programs")
    failed: dict[str, str] = {}
    for check in ENABLED_CHECKS:
        name = type(check).__name__
        if name in NEEDS_NETWORK:
            print(f"not run (network): {name}")
        elif isinstance(check, ValidateMetadata):
            options = ValidatorOptions(docs_path=str(connector.documentation_file_path), disable_dockerhub_checks=True)
            _, error = validate_and_load(connector.metadata_file_path, PRE_UPLOAD_VALIDATORS, options)
            if error:
                failed[name] = str(error)
            else:
                print(f"passed: {name}")
        else:
            result = check.run(connector)
            if result.status is CheckStatus.FAILED:
                failed[name] = result.message
            elif result.status is CheckStatus.PASSED:
                print(f"passed: {name}")
    for name, message in failed.items():
        print(f"{'explained' if name in EXPLAINED else 'FAILED'}: {name}: {message}")
    for name in EXPLAINED - failed.keys():
        print(f"FAILED: {name} passes now; take it out of the explained ones")
    return int(failed.keys() != EXPLAINED)


if __name__ == "__main__":
    sys.exit(main())
