/** A unit of systemd for one of our programs. */
import type { Role } from "./role.ts";

interface UnitOptions {
  readonly role: Role;
  readonly command: readonly string[];
  readonly root: string;
  /** The file with its variables. */
  readonly settings: string;
}

/** A step of a large model takes a while to finish. */
const STOP_SECONDS: Readonly<Record<Role, number>> = { worker: 300, coordinator: 30 };
/** Wrong usage stays wrong: exit code 2 is not tried again. */
const USAGE_CODE = 2;

export function systemdUnit({ role, command, root, settings }: UnitOptions): string {
  return `[Unit]
Description=lorafleet ${role}
Wants=network-online.target
After=network-online.target

[Service]
WorkingDirectory=${escapePercent(root)}
EnvironmentFile=${escapePercent(settings)}
ExecStart=${command.map(quoted).join(" ")}
Restart=always
RestartSec=5
RestartPreventExitStatus=${USAGE_CODE}
KillMode=mixed
TimeoutStopSec=${STOP_SECONDS[role]}
NoNewPrivileges=true
PrivateTmp=true

[Install]
WantedBy=default.target
`;
}

/** In an ExecStart line: systemd reads quotes, backslashes, dollars and percents. */
function quoted(word: string): string {
  const escaped = escapePercent(word).replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("$", "$$$$");
  return /^[\w@%+=:,./-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

function escapePercent(text: string): string {
  return text.replaceAll("%", "%%");
}
