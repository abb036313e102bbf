/** The first step is the longest one: whatever interrupts it costs the job nothing, with local steps, too. */
import { assertEquals, assertMatch } from "@std/assert";
import { interruptFirstStep, type Interruption, type JobSize, trainDisturbed } from "../chaos/disks.ts";
import { withFolder } from "./coordinator_child.ts";

const SIZE: JobSize = { steps: 2, gradientMs: 250, saveSteps: 2 };
const LOCAL: JobSize = {
  ...{ ...SIZE, steps: 4 },
  fleet: { local_steps: { inner_steps: 2, replicas: 2 } },
};

for (const [what, size] of [["", SIZE], [", with local steps", LOCAL]] as const) {
  Deno.test(`interrupted in its first step${what}, by pause, SIGTERM or SIGKILL: the job goes on to the same adapter`, () =>
    withFolder(async (folder) => {
      const undisturbed = await trainDisturbed(
        `${folder}/undisturbed`,
        { ...size, gradientMs: 0 },
        () => Promise.resolve(),
      );
      const all: Interruption[] = ["pause", "SIGTERM", "SIGKILL"];
      for (const how of all) {
        const { adapterSha256, messages } = await interruptFirstStep(`${folder}/${how}`, size, how);
        assertEquals(adapterSha256, undisturbed.adapterSha256, how);
        assertMatch(messages.join("\n"), /The job was paused|The coordinator restarted/);
      }
    }));
}
