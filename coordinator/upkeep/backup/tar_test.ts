import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { readTar, type TarEntry, writeTar } from "./tar.ts";

const bytesOf = (text: string) => new TextEncoder().encode(text);

async function* entriesOf(files: Readonly<Record<string, string>>): AsyncGenerator<TarEntry> {
  for (const [path, text] of Object.entries(files)) {
    yield { path, size: bytesOf(text).length, bytes: ReadableStream.from([bytesOf(text)]) };
  }
}

const FILES = {
  "manifest.json": "{}",
  "files/empty": "",
  'runs/ä name/of "a" run.jsonl': "x".repeat(1000),
  [`runs/${"long/".repeat(40)}end`]: "y".repeat(512),
};

async function archive(): Promise<Uint8Array> {
  return new Uint8Array(await new Response(ReadableStream.from(writeTar(entriesOf(FILES)))).arrayBuffer());
}

/** In pieces of an odd size. */
async function* inPieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 333) yield bytes.subarray(at, at + 333);
}

async function read(bytes: Uint8Array): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { path, bytes: content } of readTar(inPieces(bytes))) {
    found[path] = await new Response(ReadableStream.from(content)).text();
  }
  return found;
}

Deno.test("what is written is read again, long names and other alphabets too", async () => {
  assertEquals(await read(await archive()), FILES);
});

Deno.test("the system's tar reads it", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeFile(`${folder}/a.tar`, await archive());
    const { success, stderr } = await new Deno.Command("tar", { args: ["-xf", "a.tar"], cwd: folder })
      .output();
    assertEquals(success, true, new TextDecoder().decode(stderr));
    for (const [path, text] of Object.entries(FILES)) {
      assertEquals(await Deno.readTextFile(`${folder}/${path}`), text);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("an archive that is cut off, or damaged in a header, says where", async () => {
  const whole = await archive();
  const cut = await assertRejects(() => read(whole.subarray(0, 600)), LoraFleetError);
  assertMatch(cut.message, /^it ends too early: \d+ bytes more were to come, at byte 600$/);
  const damaged = whole.slice();
  damaged[1030]! ^= 1;
  const error = await assertRejects(() => read(damaged), LoraFleetError);
  assertEquals([error.code, error.message], ["corrupt", "there is no header of a file, at byte 1024"]);
});

Deno.test("a file that grows while it is read ends the archive", async () => {
  const entries = async function* () {
    yield { path: "a", size: 1, bytes: ReadableStream.from([bytesOf("ab")]) };
  };
  await assertRejects(
    async () => void await new Response(ReadableStream.from(writeTar(entries()))).arrayBuffer(),
    LoraFleetError,
    '"a" has changed while it was read: 2 bytes instead of 1',
  );
});
