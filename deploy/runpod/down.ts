/** `down`: removes a fleet's pods, found by their names and in the state; may be repeated, and goes on where it was cut off. */
import { LoraFleetError } from "../../shared/errors.ts";
import { RunPodApi } from "./api/runpod_api.ts";
import type { CommandWorld, DownOptions } from "./commands.ts";
import { FleetState, knownFleets } from "./fleet_state.ts";
import { readPodName } from "./names.ts";
import { leftMessage, teardown } from "./teardown.ts";

/** Throws `timeout` if something may be left. */
export async function down(options: DownOptions, world: CommandWorld): Promise<void> {
  const fleets = options.fleet === null ? await allFleets(options, world) : [options.fleet];
  const messages: string[] = [];
  let removed = 0;
  for (const fleet of fleets) {
    const outcome = await removeFleet(fleet, options, world);
    removed += outcome.removedCount;
    if (outcome.message !== null) messages.push(outcome.message);
  }
  if (messages.length > 0) throw new LoraFleetError("timeout", messages.join("\n"));
  world.print(`${removed} pods removed, none is left`);
}

async function removeFleet(
  fleet: string,
  { stateFolder, patienceMs }: DownOptions,
  { connection, signal, print }: CommandWorld,
) {
  using state = await FleetState.open(stateFolder, fleet);
  if (!state.isOwner) {
    await state.askToStop();
    print(`a different command is at work on fleet ${fleet}; it was asked to stop`);
  }
  const { removedCount, left, failure } = await teardown({
    ...{ connection, state, fleet, patienceMs, print, signal },
  });
  const message = failure === null ? null : leftMessage(left.map(({ name }) => name), fleet, failure);
  return { removedCount, message };
}

/** Those with a file here, and those with pods. */
async function allFleets(
  { stateFolder }: DownOptions,
  { connection, signal, print }: CommandWorld,
): Promise<string[]> {
  const known = await knownFleets(stateFolder);
  try {
    const pods = await new RunPodApi(connection, signal).pods();
    const listed = pods.flatMap(({ name }) => readPodName(name)?.fleet ?? []);
    return [...new Set([...known, ...listed])].sort();
  } catch (thrown) {
    signal.throwIfAborted();
    if (known.length === 0 || !(thrown instanceof LoraFleetError) || thrown.code !== "timeout") throw thrown;
    print(`${thrown.message}; going on with the fleets that are known here`);
    return known;
  }
}
