# The image of the CLI: observatory and PostgreSQL's client programs.
#
#   docker build -t observatory .                            from the sources
#   docker build -t observatory --build-arg PROGRAM=dist .   with dist/observatory (deno task build)
#
# Where apt.postgresql.org cannot be reached, with the one major that Debian has:
#
#   docker build -t observatory --build-arg PROGRAM=dist --build-arg PGDG=no --build-arg MAJORS=17 .
#
# `deno task image` builds it without a Docker engine, and tries it.
ARG BASE=docker.io/library/debian:trixie-slim
ARG DENO=docker.io/denoland/deno:debian-2.8.3
ARG PROGRAM=source

# The program, from the sources.
FROM ${DENO} AS program-source
ARG REVISION=
ARG REVISION_DATE=
WORKDIR /source
COPY . .
RUN OBSERVATORY_COMMIT="$REVISION" OBSERVATORY_COMMIT_DATE="$REVISION_DATE" \
    deno task build --output /observatory

# The program, built before.
FROM ${BASE} AS program-dist
COPY --chmod=0755 dist/observatory /observatory

# hadolint ignore=DL3006
FROM program-${PROGRAM} AS program

# PostgreSQL's own repository, for the majors that Debian lacks; its key comes with a package of
# Debian's, so nothing is trusted that was downloaded beside it.
FROM ${BASE} AS repository
ARG PGDG=yes
# hadolint ignore=DL3008
RUN set -eu; \
    mkdir -p /repository/etc/apt/sources.list.d /repository/usr/share/keyrings; \
    if [ "$PGDG" = yes ]; then \
      apt-get update; \
      apt-get install --yes --no-install-recommends postgresql-common; \
      cp /usr/share/postgresql-common/pgdg/apt.postgresql.org.asc /repository/usr/share/keyrings/; \
      . /etc/os-release; \
      echo "deb [signed-by=/usr/share/keyrings/apt.postgresql.org.asc]" \
        "http://apt.postgresql.org/pub/repos/apt $VERSION_CODENAME-pgdg main" \
        >/repository/etc/apt/sources.list.d/pgdg.list; \
    fi

FROM ${BASE}
ARG MAJORS="15 16 17 18"
ARG VERSION=0.1.0
ARG REVISION=
ARG CREATED=
LABEL org.opencontainers.image.title="observatory" \
      org.opencontainers.image.description="Operations of a Postgres or TimescaleDB database: migrate, seed, back up, restore, verify" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

COPY --from=repository /repository/ /
# Versions are those of the day on which the image is built: security updates come by building it.
# hadolint ignore=DL3008
RUN set -eu; \
    for major in $MAJORS; do set -- "$@" "postgresql-client-$major"; done; \
    apt-get update; \
    apt-get install --yes --no-install-recommends ca-certificates "$@"; \
    apt-get clean; \
    rm -rf /var/lib/apt/lists/*

# A user of its own; its group is root's, as where a platform gives any number to the user. Backups
# are kept in a volume, which takes the owner of this directory when it is new.
RUN set -eu; \
    useradd --uid 10001 --gid 0 --no-log-init --create-home --home-dir /home/observatory observatory; \
    chmod 0770 /home/observatory; \
    mkdir -p /app/migrations /app/seeds /app/scripts /app/data /app/plugins; \
    install -d -o 10001 -g 0 -m 2770 /app/backups
COPY --chmod=0644 deploy/image/defaults.env /etc/observatory/defaults.env
COPY --chmod=0644 LICENSE /usr/share/doc/observatory/LICENSE
COPY --from=program --chmod=0755 /observatory /usr/local/bin/observatory

USER 10001:0
WORKDIR /app
# No HEALTHCHECK: a run is one command, and over when it is.
STOPSIGNAL SIGTERM
ENTRYPOINT ["observatory"]
CMD ["help"]
