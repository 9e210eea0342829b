# Builds the executable from source and runs it as a user of its own on a plain Debian, whose root may be read-only.
#
#   docker build --build-arg COMMIT=$(git rev-parse --short=12 HEAD) --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) --tag sluice .
#   docker buildx build --platform linux/amd64,linux/arm64 …
#
# The last stage only copies, so that an image for another processor needs no emulation; and it builds without BuildKit too (Debian's
# docker-compose 1.29), which knows neither BUILDPLATFORM nor TARGETARCH: "linux" is then the host's own.
FROM debian:12.12-slim AS runtime

FROM --platform=${BUILDPLATFORM:-linux} oven/bun:1.4.5-debian AS build
# The certificates that Debian trusts, and the user's names; what else apt brings stays in this stage.
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/*
COPY --from=runtime /etc/passwd /etc/group /image/etc/
RUN echo "sluice:x:10001:10001::/var/lib/sluice:/usr/sbin/nologin" >> /image/etc/passwd \
  && echo "sluice:x:10001:" >> /image/etc/group \
  && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt \
  && install -d -m 0750 /data/sluice
WORKDIR /src
COPY package.json bun.lock ./
COPY patches ./patches
RUN bun install --frozen-lockfile --production
COPY tsconfig.json bunfig.toml build.ts ./
COPY src ./src
ARG COMMIT=unknown
ARG SOURCE_DATE_EPOCH
ARG TARGETARCH
RUN case "${TARGETARCH:-$(dpkg --print-architecture)}" in \
    "$(dpkg --print-architecture)") target= ;; \
    amd64) target=--target=linux-x64 ;; \
    *) target=--target=linux-${TARGETARCH} ;; \
  esac \
  && SLUICE_COMMIT=${COMMIT} bun run build.ts ${target} \
  && install -D -m 0755 dist/sluice /image/usr/local/bin/sluice
COPY LICENSE /image/usr/share/doc/sluice/LICENSE

FROM runtime
ARG COMMIT=unknown
LABEL org.opencontainers.image.title="Sluice" \
  org.opencontainers.image.description="On-site IoT ingest gateway: MQTT in, durable on local disk, exactly once into PostgreSQL" \
  org.opencontainers.image.version="0.1.0" \
  org.opencontainers.image.revision="${COMMIT}" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.base.name="docker.io/library/debian:12.12-slim"
COPY --from=build /image/ /
COPY --from=build --chown=10001:10001 /data/ /var/lib/
# By number, so that an orchestrator can see that it is not root.
USER 10001:10001
ENV DATA_DIR=/var/lib/sluice
VOLUME /var/lib/sluice
STOPSIGNAL SIGTERM
# HTTP is served on the container's loopback unless HTTP_LISTEN and ADMIN_TOKEN say otherwise.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["sluice", "health"]
ENTRYPOINT ["sluice"]
CMD ["run"]
