import { assertEquals } from "@std/assert";
import { createFakeClock } from "../../shared/testing/fake_clock.ts";
import { createPaced } from "./paced.ts";

function createWorld(pauseMs = 100) {
  const clock = createFakeClock();
  const closing = new AbortController();
  const announced: [at: number, value: number][] = [];
  const world = { clock, closing, announced, value: 0, pauseMs };
  const paced = createPaced({
    ...{ clock, pauseMs: () => world.pauseMs, signal: closing.signal },
    announce: () => announced.push([clock.now(), world.value]),
  });
  const change = (value: number) => {
    world.value = value;
    paced.soon();
  };
  return Object.assign(world, { paced, change });
}

Deno.test("the first change is announced at once, further ones once at the end of the pause, in their last state", async () => {
  const { clock, change, announced } = createWorld();
  change(1);
  for (const value of [2, 3, 4]) {
    await clock.advance(10);
    change(value);
  }
  await clock.advance(500);
  assertEquals(announced, [[0, 1], [100, 4]]);
  change(5);
  assertEquals(announced.at(-1), [530, 5]);
});

Deno.test("an immediate announcement includes what was put off", async () => {
  const { clock, change, announced, paced } = createWorld();
  change(1);
  change(2);
  await clock.advance(50);
  paced.now();
  await clock.advance(500);
  assertEquals(announced, [[0, 1], [50, 2]]);
});

Deno.test("a later change waits for the restarted pause", async () => {
  const { clock, change, announced, paced } = createWorld();
  change(1);
  change(2);
  await clock.advance(50);
  paced.now();
  change(3);
  await clock.advance(500);
  assertEquals(announced, [[0, 1], [50, 2], [150, 3]]);
});

Deno.test("without a pause every change is announced", () => {
  const { change, announced } = createWorld(0);
  change(1);
  change(2);
  assertEquals(announced, [[0, 1], [0, 2]]);
});

Deno.test("nothing is announced after the end", async () => {
  const { clock, change, announced, closing } = createWorld();
  change(1);
  change(2);
  closing.abort();
  await clock.advance(500);
  assertEquals(announced, [[0, 1]]);
});
