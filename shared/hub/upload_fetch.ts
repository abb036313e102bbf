/**
 * `fetch` for uploads: it goes where a hub sends the bytes under the same restrictions as redirects, gives up when neither bytes
 * leave nor an answer comes, and throws for every answer that is no success. It repeats what failed, except for commits: whether
 * those were made has to be looked up.
 */
import { LoraFleetError, quote } from "../errors.ts";
import { FileBlob } from "./file_blob.ts";
import { refusalOf } from "./hub_error.ts";
import { boundedFetch } from "./net/bounded_fetch.ts";
import { createConfinedFetch } from "./net/confined_fetch.ts";
import { clockOf, type HubOptions, METADATA_BOUNDS, patienceOf, Retries } from "./requests.ts";

/** A storage may think for a while after the last byte. */
const STALLS = 4;

/** A commit that may or may not have been made. */
export class CommitFailure extends Error {
  constructor(cause: unknown) {
    super("the commit was not confirmed", { cause });
  }
}

/** @param onSent called with the size of each piece of a file that leaves, and negatively with what has to leave again */
export function uploadFetch(
  hub: HubOptions,
  signal: AbortSignal | undefined,
  onSent: (bytes: number) => void,
): typeof fetch {
  const confined = createConfinedFetch({
    endpoint: hub.endpoint,
    ...(hub.fetch === undefined ? {} : { fetch: hub.fetch }),
  });
  const bounded = boundedFetch(confined, METADATA_BOUNDS);
  return async (input, init = {}) => {
    const retries = new Retries(hub);
    for (;;) {
      let sent = 0;
      try {
        return await send(bounded, String(input), init, hub, signal, (bytes) => {
          sent += bytes;
          onSent(bytes);
        });
      } catch (thrown) {
        onSent(-sent);
        if (isCommit(String(input))) throw new CommitFailure(thrown);
        await retries.failed(thrown, signal);
      }
    }
  };
}

const isCommit = (url: string) => /\/api\/models\/[^?]+\/commit\//.test(url);

/** One try. Throws a `HubRefusal`, `timeout` after a silence, or what `fetch` throws. */
async function send(
  bounded: typeof fetch,
  url: string,
  init: RequestInit,
  hub: HubOptions,
  signal: AbortSignal | undefined,
  onSent: (bytes: number) => void,
): Promise<Response> {
  const clock = clockOf(hub);
  const stallMs = patienceOf(hub).stallMs * STALLS;
  let heardAt = clock.now();
  const body = init.body instanceof FileBlob
    ? init.body.counted((bytes) => {
      heardAt = clock.now();
      onSent(bytes);
    })
    : init.body;
  const over = new AbortController();
  const silence = new AbortController();
  const watch = async () => {
    for (;;) {
      await clock.sleep(Math.max(1, stallMs - (clock.now() - heardAt)), over.signal);
      if (clock.now() - heardAt < stallMs) continue;
      const message = `${quote(new URL(url).origin)} has taken and sent nothing for ${
        Math.round(stallMs / 1000)
      } s`;
      return silence.abort(new LoraFleetError("timeout", message));
    }
  };
  watch().catch(() => {});
  try {
    const signals = [silence.signal, init.signal, signal].filter((one) => one !== undefined && one !== null);
    const response = await bounded(url, {
      ...init,
      ...(body === undefined ? {} : { body }),
      signal: AbortSignal.any(signals),
    });
    if (response.ok) return response;
    throw await refusalOf(response);
  } finally {
    over.abort();
  }
}
