/**
 * A request that is repeated, because its answer was lost, makes no second job: it gets the first one's. The key is the client's
 * (`Idempotency-Key`, draft-ietf-httpapi-idempotency-key-header).
 */
import { LoraFleetError, quote } from "../../../shared/errors.ts";
import { createKeyedTurns } from "../../planning/preparation/turns.ts";
import type { JobRecord } from "../record/job.ts";
import type { JobStore, KeyedRequest } from "./job_store.ts";

/** `create` has to store the request with the job. A request that is refused leaves nothing: it may be repeated with its key. */
type Once = (keyed: KeyedRequest | null, create: () => Promise<JobRecord>) => Promise<JobRecord>;

/**
 * @param signal ends the wait for an equal request that is being served
 * @param onCreated gets each new job
 */
export function createOnce(
  store: Pick<JobStore, "requestOf" | "job">,
  signal: AbortSignal,
  onCreated: (job: JobRecord) => void,
): Once {
  const turnOf = createKeyedTurns();
  const createNew = async (create: () => Promise<JobRecord>) => {
    const job = await create();
    onCreated(job);
    return job;
  };
  return async (keyed, create) => {
    if (keyed === null) return await createNew(create);
    // The first may still be on its way when the second comes.
    const endTurn = await turnOf(keyed.key)(signal);
    try {
      return earlierJob(store, keyed) ?? await createNew(create);
    } finally {
      endTurn();
    }
  };
}

/** Throws `conflict` for a key that another request has. */
function earlierJob(
  store: Pick<JobStore, "requestOf" | "job">,
  { key, bodySha256 }: KeyedRequest,
): JobRecord | null {
  const earlier = store.requestOf(key);
  if (earlier === null) return null;
  if (earlier.bodySha256 === bodySha256) return store.job(earlier.jobId);
  const message =
    `the Idempotency-Key ${quote(key)} made the job ${quote(earlier.jobId)} of a different body; ` +
    "send that body to get its job, or a new key for a new one";
  throw new LoraFleetError("conflict", message, { param: "idempotency-key" });
}
