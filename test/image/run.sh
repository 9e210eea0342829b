#!/bin/bash
# Dockerfile and compose.yml with a real Docker: `test/image/run.sh` (image) or `test/image/run.sh compose` (image and compose.yml).
#
# No registry is asked: images of the names that the two files have are made here, from a debootstrapped Debian. The daemon is one of
# its own, in a network namespace of its own, so that neither the host's containers nor its firewall are touched. Where a kernel or a
# missing program forbids that, this says so and ends with 0.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
work=$(mktemp -d "${TMPDIR:-/tmp}/sluice-image-XXXXXX")
unset TMPDIR # It does not exist in a tree.
export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work DOCKER_BUILDKIT=0
export PATH=/usr/sbin:$PATH

skip() {
  echo "skipped: the image: $1"
  exit 0
}
say() { echo "ok: $1"; }
fail() {
  echo "NOT OK: $1" >&2
  exit 1
}
# holds WHAT COMMAND…
holds() {
  "${@:2}" >"$work/out" 2>&1 || { cat "$work/out" >&2; fail "$1"; }
  say "$1"
}
within() {
  local seconds=$1
  shift
  for ((i = 0; i < seconds * 5; i++)); do
    "$@" >"$work/out" 2>&1 && return 0
    sleep 0.2
  done
  cat "$work/out" >&2
  return 1
}

end() {
  [ -z "${compose:-}" ] || $compose down --volumes --timeout 5 >/dev/null 2>&1 || true
  if [ -s "$work/dockerd.pid" ]; then
    kill "$(cat "$work/dockerd.pid")" || true
    wait 2>/dev/null || true
  fi
  rm -rf --one-file-system "$work" || true
}
trap end EXIT
trap 'echo "NOT OK: line $LINENO: $BASH_COMMAND" >&2; tail -n 5 "$work/out" "$work/apt.log" >&2 || true' ERR

for program in dockerd docker debootstrap unshare ip; do
  command -v $program >/dev/null || skip "$program is not installed"
done
[ "$(id -u)" = 0 ] || skip "only root may start a Docker daemon"
unshare --net true 2>/dev/null || skip "the kernel gives no network namespace"

start() {
  unshare --net sh -c 'ip link set lo up && exec dockerd "$@"' dockerd --host "$DOCKER_HOST" --pidfile "$work/dockerd.pid" \
    --data-root "$work/data" --exec-root "$work/exec" >"$work/dockerd.log" 2>&1 &
  within 30 docker info
}
start || { grep -v level=info "$work/dockerd.log" >&2; skip "dockerd does not start here"; }

