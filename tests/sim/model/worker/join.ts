/** Hello and welcome of a model worker, as `worker/fleet/agent.ts` has them. */
import { lostAt } from "../../../../shared/protocol/limits.ts";
import { decodeMessage, encodeMessage } from "../../../../shared/protocol/messages_codec.ts";
import { welcomeSchema } from "../../../../shared/protocol/messages_coordinator.ts";
import { helloSchema, PROTOCOL_VERSION } from "../../../../shared/protocol/messages_worker.ts";
import { helloSubject } from "../../../../shared/protocol/subjects.ts";
import type { WorkerContext } from "./worker_context.ts";

/** As in `worker/fleet/agent.ts`. */
const HELLO_PAUSE_MS = 50;

export interface Joining {
  /** A member now, with its first heartbeat sent. */
  readonly onJoined: () => void;
  /** Drained before it has joined, or refused. */
  readonly onGone: () => void;
}

/** Says hello as a new incarnation until the coordinator answers. */
export function join(context: WorkerContext, joining: Joining): void {
  const { world, id, link, now } = context.options;
  const { limits } = world;
  const self = { worker: id, incarnation: `i-${id.slice(2)}-${++context.incarnations}` };
  const late = lostAt(now(), limits) - limits.requestTimeoutMs;
  const hello = encodeMessage(helloSchema, {
    ...{ ...self, protocolVersion: PROTOCOL_VERSION, name: id, gpu: "model" },
  });
  const ask = (): void => {
    if (context.drainSince !== null) return joining.onGone();
    // By now the coordinator may have dropped this incarnation, if it ever knew it.
    if (now() >= late) return join(context, joining);
    link.ask(helloSubject(id), hello, limits.requestTimeoutMs, (bytes) => {
      if (bytes === null) return link.after(HELLO_PAUSE_MS, ask);
      const welcome = decodeMessage(welcomeSchema, bytes, "the answer to hello");
      if (welcome.type === "refused") {
        world.note(id, `is refused: ${welcome.reason}`);
        return joining.onGone();
      }
      world.note(id, `has joined as ${self.incarnation}`);
      context.member = { self, welcome };
      keepBeating(context);
      joining.onJoined();
    });
  };
  ask();
}

/** Heartbeats for as long as this membership lasts. */
function keepBeating(context: WorkerContext): void {
  const { link, world: { limits } } = context.options;
  const { member } = context;
  const beat = (): void => {
    if (context.member !== member || !context.isAlive) return;
    context.beat();
    link.after(limits.heartbeatIntervalMs, beat);
  };
  beat();
}
