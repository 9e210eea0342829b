# Builds the executable from source and runs it without privileges on a plain Debian.
FROM oven/bun:1.4.5-debian AS build
WORKDIR /src
COPY package.json bun.lock ./
COPY patches ./patches
RUN bun install --frozen-lockfile --production
COPY tsconfig.json bunfig.toml build.ts ./
COPY src ./src
ARG COMMIT=unknown
# The commit's time: docker build --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) …
ARG SOURCE_DATE_EPOCH
RUN SLUICE_COMMIT=${COMMIT} bun run build.ts

FROM debian:bookworm-slim
RUN apt-get update \
  && apt-get install -y --no-install-recommends ca-certificates \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin sluice \
  && install -d -o sluice -g sluice -m 0750 /var/lib/sluice
COPY --from=build /src/dist/sluice /usr/local/bin/sluice
USER sluice
ENV DATA_DIR=/var/lib/sluice
VOLUME /var/lib/sluice
STOPSIGNAL SIGTERM
# HTTP is served on the container's loopback unless HTTP_LISTEN and ADMIN_TOKEN say otherwise.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["sluice", "health"]
ENTRYPOINT ["sluice"]
CMD ["run"]
