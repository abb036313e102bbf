/**
 * `deno task test`: set-up, types, and all tests in processes of their own (`runner/plan.ts`), two at a time. Each
 * process's output is printed whole when it ends; failures are printed again at the end, and the last line is
 * `N passed, N failed`.
 *
 *     deno task test [FILE or FOLDER …] [--only unit,gpu,integration] [--time-limit-s 1200] [--process-limit-s 300]
 *
 * Exit codes: 0 all passed, 1 not, 2 usage or something to install by hand, 130 interrupted (128 + signal).
 */
import { parseArgs } from "node:util";
import { dirname, fromFileUrl, join } from "@std/path";
import { ensureClusterBinary } from "../coordinator/broker/nats_binaries_fixture.ts";
import { ensureSetup } from "../deploy/setup/ensure.ts";
import { runtimeFolderVariables } from "../deploy/setup/runtime_folder.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { type ChildOutcome, runChild } from "./runner/child.ts";
import { discoverTests, type GroupName, groupNames, selectTests } from "./runner/discover.ts";
import { type PlannedProcess, planProcesses } from "./runner/plan.ts";
import { runPool } from "./runner/pool.ts";
import { countProcess, diedAfterItsTests, type ProcessResult } from "./runner/result.ts";
import { judge } from "./runner/verdict.ts";
import { exitWithHelp } from "./documents/head_help.ts";

exitWithHelp(import.meta.url);

const root = dirname(dirname(fromFileUrl(import.meta.url)));

/** More would only divide the cores of a small machine: a software GPU uses all of them. */
const PROCESSES_AT_A_TIME = 2;

interface Options {
  /** Files and folders to be tested; none: all. */
  readonly names: readonly string[];
  readonly groups: readonly GroupName[];
  /** For everything. */
  readonly timeLimitMs: number;
  /** For one process; a longer one hangs. */
  readonly processLimitMs: number;
}

function parseOptions(args: string[]): Options {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: {
      only: { type: "string" },
      "time-limit-s": { type: "string", default: "1200" },
      "process-limit-s": { type: "string", default: "300" },
    },
  });
  const groups = (values.only?.split(",") ?? groupNames).map((name) => {
    const group = groupNames.find((known) => known === name);
    if (!group) {
      throw new LoraFleetError("usage", `--only ${quote(name)}: the groups are ${groupNames.join(", ")}`);
    }
    return group;
  });
  const milliseconds = (name: "time-limit-s" | "process-limit-s") => {
    const seconds = Number(values[name]);
    if (seconds > 0) return seconds * 1000;
    throw new LoraFleetError("usage", `--${name} ${quote(values[name])} is not a positive number`);
  };
  return {
    names: positionals,
    groups,
    timeLimitMs: milliseconds("time-limit-s"),
    processLimitMs: milliseconds("process-limit-s"),
  };
}

/** Everything that is started has these in common. */
interface Surroundings {
  /** For reports; removed at the end. */
  readonly workFolder: string;
  readonly env: Record<string, string>;
  readonly deadlineMs: number;
  readonly signal: AbortSignal;
}

async function run(title: string, args: readonly string[], around: Surroundings): Promise<ChildOutcome> {
  const startedAt = Date.now();
  const outcome = await runChild({ args, folder: root, ...around });
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
  const state = outcome.succeeded ? "ok" : outcome.isLate ? "ENDED AT ITS DEADLINE" : "FAILED";
  console.log(`\n== ${title}: ${state}, ${seconds} s`);
  if (outcome.output !== "") console.log(outcome.output.trimEnd());
  return outcome;
}

async function checkTypes(files: readonly string[], around: Surroundings): Promise<ProcessResult> {
  const outcome = await run("types", ["check", "--quiet", ...files], around);
  const counts = countProcess("types", outcome, "", around.deadlineMs);
  return { group: "unit", name: "types", counts };
}

/** Runs test files in one process and counts them by its report. */
async function runTests(
  { group, name, files }: PlannedProcess,
  around: Surroundings,
): Promise<ProcessResult> {
  const report = await Deno.makeTempFile({ dir: around.workFolder, suffix: ".xml" });
  const title = files.length === 1 ? name : `${name}, ${files.length} files`;
  const args = ["test", "--no-check", "-A", "--unstable-webgpu", `--junit-path=${report}`, ...files];
  let outcome = await run(title, args, around);
  let xml = await Deno.readTextFile(report);
  if (group === "gpu" && diedAfterItsTests(outcome, xml)) {
    await Deno.writeTextFile(report, "");
    outcome = await run(`${title}, once more: a signal ended it after its last test`, args, around);
    xml = await Deno.readTextFile(report);
  }
  return { group, name, counts: countProcess(name, outcome, xml, around.deadlineMs) };
}

