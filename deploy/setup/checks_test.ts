import { assertEquals } from "@std/assert";
import { findNatsServer, parseProbe } from "./checks.ts";

const posix = { ignore: Deno.build.os === "windows" };

Deno.test({
  ...posix,
  name: "nats-server is found on the PATH first, then in Debian's folder [ignored on Windows: other paths]",
  fn: () => {
    const have = (...files: string[]) => (path: string) => files.includes(path);
    const path = "/a::/b/bin";
    assertEquals(
      findNatsServer(path, have("/b/bin/nats-server", "/usr/sbin/nats-server")),
      "/b/bin/nats-server",
    );
    assertEquals(findNatsServer(path, have("/usr/sbin/nats-server")), "/usr/sbin/nats-server");
    assertEquals(findNatsServer(path, have("/a/nats-serve")), null);
    assertEquals(findNatsServer("", have("nats-server")), null);
  },
});

Deno.test("a folder named nats-server is not a server", () => {
  const folder = Deno.makeTempDirSync();
  try {
    Deno.mkdirSync(`${folder}/nats-server`);
    assertEquals(findNatsServer(folder) === `${folder}/nats-server`, false);
  } finally {
    Deno.removeSync(folder, { recursive: true });
  }
});

Deno.test("a probe counts only if it succeeds and reports an adapter", () => {
  const line = '{"found":true,"name":"llvmpipe","isCpu":true}\n';
  assertEquals(parseProbe(true, line), { name: "llvmpipe", isCpu: true });
  assertEquals(parseProbe(true, `MESA: warning\n${line}\n`), { name: "llvmpipe", isCpu: true });
  assertEquals(parseProbe(false, line), null);
  assertEquals(parseProbe(true, '{"found":false,"name":"unnamed","isCpu":false}\n'), null);
  assertEquals(parseProbe(true, "{broken"), null);
  assertEquals(parseProbe(true, ""), null);
});
