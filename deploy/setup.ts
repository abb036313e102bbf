/**
 * `deno task setup`: nats-server and a Vulkan driver, installed where they are missing. Safe to run again.
 * Exit codes: 0 all there, 2 something is missing that must be installed by hand (the commands are printed).
 */
import { LoraFleetError } from "../shared/errors.ts";
import { ensureSetup } from "./setup/ensure.ts";

try {
  const { natsServerPath, gpuName } = await ensureSetup((line) => console.error(line));
  console.log(`set-up complete: ${natsServerPath}, GPU: ${gpuName}`);
} catch (error) {
  if (!(error instanceof LoraFleetError)) throw error;
  console.error(`set-up: ${error.message}`);
  Deno.exit(2);
}
