import { assertEquals } from "@std/assert";
import { cardNamed, cardOf, CARDS, usableBytes } from "./cards.ts";

Deno.test("a worker's card is found by what WebGPU calls its GPU", () => {
  const name = (gpu: string) => cardNamed(gpu)?.name ?? null;
  assertEquals(name("NVIDIA GeForce RTX 3090 (Vulkan)"), "RTX 3090 (24 GB)");
  assertEquals(name("NVIDIA A100-SXM4-80GB"), "A100 (80 GB)");
  assertEquals(name("NVIDIA A100-PCIE-40GB"), "A100 (40 GB)");
  assertEquals(name("NVIDIA H100 80GB HBM3"), "H100 (80 GB)");
});

Deno.test("a name that does not tell the memory has no card", () => {
  for (const gpu of ["", "llvmpipe (LLVM 19)", "Apple M3 Max", "NVIDIA A100"]) {
    assertEquals(cardNamed(gpu), null, gpu);
  }
});

Deno.test("usable memory stays below the card's, and a card of one's own can be given", () => {
  for (const card of [...CARDS, cardOf(20)]) {
    assertEquals(usableBytes(card) < card.memoryGib * 2 ** 30, true, card.name);
  }
  assertEquals(usableBytes(cardOf(20)), 19 * 2 ** 30);
});
