import { assertEquals, assertRejects } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { boundaryOf, readMultipart } from "./multipart.ts";

type Field = [name: string, filename: string | null, text: string];

async function read(body: ReadableStream<Uint8Array>, boundary: string): Promise<Field[]> {
  const fields: Field[] = [];
  for await (const part of readMultipart(body, boundary)) {
    const chunks = (await Array.fromAsync(part.body)).map((chunk) => new Uint8Array(chunk));
    fields.push([part.name, part.filename, await new Blob(chunks).text()]);
  }
  return fields;
}

function inChunks(bytes: Uint8Array, size: number): ReadableStream<Uint8Array> {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size));
  return ReadableStream.from(chunks);
}

const text = (content: string, size = 1000) => inChunks(new TextEncoder().encode(content), size);

Deno.test("a form encoded by fetch is parsed at any chunk size", async () => {
  const form = new FormData();
  form.append("file", new File(["a\r\n--b\r\n", "\r\n-"], 'q"ü\n.jsonl'));
  form.append("purpose", "fine-tune");
  form.append("empty", "");
  const request = new Request("http://localhost", { method: "POST", body: form });
  const boundary = boundaryOf(request.headers.get("content-type")!)!;
  const bytes = await request.bytes();
  for (const size of [1, 2, 3, 7, 61, 62, 63, 10_000]) {
    assertEquals(await read(inChunks(bytes, size), boundary), [
      ["file", 'q"ü\n.jsonl', "a\r\n--b\r\n\r\n-"],
      ["purpose", null, "fine-tune"],
      ["empty", null, ""],
    ]);
  }
});

Deno.test("unread parts are skipped; preamble, padding and epilogue are ignored", async () => {
  const body = text(
    'preamble\r\n--b \t\r\nContent-Disposition: form-data; name=x; filename="f"\r\nContent-Type: a/b\r\n\r\n' +
      'skipped\r\n--b\r\ncontent-disposition: FORM-DATA; name="y"\r\n\r\nkept\r\n--b--\r\nepilogue',
    5,
  );
  const fields: unknown[] = [];
  for await (const part of readMultipart(body, "b")) {
    fields.push([
      part.name,
      part.filename,
      part.name === "y" ? (await Array.fromAsync(part.body)).length > 0 : null,
    ]);
  }
  assertEquals(fields, [["x", "f", null], ["y", null, true]]);
});

Deno.test("a malformed form is an invalid request", async () => {
  const head = '--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n';
  for (
    const [body, why] of [
      ["", "ends before"],
      ["no boundary at all", "ends before"],
      [`${head}cut`, "ends before"],
      [`${head}cut\r\n--b`, "ends before"],
      ["--bx\r\n\r\n", "follows a boundary"],
      ["--b\r\nContent-Type: a/b\r\n\r\nx\r\n--b--", "no name"],
      [`--b\r\n${"x".repeat(10_000)}`, "exceeds 8192"],
    ]
  ) {
    const error = await assertRejects(() => read(text(body!), "b"), LoraFleetError, why!);
    assertEquals(error.code, "invalid_request");
  }
});

Deno.test("a broken connection surfaces as its own error", async () => {
  const broken = ReadableStream.from((async function* () {
    yield await Promise.resolve(new TextEncoder().encode("--b\r\n"));
    throw new TypeError("connection lost");
  })());
  await assertRejects(() => read(broken, "b"), TypeError, "connection lost");
});

Deno.test("the boundary is found in the content type, quoted or not", () => {
  assertEquals(boundaryOf("multipart/form-data; boundary=abc"), "abc");
  assertEquals(boundaryOf('Multipart/Form-Data; charset=utf-8; boundary="a b"'), "a b");
  assertEquals(boundaryOf("multipart/form-data"), null);
  assertEquals(boundaryOf("application/json; boundary=abc"), null);
});
