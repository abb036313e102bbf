/**
 * A child process that ends with this one, however this one ends: a small shell between the two stops the child when its
 * standard input closes.
 */
import type { Clock } from "../../shared/clock.ts";

const LOG_LINES = 30;

/**
 * Runs "$@" until it ends, or until standard input ends because the coordinator closed it or died. The background watcher
 * holds none of the pipes that the coordinator reads. The umask keeps the child's files private.
 */
const GUARD = `umask 077
exec 3<&0
"$@" </dev/null 3<&- & child=$!
echo "guarded process: $child" >&2
{ cat <&3; kill -TERM "$child"; } >/dev/null 2>&1 &
exec 3<&-
wait "$child"`;

interface GuardedProcess {
  /** The newest lines of its standard error. */
  readonly log: readonly string[];
  /** Resolves with its last lines when it ends, for whatever reason. */
  readonly ended: Promise<string>;
  /** Stops it and waits for its end; kills it if it has not ended after `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

/** @param onLine receives each line of its standard error */
export function startGuarded(
  command: readonly [name: string, ...rest: string[]],
  clock: Clock,
  onLine: (line: string) => void,
): GuardedProcess {
  const child = new Deno.Command("sh", {
    args: ["-c", GUARD, "sh", ...command],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
    // Ctrl-C in the terminal reaches the coordinator alone, which stops its child in good order.
    detached: true,
  }).spawn();
  const log: string[] = [];
  let pid = 0;
  const reading = readLines(child.stderr, (line) => {
    const guarded = /^guarded process: (\d+)$/.exec(line)?.[1];
    if (guarded !== undefined) {
      pid = Number(guarded);
      return;
    }
    log.push(line);
    if (log.length > LOG_LINES) log.shift();
    onLine(line);
  });
  const ended = (async () => {
    const { code } = await child.status;
    await child.stdin.close().catch(() => {});
    await reading;
    return `ended with code ${code}: ${log.slice(-5).join(" | ")}`;
  })();
  return {
    log,
    ended,
    async stop(graceMs) {
      await child.stdin.close().catch(() => {});
      if (await within(ended, graceMs, clock) !== null) return;
      // The child's pid file does not help: it is empty if the disk was full.
      if (pid > 1) Deno.kill(pid, "SIGKILL");
      await ended;
    },
  };
}

async function readLines(stream: ReadableStream<Uint8Array>, onLine: (line: string) => void): Promise<void> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    lines.forEach(onLine);
  }
  if (rest !== "") onLine(rest);
}

/** Null if it takes longer. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, clock: Clock): Promise<T | null> {
  const settled = new AbortController();
  const late = clock.sleep(timeoutMs, settled.signal).then(() => null, () => null);
  try {
    return await Promise.race([promise, late]);
  } finally {
    settled.abort();
  }
}
