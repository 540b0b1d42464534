# Airbyte's base for Python 3.11, the version that the tests run on (docs/decisions/0020-image.md). Another base with
# Python 3.11 to 3.13 and the user `airbyte` can stand in: docker build --build-arg BASE_IMAGE=…
ARG BASE_IMAGE=docker.io/airbyte/python-connector-base:4.0.2@sha256:9fdb1888c4264cf6fee473649ecb593f56f58e5d0096a87ee0b231777e2e3e73

FROM ${BASE_IMAGE} AS dependencies
# For a package index other than pip's default. They exist in the two build stages only, never in the result.
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# Without pip inside: the base's pip installs into it, and nothing in the result can install more.
RUN python3 -m venv --without-pip /opt/connector
COPY requirements.txt /build/
# numpy and pandas come with the CDK and ship their own test suites, which nothing imports.
RUN python3 -m pip --python /opt/connector/bin/python install --no-deps --require-hashes \
        --only-binary :all: -r /build/requirements.txt \
    && python3 -m pip --python /opt/connector/bin/python check \
    && find /opt/connector/lib/python3.*/site-packages/pandas /opt/connector/lib/python3.*/site-packages/numpy \
        -type d -name tests -prune -exec rm -rf {} +

FROM dependencies AS package
ARG PIP_INDEX_URL
ARG PIP_NO_INDEX
ARG PIP_FIND_LINKS
COPY requirements-dev.txt /build/
RUN python3 -m venv /build/venv \
    && sed -n '/^poetry-core==/,/[^\\]$/p' /build/requirements-dev.txt > /build/backend.txt \
    && /build/venv/bin/python -m pip install --no-deps --require-hashes -r /build/backend.txt
COPY pyproject.toml README.md LICENSE /build/source/
COPY destination_marketo_programs /build/source/destination_marketo_programs
COPY marketo_sandbox /build/source/marketo_sandbox
COPY demo /build/source/demo
# --root collects what belongs over /opt/connector, so that a new version of the connector is one small layer.
RUN /build/venv/bin/python -m pip wheel --no-deps --no-build-isolation --wheel-dir /build/wheel /build/source \
    && python3 -m pip --python /opt/connector/bin/python install --no-deps --no-index --root /build/root \
        /build/wheel/*.whl \
    # The sandbox and the demo are for machines where people try things out; the image delivers.
    && find /build/root -type d \( -name marketo_sandbox -o -name marketo_programs_demo \) -prune -exec rm -rf {} +

FROM ${BASE_IMAGE}
COPY --from=dependencies /opt/connector /opt/connector
COPY --from=package /build/root/ /
# The bytecode is compiled above; at run time the file system may be read-only.
ENV PYTHONDONTWRITEBYTECODE=1 \
    AIRBYTE_ENTRYPOINT=/opt/connector/bin/destination-marketo-programs
WORKDIR /airbyte/integration_code
# Where records wait for a bulk import: writable although the rest is read-only, and on disk, not in memory.
VOLUME /tmp
USER airbyte
# Exec form, without a shell in between: Python is process 1 and gets the signals.
ENTRYPOINT ["/opt/connector/bin/destination-marketo-programs"]
LABEL io.airbyte.name=airbyte/destination-marketo-programs \
      io.airbyte.version=0.1.0
