/**
 * The unit file that `sluice help systemd` prints: a user that exists only while the service runs, one directory that
 * it may write (StateDirectory= becomes the default of DATA_DIR), and a restart after every exit, which the spool
 * makes safe. A wrong configuration (78) is not restarted, because it does not correct itself.
 *
 * Every secret setting may be a credential: only root can read its file, and the service gets a copy in memory. A file
 * that does not exist must not keep the service from starting, hence SetCredential=.
 *
 * Type=notify and not notify-reload, which systemd knows only from 253 on (Debian 12 has 252): a reload is the same
 * SIGHUP, by the shell's own kill, because a small host has no /bin/kill.
 */
import { credentialNames } from "../../config/tables.ts";
import { noCredential } from "../../core/settings.ts";
import { paths } from "./host.ts";

const credentials = [...credentialNames.keys()]
  .map((id) => `LoadCredential=${id}:${paths.credentials}/${id}\nSetCredential=${id}:${noCredential}\n`)
  .join("");

export const systemdUnit = `[Unit]
Description=Sluice IoT ingest gateway
Documentation=man:sluice(8)
Wants=network-online.target
# If systemd waits for the clock to be set (systemd-time-wait-sync.service), so does Sluice; if not, see docs/operating.md.
After=network-online.target time-sync.target

[Service]
Type=notify
NotifyAccess=main
# Fed by progress, not by a timer: a gateway that makes no progress is restarted.
WatchdogSec=120
# No core dump: it would contain tokens, and its stack, which is the runtime's, would mislead.
WatchdogSignal=SIGKILL
LimitCORE=0
# A leak or a flood ends this service and not the host; it needs about 250 MB at 80,000 messages per second.
MemoryMax=75%
ExecStart=${paths.binary} run
# Reads the files of secrets and certificates, and app_settings, again; the log says what is in force.
ExecReload=/bin/sh -c "kill -HUP $$MAINPID"
EnvironmentFile=-${paths.settings}
DynamicUser=yes
StateDirectory=sluice
StateDirectoryMode=0700
Restart=always
RestartSec=2
RestartPreventExitStatus=2 78
TimeoutStopSec=60
LimitNOFILE=65536

# A file with the secret, if there is one, takes precedence over ${paths.settings}; read at the start.
${credentials}
CapabilityBoundingSet=
LockPersonality=yes
NoNewPrivileges=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHome=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
ProtectSystem=strict
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
UMask=0077

[Install]
WantedBy=multi-user.target
`;
