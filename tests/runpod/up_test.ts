/** `up` and `down` against a RunPod that does what its document says, and everything that it may do besides. */
import { assert, assertEquals, assertLess, assertMatch, assertStringIncludes } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { assertNothingLeft, JOIN, MINUTE, withPods } from "./pods_fixture.ts";

Deno.test("pods are rented as the document has it: the join URL in the environment, the fleet in the name", () =>
  withPods(async (world) => {
    const { runpod, lines } = world;
    runpod.pods.startMs = 40_000;
    assertEquals(await world.up("--gpu RTX-3090 --count 2 --env HF_TOKEN --volume vol-1 --fleet blue"), null);
    const [pod] = runpod.pods.left;
    assertEquals(runpod.pods.left.length, 2);
    assertEquals([pod!.name, pod!.gpuId, pod!.cloud], [
      "lorafleet.blue.any.s1",
      "NVIDIA GeForce RTX 3090",
      "SECURE",
    ]);
    assertEquals(pod!.env, {
      LORAFLEET_JOIN: JOIN,
      LORAFLEET_NAME: "lorafleet.blue.any.s1",
      LORAFLEET_REMOVE_POD: "1",
      LORAFLEET_LEAVE_WHEN_IDLE: "10",
      NVIDIA_DRIVER_CAPABILITIES: "all",
      HF_HOME: "/runpod-volume/huggingface",
      HF_TOKEN: "hf_abcdefgh12345678",
    });
    assertEquals(pod!.mounts, { network: [{ volumeId: "vol-1", path: "/runpod-volume" }] });
    const told = lines.join("\n");
    assertStringIncludes(told, "RTX 3090 (24 GB, secure, $0.46/h), stock high");
    assertStringIncludes(told, "together $0.931 an hour, with 40 GB of disk each");
    for (const secret of ["jointoken123", "hf_abcdefgh12345678", runpod.apiKey]) {
      assert(!told.includes(secret));
    }
    const state = await Deno.readTextFile(`${world.stateFolder}/blue.json`);
    for (const secret of ["jointoken123", "hf_abcdefgh12345678", runpod.apiKey]) {
      assert(!state.includes(secret));
    }
    assertEquals(await world.down("--fleet blue"), null);
    await assertNothingLeft(world);
  }));

Deno.test("who does not agree to the price rents nothing", () =>
  withPods(async (world) => {
    world.agrees = false;
    assertMatch((await world.up("--gpu RTX-3090"))!.message, /nothing was rented/);
    assertEquals(world.runpod.requests.includes("post /v2/pods"), false);
    await assertNothingLeft(world);
  }));

Deno.test("without capacity the error names what is free, and at what price", () =>
  withPods(async (world) => {
    world.runpod.pods.free.set("NVIDIA GeForce RTX 3090", 0);
    const error = await world.up("--gpu RTX-3090 --max-price 0.5");
    assertEquals(
      error!.message,
      "RTX 3090 (24 GB, secure, $0.46/h) is sold out; free at up to $0.50/h: A40 (48 GB, secure, $0.40/h); " +
        "--gpu takes several, with commas between",
    );
    await assertNothingLeft(world);
  }));

