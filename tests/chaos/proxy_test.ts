import { assert, assertEquals } from "@std/assert";
import { connectNatsBus } from "../../shared/bus/nats_bus.ts";
import { startTestNatsServer } from "../../shared/testing/test_nats_server.ts";
import { systemClock } from "../../shared/clock.ts";
import { pcg32 } from "../../shared/prng.ts";
import { until } from "../integration/coordinator_child.ts";
import { FAIR, startProxy } from "./proxy.ts";

Deno.test("the proxy reports, doubles, spoils, silences and cuts what a worker sends", async () => {
  await using server = await startTestNatsServer();
  const published: string[] = [];
  const proxy = startProxy({
    ...{ port: server.port, random: pcg32(1), onDelivered: () => {} },
    onPublished: (subject) => published.push(subject),
  });
  const connect = (url: string) => connectNatsBus({ servers: url, name: "test", onError: () => {} });
  const [worker, listener] = [await connect(`nats://127.0.0.1:${proxy.port}`), await connect(server.url)];
  const heard: [string, number[]][] = [];
  listener.subscribe("lf.>", ({ subject, data }) => void heard.push([subject, [...data]]));
  await listener.flush();
  const chunk = "lf.job.gradients.1.reduce_scatter.b.a";
  const received = async (subject: string) => {
    heard.length = 0;
    const count = published.length;
    worker.publish(subject, Uint8Array.of(1, 2, 3));
    await until("the message", () => heard.length > 0);
    await worker.flush();
    await listener.flush();
    assertEquals(published.slice(count).filter((name) => name.startsWith("lf.")), [subject]);
    return heard.map(([, data]) => data);
  };
  try {
    assertEquals(await received(chunk), [[1, 2, 3]]);
    proxy.weather = { corrupt: 0, duplicate: 1 };
    assertEquals(await received("lf.heartbeat.a"), [[1, 2, 3], [1, 2, 3]]);
    proxy.weather = { corrupt: 1, duplicate: 0 };
    const [spoilt] = await received(chunk);
    assertEquals(spoilt!.filter((byte, index) => byte !== index + 1).length, 1);
    assertEquals(await received("lf.heartbeat.a"), [[1, 2, 3]]);
    assertEquals(proxy.counts, { corrupted: 1, duplicated: 1 });
    proxy.weather = FAIR;

    heard.length = 0;
    proxy.silence(400);
    const silencedAt = systemClock.now();
    worker.publish(chunk, Uint8Array.of(4));
    await until("the message", () => heard.length > 0);
    assert(systemClock.now() - silencedAt >= 390);

    const statuses: string[] = [];
    worker.onStatus((status) => void statuses.push(status));
    proxy.cut(700);
    const cutAt = systemClock.now();
    await until("the connection", () => statuses.includes("reconnected"));
    assert(systemClock.now() - cutAt >= 700);
    assertEquals(statuses, ["disconnected", "reconnected"]);
    assertEquals(await received(chunk), [[1, 2, 3]]);
  } finally {
    await worker.close();
    await listener.close();
    proxy.close();
  }
});
