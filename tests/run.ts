/**
 * `deno task test`: set-up, types, then all tests: units in one process, each GPU test file in a process of its own
 * (a driver that crashes takes one file with it), integration tests in one. The last line is `N passed, N failed`.
 *
 *     deno run -A tests/run.ts [--only unit,gpu,integration] [--time-limit-s 1200]
 *
 * Exit codes: 0 all passed, 1 not, 2 usage or something to install by hand, 130 interrupted.
 */
import { parseArgs } from "node:util";
import { dirname, fromFileUrl } from "@std/path";
import { ensureSetup } from "../deploy/setup/ensure.ts";
import { LoraFleetError, messageOf, quote } from "../shared/errors.ts";
import { discoverTests, type GroupName, groupNames } from "./runner/discover.ts";
import { countTests } from "./runner/junit.ts";
import { judge, type ProcessResult } from "./runner/verdict.ts";

const root = dirname(dirname(fromFileUrl(import.meta.url)));

interface Options {
  readonly groups: readonly GroupName[];
  readonly timeLimitMs: number;
}

function parseOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: { only: { type: "string" }, "time-limit-s": { type: "string", default: "1200" } },
  });
  const groups = (values.only?.split(",") ?? groupNames).map((name) => {
    const group = groupNames.find((known) => known === name);
    if (!group) {
      throw new LoraFleetError("usage", `--only ${quote(name)}: the groups are ${groupNames.join(", ")}`);
    }
    return group;
  });
  const seconds = Number(values["time-limit-s"]);
  if (!(seconds > 0)) {
    throw new LoraFleetError(
      "usage",
      `--time-limit-s ${quote(values["time-limit-s"])} is not a positive number`,
    );
  }
  return { groups, timeLimitMs: seconds * 1000 };
}

/** Runs deno with our terminal; true when it exits with 0. The signal ends it with SIGTERM, then SIGKILL. */
async function runDeno(args: string[], env: Record<string, string>, signal: AbortSignal): Promise<boolean> {
  signal.throwIfAborted();
  const child = new Deno.Command(Deno.execPath(), { args, cwd: root, env, stdin: "null" }).spawn();
  const stop = () => {
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
    child.status.finally(() => clearTimeout(timer));
  };
  signal.addEventListener("abort", stop, { once: true });
  try {
    return (await child.status).success;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** Runs test files in one process and counts them by its report. */
async function runTests(
  group: GroupName,
  name: string,
  files: readonly string[],
  env: Record<string, string>,
  signal: AbortSignal,
): Promise<ProcessResult> {
  const report = await Deno.makeTempFile({ prefix: "lorafleet-tests-", suffix: ".xml" });
  try {
    const success = await runDeno(
      ["test", "--no-check", "-A", "--unstable-webgpu", `--junit-path=${report}`, ...files],
      env,
      signal,
    );
    return { group, name, counts: countTests(await Deno.readTextFile(report), success) };
  } finally {
    await Deno.remove(report);
  }
}

async function main(): Promise<number> {
  const { groups, timeLimitMs } = parseOptions(Deno.args);
  const { natsServerPath } = await ensureSetup((line) => console.error(line));
  // Debian's nats-server lies in /usr/sbin, which is not on everybody's PATH.
  const env = { PATH: `${Deno.env.get("PATH") ?? ""}:${dirname(natsServerPath)}` };
  const stopper = new AbortController();
  let interrupted = false;
  Deno.addSignalListener("SIGINT", () => {
    interrupted = true;
    stopper.abort();
  });
  const timer = setTimeout(() => stopper.abort(), timeLimitMs);
  const files = discoverTests(root);
  const results: ProcessResult[] = [];
  try {
    const all = groups.flatMap((group) => files[group]);
    console.log(`types of ${all.length} test files and all that they import`);
    if (!await runDeno(["check", "--quiet", ...all], env, stopper.signal)) {
      results.push({ group: "unit", name: "types", counts: { passed: 0, failed: 1, ignored: [] } });
    }
    for (const group of groups) {
      const processes = group === "gpu"
        ? files.gpu.map((file) => [file])
        : files[group].length
        ? [files[group]]
        : [];
      for (const batch of processes) {
        const name = group === "gpu" ? batch[0]! : group;
        console.log(`\n${name}: ${batch.length} ${batch.length === 1 ? "file" : "files"}`);
        results.push(await runTests(group, name, batch, env, stopper.signal));
      }
    }
  } catch (error) {
    if (!stopper.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
  }
  if (interrupted) return 130;
  const verdict = judge(results, groups, stopper.signal.aborted);
  console.log("");
  for (const { name, counts } of results) {
    if (counts.failed > 0) console.log(`${counts.failed} failed in ${name}`);
  }
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
