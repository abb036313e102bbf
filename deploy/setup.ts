/**
 * `deno task setup`: installs nats-server and a Vulkan driver if they are missing. Safe to repeat.
 * Exit codes: 0 complete, 2 usage, or something must be installed by hand (prints the commands).
 */
import { parseArgs } from "node:util";
import { LoraFleetError, messageOf } from "../shared/errors.ts";
import { ensureSetup } from "./setup/ensure.ts";

const USAGE = `Usage: deno task setup [--ignore-gpu]

Installs what lorafleet needs and this machine lacks: nats-server, and a Vulkan driver for its GPU or, without a GPU, Mesa's
software driver. Uses apt as root or with passwordless sudo; otherwise prints the commands to type. Changes nothing if nothing
is missing.

  --ignore-gpu   accept the CPU's driver although this machine has a GPU
  --help
`;

/** Throws `usage` */
function parseOptions(args: readonly string[]) {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { "ignore-gpu": { type: "boolean" }, help: { type: "boolean", short: "h" } },
    });
    return { ignoreGpu: values["ignore-gpu"] === true, isHelp: values.help === true };
  } catch (thrown) {
    throw new LoraFleetError("usage", `${messageOf(thrown)}\n\n${USAGE}`, { cause: thrown });
  }
}

try {
  // Before anything is installed: --help must not change the machine.
  const { isHelp, ignoreGpu } = parseOptions(Deno.args);
  if (isHelp) {
    console.log(USAGE);
  } else {
    const { natsServerPath, gpuName } = await ensureSetup({ log: (line) => console.error(line), ignoreGpu });
    console.log(`set-up complete: ${natsServerPath}, GPU: ${gpuName}`);
  }
} catch (error) {
  if (!(error instanceof LoraFleetError)) throw error;
  console.error(`set-up: ${error.message}`);
  Deno.exit(2);
}
