/// <reference lib="deno.worker" />
/** Asks the API, one request after the other, in a thread of its own, so that the benchmark's own work does not count. */
import { systemClock } from "../../../shared/clock.ts";

/** Pause between two requests. */
const PAUSE_MS = 50;

/** Milliseconds of each answer, by path. */
export type Answers = Readonly<Record<string, readonly number[]>>;

let isOver = false;
let asking: Promise<Answers> | null = null;

async function ask(origin: string, paths: readonly string[]): Promise<Answers> {
  const times = Object.fromEntries(paths.map((path) => [path, [] as number[]]));
  for (let count = 0; !isOver; count++) {
    const path = paths[count % paths.length]!;
    const askedAt = performance.now();
    const response = await fetch(`${origin}${path}`);
    await response.arrayBuffer();
    if (!response.ok) console.log(path, response.status);
    times[path]!.push(performance.now() - askedAt);
    await systemClock.sleep(PAUSE_MS);
  }
  return times;
}

/** Origin and paths start; null ends it, and the reply is what was measured. */
self.onmessage = async ({ data }: MessageEvent<{ origin: string; paths: string[] } | null>) => {
  if (data !== null) {
    isOver = false;
    asking = ask(data.origin, data.paths);
    return;
  }
  isOver = true;
  self.postMessage(await asking);
};
