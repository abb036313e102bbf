/**
 * A lease in a JetStream key–value bucket of its own: one key, whose value is the holder. The bucket's time to live ends
 * a lease by the broker's clock, never before the holder's own clock does: that one counts from before the request.
 *
 * Each write is a compare-and-set on the revision before. Revisions are the stream's sequence numbers, which stay when
 * entries expire: a renewal that gets the very next one has proved that nobody else had the lease in between. So has one
 * that gets the first one of all, in a bucket that was made anew after the broker has lost it.
 */
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import type { KV } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import { systemClock } from "../clock.ts";
import { LoraFleetError, quote } from "../errors.ts";
import type { Lease, LeaseOptions } from "./bus.ts";
import { isNoResponders, isOverlap, isWrongRevision, toLoraFleetError } from "./nats_errors.ts";

const KEY = "holder";
const FIRST_REVISION = 1;
const MOST_RACES = 4;
const CREATION_MS = 100;

/** What lies under the key: `holder` is null where there is nobody; `revision` is 0 where there was nothing for long. */
interface Entry {
  readonly holder: string | null;
  readonly revision: number;
}

/** One try; what it rejects with is the client's. The same `holder` may try again when an answer was lost. */
export async function acquireNatsLease(
  nc: NatsConnection,
  name: string,
  { holder, succeeds = [], ttlMs }: LeaseOptions,
  timeoutMs: number,
): Promise<Lease | null> {
  const js = jetstream(nc, { checkAPI: false, timeout: timeoutMs });
  // Of a cluster's replicas only the leader knows who has the lease: no direct gets.
  const tryToCreate = () => new Kvm(js).create(name, { ttl: ttlMs, history: 1, allow_direct: false });
  // The bucket is found by now where somebody else was creating it at the same moment.
  const create = () =>
    tryToCreate().catch(async (thrown) => {
      if (!isOverlap(thrown)) throw thrown;
      await systemClock.sleep(CREATION_MS);
      return await tryToCreate();
    });
  const bucket = await create();
  // Written before it is read: where many create the bucket at once, nats-server 2.9.10 answers some before the stream is
  // complete. A direct get is lost then, so that whoever asks waits for nothing until its time is up, and a get by the API may
  // block the stream for ever. Only a complete stream takes or refuses a write.
  let entry: Entry = { holder: null, revision: 0 };
  for (let race = 0; race < MOST_RACES; race++) {
    const askedAt = systemClock.now();
    if (race > 0) entry = await read(bucket);
    if (entry.holder !== null && ![holder, ...succeeds].includes(entry.holder)) return null;
    try {
      const revision = await write(bucket, holder, entry.revision, timeoutMs);
      return createLease(bucket, { name, holder, ttlMs, timeoutMs, create }, revision, askedAt);
    } catch (thrown) {
      // Somebody was quicker, or what was read has expired since: the next look shows which.
      if (!isWrongRevision(thrown)) throw thrown;
    }
  }
  return null;
}

function createLease(
  bucket: KV,
  options: Pick<LeaseOptions, "holder" | "ttlMs"> & {
    readonly name: string;
    readonly timeoutMs: number;
    /** Finds the bucket, or makes it. */
    readonly create: () => Promise<KV>;
  },
  term: number,
  askedAt: number,
): Lease {
  const { name, holder, ttlMs, timeoutMs, create } = options;
  let revision = term;
  let until = askedAt + ttlMs;
  let isOver = false;
  const attempted = `cannot renew the lease ${quote(name)}`;

  /** The revision of a new write, where only writes of this holder come before it. */
  async function writeNext(): Promise<number> {
    try {
      return await write(bucket, holder, revision, timeoutMs);
    } catch (thrown) {
      if (!isWrongRevision(thrown)) throw thrown;
    }
    const found = await read(bucket);
    if (found.holder === holder && found.revision === revision + 1) {
      // The answer to the last renewal was lost.
      revision = found.revision;
      return await write(bucket, holder, revision, timeoutMs);
    }
    if (found.holder === null) {
      const next = await write(bucket, holder, found.revision, timeoutMs);
      if (next === revision + 1 || next === FIRST_REVISION) return next;
      await bucket.delete(KEY, { previousSeq: next });
    }
    throw lost();
  }

  const lost = () => {
    isOver = true;
    return new LoraFleetError("conflict", `${attempted}: somebody else has had it`);
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
          // Nobody stores anything under the bucket's subject: it is gone, or JetStream is, which then says so.
          await create();
          return await writeNext();
        });
      } catch (thrown) {
        throw isWrongRevision(thrown) ? lost() : toLoraFleetError(attempted, thrown);
      }
      until = askedAt + ttlMs;
    },
    async release() {
      isOver = true;
      // Where this fails, the lease ends by itself.
      await bucket.delete(KEY, { previousSeq: revision }).catch(() => {});
    },
  };
}

async function read(bucket: KV): Promise<Entry> {
  const entry = await bucket.get(KEY);
  if (entry === null) return { holder: null, revision: 0 };
  return { holder: entry.operation === "PUT" ? entry.string() : null, revision: entry.revision };
}

function write(bucket: KV, holder: string, previousSeq: number, timeout: number): Promise<number> {
  return bucket.put(KEY, holder, { previousSeq, timeout });
}
