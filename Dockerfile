# Nothing is fetched but what requirements.lock names by hash; the product itself is copied, not installed, so that no
# build back end has to be fetched either. The base is pinned by the digest of the tag's index for all architectures, as it
# was pushed on 2026-08-16; another one is a change to be reviewed like that of a locked requirement.
FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7 AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /opt/mfu
COPY requirements.lock /build/requirements.lock
RUN pip --python /opt/mfu/bin/python install --no-deps --only-binary :all: --require-hashes -r /build/requirements.lock
COPY operator/mfu /opt/mfu/lib/python3.11/site-packages/mfu
COPY tools/sbom.py /build/sbom.py
ARG VERSION=0.1.0
RUN printf '%s\n' '#!/opt/mfu/bin/python' 'from mfu.cli.main import run' 'raise SystemExit(run())' > /opt/mfu/bin/mfu \
    && chmod 0755 /opt/mfu/bin/mfu \
    && ln -s mfu /opt/mfu/bin/kubectl-mfu \
    && /opt/mfu/bin/python -m compileall -q /opt/mfu/lib \
    && /opt/mfu/bin/python /build/sbom.py "${VERSION}" > /opt/mfu/sbom.cdx.json \
    && /opt/mfu/bin/mfu --help > /dev/null

FROM python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7
ARG VERSION=0.1.0
ARG REVISION=""
LABEL org.opencontainers.image.title="mfu-operator" \
      org.opencontainers.image.description="Model-aware GPU control plane for Kubernetes" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY LICENSE /LICENSE
COPY --from=build /opt/mfu /opt/mfu
ENV PATH=/opt/mfu/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["mfu"]
CMD ["operator"]
