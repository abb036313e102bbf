/**
 * The broker that an earlier coordinator has left in the data folder. When a coordinator is killed, its broker ends a moment
 * later, or never where its guard was killed, too. Two brokers on one folder of streams would ruin it, so the next one
 * starts when the last one is gone; the lock on the job store says that nobody else needs that one any more.
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";

export type Measure = "wait" | "SIGTERM" | "SIGKILL" | "give up";

/** What is done about a broker that is still there, in the order of time; from each moment on once, then it is waited. */
const MEASURES: readonly (readonly [fromMs: number, measure: Measure])[] = [
  // Its guard ends it by itself, and streams are written back before.
  [2000, "SIGTERM"],
  [12_000, "SIGKILL"],
  [14_000, "give up"],
];
const CHECK_MS = 50;
/** The port of a process that has just ended may be taken for a moment more. */
const PORT_WAIT_MS = 3000;

/** What is due between two moments, in milliseconds since it is waited for. */
export function measureDue(lastCheckMs: number, nowMs: number): Measure {
  const due = MEASURES.findLast(([fromMs]) => lastCheckMs < fromMs && fromMs <= nowMs);
  return due?.[1] ?? "wait";
}

/**
 * Resolves when no process is left that was started with this configuration. Throws a `LoraFleetError` with code
 * `conflict` where it cannot be ended.
 */
export async function awaitPredecessor(pidPath: string, configPath: string, clock: Clock): Promise<void> {
  const pid = Number(await Deno.readTextFile(pidPath).catch(() => "0"));
  if (!(pid > 1)) return;
  const begunAt = clock.now();
  for (let lastMs = 0; (await commandLineOf(pid)).includes(configPath);) {
    const nowMs = clock.now() - begunAt;
    const measure = measureDue(lastMs, nowMs);
    lastMs = nowMs;
    if (measure === "give up") {
      throw new LoraFleetError(
        "conflict",
        `cannot start nats-server in ${
          quote(configPath)
        }: the one of an earlier coordinator, process ${pid}, ` +
          "does not end; end it, or choose another --data-folder",
        { param: "data-folder" },
      );
    }
    if (measure !== "wait") kill(pid, measure);
    await clock.sleep(CHECK_MS);
  }
}

/** Waits for a port to become free; whether it is in the end shows when somebody listens. */
export async function awaitPort(hostname: string, port: number, clock: Clock): Promise<void> {
  for (const deadline = clock.now() + PORT_WAIT_MS; port !== 0 && clock.now() < deadline;) {
    try {
      return Deno.listen({ hostname, port }).close();
    } catch (thrown) {
      if (!(thrown instanceof Deno.errors.AddrInUse)) return;
    }
    await clock.sleep(CHECK_MS);
  }
}

/** Empty where there is no such process. */
async function commandLineOf(pid: number): Promise<string> {
  // Deno reads /proc itself only with every permission; and ps is not in every container.
  const [command, args] = Deno.build.os === "linux"
    ? ["cat", [`/proc/${pid}/cmdline`]] as const
    : ["ps", ["-o", "command=", "-p", String(pid)]] as const;
  const { stdout } = await new Deno.Command(command, { args: [...args], stdin: "null", stderr: "null" })
    .output();
  return new TextDecoder().decode(stdout).replaceAll("\0", " ");
}

function kill(pid: number, signal: "SIGTERM" | "SIGKILL"): void {
  try {
    Deno.kill(pid, signal);
  } catch (thrown) {
    // It has just ended, or it is not ours: then it stays, and the next look decides.
    if (!(thrown instanceof Deno.errors.NotFound || thrown instanceof Deno.errors.PermissionDenied)) {
      throw thrown;
    }
  }
}
