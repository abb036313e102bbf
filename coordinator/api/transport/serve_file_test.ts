import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../../shared/errors.ts";
import { HttpError } from "./errors.ts";
import { parseRange, serveFile } from "./serve_file.ts";

Deno.test("ranges: open-ended, closed, suffix, and those that may be ignored", () => {
  const cases: [string | null, [number, number] | null][] = [
    [null, null],
    ["bytes=0-", [0, 10]],
    ["bytes=3-", [3, 10]],
    ["bytes=3-3", [3, 4]],
    ["bytes=3-99", [3, 10]],
    ["bytes=-4", [6, 10]],
    ["bytes=-99", [0, 10]],
    ["bytes=0-1,3-4", null],
    ["bytes=5-4", null],
    ["bytes=-", null],
    ["lines=1-2", null],
  ];
  for (const [header, expected] of cases) {
    const range = parseRange(header, 10);
    assertEquals(range && [range.start, range.end], expected, `${header}`);
  }
  for (const header of ["bytes=10-", "bytes=99-100", "bytes=-0"]) {
    assertEquals(assertThrows(() => parseRange(header, 10), HttpError).status, 416);
  }
});

Deno.test("a download that is open ends whole though its file is deleted or replaced on the way", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const content = "0123456789".repeat(200_000);
    const file = { path: `${folder}/f`, size: content.length, sha256: "ab", filename: "f" };
    for (const [range, end] of [["bytes=0-", content.length], ["bytes=0-1999000", 1_999_001]] as const) {
      for (const replacement of [null, "x".repeat(content.length)]) {
        await Deno.writeTextFile(file.path, content);
        const response = await serveFile(new Request("http://localhost/", { headers: { range } }), file);
        const reader = response.body!.getReader();
        let text = new TextDecoder().decode((await reader.read()).value);
        await Deno.remove(file.path);
        if (replacement !== null) await Deno.writeTextFile(file.path, replacement);
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          text += new TextDecoder().decode(part.value);
        }
        assertEquals(text === content.slice(0, end), true, `${range} ${replacement?.length}`);
      }
    }
    await Deno.remove(file.path);
    const gone = await assertRejects(() => serveFile(new Request("http://localhost/"), file), LoraFleetError);
    assertEquals(gone.code, "not_found");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a file is served whole, in ranges, conditionally, and for HEAD", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const content = "0123456789".repeat(60_000);
    await Deno.writeTextFile(`${folder}/f`, content);
    const file = { path: `${folder}/f`, size: content.length, sha256: "ab", filename: "ä.safetensors" };
    const get = (headers: Record<string, string> = {}, method = "GET") =>
      serveFile(new Request("http://localhost/", { method, headers }), file);

    const whole = await get();
    assertEquals([whole.status, whole.headers.get("etag"), await whole.text()], [200, '"ab"', content]);
    assertEquals(whole.headers.get("content-disposition"), "attachment; filename*=UTF-8''%C3%A4.safetensors");

    const middle = await get({ range: "bytes=5-400004" });
    assertEquals([middle.status, await middle.text()], [206, content.slice(5, 400_005)]);
    assertEquals(middle.headers.get("content-range"), `bytes 5-400004/${content.length}`);
    assertEquals(middle.headers.get("content-length"), "400000");
    assertEquals(await (await get({ range: "bytes=599995-" })).text(), "56789");

    assertEquals(
      (await (await get({ range: "bytes=1-", "if-range": '"old"' })).text()).length,
      content.length,
    );
    assertEquals((await get({ "if-none-match": '"ab"' })).status, 304);

    const head = await get({ range: "bytes=0-4" }, "HEAD");
    assertEquals([head.status, head.body, head.headers.get("content-length")], [206, null, "5"]);

    const abandoned = await get({ range: "bytes=0-500000" });
    await abandoned.body!.cancel();

    await Deno.writeTextFile(file.path, "changed");
    assertEquals((await assertRejects(() => get(), LoraFleetError, "7 bytes")).code, "conflict");
    await Deno.remove(file.path);
    assertEquals((await assertRejects(() => get(), LoraFleetError)).code, "not_found");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
