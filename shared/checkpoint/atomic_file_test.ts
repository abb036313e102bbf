import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../errors.ts";
import { diskFileSystem, type FileSystem, writeFilesAtomically } from "./atomic_file.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** A folder with an older `a`; afterwards the names and contents of all its files. */
async function folderAfter(body: (folder: string) => Promise<void>): Promise<Record<string, string>> {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/a`, "old");
    await body(folder);
    const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
    return Object.fromEntries(names.map((name) => [name, Deno.readTextFileSync(`${folder}/${name}`)]));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const write = (folder: string, fileSystem?: FileSystem) =>
  writeFilesAtomically([
    { path: `${folder}/a`, parts: [bytes("new "), bytes("a")] },
    { path: `${folder}/b`, parts: [bytes("b"), new Uint8Array(0)] },
  ], fileSystem);

Deno.test("all files replace older ones, whole", async () => {
  assertEquals(await folderAfter((folder) => write(folder)), { a: "new a", b: "b" });
});

Deno.test("a disk that takes a few bytes at a time receives them all", async () => {
  const slow: FileSystem = {
    ...diskFileSystem,
    async createBeside(path) {
      const { path: partial, file } = await diskFileSystem.createBeside(path);
      const reluctant = {
        write: (part: Uint8Array) => file.write(part.subarray(0, 1)),
        sync: () => file.sync(),
        close: () => file.close(),
      };
      return { path: partial, file: reluctant };
    },
  };
  assertEquals(await folderAfter((folder) => write(folder, slow)), { a: "new a", b: "b" });
});

const noSpace = () => Promise.reject(new Error("No space left on device (os error 28)"));

/** The disk, except that the nth call of one kind fails. */
function failingDisk(kind: "createBeside" | "write" | "sync" | "rename", failing: number): FileSystem {
  let count = 0;
  const attempt = <T>(found: typeof kind, body: () => Promise<T>): Promise<T> =>
    found === kind && ++count === failing ? noSpace() : body();
  return {
    ...diskFileSystem,
    createBeside: (path) =>
      attempt("createBeside", async () => {
        const { path: partial, file } = await diskFileSystem.createBeside(path);
        return {
          path: partial,
          file: {
            write: (part) => attempt("write", () => file.write(part)),
            sync: () => attempt("sync", () => file.sync()),
            close: () => file.close(),
          },
        };
      }),
    rename: (from, to) => attempt("rename", () => diskFileSystem.rename(from, to)),
  };
}

for (
  const [kind, failing] of [
    ["createBeside", 1],
    ["createBeside", 2],
    ["write", 1],
    ["write", 3],
    ["sync", 2],
    ["rename", 1],
  ] as const
) {
  Deno.test(`a disk that is full at ${kind} ${failing} changes nothing`, async () => {
    const left = await folderAfter(async (folder) => {
      const error = await assertRejects(
        () => write(folder, failingDisk(kind, failing)),
        LoraFleetError,
        "No space left on device",
      );
      assertEquals([error.code, error.message.includes(folder)], ["storage", true]);
    });
    assertEquals(left, { a: "old" });
  });
}

Deno.test("a missing folder is named", async () => {
  const error = await assertRejects(() => write("/no/such/folder"), LoraFleetError, "/no/such/folder/a");
  assertEquals([error.code, error.param], ["storage", "/no/such/folder/a"]);
});
