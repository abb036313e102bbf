/** Which release this is. Its version stands in deno.json alone; docs/releases.md says which releases work together. */
import manifest from "../../deno.json" with { type: "json" };
import { OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION } from "./messages_worker.ts";

/** By semantic versioning; with `-dev` between two releases. */
export const VERSION: string = manifest.version;

/** What `--version` prints: "lorafleet 0.2.0 (protocol 7 to 8)". */
export function versionLine(): string {
  return `lorafleet ${VERSION} (protocol ${servedVersions()})`;
}

/** Whether a command line asks for the version alone. */
export function asksForVersion(args: readonly string[]): boolean {
  return args.includes("--version");
}

/** The versions of workers that a coordinator of this release serves: "7", "7 to 8". */
export function servedVersions(): string {
  // Types keep constants apart that are equal in some releases only.
  const [oldest, newest]: readonly number[] = [OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION];
  return oldest === newest ? `${newest}` : `${oldest} to ${newest}`;
}
