/** Every JSON message of the wire by its schema, and a bus that shows what goes over it. */
import { z } from "zod";
import type { Bus } from "../../shared/bus/bus.ts";
import * as ofCoordinator from "../../shared/protocol/messages_coordinator.ts";
import * as ofMeasuring from "../../shared/protocol/messages_measure.ts";
import * as ofWorker from "../../shared/protocol/messages_worker.ts";

/** What is said on subjects, and what is answered; null: nothing, or bytes that are no JSON. */
const SUBJECTS: readonly (readonly [subject: RegExp, said: string | null, answered: string | null])[] = [
  [/^lf\.hello\.[^.]+$/, "helloSchema", "welcomeSchema"],
  [/^lf\.leave\.[^.]+$/, "leaveSchema", "receivedSchema"],
  [/^lf\.heartbeat\.[^.]+$/, "heartbeatSchema", null],
  [/^lf\.fleet$/, "fleetStateSchema", null],
  [/^lf\.measurement$/, "measurementSchema", null],
  [/^lf\.[^.]+\.state$/, "stepStateSchema", null],
  [/^lf\.[^.]+\.report\.[^.]+$/, "microBatchReportSchema", "verdictAnswerSchema"],
  [/^lf\.[^.]+\.update\.[^.]+$/, "updateReportSchema", "receivedSchema"],
  [/^lf\.[^.]+\.failure\.[^.]+$/, "attemptFailureSchema", "receivedSchema"],
  [/^lf\.[^.]+\.checkpoint\.[^.]+$/, "checkpointReportSchema", "receivedSchema"],
  [/^lf\.[^.]+\.evaluation\.[^.]+$/, "evaluationReportSchema", "receivedSchema"],
  [/^lf\.[^.]+\.item\.[^.]+$/, "itemRequestSchema", null],
  [/^lf\.[^.]+\.rows\.[^.]+$/, "rowsRequestSchema", null],
  [/^lf\.[^.]+\.recover\.[^.]+$/, "recoverRequestSchema", null],
  [/^lf\.[^.]+\.commits$/, "commitEntrySchema", null],
  // Micro-batches and frames: bytes (samples of them are in v<n>.bytes.json).
  [/^lf\.[^.]+\.(gradients|work)\./, null, null],
];

/** Over HTTP: what a worker is asked to measure, and what it hands in. */
const OVER_HTTP = ["measureTaskSchema", "measureOutcomeSchema"];

/** All of them, by their names in the code. */
export const WIRE_SCHEMAS: ReadonlyMap<string, z.ZodType> = new Map(
  [...new Set([...SUBJECTS.flatMap(([, said, answered]) => [said, answered]), ...OVER_HTTP])]
    .filter((name) => name !== null)
    .map((name) => [name, schemaNamed(name)]),
);

function schemaNamed(name: string): z.ZodType {
  const schema = new Map<string, unknown>(Object.entries({ ...ofCoordinator, ...ofMeasuring, ...ofWorker }))
    .get(name);
  if (!(schema instanceof z.ZodType)) throw new Error(`the protocol has no ${name}`);
  return schema;
}

/** @param schema a name of `WIRE_SCHEMAS` @param isOwn whether this bus's client has said it */
export type Hear = (schema: string, message: unknown, isOwn: boolean) => void;

/** Shows each JSON message to `hear`. @param change of what is said, before it goes out; left out: none */
export function overheard(bus: Bus, hear: Hear, change: (message: unknown) => unknown = (same) => same): Bus {
  /** What comes after its farewell is not meant for it. */
  let hasLeft = false;
  const heard = (name: string | null, data: Uint8Array, isOwn: boolean) => {
    if (name === null || (hasLeft && !isOwn)) return;
    hasLeft ||= isOwn && name === "leaveSchema";
    hear(name, JSON.parse(new TextDecoder().decode(data)), isOwn);
  };
  const said = (subject: string, data: Uint8Array): Uint8Array => {
    const [name] = kindsOf(subject);
    if (name === null) return data;
    const changed = new TextEncoder().encode(
      JSON.stringify(change(JSON.parse(new TextDecoder().decode(data)))),
    );
    heard(name, changed, true);
    return changed;
  };
  return {
    ...bus,
    publish: (subject, data) => bus.publish(subject, said(subject, data)),
    subscribe: (subject, handler) =>
      bus.subscribe(subject, (message) => {
        heard(kindsOf(message.subject)[0], message.data, false);
        handler(message);
      }),
    async request(subject, data, timeoutMs) {
      const answer = await bus.request(subject, said(subject, data), timeoutMs);
      heard(kindsOf(subject)[1], answer, false);
      return answer;
    },
  };
}

function kindsOf(subject: string): readonly [said: string | null, answered: string | null] {
  const found = SUBJECTS.find(([pattern]) => pattern.test(subject));
  // Requests are answered below an inbox, which the requester's bus subscribes to by itself.
  if (found === undefined) throw new Error(`no line of SUBJECTS in tests/layouts/wire.ts fits ${subject}`);
  return [found[1], found[2]];
}
