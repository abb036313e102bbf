/** Looks at everything that a coordinator or a worker needs on this machine. */
import { checkNatsServer, checkPorts } from "./broker_checks.ts";
import { type Finding, problem } from "./finding.ts";
import { checkGpu } from "./gpu_checks.ts";
import { checkDisks, checkMemory, checkRelease, checkRuntime, checkVariables } from "./machine_checks.ts";
import { checkCoordinator, checkHub } from "./network_checks.ts";
import { messageOf } from "../../shared/errors.ts";
import type { World } from "./world.ts";

/**
 * @param coordinator its URL or a join URL; null: none is asked
 * @param variables all that the programs read
 */
export async function examine(
  world: World,
  coordinator: string | null,
  variables: readonly string[],
): Promise<readonly Finding[]> {
  const checks: readonly (readonly [string, () => unknown])[] = [
    ["lorafleet", checkRelease],
    ["runtime", () => checkRuntime(world)],
    ["memory", () => checkMemory(world)],
    ["GPU", () => checkGpu(world)],
    ["disk", () => checkDisks(world)],
    ["nats-server", () => checkNatsServer(world)],
    ["ports", () => checkPorts(world)],
    ["coordinator", () => coordinator === null ? [] : checkCoordinator(world, coordinator)],
    ["hub", () => checkHub(world)],
    ["variables", () => checkVariables(world, variables)],
  ];
  const found: Finding[] = [];
  for (const [name, check] of checks) {
    try {
      found.push(...[await check()].flat() as Finding[]);
    } catch (thrown) {
      // One check that fails must not hide the others.
      found.push(problem(name, `the check itself failed: ${messageOf(thrown)}`, "please report this"));
    }
  }
  return found;
}
