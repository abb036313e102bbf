/** The command line of `deno task service`. */
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote, usage } from "../../shared/errors.ts";
import type { Role } from "./role.ts";

export const USAGE = `Usage: deno task service install worker --join <url> [--set NAME=value …] [--yes]
       deno task service install coordinator [--set NAME=value …] [--yes]
       deno task service uninstall|status|show worker|coordinator

Makes a worker or a coordinator a service of this machine that starts by itself: systemd on Linux, launchd on macOS, the task
scheduler on Windows. Shows every file and command first, and asks.

  --join <url>        the join URL that the coordinator printed
  --set NAME=value    a variable of the service, such as HF_TOKEN or LORAFLEET_CACHE_FOLDER; may be repeated.
                      LORAFLEET_… and HF_… variables that are set now are kept, too
  --yes               do not ask
  --help
`;

const ACTIONS = ["install", "uninstall", "status", "show"] as const;
const ROLES: readonly Role[] = ["worker", "coordinator"];

export interface ServiceOptions {
  readonly action: typeof ACTIONS[number];
  readonly role: Role;
  /** Besides those of the environment. */
  readonly variables: Readonly<Record<string, string>>;
  readonly isConfirmed: boolean;
}

/** Null for --help. Throws `usage`. */
export function parseServiceOptions(args: readonly string[]): ServiceOptions | null {
  const { values, positionals } = parse(args);
  if (values.help === true) return null;
  const [actionText, roleText, ...more] = positionals;
  const action = ACTIONS.find((known) => known === actionText);
  const role = ROLES.find((known) => known === roleText);
  if (action === undefined || role === undefined || more.length > 0) {
    const message =
      `${quote(positionals.join(" "))}: one of ${ACTIONS.join(", ")} and then worker or coordinator ` +
      "is needed";
    throw new LoraFleetError("usage", message);
  }
  const join = values.join;
  if (join !== undefined && role === "coordinator") throw usage("join", "--join is for workers");
  if (join !== undefined && !/^https?:\/\/[^/]+\/(.*\/)?join\/[^/]+$/.test(join)) {
    throw usage("join", `--join is ${quote(join)}; http://host:port/join/<token> is needed`);
  }
  const variables = {
    ...join === undefined ? {} : { LORAFLEET_JOIN: join },
    ...variablesOf(values.set ?? []),
  };
  return { action, role, variables, isConfirmed: values.yes === true };
}

function parse(args: readonly string[]) {
  const options = {
    "join": { type: "string" },
    "set": { type: "string", multiple: true },
    "yes": { type: "boolean", short: "y" },
    "help": { type: "boolean", short: "h" },
  } as const;
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (thrown) {
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

function variablesOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => {
    const [, name, value] = /^([A-Za-z_]\w*)=([^\r\n]*)$/.exec(pair) ?? [];
    if (name !== undefined && value !== undefined) return [name, value];
    throw usage("set", `--set is ${quote(pair)}; NAME=value on one line is needed`);
  }));
}
