/** The command line of `deno task keys`. */
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote, usage } from "../../shared/errors.ts";

export const USAGE = `Usage: deno task keys list
       deno task keys create --name <name> --role <role> [quotas] [--expires <time>]
       deno task keys change <id> [--name <name>] [--role <role>] [quotas] [--expires <time>]
       deno task keys revoke <id>

API keys of a running coordinator. Its admin key is read from LORAFLEET_API_KEY.

  --url <url>             the coordinator (http://127.0.0.1:8787)
  --name <name>           whose key it is; the audit log shows it
  --role <role>           read: sees everything; submit: also uploads, and trains jobs of its own; admin: everything
  --max-jobs <n>          unfinished jobs at a time, or none              (no limit)
  --max-upload-mib <n>    size of all its stored uploads, or none         (no limit)
  --expires <time>        30m, 12h, 7d from now, or never                 (never)
  --help

change sets both quotas if one is given.
`;

export interface KeysOptions {
  readonly url: string;
  readonly command: Command;
}

export type Command =
  | { readonly kind: "list" }
  | { readonly kind: "create"; readonly body: Record<string, unknown> }
  | { readonly kind: "change"; readonly id: string; readonly body: Record<string, unknown> }
  | { readonly kind: "revoke"; readonly id: string };

const text = { type: "string" } as const;
const OPTIONS = {
  "url": text,
  "name": text,
  "role": text,
  "max-jobs": text,
  "max-upload-mib": text,
  "expires": text,
  "help": { type: "boolean", short: "h" },
} as const;
type Values = { readonly [N in Exclude<keyof typeof OPTIONS, "help">]?: string };

/** Null for --help. Throws `usage`. */
export function parseKeysOptions(args: readonly string[]): KeysOptions | null {
  const { values, positionals } = parse(args);
  if (values.help === true) return null;
  return { url: urlOf(values.url ?? "http://127.0.0.1:8787"), command: commandOf(positionals, values) };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

function commandOf([kind, id, ...more]: readonly string[], values: Values): Command {
  const fields = bodyOf(values);
  const needsId = kind === "change" || kind === "revoke";
  if (more.length > 0 || (!needsId && id !== undefined)) {
    throw usage("command", `${quote(more[0] ?? id)} is one argument too many`);
  }
  if (needsId && id === undefined) {
    throw usage("id", `keys ${kind} needs the key's id; deno task keys list shows it`);
  }
  if ((kind === "list" || kind === "revoke") && Object.keys(fields).length > 0) {
    throw usage("command", `keys ${kind} takes no settings of a key`);
  }
  switch (kind) {
    case "list":
      return { kind };
    case "create":
      for (const option of ["name", "role"] as const) {
        if (values[option] === undefined) throw usage(option, `keys create needs --${option}`);
      }
      return { kind, body: fields };
    case "change":
      if (Object.keys(fields).length === 0) throw usage("command", "keys change needs something to change");
      return { kind, id: id!, body: fields };
    case "revoke":
      return { kind, id: id! };
    default:
      throw usage("command", `the command is ${quote(kind ?? "")}; list, create, change or revoke is needed`);
  }
}

/** As the API takes it; it checks the role. */
function bodyOf(values: Values): Record<string, unknown> {
  const jobs = numberOf("max-jobs", values["max-jobs"]);
  const mib = numberOf("max-upload-mib", values["max-upload-mib"]);
  const hasQuotas = jobs !== undefined || mib !== undefined;
  const upload_bytes = mib === undefined || mib === null ? null : mib * 2 ** 20;
  return {
    ...values.name === undefined ? {} : { name: values.name },
    ...values.role === undefined ? {} : { role: values.role },
    ...hasQuotas ? { quotas: { jobs: jobs ?? null, upload_bytes } } : {},
    ...values.expires === undefined ? {} : { expires_in_seconds: secondsOf(values.expires) },
  };
}

/** Null for "none". */
function numberOf(option: string, given: string | undefined): number | null | undefined {
  if (given === undefined) return undefined;
  if (given === "none") return null;
  if (/^\d{1,9}$/.test(given)) return Number(given);
  throw usage(option, `--${option} is ${quote(given)}; a whole number or "none" is needed`);
}

const UNITS: Readonly<Record<string, number>> = { m: 60, h: 3600, d: 86_400 };

function secondsOf(given: string): number | null {
  if (given === "never") return null;
  const [, count = "", unit = ""] = /^(\d{1,6})([mhd])$/.exec(given) ?? [];
  const seconds = Number(count) * (UNITS[unit] ?? 0);
  if (seconds > 0) return seconds;
  throw usage("expires", `--expires is ${quote(given)}; 30m, 12h, 7d or never is needed`);
}

function urlOf(given: string): string {
  const url = URL.parse(given);
  if (url !== null && ["http:", "https:"].includes(url.protocol)) {
    return url.origin + url.pathname.replace(/\/$/, "");
  }
  throw usage(
    "url",
    `--url is ${quote(given)}; the URL of a coordinator is needed, such as http://127.0.0.1:8787`,
  );
}