Deno.test("half a fleet is removed again: two of four pods, then no capacity", () =>
  withPods(async (world) => {
    world.runpod.pods.free.set("NVIDIA GeForce RTX 3090", 2);
    const error = await world.up("--gpu RTX-3090 --count 4");
    assertMatch(
      error!.message,
      /^2 of 4 pods could be rented \(RTX 3090 .*no longer any instances available/,
    );
    assertEquals(world.runpod.pods.all.length, 2);
    await assertNothingLeft(world);
  }));

Deno.test("other kinds of GPU follow when the favourite is sold out", () =>
  withPods(async (world) => {
    world.runpod.pods.free.set("NVIDIA GeForce RTX 3090", 1);
    assertEquals(await world.up("--gpu RTX-3090,A40 --count 3"), null);
    assertEquals(world.runpod.pods.left.map(({ gpuId }) => gpuId), [
      "NVIDIA GeForce RTX 3090",
      "NVIDIA A40",
      "NVIDIA A40",
    ]);
    assertEquals(await world.down(), null);
    await assertNothingLeft(world);
  }));

Deno.test("a price above the limit: none is rented; one that turns out to cost more is removed at once", async (t) => {
  await t.step("as listed", () =>
    withPods(async (world) => {
      const error = await world.up("--gpu RTX-4090,RTX-3090 --max-price 0.3 --cloud any");
      assertEquals(error, null, "the community cloud has a 3090 for less");
      assertEquals(world.runpod.pods.left.map(({ cloud, gpuId }) => `${cloud} ${gpuId}`), [
        "COMMUNITY NVIDIA GeForce RTX 3090",
      ]);
      assertEquals(await world.down(), null);
      const refused = await world.up("--gpu RTX-4090 --max-price 0.3 --cloud any");
      assertMatch(refused!.message, /RTX 4090 \(24 GB, community, \$0\.34\/h\) is above --max-price/);
      assertEquals(world.runpod.pods.all.length, 1);
      await assertNothingLeft(world);
    }));
  await t.step(
    "as billed, with a budget that was divided by the listed price",
    () =>
      withPods(async (world) => {
        world.runpod.pods.priceFactor = 1.5;
        assertMatch(
          (await world.up("--gpu RTX-3090 --budget 3"))!.message,
          /it costs \$0\.69\/h, not as listed/,
        );
        await assertNothingLeft(world);
      }),
  );
  await t.step("as billed", () =>
    withPods(async (world) => {
      world.runpod.pods.priceFactor = 1.5;
      const error = await world.up("--gpu RTX-3090 --max-price 0.5");
      assertMatch(error!.message, /it costs \$0\.69\/h, not as listed, and above --max-price/);
      assertEquals(world.runpod.pods.all.length, 1);
      await assertNothingLeft(world);
    }));
});

Deno.test("a wrong key, an empty account and an unknown GPU are told before anything is rented", () =>
  withPods(async (world) => {
    world.runpod.balance = 0;
    assertMatch((await world.up("--gpu RTX-3090"))!.message, /insufficient balance; add credits/);
    await assertNothingLeft(world);
    assertMatch(
      (await world.up("--gpu RTX-3O90"))!.message,
      /--gpu has "RTX-3O90"; RunPod has A40, RTX 3090, RTX 4090/,
    );
    assertMatch((await world.up("--gpu A40 --volume nope"))!.message, /network-volumes\/nope \(404\)/);
    Object.assign(world.runpod, { apiKey: "rpa_ADIFFERENTONE" });
    const error = await world.up("--gpu RTX-3090");
    assertEquals(error!.code, "unauthorized");
    assertMatch(error!.message, /refuses the key in RUNPOD_API_KEY/);
    await assertNothingLeft(world);
  }));

Deno.test("an answer that is lost: the pod is found by its name, and not rented twice", () =>
  withPods(async (world) => {
    world.runpod.lostAnswers = 1;
    assertEquals(await world.up("--gpu RTX-3090 --count 2"), null);
    assertEquals(world.runpod.pods.all.length, 2);
    assertEquals(await world.down(), null);
    await assertNothingLeft(world);
  }));

Deno.test("a rate limit is waited for", () =>
  withPods(async (world) => {
    world.runpod.limited = 2;
    const before = world.clock.now();
    assertEquals(await world.up("--gpu RTX-3090"), null);
    assertEquals(world.clock.now() - before >= 14_000, true);
    assertEquals(await world.down(), null);
    await assertNothingLeft(world);
  }));

Deno.test("Ctrl-C removes everything, whenever it comes", async (t) => {
  for (const seconds of [0, 3, 8, 30, 300]) {
    await t.step(`after ${seconds} s`, () =>
      withPods(async (world) => {
        // Two answers are lost, so that renting takes a while, and the pods never run.
        world.runpod.lostAnswers = 2;
        world.runpod.pods.startMs = 60 * MINUTE;
        const interrupt = () => world.interrupt.abort(new LoraFleetError("aborted", "SIGINT"));
        const error = await world.up("--gpu RTX-3090 --count 3", [{ at: seconds * 1000, do: interrupt }]);
        assertEquals(error!.code, "aborted");
        await assertNothingLeft(world);
      }));
  }
});

Deno.test("Ctrl-C while a creation is under way: the pod is removed even if RunPod lists it later", () =>
  withPods(async (world) => {
    world.runpod.lostAnswers = 1;
    world.runpod.pods.listLagMs = 12_000;
    const interrupt = () => world.interrupt.abort(new LoraFleetError("aborted", "SIGINT"));
    const error = await world.up("--gpu RTX-3090", [{ at: 1000, do: interrupt }]);
    assertEquals([error!.code, world.runpod.pods.all.length], ["aborted", 1]);
    await assertNothingLeft(world);
  }));

Deno.test("a second Ctrl-C leaves the pods, and the state and the message say which", () =>
  withPods(async (world) => {
    world.runpod.pods.startMs = 60 * MINUTE;
    const error = await world.up("--gpu RTX-3090 --count 2", [
      {
        at: MINUTE,
        do: () => {
          world.runpod.isDown = true;
          world.interrupt.abort(new LoraFleetError("aborted", "SIGINT"));
        },
      },
      { at: 2 * MINUTE, do: () => world.interruptAgain.abort(new LoraFleetError("aborted", "SIGINT")) },
    ]);
    assertMatch(
      error!.message,
      /pods may still run and cost money: lorafleet\.default\.any\.s1, lorafleet\.default\.any\.s2/,
    );
    world.runpod.isDown = false;
    assertEquals(await world.down(), null);
    await assertNothingLeft(world);
  }));

Deno.test("a pod that does not start takes the fleet down with it", () =>
  withPods(async (world) => {
    world.runpod.pods.startMs = 60 * MINUTE;
    assertMatch((await world.up("--gpu RTX-3090 --count 2"))!.message, /0 of 2 pods run after 20 min/);
    await assertNothingLeft(world);
  }));

Deno.test("pods that do not start are removed before their share of the budget is used up", () =>
  withPods(async (world) => {
    world.runpod.pods.startMs = 60 * MINUTE;
    const error = await world.up("--gpu RTX-3090 --count 2 --budget 0.25");
    assertMatch(error!.message, /0 of 2 pods run after 1[0-9] min/);
    assertLess(world.runpod.pods.billed, 0.25);
    await assertNothingLeft(world);
  }));

Deno.test("RunPod is away during down: what is left stays in the state, and the next down goes on", () =>
  withPods(async (world) => {
    const { runpod } = world;
    assertEquals(await world.up("--gpu RTX-3090 --count 3"), null);
    runpod.isDown = true;
    const error = await world.down("--patience 2");
    assertEquals(error!.code, "timeout");
    assertMatch(
      error!.message,
      /s1, lorafleet\.default\.any\.s2, lorafleet\.default\.any\.s3 \(RunPod does not answer/,
    );
    assertEquals(JSON.parse(await Deno.readTextFile(`${world.stateFolder}/default.json`)).pods.length, 3);
    runpod.isDown = false;
    assertEquals(await world.down(), null);
    await assertNothingLeft(world);
    assertEquals(await world.down(), null, "it may be repeated");
    assertEquals(world.lines.at(-1), "0 pods removed, none is left");
  }));

Deno.test("RunPod comes back during down, which has waited for it", () =>
  withPods(async (world) => {
    assertEquals(await world.up("--gpu RTX-3090 --count 3"), null);
    world.runpod.isDown = true;
    const back = world.clock.sleep(5 * MINUTE).then(() => void (world.runpod.isDown = false));
    assertEquals(await world.down("--patience 10"), null);
    await back;
    await assertNothingLeft(world);
  }));

Deno.test("pods are found without any state, and other people's pods stay", () =>
  withPods(async (world) => {
    const { runpod } = world;
    const other = runpod.pods.rent({
      ...{
        name: "my-notebook",
        image: "x",
        gpuId: "NVIDIA A40",
        cloud: "SECURE",
        isSpot: false,
        dollarsPerHour: 1,
      },
    })!;
    assertEquals(await world.up("--gpu RTX-3090 --count 2"), null);
    assertEquals(await world.up("--gpu RTX-3090 --fleet blue"), null);
    await Deno.remove(`${world.stateFolder}/default.json`);
    assertEquals(await world.down(), null);
    assertEquals(runpod.pods.left.map(({ name }) => name), ["my-notebook", "lorafleet.blue.any.s3"]);
    await Deno.remove(`${world.stateFolder}/blue.json`);
    assertEquals(await world.down("--all"), null);
    assertEquals(runpod.pods.left.map(({ name }) => name), ["my-notebook"]);
    runpod.pods.remove(other);
    await assertNothingLeft(world);
  }));

Deno.test("down while the pods are still starting ends the command that waits for them", () =>
  withPods(async (world) => {
    world.runpod.pods.startMs = 60 * MINUTE;
    let removal: Promise<LoraFleetError | null> = Promise.resolve(null);
    const error = await world.up("--gpu RTX-3090 --count 2", [{
      at: MINUTE,
      do: () => removal = world.down(),
    }]);
    assertMatch(error!.message, /a different command removes the fleet/);
    assertEquals([await removal, world.runpod.pods.left.length], [null, 0]);
  }));

Deno.test("a fleet that has pods is not rented twice", () =>
  withPods(async (world) => {
    assertEquals(await world.up("--gpu RTX-3090"), null);
    assertMatch((await world.up("--gpu RTX-3090"))!.message, /fleet "default" has 1 pods already/);
    assertEquals(world.runpod.pods.left.length, 1);
    assertEquals(await world.down(), null);
    await assertNothingLeft(world);
  }));

Deno.test("a budget without a job: each pod has the time that its share pays, and its worker leaves in time", () =>
  withPods(async (world) => {
    assertEquals(await world.up("--gpu RTX-3090 --count 2 --budget 2 --cloud community"), null);
    const pods = world.runpod.pods.left;
    const leaveAt = pods.map(({ env }) => Date.parse(env["LORAFLEET_LEAVE_AT"]!));
    // The workers do what they were told, at the last moment.
    await world.clock.advance(Math.max(...leaveAt) - world.clock.now());
    for (const pod of pods) world.runpod.pods.remove(pod);
    assertLess(world.runpod.pods.billed, 2);
    assertLess(1.9, world.runpod.pods.billed);
    assertEquals(await world.down(), null);
    await assertNothingLeft(world);
    assertMatch((await world.up("--gpu RTX-3090 --count 9 --budget 0.5"))!.message, /which pays 4 of 9 pods/);
    await assertNothingLeft(world);
  }));
