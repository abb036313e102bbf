/**
 * `deno task test:chaos-disks`: a job whose coordinator, broker and worker run out of disk for `--hold` seconds each, one after
 * the other, then jobs that are interrupted in their first step. The adapter has to be that of an undisturbed run each time.
 * Needs the right to mount a tmpfs. Exit codes: 0 as it should be, 1 not.
 */
import { parseArgs } from "node:util";
import {
  type DiskOutcome,
  fillDisks,
  interruptFirstStep,
  type Interruption,
  type JobSize,
  trainDisturbed,
} from "./disks.ts";
import { exitWithHelp } from "../documents/head_help.ts";

exitWithHelp(import.meta.url);

const { values } = parseArgs({ args: Deno.args, options: { hold: { type: "string", default: "20" } } });
const holdMs = 1000 * Number(values.hold);
const seconds = (milliseconds: number) => (milliseconds / 1000).toFixed(1).padStart(6);
let isGood = true;

async function inFolder(work: (folder: string) => Promise<DiskOutcome>): Promise<DiskOutcome> {
  const folder = await Deno.makeTempDir({ prefix: "lorafleet-disks-" });
  try {
    return await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function compare(size: JobSize, disturbed: () => Promise<DiskOutcome>): Promise<void> {
  const outcome = await disturbed();
  const calm = await inFolder((folder) =>
    trainDisturbed(folder, { ...size, gradientMs: 0 }, () => Promise.resolve())
  );
  const isSame = outcome.adapterSha256 === calm.adapterSha256;
  isGood &&= isSame;
  console.log(
    `adapter      ${outcome.adapterSha256}\nundisturbed  ${calm.adapterSha256}${isSame ? "" : "  NOT GOOD"}`,
  );
}

const large: JobSize = { steps: 60, gradientMs: 40, saveSteps: 2 };
console.log(
  `three disks (tmpfs), each full for ${holdMs / 1000} s while a job of ${large.steps} steps trains`,
);
console.log("disk            steps    next commit  ready again  POST  /readyz while it was full");
await compare(large, () =>
  inFolder(async (folder) => {
    const outcome = await fillDisks(folder, large, holdMs, (disk) => {
      const { name, steps, nextCommitMs, readyMs, createStatus, readyWhileFull } = disk;
      console.log(
        `${name.padEnd(14)} ${steps.join("→").padStart(6)}  ${seconds(nextCommitMs)} s      ` +
          `${seconds(readyMs)} s    ${createStatus}  ${readyWhileFull}`,
      );
    });
    const isQuiet = (message: string) => /^Step \d+\/|^The checkpoint of step \d+ is stored/.test(message);
    for (const message of outcome.messages) if (!isQuiet(message)) console.log(`  event: ${message}`);
    const broker = outcome.coordinatorSaid.split("\n").filter((line) =>
      /nats-server|the broker stores/.test(line)
    );
    for (const line of broker) console.log(`  log:   ${line}`);
    return outcome;
  }));

const small: JobSize = { steps: 2, gradientMs: 250, saveSteps: 2 };
const interruptions: Interruption[] = ["pause", "SIGTERM", "SIGKILL"];
for (const how of interruptions) {
  console.log(`\ninterrupted in its first step: ${how}`);
  await compare(small, () => inFolder((folder) => interruptFirstStep(folder, small, how)));
}
console.log(isGood ? "\nevery adapter is that of an undisturbed run" : "\nNOT GOOD");
Deno.exit(isGood ? 0 : 1);
