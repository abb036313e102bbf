/** `deno task plan`: will a fine-tune fit, how long does it take, what does it cost. */
import { runCommand, runMain } from "../machine/command.ts";
import { parsePlanOptions, PLAN_USAGE, type PlanOptions } from "./options.ts";
import { plan } from "./plan.ts";

function main(options: PlanOptions): Promise<number> {
  return runCommand("plan", async (context) => {
    const apiKey = Deno.env.get("LORAFLEET_API_KEY") || null;
    console.log(await plan(options, { ...context, apiKey }));
  });
}

await runMain("plan", PLAN_USAGE, parsePlanOptions, main);
