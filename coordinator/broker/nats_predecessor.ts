/**
 * The broker that an earlier coordinator left in the data folder. When a coordinator is killed, its broker ends a moment later,
 * or never if its guard was killed with it. Two brokers would corrupt one folder of streams, so the next one waits until the
 * last one is gone. The lock on the job store guarantees that no other coordinator still needs it.
 */
import type { Clock } from "../../shared/clock.ts";
import { LoraFleetError, quote } from "../../shared/errors.ts";

type Measure = "wait" | "SIGTERM" | "SIGKILL" | "give up";

/** What happens to a broker that is still running, each measure once at its time. */
const MEASURES: readonly (readonly [fromMs: number, measure: Measure])[] = [
  // Before that, its guard ends it and it writes its streams back.
  [2000, "SIGTERM"],
  [12_000, "SIGKILL"],
  [14_000, "give up"],
];
const CHECK_MS = 50;
/** The port of an ended process may stay taken for a moment. */
const PORT_WAIT_MS = 3000;

/** The measure due between two moments, in milliseconds since the wait began. */
export function measureDue(lastCheckMs: number, nowMs: number): Measure {
  const due = MEASURES.findLast(([fromMs]) => lastCheckMs < fromMs && fromMs <= nowMs);
  return due?.[1] ?? "wait";
}

/** Resolves when no process with this configuration is left. Throws `conflict` if it does not end. */
export async function awaitPredecessor(pidPath: string, configPath: string, clock: Clock): Promise<void> {
  const pid = Number(await Deno.readTextFile(pidPath).catch(() => "0"));
  if (!(pid > 1)) return;
  const begunAt = clock.now();
  for (let lastMs = 0; (await commandLineOf(pid)).includes(configPath);) {
    const nowMs = clock.now() - begunAt;
    const measure = measureDue(lastMs, nowMs);
    lastMs = nowMs;
    if (measure === "give up") {
      const message = `cannot start nats-server in ${quote(configPath)}: the one of an earlier ` +
        `coordinator, process ${pid}, does not end; end it, or choose a different --data-folder`;
      throw new LoraFleetError("conflict", message, { param: "data-folder" });
    }
    if (measure !== "wait") kill(pid, measure);
    await clock.sleep(CHECK_MS);
  }
}

/** Gives a port time to become free; listening on it shows whether it did. */
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

/** Empty if there is no such process. */
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
    // It has just ended, or it is not ours and stays; the next check decides.
    if (!(thrown instanceof Deno.errors.NotFound || thrown instanceof Deno.errors.PermissionDenied)) {
      throw thrown;
    }
  }
}
