/** The nats-server binary: where it is, and its version. */
import { join } from "@std/path";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { parseNatsVersion } from "./nats_server_config.ts";

/** Debian and Homebrew install it here, which is not on every PATH. */
const MORE_FOLDERS = ["/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin"];

/**
 * The path of nats-server: `configured`, or the first in the folders of `searchPath` and in those that packages and
 * `deno task setup` install into. Throws `missing_dependency`.
 */
export function findNatsServer(configured: string | null, searchPath: string): string {
  const candidates = configured === null
    ? [...searchPath.split(":").filter((folder) => folder !== ""), ...MORE_FOLDERS, ".cache/bin"]
      .map((folder) => join(folder, "nats-server"))
    : [configured];
  const found = candidates.find((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
  if (found !== undefined) return found;
  const message = configured === null
    ? 'nats-server was not found on PATH, in /usr/sbin or in .cache/bin: run "deno task setup", ' +
      "install the package nats-server, or name a broker with --nats-url"
    : `LORAFLEET_NATS_SERVER names ${
      quote(configured)
    }, which is not a file: correct it, or run "deno task setup"`;
  throw new LoraFleetError("missing_dependency", message, { param: "nats-server" });
}

/** `[2, 9, 10]`. Throws `missing_dependency` if the binary does not run. */
export async function natsVersion(binary: string): Promise<readonly number[]> {
  let output: string;
  try {
    const { stdout } = await new Deno.Command(binary, { args: ["--version"], stdin: "null", stderr: "null" })
      .output();
    output = new TextDecoder().decode(stdout);
  } catch (thrown) {
    const message = `cannot run ${quote(binary)}: ${messageOf(thrown)}`;
    throw new LoraFleetError("missing_dependency", message, { param: "nats-server", cause: thrown });
  }
  const version = parseNatsVersion(output);
  if (version !== null) return version;
  const message = `${quote(binary)} is not nats-server: for --version it prints ${quote(output)}`;
  throw new LoraFleetError("missing_dependency", message, { param: "nats-server" });
}
