/**
 * What all commands that start children share: signals, progress on a terminal, logs that stay if something fails, and an exit code:
 * 0 done, 1 failed, 2 usage or something to install by hand, 128 + signal if interrupted.
 */
import { join } from "@std/path";
import { type Clock, systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { barProgress, plainProgress, type Progress } from "../terminal/progress.ts";
import { Children } from "./children.ts";

export interface CommandContext {
  readonly children: Children;
  readonly clock: Clock;
  readonly progress: Progress;
  readonly signal: AbortSignal;
  /** Removed at the end, unless the command failed: it holds the children's logs. */
  readonly workFolder: string;
}

/**
 * Runs a command's body and ends its children.
 * @param whenInterrupted a line for the user
 */
export async function runCommand(
  name: string,
  body: (context: CommandContext) => Promise<void>,
  whenInterrupted = "interrupted: stopping all children",
): Promise<number> {
  const workFolder = await Deno.makeTempDir({ prefix: `lorafleet-${name}-` });
  const logFolder = join(workFolder, "logs");
  await Deno.mkdir(logFolder);
  const children = new Children(logFolder, systemClock);
  const { signal, exitCode } = listen();
  const write = (line: string) => console.error(line);
  const isTerminal = Deno.stderr.isTerminal() && !Deno.env.get("NO_COLOR");
  const progress = isTerminal ? barProgress(write) : plainProgress(write);
  const interrupted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
  });
  let failed = true;
  try {
    const running = body({ children, clock: systemClock, progress, signal, workFolder });
    running.catch(() => {});
    await Promise.race([running, interrupted]);
    failed = false;
    return 0;
  } catch (thrown) {
    progress.stop();
    if (signal.aborted) {
      console.error(whenInterrupted);
      return exitCode();
    }
    return report(name, thrown, logFolder);
  } finally {
    await children.close();
    const keepLogs = failed && !signal.aborted && [...Deno.readDirSync(logFolder)].length > 0;
    if (!keepLogs) await Deno.remove(workFolder, { recursive: true });
  }
}

function report(name: string, thrown: unknown, logFolder: string): number {
  if (!(thrown instanceof LoraFleetError)) console.error(thrown);
  console.error(`${name}: ${messageOf(thrown)}`);
  const isForUser = thrown instanceof LoraFleetError && ["usage", "missing_dependency"].includes(thrown.code);
  if (!isForUser && [...Deno.readDirSync(logFolder)].length > 0) console.error(`logs: ${logFolder}`);
  return isForUser ? 2 : 1;
}

/** Aborts at the first signal. */
function listen(): { readonly signal: AbortSignal; readonly exitCode: () => number } {
  const stopper = new AbortController();
  let code = 0;
  for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]] as const) {
    if (Deno.build.os === "windows" && signal !== "SIGINT") continue;
    Deno.addSignalListener(signal, () => {
      code = 128 + number;
      stopper.abort(new LoraFleetError("aborted", signal));
    });
  }
  return { signal: stopper.signal, exitCode: () => code };
}

/** Parses a command line and runs it; ends the process. `parse` returns null for --help. */
export async function runMain<T>(
  name: string,
  usage: string,
  parse: (args: readonly string[]) => T | null,
  main: (options: T) => Promise<number>,
): Promise<never> {
  let options: T | null;
  try {
    options = parse(Deno.args);
  } catch (thrown) {
    if (!(thrown instanceof LoraFleetError)) throw thrown;
    console.error(`${name}: ${thrown.message}; --help lists all options`);
    Deno.exit(2);
  }
  if (options === null) {
    console.log(usage);
    Deno.exit(0);
  }
  Deno.exit(await main(options));
}
