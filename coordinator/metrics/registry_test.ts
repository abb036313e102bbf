import { assert, assertEquals } from "@std/assert";
import { createMetrics } from "./registry.ts";

Deno.test("metrics are Prometheus text with the prefix, a unit and help", async () => {
  const metrics = createMetrics(() => {});
  metrics.counter({ name: "cakes_total", help: "Cakes eaten", labels: ["kind"] }).inc(
    { kind: 'a "plum"' },
    2,
  );
  metrics.histogram({ name: "bite_seconds", help: "Time" }, [1, 2]).observe(1.5);
  assertEquals(
    await metrics.text(),
    `# HELP lorafleet_cakes_total Cakes eaten
# TYPE lorafleet_cakes_total counter
lorafleet_cakes_total{kind="a \\"plum\\""} 2

# HELP lorafleet_bite_seconds Time
# TYPE lorafleet_bite_seconds histogram
lorafleet_bite_seconds_bucket{le="1"} 0
lorafleet_bite_seconds_bucket{le="2"} 1
lorafleet_bite_seconds_bucket{le="+Inf"} 1
lorafleet_bite_seconds_sum 1.5
lorafleet_bite_seconds_count 1
`,
  );
});

Deno.test("a gauge is filled at each question; one that fails is told and leaves the others", async () => {
  const defects: string[] = [];
  const metrics = createMetrics((message) => void defects.push(message));
  let names = ["a", "b"];
  metrics.gauge({ name: "things", help: "Things", labels: ["name"] }, (gauge) => {
    for (const name of names) gauge.set({ name }, 1);
  });
  metrics.gauge({ name: "broken", help: "Never known" }, () => {
    throw new Error("no");
  });
  assert((await metrics.text()).includes('lorafleet_things{name="b"} 1'));
  names = ["a"];
  assert(!(await metrics.text()).includes('name="b"'));
  assertEquals(defects, Array(2).fill("the metric lorafleet_broken is not known"));
});
