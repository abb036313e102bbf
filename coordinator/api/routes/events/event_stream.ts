/** A job's events as server-sent events, from any event on, until the job has finished. */
import type { Clock } from "../../../../shared/clock.ts";
import { isFinished } from "../../../jobs/record/job.ts";
import type { EventFeed, EventFeeds } from "./event_feed.ts";

/** Proxies close connections that are silent for a minute or less. */
const KEEP_ALIVE_MS = 15_000;

interface StreamParts {
  readonly feeds: EventFeeds;
  readonly clock: Clock;
  /** Ends it. */
  readonly stopping: AbortSignal;
}

/**
 * Starts after the event with number `after`. Each event has `id:` and `data:` with its JSON; the last one is named `done` and
 * has the job's status, so that a client does not reconnect. A client that reads slowly gets the events later: none wait for it here.
 */
export function openEventStream(
  jobId: string,
  after: number,
  { feeds, clock, stopping }: StreamParts,
): ReadableStream<Uint8Array> {
  const closed = new AbortController();
  const { signal } = closed;
  const feed = feeds.open(jobId);
  const waiter = new Waiter(feed, clock, signal);
  const close = () => {
    closed.abort();
    stopping.removeEventListener("abort", close);
    feed.close();
  };
  stopping.addEventListener("abort", close);
  if (stopping.aborted) close();
  const encoder = new TextEncoder();
  let newest = after;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const send = (text: string) => controller.enqueue(encoder.encode(text));
      while (!signal.aborted) {
        const batch = feed.read(newest);
        if (batch !== null) {
          newest = batch.newest;
          return controller.enqueue(batch.bytes);
        }
        const status = feed.status();
        if (isFinished(status)) {
          send(`event: done\ndata: ${JSON.stringify({ status })}\n\n`);
          break;
        }
        // Without an await between reading the feed and watching it, no change is missed.
        if (await waiter.wait() === "silence") return send(": still here\n\n");
      }
      close();
      controller.close();
    },
    cancel: close,
  }, { highWaterMark: 0 });
}

/**
 * Waits for a change again and again with one timer, however many changes there are: a fast job has ten a second for each of hundreds
 * of clients, and a timer of each would fill the heap with what has just become garbage.
 */
class Waiter {
  readonly #clock: Clock;
  readonly #signal: AbortSignal;
  #wake: ((why: "change" | "silence") => void) | null = null;
  #isTiming = false;
  #hasChanged = false;

  /** Once `signal` is aborted, every wait ends with "change". */
  constructor(feed: Pick<EventFeed, "watch">, clock: Clock, signal: AbortSignal) {
    this.#clock = clock;
    this.#signal = signal;
    const change = () => {
      this.#hasChanged = true;
      this.#end("change");
    };
    feed.watch(change);
    signal.addEventListener("abort", change, { once: true });
  }

  /** For a change from now on; "silence": there was none for 15 s, at most for twice as long. */
  wait(): Promise<"change" | "silence"> {
    const { promise, resolve } = Promise.withResolvers<"change" | "silence">();
    this.#wake = resolve;
    if (!this.#isTiming) this.#time().catch(() => {});
    return promise;
  }

  async #time(): Promise<void> {
    this.#isTiming = true;
    while (this.#wake !== null) {
      this.#hasChanged = false;
      await this.#clock.sleep(KEEP_ALIVE_MS, this.#signal);
      if (!this.#hasChanged) this.#end("silence");
    }
    this.#isTiming = false;
  }

  #end(why: "change" | "silence"): void {
    this.#wake?.(why);
    this.#wake = null;
  }
}
