/** The command lines of `deno task backup` and `deno task restore`. */
import { parseArgs } from "node:util";
import { resolve } from "@std/path";
import { LoraFleetError, messageOf, quote, usage } from "../../../shared/errors.ts";

export const BACKUP_USAGE = `Usage: deno task backup --data-folder <folder> --out <file>
       deno task backup --url <url> --out <file>

Writes everything of a data folder but base models and what can be made again into a tar archive, whether its coordinator runs
or not; jobs that train go on meanwhile. The archive holds the fleet's keys: only its owner can read it.

  --data-folder <folder>  on the coordinator's machine
  --url <url>             from anywhere, with an admin's key in LORAFLEET_API_KEY
  --out <file>            a new file
  --help
`;

export const RESTORE_USAGE = `Usage: deno task restore --from <file> --data-folder <folder>

Makes a data folder from a backup. Every file is checked; the folder is complete, or not there.

  --from <file>           what deno task backup wrote
  --data-folder <folder>  a new folder, or an empty one
  --help
`;

export interface BackupOptions {
  readonly source: { readonly dataFolder: string } | { readonly url: string };
  readonly out: string;
}

export interface RestoreOptions {
  readonly from: string;
  readonly dataFolder: string;
}

/** Null for --help. Throws `usage`. */
export function parseBackupOptions(args: readonly string[]): BackupOptions | null {
  const values = parse(args, ["data-folder", "url", "out"]);
  if (values === null) return null;
  const { out, url } = values;
  const dataFolder = values["data-folder"];
  if ((dataFolder === undefined) === (url === undefined)) {
    throw usage("data-folder", "either --data-folder or --url is needed");
  }
  if (out === undefined) throw usage("out", "--out is missing");
  if (url === undefined) return { source: { dataFolder: resolve(dataFolder!) }, out: resolve(out) };
  if (!["http:", "https:"].includes(URL.parse(url)?.protocol ?? "")) {
    throw usage(
      "url",
      `--url is ${quote(url)}; the URL of a coordinator is needed, such as http://127.0.0.1:8787`,
    );
  }
  return { source: { url: url.replace(/\/+$/, "") }, out: resolve(out) };
}

/** Null for --help. Throws `usage`. */
export function parseRestoreOptions(args: readonly string[]): RestoreOptions | null {
  const values = parse(args, ["from", "data-folder"]);
  if (values === null) return null;
  const { from } = values;
  const dataFolder = values["data-folder"];
  if (from === undefined) throw usage("from", "--from is missing");
  if (dataFolder === undefined) throw usage("data-folder", "--data-folder is missing");
  return { from: resolve(from), dataFolder: resolve(dataFolder) };
}

function parse(args: readonly string[], names: readonly string[]): Record<string, string | undefined> | null {
  const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { ...options, help: { type: "boolean", short: "h" } },
    });
    const found = new Map(Object.entries(values));
    if (found.get("help") === true) return null;
    return Object.fromEntries(names.map((name) => [name, found.get(name) as string | undefined]));
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}
