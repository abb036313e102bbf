import { assertEquals, assertStringIncludes } from "@std/assert";
import { quantizeNf4 } from "../../../shared/checkpoint/nf4/nf4_quantise.ts";
import { pcg32 } from "../../../shared/prng.ts";
import { type Nf4CacheEntry, readCached, writeCached } from "./nf4_cache_file.ts";

const prng = pcg32(3);
const SHAPES = [[64, 64], [1, 1], [13, 37], [96, 200]] as const;

async function inFolder(body: (entry: Nf4CacheEntry) => void): Promise<string[]> {
  const folder = await Deno.makeTempDir();
  try {
    body({ path: `${folder}/w.nf4`, source: "ab".repeat(32), tensor: "model.layers.0.up.weight" });
    return [...Deno.readDirSync(folder)].map(({ name }) => name);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (const doubleQuantization of [true, false]) {
  Deno.test(`weights come back bit for bit: ${doubleQuantization ? "double" : "single"} quantisation`, async () => {
    for (const [rows, columns] of SHAPES) {
      const options = { rows, columns, doubleQuantization };
      const weights = quantizeNf4(
        Float32Array.from({ length: rows * columns }, () => prng.normal()),
        options,
      );
      const left = await inFolder((entry) => {
        assertEquals(readCached(entry, options), { problem: null });
        assertEquals(writeCached(entry, options, weights), null);
        assertEquals(readCached(entry, options), { weights });
        assertEquals(writeCached(entry, options, weights), null); // a second worker's, at the same time
        assertEquals(readCached(entry, options), { weights });
      });
      assertEquals(left, ["w.nf4"]);
    }
  });
}

const options = { rows: 96, columns: 200, doubleQuantization: true };
const weights = quantizeNf4(Float32Array.from({ length: 96 * 200 }, () => prng.normal()), options);

Deno.test("a bit that is not as it was, anywhere, is a problem that names the file", async () => {
  await inFolder((entry) => {
    writeCached(entry, options, weights);
    const good = Deno.readFileSync(entry.path);
    for (let at = 0; at < good.length; at += at < 300 ? 1 : 97) {
      const bytes = good.slice();
      bytes[at]! ^= 1 << at % 8;
      Deno.writeFileSync(entry.path, bytes);
      const read = readCached(entry, options);
      assertStringIncludes("problem" in read ? read.problem! : "no problem", entry.path, `byte ${at}`);
    }
  });
});

Deno.test("a file that is cut short, empty, longer, a folder, of other weights or of an earlier version is a problem", async () => {
  await inFolder((entry) => {
    writeCached(entry, options, weights);
    const good = Deno.readFileSync(entry.path);
    const problemWith = (bytes: Uint8Array, asked = options, of = entry) => {
      Deno.writeFileSync(entry.path, bytes);
      const read = readCached(of, asked);
      return "problem" in read ? read.problem ?? "there is no file" : "no problem";
    };
    for (const length of [0, 1, 100, good.length - 1]) {
      assertStringIncludes(problemWith(good.subarray(0, length)), `has ${length} bytes, ${good.length} are`);
    }
    assertStringIncludes(problemWith(Uint8Array.of(...good, 0)), "are needed");
    assertStringIncludes(problemWith(good, { ...options, rows: 200, columns: 96 }), "of other weights");
    assertStringIncludes(
      problemWith(good, options, { ...entry, source: "cd".repeat(32) }),
      "of other weights",
    );
    assertStringIncludes(problemWith(good, { ...options, doubleQuantization: false }), "are needed");
    const earlier = good.slice();
    earlier.set(new TextEncoder().encode("lorafleet NF4 0"));
    assertStringIncludes(problemWith(earlier), "of another version");
    assertEquals(problemWith(good), "no problem");
    Deno.removeSync(entry.path);
    Deno.mkdirSync(entry.path);
    const read = readCached(entry, options);
    assertStringIncludes("problem" in read ? read.problem! : "no problem", entry.path);
  });
});

Deno.test("what cannot be written leaves nothing behind and says why", async () => {
  const left = await inFolder((entry) => {
    const gone = { ...entry, path: entry.path.replace("/w.nf4", "/gone/w.nf4") };
    assertStringIncludes(writeCached(gone, options, weights)!, "No such file");
    Deno.mkdirSync(entry.path); // a rename onto a folder fails after the bytes are written
    assertEquals(typeof writeCached(entry, options, weights), "string");
  });
  assertEquals(left, ["w.nf4"]);
});
