/// <reference lib="deno.worker" />
/** Asks /healthz in a thread of its own: what keeps the benchmark itself busy is not to be counted. */
import { systemClock } from "../../shared/clock.ts";

/** Between two questions. */
const ASK_MS = 20;

let isOver = false;
let asking: Promise<number[]> | null = null;

async function ask(url: string): Promise<number[]> {
  const times: number[] = [];
  while (!isOver || times.length === 0) {
    const askedAt = performance.now();
    await (await fetch(url)).arrayBuffer();
    times.push(performance.now() - askedAt);
    await systemClock.sleep(ASK_MS);
  }
  return times;
}

/** A URL begins; null ends, and is answered with what each answer took in milliseconds. */
self.onmessage = async ({ data }: MessageEvent<string | null>) => {
  if (data !== null) {
    isOver = false;
    asking = ask(data);
    return;
  }
  isOver = true;
  self.postMessage(await asking);
};
