import { assertEquals, assertMatch } from "@std/assert";
import { JetStreamApiError, type JetStreamManager, type StreamInfo } from "@nats-io/jetstream";
import { type NatsConnection, type ServerInfo, TimeoutError } from "@nats-io/transport-node";
import { clusterOf, createReplicaKeeper, createReplicated, growReplicas, reasonOf } from "./nats_replicas.ts";

const tooFew = () =>
  new JetStreamApiError({ code: 400, err_code: 10005, description: "no suitable peers for placement" });
const connection = (cluster: string | undefined, closed = new Promise<void>(() => {})) =>
  ({ info: { cluster }, closed: () => closed }) as unknown as NatsConnection;

Deno.test("a stream has three copies in a cluster of three, one in a smaller one and at a single server", async () => {
  for (
    const [cluster, servers, tried, replicas] of [
      ["c", 3, [3], 3],
      ["c", 2, [3, 1], 1],
      [undefined, 1, [1], 1],
    ] as const
  ) {
    const asked: number[] = [];
    const created = await createReplicated(connection(cluster), { name: "s" }, ({ num_replicas: count }) => {
      asked.push(count);
      return count > servers ? Promise.reject(tooFew()) : Promise.resolve();
    });
    assertEquals([asked, created], [[...tried], replicas]);
  }
});

Deno.test("a cluster that gets its third server is given the missing copies; a deleted stream is forgotten", async () => {
  let servers = 1;
  const asked: string[] = [];
  const done = Promise.withResolvers<void>();
  const streams = {
    info: (name: string) =>
      name === "gone"
        ? Promise.reject(
          new JetStreamApiError({ code: 404, err_code: 10059, description: "stream not found" }),
        )
        : Promise.resolve({ config: { name, num_replicas: 1 }, cluster: { name: "c", leader: "a" } }),
    update(name: string, { num_replicas: count }: { num_replicas: number }) {
      asked.push(name);
      return count > servers++ ? Promise.reject(tooFew()) : Promise.resolve();
    },
  };
  const told: [string, number][] = [];
  const keeper = createReplicaKeeper(
    connection("c"),
    () => Promise.resolve({ streams } as unknown as JetStreamManager),
    (...now) => {
      told.push(now);
      if (now[1] === 3) done.resolve();
    },
    { intervalMs: 5 },
  );
  keeper.growSoon("gone");
  keeper.note("log", 1);
  await done.promise;
  assertEquals(asked, ["log", "log", "log"]);
  assertEquals(told.at(-1), ["log", 3]);
});

Deno.test("a single server behind a leaf node is not asked for copies, which some would promise without making any", async () => {
  const refuse = { update: () => Promise.reject(new Error("asked")) };
  const manager = { streams: refuse } as unknown as JetStreamManager;
  // As 2.9.10, 2.12.3 and a leaf node with streams of its own say it.
  for (const cluster of [undefined, { leader: "hub" }, { name: "edge", leader: "edge" }]) {
    const info = { config: { name: "s", num_replicas: 1 }, cluster } as StreamInfo;
    assertEquals(await growReplicas(connection("edge"), manager, info, "hub"), 1);
  }
});

Deno.test("a leaf node that calls itself a cluster is none", () => {
  const of = (cluster: string | undefined) => clusterOf({ server_name: "edge", cluster } as ServerInfo);
  assertEquals([of("edge"), of("c"), of(undefined)], [null, "c", null]);
});

Deno.test("silence is explained in a cluster, and left as it is at a single server", () => {
  assertMatch(
    reasonOf(connection("c"), new TimeoutError()),
    /^no server of the cluster "c" leads it now, and a majority of them has to run: timeout$/,
  );
  assertEquals(reasonOf(connection(undefined), new TimeoutError()), "timeout");
  assertEquals(reasonOf(connection("c"), tooFew()), "no suitable peers for placement");
});
