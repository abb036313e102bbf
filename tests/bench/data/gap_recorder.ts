/**
 * Runs in a coordinator before its program (`deno run --preload`): looks for times in which its event loop did not run, and what it
 * did meanwhile. SIGUSR2 ends it and writes a `GapReport` to $LORAFLEET_GAPS. Linux alone: /proc says how long the thread ran, and
 * how long it waited for a core.
 */
import { Session } from "node:inspector";
import { type Profile, stacksWithin } from "./gap_stacks.ts";

const TICK_MS = 5;
/** Shorter gaps are not kept. */
const GAP_MS = 15;
const SAMPLE_US = 1000;

export interface Gap {
  /** When it began, as `machineMs` */
  readonly at: number;
  readonly ms: number;
  /** Of it: the thread computed; it waited for a core; the rest it slept, such as for a disk. */
  readonly ranMs: number;
  readonly waitedMs: number;
  /** The most frequent stack while it lasted, innermost function first; null if V8 took no sample. */
  readonly stacks: readonly string[];
}

export interface GapReport {
  readonly ticks: number;
  readonly gaps: readonly Gap[];
}

/** Milliseconds on a clock that all processes of the machine share, to a fraction. */
export function machineMs(): number {
  return performance.timeOrigin + performance.now();
}

/** Milliseconds that this thread has run and waited for a core so far. */
function scheduled(): readonly [number, number] {
  const [ran, waited] = Deno.readTextFileSync("/proc/thread-self/schedstat").split(" ").map(Number);
  return [ran! / 1e6, waited! / 1e6];
}

/** Does not keep the process alive: the program begins only when nothing is left to do before it. */
function tick(): Promise<void> {
  return new Promise((resolve) => Deno.unrefTimer(setTimeout(resolve, TICK_MS)));
}

function post<T>(session: Session, method: string, params: object = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    session.post(method, params, (error: Error | null, result?: object) => {
      if (error === null) resolve(result as T);
      else reject(error);
    });
  });
}

async function record(path: string): Promise<void> {
  const session = new Session();
  session.connect();
  await post(session, "Profiler.enable");
  await post(session, "Profiler.setSamplingInterval", { interval: SAMPLE_US });
  await post(session, "Profiler.start");
  const profiledFrom = machineMs();
  let isOver = false;
  Deno.addSignalListener("SIGUSR2", () => isOver = true);
  const gaps: Omit<Gap, "stacks">[] = [];
  let ticks = 0;
  while (!isOver) {
    const [before, [ran, waited]] = [machineMs(), scheduled()];
    await tick();
    ticks++;
    const ms = machineMs() - before - TICK_MS;
    if (ms < GAP_MS) continue;
    const [ranNow, waitedNow] = scheduled();
    gaps.push({ at: before, ms, ranMs: ranNow - ran, waitedMs: waitedNow - waited });
  }
  const { profile } = await post<{ profile: Profile }>(session, "Profiler.stop");
  // V8 has a clock of its own.
  const onItsClock = (ms: number) => profile.startTime + 1000 * (ms - profiledFrom);
  const stacksOf = ({ at, ms }: Omit<Gap, "stacks">) =>
    stacksWithin(profile, onItsClock(at), onItsClock(at + ms + TICK_MS));
  const report: GapReport = { ticks, gaps: gaps.map((gap) => ({ ...gap, stacks: stacksOf(gap) })) };
  await Deno.writeTextFile(`${path}.part`, JSON.stringify(report));
  await Deno.rename(`${path}.part`, path);
}

const path = Deno.env.get("LORAFLEET_GAPS");
if (path !== undefined) {
  record(path).catch((thrown) => console.error(thrown));
}
