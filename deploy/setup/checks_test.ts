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
  const gpu = {
    ...{ name: "llvmpipe", isCpu: true },
    limits: {
      ...{ maxBufferSize: 2 ** 31, maxStorageBufferBindingSize: 2 ** 27, maxStorageBuffersPerShaderStage: 8 },
      ...{ maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256 },
      maxComputeWorkgroupSizeX: 256,
    },
  };
  const line = `${JSON.stringify({ found: true, ...gpu })}\n`;
  assertEquals(parseProbe(true, line), gpu);
  assertEquals(parseProbe(true, `MESA: warning\n${line}\n`), gpu);
  assertEquals(parseProbe(false, line), null);
  assertEquals(parseProbe(true, `${JSON.stringify({ ...gpu, found: false })}\n`), null);
  assertEquals(parseProbe(true, "{broken"), null);
  assertEquals(parseProbe(true, ""), null);
});
