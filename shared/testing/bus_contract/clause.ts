/** What the clauses of the bus contract are written with. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { Bus, BusErrorHandler, WorkItem, WorkQueue } from "../../bus/bus.ts";
import { LoraFleetError } from "../../errors.ts";

/** A broker, and how its time passes: for real or by a fake clock. */
export interface BusContractBroker {
  connect(onError?: BusErrorHandler): Promise<Bus>;
  /** Lets time pass. */
  pass(milliseconds: number): Promise<void>;
  /** The outcome of a promise that needs up to so much time to pass. */
  during<T>(milliseconds: number, promise: Promise<T>): Promise<T>;
}

/** Clauses by title. */
export type Clauses = Readonly<Record<string, (context: ClauseContext) => Promise<void>>>;

/** One clause's view of the broker. */
export interface ClauseContext {
  /** Unique in the broker: a subject's first token, or the name of a queue, stream or lease. */
  readonly name: string;
  readonly broker: BusContractBroker;
  /** A bus that is closed when the clause ends. */
  connect(onError?: BusErrorHandler): Promise<Bus>;
  /** Waits until `isSo`; fails with `what` after 5 s. */
  until(isSo: () => boolean, what: string): Promise<void>;
  /** The clause's queue, of the subjects `<name>.work.>`. */
  newQueue(bus: Bus, ackWaitMs?: number): Promise<WorkQueue>;
  /** An item that has to be there, or to come within 5 s. */
  pullItem(queue: WorkQueue): Promise<WorkItem>;
}

/** A busy machine answers within it, and waiting for its end takes no test too long. */
export const ACK_WAIT_MS = 800;

/** Runs one clause and closes the buses that it has connected. */
export async function runClause(
  clause: (context: ClauseContext) => Promise<void>,
  broker: BusContractBroker,
  name: string,
): Promise<void> {
  const buses: Bus[] = [];
  try {
    await clause({
      name,
      broker,
      async connect(onError) {
        const bus = await broker.connect(onError);
        buses.push(bus);
        return bus;
      },
      async until(isSo, what) {
        for (let turn = 0; turn < 500 && !isSo(); turn++) await broker.pass(10);
        assert(isSo(), `never came: ${what}`);
      },
      async newQueue(bus, ackWaitMs = ACK_WAIT_MS) {
        await bus.ensureQueue(name, [`${name}.work.>`], { ackWaitMs });
        return await bus.openQueue(name);
      },
      async pullItem(queue) {
        const item = await broker.during(5000, queue.pull(5000));
        assert(item !== null, "an item should wait");
        return item;
      },
    });
  } finally {
    await Promise.all(buses.map((bus) => bus.close()));
  }
}

export const bytes = (text: string) => new TextEncoder().encode(text);
export const textOf = (data: Uint8Array) => new TextDecoder().decode(data);

export async function assertCode(code: string, action: () => Promise<unknown>): Promise<void> {
  const error = await assertRejects(action, LoraFleetError);
  assertEquals(error.code, code, error.message);
}
