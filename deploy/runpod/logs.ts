/** `logs`: the workers' lines from RunPod, of all pods of a fleet or of one. */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf, quote } from "../../shared/errors.ts";
import { RunPodApi } from "./api/runpod_api.ts";
import type { CommandWorld, LogsOptions } from "./commands.ts";
import { isOf } from "./names.ts";

/** RunPod's stream goes on for ever: without `--follow`, so long a silence is its end. */
const SILENCE_MS = 3000;

/** Throws `not_found` without a pod. */
export async function logs(options: LogsOptions, { connection, signal, print }: CommandWorld): Promise<void> {
  const { fleet, pod: wanted, isFollowing, tail } = options;
  const api = new RunPodApi(connection, signal);
  const pods = (await api.pods()).filter(({ name, id }) =>
    isOf(name, fleet) && (wanted === null || wanted === name || wanted === id)
  );
  if (pods.length === 0) {
    const what = wanted === null ? "no pods" : `no pod ${quote(wanted)}`;
    throw new LoraFleetError("not_found", `fleet ${quote(fleet)} has ${what}: a pod's log goes with it`);
  }
  await Promise.all(pods.map(async ({ id, name }) => {
    const prefix = pods.length === 1 ? "" : `${name} | `;
    const silence = new Silence(connection.clock, isFollowing ? Infinity : SILENCE_MS);
    try {
      for await (const { line } of api.logs(id, tail, silence.signal)) {
        silence.heard();
        print(`${prefix}${line}`);
      }
    } catch (thrown) {
      signal.throwIfAborted();
      if (!silence.signal.aborted) print(`${prefix}${messageOf(thrown)}`);
    } finally {
      silence.end();
    }
  }));
}

/** Aborts when nothing was heard for a while. */
class Silence {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #over = new AbortController();
  #timer = new AbortController();

  constructor(clock: Clock, ms: number) {
    this.#clock = clock;
    this.#ms = ms;
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#over.signal;
  }

  heard(): void {
    this.#timer.abort();
    this.#timer = new AbortController();
    if (!Number.isFinite(this.#ms)) return;
    this.#clock.sleep(this.#ms, this.#timer.signal).then(() => this.#over.abort(), () => {});
  }

  end(): void {
    this.#timer.abort();
  }
}
