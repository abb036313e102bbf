/** For tests of our own broker: every version of nats-server that this machine has, since JetStream's facts differ. */
import { findNatsServer } from "./nats_binary.ts";
import { parseNatsVersion } from "./nats_server_config.ts";

/** `go install github.com/nats-io/nats-server/v2@latest` puts the newest one there. */
function candidates(): string[] {
  const [named, home] = [Deno.env.get("LORAFLEET_TEST_NATS_SERVER"), Deno.env.get("HOME")];
  const found = findNatsServer(null, Deno.env.get("PATH") ?? "");
  return [
    found,
    ...named === undefined ? [] : [named],
    "/usr/sbin/nats-server",
    `${home}/go/bin/nats-server`,
  ];
}

function versionOf(path: string): string | null {
  try {
    const { stdout } = new Deno.Command(path, { args: ["--version"], stderr: "null" }).outputSync();
    return parseNatsVersion(new TextDecoder().decode(stdout))?.join(".") ?? null;
  } catch {
    return null;
  }
}

/** One binary for each version, the one that a coordinator would take first. */
export function natsBinaries(): readonly { readonly binary: string; readonly version: string }[] {
  const byVersion = new Map<string, string>();
  for (const binary of candidates()) {
    const version = versionOf(binary);
    if (version !== null && !byVersion.has(version)) byVersion.set(version, binary);
  }
  const all = [...byVersion].map(([version, binary]) => ({ binary, version }));
  if (all.length === 1) {
    console.log(
      `tried with nats-server ${
        all[0]!.version
      } alone: no other version is in LORAFLEET_TEST_NATS_SERVER or ~/go/bin`,
    );
  }
  return all;
}