/** What there is when the signal ends it, is the result. */
async function runAll(
  files: Readonly<Record<GroupName, readonly string[]>>,
  groups: readonly GroupName[],
  around: Surroundings,
): Promise<ProcessResult[]> {
  const { together, alone } = planProcesses(files, groups);
  const results: ProcessResult[] = [];
  const keep = (result: Promise<ProcessResult>) => result.then((result) => void results.push(result));
  try {
    const all = groups.flatMap((group) => files[group]);
    const count = 1 + together.length + alone.length;
    console.log(`${count} processes, ${PROCESSES_AT_A_TIME} at a time; each is heard when it ends`);
    const first = [() => keep(checkTypes(all, around))];
    const rest = together.map((planned) => () => keep(runTests(planned, around)));
    await runPool([...first, ...rest], PROCESSES_AT_A_TIME);
    await runPool(alone.map((planned) => () => keep(runTests(planned, around))), 1);
  } catch (thrown) {
    if (!around.signal.aborted) throw thrown;
  }
  return results;
}

/** Debian's nats-server is one for single brokers, and these are tried with a newer one, too. */
async function seeToNewerNatsServer(): Promise<void> {
  const found = await ensureClusterBinary().catch((thrown) =>
    void console.error(`tests: ${messageOf(thrown)}`)
  );
  if (found === null) {
    console.error("tests: no nats-server 2.12 or newer is here, nor Go: clusters are not tested");
  }
}

async function main(): Promise<number> {
  const { names, groups: chosen, timeLimitMs, processLimitMs } = parseOptions(Deno.args);
  const files = selectTests(discoverTests(root), names);
  const groups = names.length === 0 ? chosen : chosen.filter((group) => files[group].length > 0);
  const { natsServerPath } = await ensureSetup({ log: (line) => console.error(line), ignoreGpu: true });
  await seeToNewerNatsServer();
  const stopper = new AbortController();
  let signalExitCode = 0;
  for (const [signal, number] of [["SIGINT", 2], ["SIGTERM", 15], ["SIGHUP", 1]] as const) {
    if (Deno.build.os === "windows" && signal !== "SIGINT") continue;
    Deno.addSignalListener(signal, () => {
      signalExitCode = 128 + number;
      stopper.abort();
    });
  }
  const timer = setTimeout(() => stopper.abort(), timeLimitMs);
  const workFolder = await Deno.makeTempDir({ prefix: "lorafleet-tests-" });
  let results: ProcessResult[];
  try {
    const env = {
      // Debian's nats-server lies in /usr/sbin, which is not on everybody's PATH.
      PATH: `${Deno.env.get("PATH") ?? ""}:${dirname(natsServerPath)}`,
      ...(Deno.stdout.isTerminal() ? {} : { NO_COLOR: "1" }),
      ...await runtimeFolderVariables(Deno.env.get("XDG_RUNTIME_DIR"), join(workFolder, "runtime")),
    };
    results = await runAll(files, groups, {
      workFolder,
      env,
      deadlineMs: processLimitMs,
      signal: stopper.signal,
    });
  } finally {
    clearTimeout(timer);
    await Deno.remove(workFolder, { recursive: true });
  }
  if (signalExitCode !== 0) {
    console.error("interrupted: all test processes are stopped");
    return signalExitCode;
  }
  const verdict = judge(results, groups, stopper.signal.aborted);
  console.log("");
  for (const failure of verdict.failures) console.log(failure);
  for (const reason of verdict.reasons) console.log(`not good: ${reason}`);
  console.log(verdict.summary);
  return verdict.good ? 0 : 1;
}

try {
  Deno.exit(await main());
} catch (error) {
  const usage = error instanceof LoraFleetError ||
    (error instanceof TypeError && "code" in error && String(error.code).startsWith("ERR_PARSE_ARGS"));
  if (!usage) throw error;
  console.error(`tests: ${messageOf(error)}`);
  Deno.exit(2);
}
