import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { AppendedFile } from "./appended_file.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const wholeLines = (all: Uint8Array) => all.lastIndexOf(10) + 1;

async function withFile(body: (file: AppendedFile, path: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await body(new AppendedFile(`${folder}/run/file`, wholeLines), `${folder}/run/file`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("what was written but not noted is written once", () =>
  withFile(async (file, path) => {
    const size = await file.append(bytes("head\n"), bytes("a\n"), null);
    await file.append(bytes("head\n"), bytes("b\n"), size);
    // The process ended before it noted the new size, and has more to write now.
    assertEquals(await file.append(bytes("head\n"), bytes("b\nc\n"), size), 11);
    assertEquals(await Deno.readTextFile(path), "head\na\nb\nc\n");
    assertEquals(await file.append(bytes("head\n"), bytes("a\n"), null), 7);
    assertEquals(await Deno.readTextFile(path), "head\na\n");
  }));

Deno.test("a file that lost its end continues after its last whole record, a deleted one begins anew", () =>
  withFile(async (file, path) => {
    const size = await file.append(bytes("head\n"), bytes("a\nb\n"), null);
    await Deno.truncate(path, size - 1);
    assertEquals(await file.append(bytes("head\n"), bytes("c\n"), size), 9);
    assertEquals(await Deno.readTextFile(path), "head\na\nc\n");
    await Deno.remove(path);
    await file.append(bytes("head\n"), bytes("d\n"), 9);
    assertEquals(await Deno.readTextFile(path), "head\nd\n");
  }));

Deno.test("a folder in the file's place is an error of storage that names it", () =>
  withFile(async (file, path) => {
    await Deno.mkdir(path, { recursive: true });
    const error = await assertRejects(() => file.append(bytes(""), bytes(""), null), LoraFleetError, path);
    assertEquals(error.code, "storage");
  }));
