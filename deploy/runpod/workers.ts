/** The workers on pods, as the coordinator knows them: a pod's worker has the pod's name. */
import { z } from "zod";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";

const workerSchema = z.object({
  id: z.string(),
  name: z.string(),
  state: z.string(),
  job_id: z.string().nullable(),
  /** Seconds since 1970. */
  joined_at: z.number(),
  last_heartbeat_at: z.number(),
  tokens_per_second: z.number(),
  reason: z.string().nullable(),
});
const answerSchema = z.object({ data: z.array(workerSchema) });
type Listed = z.output<typeof workerSchema>;

export interface PodWorker {
  readonly id: string;
  readonly state: string;
  readonly job: string | null;
  readonly tokens_per_second: number;
  readonly heard_seconds_ago: number;
  /** Why it is lost, or has no work. */
  readonly reason: string | null;
}

export interface KnownWorkers {
  /** The worker of a pod; null if none has joined, or none is remembered. */
  of(pod: string): PodWorker | null;
  /** Workers that are here, and of no pod in the list. */
  othersThan(pods: readonly string[]): number;
}

/**
 * @param answer what the coordinator says to GET /v1/workers. Throws `corrupt` for anything else.
 * @param now milliseconds since 1970
 */
export function knownWorkers(answer: unknown, now: number): KnownWorkers {
  const parsed = answerSchema.safeParse(answer);
  if (!parsed.success) {
    throw new LoraFleetError(
      "corrupt",
      `the answer to GET /v1/workers is not a coordinator's: ${messageOf(parsed.error)}`,
    );
  }
  const { data } = parsed.data;
  return {
    of(pod) {
      // A worker that has joined again leaves its lost one in the list.
      const named = data.filter(({ name }) => name === pod).toSorted(newerLast).at(-1);
      return named === undefined ? null : viewOf(named, now);
    },
    othersThan: (pods) => data.filter(({ name, state }) => state !== "lost" && !pods.includes(name)).length,
  };
}

function newerLast(a: Listed, b: Listed): number {
  const present = ({ state }: Listed) => state === "lost" ? 0 : 1;
  return present(a) - present(b) || a.joined_at - b.joined_at;
}

function viewOf(worker: Listed, now: number): PodWorker {
  return {
    ...{ id: worker.id, state: worker.state, job: worker.job_id, reason: worker.reason },
    tokens_per_second: worker.tokens_per_second,
    heard_seconds_ago: Math.max(0, now / 1000 - worker.last_heartbeat_at),
  };
}
