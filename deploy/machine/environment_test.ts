import { assertEquals } from "@std/assert";
import { childEnvironment } from "./environment.ts";

Deno.test("children inherit the environment without variables of other fleets", () => {
  const own = { PATH: "/bin", NATS_URL: "nats://prod", LORAFLEET_API_KEY: "k", VK_DRIVER_FILES: "x" };
  assertEquals(childEnvironment(own, "/usr/sbin/nats-server"), {
    PATH: "/bin",
    VK_DRIVER_FILES: "x",
    LORAFLEET_NATS_SERVER: "/usr/sbin/nats-server",
  });
});
