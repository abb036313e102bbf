/**
 * The newest events of a job for all who listen to it: each event is read from the store and encoded once, however many they are.
 * Someone who is further behind than the kept events reads the store alone.
 */
import { jobEventSchema } from "../../../jobs/stores/job_store.ts";
import type { JobStatus } from "../../../jobs/record/job.ts";
import type { z } from "zod";
import { eventView } from "../../views/event_view.ts";
import type { ApiServices } from "../services.ts";

/** Events of one answer, and of one look into the store. */
const BATCH_SIZE = 100;
/** Kept for listeners that are a little late: seconds of a fast job, hundreds of kilobytes. */
const KEPT_EVENTS = 500;

type JobEvent = z.output<typeof jobEventSchema>;
type FeedServices = Pick<ApiServices, "store" | "jobs">;

interface Encoded {
  readonly number: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface Batch {
  /** Whole server-sent events. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The number of the last one. */
  readonly newest: number;
}

/** What one listener sees of a job. */
export interface EventFeed {
  /** The events that follow number `after`, a hundred at most; null: none yet. */
  read(after: number): Batch | null;
  /** As of the last `read`. */
  status(): JobStatus;
  /** Runs `listener` after every change, until the result is called or the feed closed. */
  watch(listener: () => void): () => void;
  close(): void;
}

export interface EventFeeds {
  /** Throws `not_found`. The result is to be closed. */
  open(jobId: string): EventFeed;
}

export function createEventFeeds(services: FeedServices): EventFeeds {
  const feeds = new Map<string, JobFeed>();
  return {
    open(jobId) {
      const feed = feeds.get(jobId) ?? new JobFeed(jobId, services);
      feeds.set(jobId, feed);
      feed.listeners++;
      const watching = new Set<() => void>();
      let isOpen = true;
      return {
        read: (after) => feed.read(after),
        status: () => feed.status,
        watch(listener) {
          const unwatch = feed.watch(listener);
          watching.add(unwatch);
          return unwatch;
        },
        close() {
          if (!isOpen) return;
          isOpen = false;
          for (const unwatch of watching) unwatch();
          if (--feed.listeners > 0) return;
          feed.close();
          feeds.delete(jobId);
        },
      };
    },
  };
}

class JobFeed {
  listeners = 0;
  status: JobStatus;
  readonly #jobId: string;
  readonly #services: FeedServices;
  readonly #watchers = new Set<() => void>();
  readonly #unwatch: () => void;
  /** All events above number `#before` that the store had at the last look, oldest first. */
  #kept: readonly Encoded[] = [];
  #before: number;
  #isStale = false;

  constructor(jobId: string, services: FeedServices) {
    const { store, jobs } = services;
    this.#jobId = jobId;
    this.#services = services;
    this.status = jobs.get(jobId).status;
    this.#before = store.events(jobId, { after: null, limit: 1 }).items[0]?.number ?? 0;
    this.#unwatch = jobs.watch(jobId, () => {
      this.#isStale = true;
      for (const watcher of [...this.#watchers]) watcher();
    });
  }

  read(after: number): Batch | null {
    if (this.#isStale) this.#look();
    const due = after < this.#before
      ? this.#services.store.eventsSince(this.#jobId, after, BATCH_SIZE).map(encoded)
      : this.#kept.slice(this.#kept.findLastIndex(({ number }) => number <= after) + 1).slice(0, BATCH_SIZE);
    return due.length === 0 ? null : { bytes: joined(due), newest: due.at(-1)!.number };
  }

  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher);
    return () => void this.#watchers.delete(watcher);
  }

  close(): void {
    this.#unwatch();
  }

  /** Reads what is new. In one turn with the status, so that no event precedes it unseen. */
  #look(): void {
    const { store, jobs } = this.#services;
    for (let isMore = true; isMore;) {
      const newest = this.#kept.at(-1)?.number ?? this.#before;
      const events = store.eventsSince(this.#jobId, newest, BATCH_SIZE);
      this.#keep(events.map(encoded));
      isMore = events.length === BATCH_SIZE;
    }
    this.status = jobs.get(this.#jobId).status;
    this.#isStale = false;
  }

  #keep(events: readonly Encoded[]): void {
    const all = [...this.#kept, ...events];
    const dropped = all.length - KEPT_EVENTS;
    if (dropped > 0) this.#before = all[dropped - 1]!.number;
    this.#kept = dropped > 0 ? all.slice(dropped) : all;
  }
}

function encoded(event: JobEvent): Encoded {
  const view = eventView(event);
  const text = `id: ${view.id}\ndata: ${JSON.stringify(view)}\n\n`;
  return { number: event.number, bytes: new TextEncoder().encode(text) };
}

function joined(events: readonly Encoded[]): Uint8Array<ArrayBuffer> {
  // Most often one event, whose bytes all listeners share.
  if (events.length === 1) return events[0]!.bytes;
  const all = new Uint8Array(events.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (const { bytes } of events) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}
