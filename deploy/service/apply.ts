/** Carries a plan out, or undoes it. */
import { dirname } from "@std/path";
import { LoraFleetError, quote } from "../../shared/errors.ts";
import type { PlannedFile, ServicePlan } from "./plan.ts";

/** Runs a command to its end; its exit code. */
export type Run = (command: readonly string[]) => Promise<number>;

/** Writes the files and starts the service. If a command fails, the files stay: they are what there is to look at. */
export async function install(plan: ServicePlan, run: Run): Promise<void> {
  for (const file of plan.files) await writeFile(file);
  for (const command of plan.start) {
    const code = await run(command);
    if (code === 0) continue;
    const message = `cannot start ${plan.name}: ${
      quote(command.join(" "))
    } ended with ${code}; the files are written`;
    throw new LoraFleetError("missing_dependency", message);
  }
}

/** Stops the service and removes its files; what is not there any more is no failure. */
export async function uninstall(plan: ServicePlan, run: Run): Promise<void> {
  for (const command of plan.stop) await run(command);
  for (const { path } of plan.files) {
    await Deno.remove(path).catch((thrown) => {
      if (!(thrown instanceof Deno.errors.NotFound)) throw thrown;
    });
  }
}

/** Whole or not at all; a secret is never readable by others, not even for a moment. */
async function writeFile({ path, text, isSecret }: PlannedFile): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  const mode = isSecret ? 0o600 : 0o644;
  await Deno.remove(`${path}.new`).catch(() => {});
  await Deno.writeTextFile(`${path}.new`, text, { mode, createNew: true });
  await Deno.rename(`${path}.new`, path);
}
