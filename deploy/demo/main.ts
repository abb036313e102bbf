/**
 * `deno task demo`: everything on this machine, from set-up to a tuned adapter.
 * Exit codes: 0 done, 1 failed, 2 usage or something to install by hand, 130 interrupted (128 + signal).
 */
import { join } from "@std/path";
import { systemClock } from "../../shared/clock.ts";
import { LoraFleetError, messageOf } from "../../shared/errors.ts";
import { Children } from "./children.ts";
import { runDemo } from "./demo.ts";
import { type DemoOptions, parseOptions, USAGE } from "./options.ts";
import { barProgress, formatDuration, plainProgress } from "./progress.ts";
import { formatSamples } from "./samples.ts";

const SAMPLE_COUNT = 8;

async function main(options: DemoOptions): Promise<number> {
  const startedAt = systemClock.now();
  const workFolder = await Deno.makeTempDir({ prefix: "lorafleet-demo-" });
  const logFolder = join(workFolder, "logs");
  await Deno.mkdir(logFolder);
  const children = new Children(logFolder, systemClock);
  const stopper = new AbortController();
  let signalExitCode = 0;
  for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]] as const) {
    if (Deno.build.os === "windows" && signal !== "SIGINT") continue;
    Deno.addSignalListener(signal, () => {
      signalExitCode = 128 + number;
      stopper.abort(new LoraFleetError("aborted", signal));
    });
  }
  const write = (line: string) => console.error(line);
  const progress = Deno.stderr.isTerminal() && !Deno.env.get("NO_COLOR")
    ? barProgress(write)
    : plainProgress(write);
  const interrupted = new Promise<never>((_, reject) => {
    stopper.signal.addEventListener("abort", () => reject(stopper.signal.reason));
  });

  let failed = true;
  try {
    const demo = runDemo(options, {
      ...{ children, workFolder, progress, startedAt },
      clock: systemClock,
      signal: stopper.signal,
    });
    demo.catch(() => {});
    const { report, baseSamples, tunedSamples } = await Promise.race([demo, interrupted]);
    console.log(`\n${formatSamples(baseSamples, tunedSamples, SAMPLE_COUNT)}\n`);
    const percent = (share: number) => `${(100 * share).toFixed(1)}%`;
    const [base, tuned] = [percent(report.base.exact_match), percent(report.tuned.exact_match)];
    console.log(`exact match on ${report.tuned.prompt_count} held-out prompts: base ${base}, tuned ${tuned}`);
    const duration = formatDuration(report.wall_seconds);
    console.log(`${options.outFolder} holds the adapter and report.json, after ${duration}`);
    failed = false;
    return 0;
  } catch (error) {
    progress.stop();
    if (stopper.signal.aborted) {
      console.error("interrupted: stopping all children");
      return signalExitCode;
    }
    if (!(error instanceof LoraFleetError)) console.error(error);
    console.error(`demo: ${messageOf(error)}`);
    if (error instanceof LoraFleetError && (error.code === "usage" || error.code === "missing_dependency")) {
      return 2;
    }
    console.error(`logs: ${logFolder}`);
    return 1;
  } finally {
    await children.close();
    const keepLogs = failed && !stopper.signal.aborted && [...Deno.readDirSync(logFolder)].length > 0;
    if (!keepLogs) await Deno.remove(workFolder, { recursive: true });
  }
}

let options: DemoOptions | null;
try {
  options = parseOptions(Deno.args);
} catch (error) {
  if (!(error instanceof LoraFleetError)) throw error;
  console.error(`demo: ${error.message}; --help lists all options`);
  Deno.exit(2);
}
if (options === null) console.log(USAGE);
else Deno.exit(await main(options));
