/** Which versions of nats-server the fleet runs on. */
import { LoraFleetError, quote } from "../../shared/errors.ts";
import { parseNatsVersion } from "./nats_server_config.ts";

/** Debian 12's, with which all tests of a single broker run. Earlier ones lack direct reads and pull expiry as we use them. */
export const OLDEST_SINGLE = [2, 9] as const;
/** Jobs on clusters are tested with it and newer ones; before 2.10 streams are not written through to the disk. */
export const OLDEST_CLUSTER = [2, 12] as const;

/** A server as it describes itself to its clients. */
interface DescribedServer {
  readonly version: string;
  readonly cluster: string | null;
}

/** A sentence for the log, or null. Throws `missing_dependency` for a server that is too old to work. */
export function checkNatsVersion({ version, cluster }: DescribedServer): string | null {
  const parsed = parseNatsVersion(version);
  if (parsed === null) {
    return `the broker calls its version ${quote(version)}, which is none of nats-server's`;
  }
  if (isBefore(parsed, OLDEST_SINGLE)) {
    const message = `the broker is nats-server ${version}, which is too old: update it to ${wanted()}`;
    throw new LoraFleetError("missing_dependency", message, { param: "nats-url" });
  }
  if (cluster === null || !isBefore(parsed, OLDEST_CLUSTER)) return null;
  return `the broker is a cluster of nats-server ${version}, with which no job was tested: update it to ${wanted()}`;
}

function isBefore(version: readonly number[], [major, minor]: readonly [number, number]): boolean {
  return version[0]! < major || (version[0] === major && version[1]! < minor);
}

const wanted = () => `${OLDEST_CLUSTER.join(".")} or newer`;
