/** A short run of `deno task test:chaos-disks`: three disks run full while a job trains, and the adapter is the same. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fillDisks, type FullDisk, type JobSize, trainDisturbed } from "../chaos/disks.ts";
import { whyNoSmallDisk } from "../chaos/small_disk.ts";
import { withFolder } from "./coordinator_child.ts";

const SIZE: JobSize = { steps: 26, gradientMs: 40, saveSteps: 2 };
const HOLD_MS = 2500;

const whyNot = await whyNoSmallDisk();
if (whyNot !== null) {
  // What the decisions do with a full disk is tested with faults put in: patient_writes, broker_watch, step_checkpoint.
  console.log(`no disk can be filled here: ${whyNot}`);
}

Deno.test({
  name: "data folder, broker and worker cache full in turn: the job goes on by itself, to the same adapter",
  ignore: whyNot !== null,
  fn: () =>
    withFolder(async (folder) => {
      const undisturbed = await trainDisturbed(`${folder}/a`, { ...SIZE, gradientMs: 0 }, () =>
        Promise.resolve());
      const full: FullDisk[] = [];
      const outcome = await fillDisks(`${folder}/b`, SIZE, HOLD_MS, (disk) =>
        full.push(disk));
      assertEquals(outcome.adapterSha256, undisturbed.adapterSha256);
      const stepsOf = (messages: readonly string[]) =>
        messages.filter((message) =>
          /^Step \d+\//.test(message)
        );
      assertEquals(stepsOf(outcome.messages), stepsOf(undisturbed.messages));
      assertEquals(full.map(({ name }) => name), ["data folder", "broker folder", "worker cache"]);
      const [data, broker] = full;
      assertMatch(data!.readyWhileFull, /^503 .*data_folder: cannot write to the data folder: No space left/);
      assertEquals([data!.createStatus, broker!.createStatus], [507, 200]);
      assertMatch(broker!.readyWhileFull, /^503 .*streams: /);
      assert(!/is stuck|internal_error/.test(outcome.coordinatorSaid), outcome.coordinatorSaid);
    }),
});
