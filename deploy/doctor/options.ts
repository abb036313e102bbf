/** The command line of `deno task doctor`. */
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";

export const USAGE = `Usage: deno task doctor [--coordinator <url>] [--json]

Checks runtime, memory, GPU and driver, disks, broker, ports, clock, hub and keys of this machine, and says what to do.
Attach its output to a bug report: it shows no secrets.

  --coordinator <url>   a coordinator to work with, or a join URL         (LORAFLEET_JOIN)
  --json                findings as JSON
  --help
`;

export interface DoctorOptions {
  readonly coordinator: string | null;
  readonly isJson: boolean;
}

/** Null for --help. Throws `usage`. */
export function parseDoctorOptions(args: readonly string[]): DoctorOptions | null {
  const options = {
    "coordinator": { type: "string" },
    "json": { type: "boolean" },
    "help": { type: "boolean", short: "h" },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    if (values.help === true) return null;
    return { coordinator: urlOf(values.coordinator), isJson: values.json === true };
  } catch (thrown) {
    if (thrown instanceof LoraFleetError) throw thrown;
    throw new LoraFleetError("usage", messageOf(thrown), { cause: thrown });
  }
}

function urlOf(text: string | undefined): string | null {
  if (text === undefined) return null;
  const url = URL.parse(text);
  if (url !== null && ["http:", "https:"].includes(url.protocol)) return text;
  const message = `--coordinator is ${quote(text)}; a URL such as http://127.0.0.1:8787 is needed`;
  throw new LoraFleetError("usage", message, { param: "coordinator" });
}
