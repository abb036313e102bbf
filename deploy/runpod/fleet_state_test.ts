import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { FleetState, knownFleets, type PodRecord } from "./fleet_state.ts";

const POD: PodRecord = {
  ...{ name: "lorafleet.a.any.1", id: null, gpu: "A40", cloud: "SECURE", isSpot: false, dollarsPerHour: 0.4 },
  ...{ createdAt: 1, leaseEndsAt: null, removedAt: null },
};

async function withFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("what one command has written the next one reads, and nobody else", () =>
  withFolder(async (folder) => {
    {
      using state = await FleetState.open(folder, "a");
      await state.begin("ftjob-1", 5);
      await state.add(POD);
      await state.change(POD.name, { id: "pod1" });
    }
    assertEquals((await Deno.stat(`${folder}/a.json`)).mode! & 0o777, 0o600);
    using state = await FleetState.open(folder, "a");
    assertEquals(state.record, {
      version: 1,
      fleet: "a",
      jobId: "ftjob-1",
      budget: 5,
      pods: [{ ...POD, id: "pod1" }],
    });
    assertEquals(await knownFleets(folder), ["a"]);
    await state.forget();
    assertEquals([state.pods, await knownFleets(folder)], [[], []]);
  }));

Deno.test("a second command sees the state, owns it not, and can ask the first one to stop", () =>
  withFolder(async (folder) => {
    using first = await FleetState.open(folder, "a");
    await first.add(POD);
    using second = await FleetState.open(folder, "a");
    assertEquals([first.isOwner, second.isOwner, second.pods.length], [true, false, 1]);
    await second.change(POD.name, { removedAt: 9 });
    using third = await FleetState.open(folder, "a");
    assertEquals(third.pods, [POD], "only the owner writes");
    assertEquals(await first.isAskedToStop(), false);
    await second.askToStop();
    assertEquals(await first.isAskedToStop(), true);
    await first.clearStop();
    assertEquals(await first.isAskedToStop(), false);
  }));

Deno.test("who only looks locks nothing", () =>
  withFolder(async (folder) => {
    using looking = await FleetState.read(folder, "a");
    using owner = await FleetState.open(folder, "a");
    await owner.add(POD);
    assertEquals([owner.isOwner, looking.isOwner, looking.pods], [true, false, []]);
    assertEquals((await FleetState.read(folder, "a")).pods, [POD]);
  }));

Deno.test("a file that cannot be read is named, and what to do", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a.json`, '{"version":2}');
    const error = await assertRejects(() => FleetState.open(folder, "a"), LoraFleetError, "a.json");
    assertEquals(error.code, "storage");
    await Deno.remove(`${folder}/a.json`);
    using _ = await FleetState.open(folder, "a");
  }));
