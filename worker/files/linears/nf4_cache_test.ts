import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { openNf4Cache } from "./nf4_cache.ts";

const GIB = 2 ** 30;
const sourceOf = (letter: string) => letter.repeat(64);
const folderOf = (letter: string) => `${letter.repeat(32)}-nf4-double-1`;

async function inFolder(body: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Models that were used one after the other, of so many bytes each. */
async function fill(folder: string, letters: readonly string[], bytes: number): Promise<void> {
  for (const [at, letter] of letters.entries()) {
    await Deno.mkdir(`${folder}/${folderOf(letter)}`, { recursive: true });
    await Deno.writeFile(`${folder}/${folderOf(letter)}/w.nf4`, new Uint8Array(bytes));
    await Deno.writeTextFile(`${folder}/${folderOf(letter)}/used`, "");
    await Deno.utime(`${folder}/${folderOf(letter)}/used`, 1000 + at, 1000 + at);
  }
}

const names = (folder: string) => [...Deno.readDirSync(folder)].map(({ name }) => name).sort();

function open(
  folder: string,
  letter: string,
  bytes: number,
  maxBytes = GIB,
  free: number | null = 100 * GIB,
) {
  const request = { source: sourceOf(letter), doubleQuantization: true, bytes };
  return openNf4Cache({ folder, maxBytes }, request, () => Promise.resolve(free));
}

Deno.test("a folder is named by content and form; a weight's file by its tensor, without leaving the folder", async () => {
  await inFolder(async (folder) => {
    const { cache } = await open(folder, "a", 10);
    assertEquals(cache!.folder, `${folder}/${folderOf("a")}`);
    assertEquals(cache!.entryOf("model.up.weight"), {
      ...{ source: sourceOf("a"), tensor: "model.up.weight" },
      path: `${folder}/${folderOf("a")}/model.up.weight.nf4`,
    });
    assert(!cache!.entryOf("../../etc/passwd").path.includes("etc/"));
    const single = { source: sourceOf("a"), doubleQuantization: false, bytes: 10 };
    await openNf4Cache({ folder, maxBytes: GIB }, single);
    assertEquals(names(folder), [`${"a".repeat(32)}-nf4-1`, folderOf("a")]);
  });
});

Deno.test("above the limit the models that were unused for longest go; a use counts, foreign folders stay", async () => {
  await inFolder(async (folder) => {
    await fill(folder, ["a", "b", "c"], 100);
    await Deno.mkdir(`${folder}/my-own-files`);
    await open(folder, "a", 100, 300); // now the youngest
    assertEquals(names(folder), [folderOf("a"), folderOf("b"), folderOf("c"), "my-own-files"]);
    await open(folder, "d", 150, 300);
    assertEquals(names(folder), [folderOf("a"), folderOf("d"), "my-own-files"]);
  });
});

Deno.test("a model above the limit is not cached, and costs no other its place", async () => {
  await inFolder(async (folder) => {
    await fill(folder, ["a"], 100);
    const opened = await open(folder, "b", 2 ** 20, 2 ** 18);
    assert(opened.cache === null);
    assertEquals(
      opened.why,
      "the base model takes 1.00 MiB there, and 0.25 MiB are allowed (--quantized-cache-gib)",
    );
    assertEquals(names(folder), [folderOf("a")]);
  });
});

Deno.test("a limit below a model that is there leaves it its time of use, for workers with a higher one", async () => {
  await inFolder(async (folder) => {
    await fill(folder, ["a", "b"], 100);
    assert((await open(folder, "b", 100, 50)).cache === null);
    await open(folder, "c", 100, 200); // a is older
    assertEquals(names(folder), [folderOf("b"), folderOf("c")]);
  });
});

Deno.test("workers that make room in a folder at the same time do not stand in each other's way", async () => {
  await inFolder(async (folder) => {
    await fill(folder, ["a", "b", "c"], 100);
    const opened = await Promise.all(["d", "e", "f", "g"].map((letter) => open(folder, letter, 100, 150)));
    assertEquals(opened.map(({ cache }) => cache !== null), [true, true, true, true]);
  });
});

Deno.test("a disk without room takes nothing and costs no other model its place; a model that is there whole is used", async () => {
  await inFolder(async (folder) => {
    await fill(folder, ["a"], 100);
    const opened = await open(folder, "b", GIB, GIB, 2 * GIB - 101);
    assert(opened.cache === null);
    assertStringIncludes(opened.why, "the disk has 2.00 GiB free, and 1.00 GiB are needed");
    assertEquals(names(folder), [folderOf("a")]);
    assert((await open(folder, "a", 90, GIB, 0)).cache !== null);
    assert((await open(folder, "c", 100, GIB, null)).cache !== null, "a system that does not say");
  });
});

Deno.test("older models make way where the disk is short, as few as will do", async () => {
  await inFolder(async (folder) => {
    await fill(folder, ["a", "b", "c"], 100);
    const used = () => names(folder).length;
    const request = { source: sourceOf("d"), doubleQuantization: true, bytes: 100 };
    // 200 bytes are needed, and each model that goes frees 100 of them.
    const free = () => Promise.resolve(50 + 100 * (4 - used()));
    assert((await openNf4Cache({ folder, maxBytes: GIB }, request, free)).cache !== null);
    assertEquals(names(folder), [folderOf("c"), folderOf("d")]);
  });
});

Deno.test("what killed processes left half-written goes after an hour, younger files stay", async () => {
  await inFolder(async (folder) => {
    await fill(folder, ["a"], 100);
    for (const name of ["old.partial", "new.partial"]) {
      await Deno.writeTextFile(`${folder}/${folderOf("a")}/${name}`, "x");
    }
    await Deno.utime(`${folder}/${folderOf("a")}/old.partial`, 1000, 1000);
    await open(folder, "a", 100);
    assertEquals(names(`${folder}/${folderOf("a")}`), ["new.partial", "used", "w.nf4"]);
  });
});

Deno.test("a whole model is used where nothing can be written", async () => {
  await inFolder(async (folder) => {
    await fill(folder, ["a"], 100);
    await Deno.remove(`${folder}/${folderOf("a")}/used`);
    await Deno.mkdir(`${folder}/${folderOf("a")}/used`); // not even root can write a folder
    assert((await open(folder, "a", 90, GIB, 0)).cache !== null);
  });
});

Deno.test("a folder that cannot be made is a reason, not an error", async () => {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/file`, "");
    const opened = await open(`${folder}/file`, "a", 10);
    assert(opened.cache === null);
    assertStringIncludes(opened.why, `${folder}/file`);
  });
});
