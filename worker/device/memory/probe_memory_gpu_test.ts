import { assert, assertEquals } from "@std/assert";
import { openDevice } from "../open_device.ts";
import { limited, type SmallMemory } from "../testing/small_gpu.ts";
import { probeMemory } from "./probe_memory.ts";

const MIB = 2 ** 20;

/** A probe of a device of so much memory, whose buffers are small ones of lavapipe: filling gigabytes takes long. */
async function probe(
  limitBytes: number,
  changes: {
    readonly systemAvailable?: (memory: SmallMemory) => number;
    readonly msOf?: (used: number) => number;
    readonly lostAt?: number;
  } = {},
) {
  const memory: SmallMemory = { limitBytes, usedBytes: 0 };
  const { device } = limited(await openDevice({ allowCpu: true }), memory, MIB);
  let now = 0;
  try {
    const probed = await probeMemory({
      device,
      // Twice for each step: before it, and when it is filled.
      clock: {
        now: () => {
          if (memory.usedBytes >= (changes.lostAt ?? Infinity)) device.destroy();
          return now += changes.msOf?.(memory.usedBytes) ?? 1;
        },
      },
      systemAvailable: () => changes.systemAvailable?.(memory) ?? 64 * 1024 * MIB,
    });
    assertEquals(memory.usedBytes, 0);
    return probed;
  } finally {
    device.destroy();
  }
}

Deno.test("a probe finds a card's memory to 64 MiB, and frees it", async () => {
  for (const mib of [0, 63, 64, 300, 1000, 8111, 24_217]) {
    const { bytes, isSystemMemory, isLost } = await probe(mib * MIB);
    assertEquals([bytes / MIB, isSystemMemory, isLost], [mib - mib % 64, false, false]);
  }
});

Deno.test("a device that is lost in the middle of a probe is told apart from a card that is full", async () => {
  const { bytes, isLost } = await probe(24_217 * MIB, { lostAt: 3000 * MIB });
  assertEquals([bytes / MIB < 24_000, isLost], [true, true]);
});

Deno.test("a driver that takes the machine's memory is found before the machine has none left", async () => {
  const available = 32 * 1024 * MIB;
  const { bytes, isSystemMemory } = await probe(Infinity, {
    systemAvailable: ({ usedBytes }) => available - 0.9 * usedBytes,
  });
  assertEquals(isSystemMemory, true);
  assert(bytes <= 3 * 1024 * MIB, `${bytes}`);
});

Deno.test("a driver that goes on in the machine's memory is found by the time that filling takes", async () => {
  const card = 6000 * MIB;
  const { bytes, isSystemMemory } = await probe(Infinity, {
    msOf: (used) => used > card ? 200 : 5,
  });
  assertEquals(isSystemMemory, false);
  assert(bytes <= card && bytes > card - 1024 * MIB, `${bytes / MIB}`);
});

Deno.test("one slow step, on a machine that had other work, does not end a probe: its result is remembered for a week", async () => {
  const card = 24_192 * MIB;
  let hiccups = 0;
  const { bytes } = await probe(card, { msOf: (used) => used > 3000 * MIB && hiccups++ === 2 ? 400 : 5 });
  assertEquals(bytes, card);
  assert(hiccups > 2);
});
