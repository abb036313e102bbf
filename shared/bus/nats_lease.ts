/**
 * A lease in a JetStream key–value bucket of its own, whose one key holds the holder. The bucket's ttl ends a lease by the
 * broker's clock, never before the holder's own clock does, which counts from before the request.
 *
 * Each write is a compare-and-set on the last revision. Revisions are the stream's sequence numbers, which stay when
 * entries expire: a renewal with the very next revision proves that no one else had the lease in between. So does one with
 * the first revision, in a bucket created anew after the broker lost it.
 */
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import type { Lease, LeaseOptions } from "./bus.ts";
import { createReplicated, reasonOf } from "./nats_replicas.ts";
import { inDomain } from "./nats_streams.ts";
import { isNoResponders, isOverlap, isWrongRevision, toLoraFleetError } from "./nats_errors.ts";

const KEY = "holder";
const FIRST_REVISION = 1;
const MAX_RACES = 4;
const CREATION_MS = 100;

/** The stream behind a lease's bucket. */
export const leaseStream = (name: string): string => `KV_${name}`;

/** Without a holder `holder` is null; `revision` is 0 if the key has no entry. */
interface Entry {
  readonly holder: string | null;
  readonly revision: number;
}

/** One try, which rejects with the client's errors. The same `holder` may retry after a lost answer. */
export async function acquireNatsLease(
  nc: NatsConnection,
  name: string,
  { holder, succeeds = [], ttlMs }: LeaseOptions,
  timeoutMs: number,
  domain: string | null = null,
): Promise<Lease | null> {
  const js = jetstream(nc, { checkAPI: false, timeout: timeoutMs, ...inDomain(domain) });
  // No direct gets: of a cluster's replicas only the leader knows the holder.
  const options = { ttl: ttlMs, history: 1, allow_direct: false };
  const tryToCreate = async (): Promise<KV> => {
    let bucket: KV;
    await createReplicated(nc, {}, async ({ num_replicas: replicas }) => {
      bucket = await new Kvm(js).create(name, { ...options, replicas });
    }, domain);
    return bucket!;
  };
  const create = () =>
    tryToCreate().catch(async (thrown) => {
      if (!isOverlap(thrown)) throw thrown;
      // A different client is creating the bucket at this moment.
      await systemClock.sleep(CREATION_MS);
      return await tryToCreate();
    });
  const bucket = await create();
  // Write before reading: when many create the bucket at once, nats-server 2.9.10 answers some before the stream is
  // complete. A direct get then goes unanswered, and a get by the API may block the stream for ever; only a complete stream
  // takes or refuses a write.
  let entry: Entry = { holder: null, revision: 0 };
  for (let race = 0; race < MAX_RACES; race++) {
    const askedAt = systemClock.now();
    if (race > 0) entry = await read(bucket);
    if (entry.holder !== null && ![holder, ...succeeds].includes(entry.holder)) return null;
    try {
      const revision = await write(bucket, holder, entry.revision, timeoutMs);
      return createLease(bucket, { nc, name, holder, ttlMs, timeoutMs, create }, revision, askedAt);
    } catch (thrown) {
      // A different client was quicker, or the entry has expired since: the next read shows which.
      if (!isWrongRevision(thrown)) throw thrown;
    }
  }
  return null;
}

interface LeaseParts extends Pick<LeaseOptions, "holder" | "ttlMs"> {
  readonly nc: NatsConnection;
  readonly name: string;
  readonly timeoutMs: number;
  /** Finds or creates the bucket. */
  readonly create: () => Promise<KV>;
}

function createLease(
  bucket: KV,
  { nc, name, holder, ttlMs, timeoutMs, create }: LeaseParts,
  term: number,
  askedAt: number,
): Lease {
  let revision = term;
  let until = askedAt + ttlMs;
  let isOver = false;
  const attempted = `cannot renew the lease ${quote(name)}`;

  /** The revision of a new write; throws if a different holder has written since the last one. */
  async function writeNext(): Promise<number> {
    try {
      return await write(bucket, holder, revision, timeoutMs);
    } catch (thrown) {
      if (!isWrongRevision(thrown)) throw thrown;
    }
    const found = await read(bucket);
    const cause = whyRefused(found, { holder, revision });
    if (cause === "answer lost") {
      revision = found.revision;
      return await write(bucket, holder, revision, timeoutMs);
    }
    if (cause === "on its way") {
      throw new LoraFleetError(
        "timeout",
        `${attempted}: the broker has not stored the renewal before it yet`,
      );
    }
    if (cause === "expired") {
      const next = await write(bucket, holder, found.revision, timeoutMs);
      if (next === revision + 1 || next === FIRST_REVISION) return next;
      await bucket.delete(KEY, { previousSeq: next });
    }
    throw lost();
  }

  const lost = () => {
    isOver = true;
    return new LoraFleetError("conflict", `${attempted}: there was a new holder`);
  };

  return {
    term,
    isHeld: () => !isOver && systemClock.now() < until,
    async renew() {
      if (isOver) throw lost();
      const askedAt = systemClock.now();
      try {
        revision = await writeNext().catch(async (thrown) => {
          if (!isNoResponders(thrown)) throw thrown;
          // No stream has the bucket's subject: the bucket is gone, or JetStream is, and then this fails.
          await create();
          return await writeNext();
        });
      } catch (thrown) {
        if (isWrongRevision(thrown)) throw lost();
        throw toLoraFleetError(attempted, thrown, reasonOf(nc, thrown));
      }
      until = askedAt + ttlMs;
    },
    async release() {
      isOver = true;
      // If this fails, the lease expires.
      await bucket.delete(KEY, { previousSeq: revision }).catch(() => {});
    },
  };
}

/**
 * Why a write that builds on `revision` was refused, from the entry that is there.
 *
 * - `answer lost`: the write before it was stored, and its answer did not come;
 * - `on its way`: nobody has written since. A cluster without a majority keeps an unanswered write in its hands, and a leader that
 *   does not know yet that it has lost the majority refuses the next one because of it;
 * - `expired`: there is no holder;
 * - `new holder`: somebody else has written.
 */
export function whyRefused(
  found: Entry,
  last: { readonly holder: string; readonly revision: number },
): "answer lost" | "on its way" | "expired" | "new holder" {
  if (found.holder === null) return "expired";
  if (found.holder !== last.holder) return "new holder";
  if (found.revision === last.revision) return "on its way";
  return found.revision === last.revision + 1 ? "answer lost" : "new holder";
}

async function read(bucket: KV): Promise<Entry> {
  const entry = await bucket.get(KEY);
  if (entry === null) return { holder: null, revision: 0 };
  return { holder: entry.operation === "PUT" ? entry.string() : null, revision: entry.revision };
}

function write(bucket: KV, holder: string, previousSeq: number, timeout: number): Promise<number> {
  return bucket.put(KEY, holder, { previousSeq, timeout });
}
