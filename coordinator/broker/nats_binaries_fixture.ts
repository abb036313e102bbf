/** For tests of brokers: every version of nats-server that this machine has, since JetStream's facts differ. */
import { dirname, fromFileUrl } from "@std/path";
import { LoraFleetError } from "../../shared/errors.ts";
import { findNatsServer } from "./nats_binary.ts";
import { parseNatsVersion } from "./nats_server_config.ts";
import { OLDEST_CLUSTER } from "./nats_versions.ts";

/** Installed where no version for clusters is: Debian's package has 2.9. */
const INSTALLED = "github.com/nats-io/nats-server/v2@v2.12.3";
const OWN_BINARIES = `${dirname(dirname(dirname(fromFileUrl(import.meta.url))))}/.cache/bin`;

/** `go install github.com/nats-io/nats-server/v2@latest` puts the newest one into ~/go/bin. */
function candidates(): string[] {
  const [named, home] = [Deno.env.get("LORAFLEET_TEST_NATS_SERVER"), Deno.env.get("HOME")];
  const found = findNatsServer(null, Deno.env.get("PATH") ?? "");
  return [
    found,
    ...named === undefined ? [] : [named],
    "/usr/sbin/nats-server",
    `${home}/go/bin/nats-server`,
    `${OWN_BINARIES}/nats-server`,
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

export interface FoundNatsServer {
  readonly binary: string;
  /** "2.15.3" */
  readonly version: string;
}

/** One binary for each version, the one that a coordinator would take first. */
export function natsBinaries(): readonly FoundNatsServer[] {
  const all = allVersions();
  if (all.length === 1) {
    const { version } = all[0]!;
    const elsewhere = "LORAFLEET_TEST_NATS_SERVER, ~/go/bin or .cache/bin";
    console.log(`tried with nats-server ${version} alone: no other version is in ${elsewhere}`);
  }
  return all;
}

function allVersions(): readonly FoundNatsServer[] {
  const byVersion = new Map<string, string>();
  for (const binary of candidates()) {
    const version = versionOf(binary);
    if (version !== null && !byVersion.has(version)) byVersion.set(version, binary);
  }
  return [...byVersion].map(([version, binary]) => ({ binary, version }));
}

/** The newest nats-server that is here, if it is one for clusters; null otherwise. */
export function clusterBinary(): FoundNatsServer | null {
  const [oldestMajor, oldestMinor] = OLDEST_CLUSTER;
  const fitting = allVersions().map((found) => ({ found, parts: parseNatsVersion(found.version)! }))
    .filter(({ parts: [major, minor] }) =>
      major! > oldestMajor || (major === oldestMajor && minor! >= oldestMinor)
    )
    .toSorted(({ parts: a }, { parts: b }) => b[0]! - a[0]! || b[1]! - a[1]! || b[2]! - a[2]!);
  return fitting[0]?.found ?? null;
}

/**
 * Sees to a nats-server for clusters, so that tests of a single broker run with it as well as with an older one: from Go's module
 * proxy, if there is none. Null without Go. Throws `missing_dependency` if Go does not install it.
 */
export async function ensureClusterBinary(): Promise<FoundNatsServer | null> {
  const found = clusterBinary();
  if (found !== null) return found;
  const go = new Deno.Command("go", {
    args: ["install", INSTALLED],
    env: { GOBIN: OWN_BINARIES },
    stdin: "null",
  });
  let stderr: Uint8Array;
  try {
    ({ stderr } = await go.output());
  } catch (thrown) {
    if (thrown instanceof Deno.errors.NotFound) return null;
    throw thrown;
  }
  const installed = clusterBinary();
  if (installed !== null) return installed;
  const reason = new TextDecoder().decode(stderr).trim();
  throw new LoraFleetError("missing_dependency", `go install ${INSTALLED} has failed: ${reason}`);
}
