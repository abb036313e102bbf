/** Announcements for thousands of workers: the same bytes are parsed once. */
import { decodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import {
  type FleetState,
  fleetStateSchema,
  type StepState,
  stepStateSchema,
} from "../../../../shared/protocol/messages_coordinator.ts";

export interface Decoded {
  fleet(data: Uint8Array): FleetState;
  step(data: Uint8Array): StepState;
  /** Indices of the micro-batches that the ledger assigns to the member at `place`. */
  partOf(state: StepState, place: number): readonly number[];
}

export function createDecoded(): Decoded {
  const fleets = new WeakMap<Uint8Array, FleetState>();
  const steps = new WeakMap<Uint8Array, StepState>();
  const parts = new WeakMap<StepState, readonly (readonly number[])[]>();
  return {
    fleet: (data) => kept(fleets, data, () => decodeMessage(fleetStateSchema, data, "the fleet")),
    step: (data) => kept(steps, data, () => decodeMessage(stepStateSchema, data, "the step")),
    partOf: (state, place) =>
      kept(parts, state, () => {
        const all: number[][] = state.members.map(() => []);
        state.ledger.forEach((member, index) => member !== null && all[member]?.push(index));
        return all;
      })[place]!,
  };
}

function kept<K extends object, V>(memory: WeakMap<K, V>, key: K, make: () => V): V {
  const known = memory.get(key);
  if (known !== undefined) return known;
  const made = make();
  memory.set(key, made);
  return made;
}