# Bases -----------------------------------------------------------------------------------------------------------------------------
runtime=$(sed -n 's/^FROM \([^ ]*\) AS runtime$/\1/p' Dockerfile)
build=$(sed -n 's/^FROM .* \([^ ]*\) AS build$/\1/p' Dockerfile)
kept=${SLUICE_TEST_SLIM:-$HOME/.cache/sluice/bookworm-slim}
if [ ! -e "$kept" ]; then
  mkdir -p "$(dirname "$kept")"
  rm -rf "$kept.part"
  debootstrap --variant=minbase --include=ca-certificates bookworm "$kept.part" >"$work/debootstrap.log" ||
    skip "debootstrap: $(tail -n 1 "$work/debootstrap.log")"
  # As Debian's own slim images are.
  rm -rf "$kept.part"/usr/share/{doc,man,locale,info}/* "$kept.part"/var/cache/apt/archives/*.deb "$kept.part"/var/lib/apt/lists/*
  mv -T "$kept.part" "$kept"
fi
tree=$work/tree
cp -a "$kept" "$tree"
cp -a "$tree" "$work/slim"
for package in ca-certificates openssl libssl3; do chroot "$work/slim" dpkg --purge $package >"$work/out" 2>&1; done
tar -C "$work/slim" -c . | docker import - "$runtime" >/dev/null
# Bun's has Bun, and what `bun install` and apt would fetch.
: >"$tree/etc/apt/sources.list"
# Only the copy that npx keeps is sure to be there: CI's machine has no `bun` on its path.
install -D "$(npx -y bun@1.4.5 -p process.execPath)" "$tree/usr/local/bin/bun"
mkdir -p "$tree/root/.bun/install"
cp -a "${BUN_INSTALL_CACHE_DIR:-$HOME/.bun/install/cache}" "$tree/root/.bun/install/cache"
tar -C "$tree" -c . | docker import - "$build" >/dev/null
say "bases made: $runtime, $build"

# The image -------------------------------------------------------------------------------------------------------------------------
docker build --quiet --build-arg COMMIT="$(git rev-parse --short=12 HEAD)" \
  --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" --tag sluice . >"$work/build.log" 2>&1 ||
  { cat "$work/build.log" >&2; fail "docker build"; }
size=$(docker image inspect --format '{{.Size}}' sluice)
((size < 200000000)) || fail "the image has $size bytes, more than 200 MB"
say "built, without BuildKit: $((size / 1000000)) MB"
inside() { docker run --rm --read-only --entrypoint sh sluice -ec "$1"; }
holds "it runs as user 10001, group 10001, with names" inside '[ "$(id -u):$(id -g)" = 10001:10001 ] && [ "$(id -un):$(id -gn)" = sluice:sluice ]'
holds "the licence and Debian's certificates are in it" inside 'grep -q Apache /usr/share/doc/sluice/LICENSE && grep -q CERT /etc/ssl/certs/ca-certificates.crt'
holds "nothing is in apt's cache" inside '[ -z "$(ls /var/lib/apt/lists /var/cache/apt/archives/*.deb 2>/dev/null | grep -v :)" ]'
label() { docker image inspect --format "{{index .Config.Labels \"org.opencontainers.image.$1\"}}" sluice; }
[ "$(label version)" = "$(sed -n 's/.*"version": "\(.*\)",/\1/p' package.json)" ] || fail "its label version is $(label version)"
[ "$(label revision)" = "$(git rev-parse --short=12 HEAD)" ] || fail "its label revision is $(label revision)"
say "labels: $(label title) $(label version) $(label revision), $(label licenses)"
docker run --detach --name alone --read-only --cap-drop ALL --security-opt no-new-privileges --health-interval 1s sluice >/dev/null
healthy() { [ "$(docker inspect --format '{{.State.Health.Status}}' "$1")" = healthy ]; }
within 30 healthy alone || fail "it is not healthy with a read-only root and no capability"
say "healthy with a read-only root, without a capability"
docker stop alone >/dev/null
[ "$(docker inspect --format '{{.State.ExitCode}}' alone)" = 0 ] || fail "docker stop: $(docker inspect --format '{{.State.ExitCode}}' alone)"
say "ends in order at docker stop"
command -v docker-compose >/dev/null || skip "docker-compose is not installed"
holds "$(docker-compose --version) reads compose.yml, with every profile" docker-compose --profile simulate --profile kafka config
[ "${1:-}" = compose ] || exit 0

# compose.yml -----------------------------------------------------------------------------------------------------------------------
# One image with Debian's servers stands for all; a strict fake of InfluxDB 3 (test/kit) for that.
servers=$work/servers
mv "$tree" "$servers"
cp "$kept/etc/apt/sources.list" "$servers/etc/apt/"
printf '#!/bin/sh\nexit 101\n' >"$servers/usr/sbin/policy-rc.d"
chmod +x "$servers/usr/sbin/policy-rc.d"
unshare --mount sh -ec 'mount -t proc proc "$0/proc" && exec chroot "$0" sh -ec "$1"' "$servers" 'apt-get update -q
  DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends mosquitto mosquitto-clients redis-server postgresql curl
  install -d -o mosquitto /mosquitto/config /mosquitto/data
  install -d -o postgres /var/lib/postgresql/data /run/postgresql
  rm -rf /root/.bun /var/lib/apt/lists/* /var/cache/apt/archives/*.deb' >"$work/apt.log" 2>&1
mkdir "$servers/kit"
cp -r test src package.json tsconfig.json "$servers/kit/"
cat >"$servers/usr/local/bin/influxdb3" <<'END'
#!/bin/sh
exec bun run /kit/test/image/influx3.ts
END
cat >"$servers/usr/local/bin/postgres-start" <<'END'
#!/bin/sh
# As the official image: sets the database up once, on a socket only, then serves.
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
chown postgres "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  cp "$POSTGRES_PASSWORD_FILE" /tmp/password && chown postgres /tmp/password
  runuser -u postgres -- $bin/initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-host=scram-sha-256 "$PGDATA"
  rm /tmp/password
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
  runuser -u postgres -- $bin/pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
  runuser -u postgres -- $bin/createdb --username="$POSTGRES_USER" "$POSTGRES_DB"
  runuser -u postgres -- $bin/pg_ctl -D "$PGDATA" -m fast -w stop
fi
exec runuser -u postgres -- $bin/postgres -D "$PGDATA" -c "listen_addresses=*"
END
chmod +x "$servers"/usr/local/bin/*
image() { sed -n "s/^    image: \($1.*\)/\1/p" compose.yml | head -1; }
import() { tar -C "$servers" -c . | docker import "${@:2}" - "$1" >/dev/null; }
import servers
as() { docker build --quiet --tag "$1" - >/dev/null; }
as "$(image eclipse-mosquitto)" <<<'FROM servers
CMD ["runuser", "-u", "mosquitto", "--", "/usr/sbin/mosquitto", "-c", "/mosquitto/config/mosquitto.conf"]'
as "$(image postgres)" <<<'FROM servers
ENV PGDATA=/var/lib/postgresql/data
CMD ["postgres-start"]'
as "$(image influxdb)" <<<'FROM servers
WORKDIR /kit'
as "$(image redis)" <<<'FROM servers
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/data"]'
say "servers made: $(image eclipse-mosquitto), $(image postgres), $(image influxdb) (a fake), $(image redis)"

site=$work/site
git clone --quiet "$root" "$site"
git -C "$root" diff HEAD --binary | git -C "$site" apply --allow-empty
cd "$site"
# The very block of docs/docker.md.
sed -n '/^```sh docker secrets/,/^```$/p' docs/docker.md | sed '1d;$d' | sed 's/sudo //' >"$work/secrets.sh"
holds "docs/docker.md's secrets are made" bash -e "$work/secrets.sh"
compose="docker-compose --project-name site"
holds "$(docker-compose --version) up" $compose up --detach
id() { $compose ps --quiet "$1"; }
within 60 healthy "$(id sluice)" || { $compose logs sluice >&2; fail "the gateway is not healthy"; }
say "healthy"
token=$($compose exec -T sluice cat /var/lib/sluice/first-device.token)
[ "${#token}" -gt 20 ] || fail "no token of a first device"
[ -z "$($compose logs | grep -F "$token")" ] || fail "the token is in a log"
$compose exec -T mosquitto mosquitto_pub -q 1 -t tenant/acme/device/sensor-1/telemetry \
  -m '{"site_id":"hall-7","provision_token":"'"$token"'","metrics":{"temp_c":21.5}}'
row() { $compose exec -T postgres runuser -u postgres -- psql -U sluice -Atc "select accepted, payload->'metrics' from raw_events" sluice | grep -F '{"temp_c": 21.5}'; }
holds "the first device's row is in PostgreSQL" within 10 row
latest() { $compose exec -T redis redis-cli hget device:acme/sensor-1:values temp_c | grep -F 21.5; }
holds "its value is in Redis" within 10 latest
everywhere() { $compose exec -T sluice sh -c 'sluice status --gateway http://127.0.0.1:8080 --token-file /run/secrets/admin-token' | grep -E '^influx +1 '; }
holds "its line is in InfluxDB" within 10 everywhere
holds "every part is ready" within 10 $compose exec -T sluice sluice health --ready
holds "a second up changes nothing" $compose up --detach
holds "it stops" $compose stop sluice
[ "$(docker inspect --format '{{.State.ExitCode}}' "$($compose ps --all --quiet sluice)")" = 143 ] || fail "it does not stop in order"
say "in order"
holds "it starts" $compose up --detach

# A reboot in order: the daemon stops, and starts again what ran.
kill "$(cat "$work/dockerd.pid")"
wait
start || fail "the daemon does not start a second time"
within 60 healthy "$(id sluice)" || fail "the gateway is not there after a reboot in order"
say "it is there again after a reboot in order"

# A wrong configuration.
RATE_LIMIT_RPS=many $compose up --detach >"$work/up" 2>&1 && fail "up succeeds with a wrong configuration"
say "a wrong configuration: up says $(grep -ao "ERROR.*\|.*didn't complete.*" "$work/up" | tail -1)"
[ "$(docker inspect --format '{{.State.ExitCode}}' "$($compose ps --all --quiet prepare)")" = 78 ] || fail "prepare's exit code is not 78"
RATE_LIMIT_RPS=many $compose up --detach --no-deps sluice >/dev/null 2>&1
ended() { [ "$(docker inspect --format '{{.State.Status}} {{.RestartCount}} {{.State.ExitCode}}' "$(docker ps --all --quiet --filter label=com.docker.compose.service=sluice)")" = "exited 5 78" ]; }
holds "the gateway with it is tried five times, then left alone with 78" within 60 ended
holds "with a right one it is healthy again" $compose up --detach
within 60 healthy "$(id sluice)" || fail "it is not healthy again"
holds "profile simulate" $compose --profile simulate up --detach
simulated() { $compose exec -T postgres runuser -u postgres -- psql -U sluice -Atc "select count(*) > 100 from raw_events where accepted and tenant_id = 'demo'" sluice | grep -x t; }
holds "its fleet's messages are stored" within 30 simulated
