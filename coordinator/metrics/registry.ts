/** The metrics of one coordinator, in Prometheus' text format. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";

export type { Counter, Gauge, Histogram } from "prom-client";

interface Definition<Label extends string> {
  /** Without the prefix; ends with its unit, counters with "_total". */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly Label[];
}

/** Fills a gauge when Prometheus asks; the values of an earlier time are gone. */
type Collect<Label extends string> = (gauge: Gauge<Label>) => void | Promise<void>;

export interface Metrics {
  counter<Label extends string = never>(definition: Definition<Label>): Counter<Label>;
  gauge<Label extends string = never>(definition: Definition<Label>, collect?: Collect<Label>): Gauge<Label>;
  /** `buckets`: upper bounds, ascending. */
  histogram<Label extends string = never>(
    definition: Definition<Label>,
    buckets: readonly number[],
  ): Histogram<Label>;
  /** All metrics as text. */
  text(): Promise<string>;
  readonly contentType: string;
}

const PREFIX = "lorafleet_";

/** `onDefect` hears of a gauge that could not be filled; the others are told all the same. */
export function createMetrics(onDefect: (message: string, thrown: unknown) => void): Metrics {
  const registry = new Registry();
  const optionsOf = <Label extends string>({ name, help, labels = [] }: Definition<Label>) => ({
    ...{ name: `${PREFIX}${name}`, help, labelNames: [...labels], registers: [registry] },
  });
  return {
    counter: (definition) => new Counter(optionsOf(definition)),
    gauge: (definition, collect) =>
      new Gauge({
        ...optionsOf(definition),
        ...collect === undefined ? {} : {
          async collect() {
            this.reset();
            try {
              await collect(this);
            } catch (thrown) {
              onDefect(`the metric ${PREFIX}${definition.name} is not known`, thrown);
            }
          },
        },
      }),
    histogram: (definition, buckets) => new Histogram({ ...optionsOf(definition), buckets: [...buckets] }),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
