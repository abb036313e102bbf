/** The files for Prometheus and Grafana, by their documented formats: a misspelled key is refused by the program, and so here. */
import { assert, assertEquals } from "@std/assert";
import { parser } from "@prometheus-io/lezer-promql";
import { parse } from "@std/yaml";
import { z } from "zod";

const duration = z.string().regex(/^([0-9]+(ms|[smhdwy]))+$/);
const labels = z.record(z.string().regex(/^[a-zA-Z_]\w*$/), z.string());

/** https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/ */
const rulesSchema = z.strictObject({
  groups: z.array(z.strictObject({
    name: z.string().min(1),
    interval: duration.optional(),
    rules: z.array(z.strictObject({
      alert: z.string().regex(/^[A-Z]\w+$/),
      expr: z.string().min(1),
      for: duration.optional(),
      keep_firing_for: duration.optional(),
      labels: labels.and(z.object({ severity: z.enum(["critical", "warning"]) })),
      annotations: z.strictObject({ summary: z.string().min(1), description: z.string().min(1) }),
    })).min(1),
  })).min(1),
});

/** https://prometheus.io/docs/prometheus/latest/configuration/configuration/, as far as it is used. */
const prometheusSchema = z.strictObject({
  global: z.strictObject({ scrape_interval: duration }),
  rule_files: z.array(z.string()),
  scrape_configs: z.array(z.strictObject({
    job_name: z.string(),
    authorization: z.strictObject({ credentials_file: z.string() }).optional(),
    static_configs: z.array(z.strictObject({ targets: z.array(z.string().regex(/^[\w.-]+:\d+$/)) })),
  })),
});

/** https://prometheus.io/docs/prometheus/latest/configuration/unit_testing_rules/ */
const ruleTestsSchema = z.strictObject({
  rule_files: z.array(z.string()),
  evaluation_interval: duration,
  tests: z.array(z.strictObject({
    interval: duration,
    input_series: z.array(z.strictObject({ series: z.string(), values: z.string() })).min(1),
    alert_rule_test: z.array(z.strictObject({
      eval_time: duration,
      alertname: z.string(),
      exp_alerts: z.array(z.strictObject({ exp_labels: labels, exp_annotations: labels })),
    })).min(1),
  })).min(1),
});

const panelSchema = z.looseObject({
  id: z.int(),
  type: z.enum(["stat", "timeseries", "table", "bargauge", "gauge"]),
  title: z.string().min(1),
  gridPos: z.strictObject({ x: z.int().min(0), y: z.int().min(0), w: z.int().min(1), h: z.int().min(1) }),
  targets: z.array(z.looseObject({ refId: z.string(), expr: z.string().min(1) })).min(1),
});

const text = (name: string) => Deno.readTextFileSync(new URL(name, import.meta.url));
const rules = rulesSchema.parse(parse(text("alerts.yml")));
const alerts = rules.groups.flatMap(({ rules }) => rules);

/** Where Prometheus' own grammar of its query language stops to understand an expression. */
function syntaxErrors(expression: string): string[] {
  const found: string[] = [];
  parser.parse(expression).iterate({
    enter: ({ type, from }) =>
      type.isError ? void found.push(`at ${from}: ${expression.slice(from)}`) : undefined,
  });
  return found;
}

Deno.test("alert rules have Prometheus's form, each name once, and expressions of its language", () => {
  const names = alerts.map(({ alert }) => alert);
  assertEquals(names.length, new Set(names).size);
  for (const { alert, expr } of alerts) assertEquals(syntaxErrors(expr), [], alert);
  assertEquals(syntaxErrors('sum by (job) (rate(a{b="}"}[5m])) > 0'), []);
  for (const wrong of ["sum(a[5m)]", "a{b=c}", "sum(a) bi (c)", "a >", ""]) {
    assert(syntaxErrors(wrong).length > 0, wrong);
  }
});

Deno.test("Prometheus's configuration has its form and names the rules that are there", () => {
  const { rule_files, scrape_configs } = prometheusSchema.parse(parse(text("prometheus.yml")));
  for (const file of rule_files) assert(text(file).length > 0);
  assertEquals(scrape_configs.map(({ job_name }) => job_name), ["lorafleet"]);
});

Deno.test("the rules' own tests have promtool's form and try alerts that exist", () => {
  const { tests } = ruleTestsSchema.parse(parse(text("alerts_test.yml")));
  const names = new Set(alerts.map(({ alert }) => alert));
  for (const { alertname } of tests.flatMap(({ alert_rule_test }) => alert_rule_test)) {
    assert(names.has(alertname), alertname);
  }
});

Deno.test("the dashboard's panels have ids of their own and places that do not overlap in 24 columns", () => {
  const panels = z.array(panelSchema).parse(JSON.parse(text("dashboard.json")).panels);
  assertEquals(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h }, targets } of panels) {
    assert(x + w <= 24, title);
    for (let column = x; column < x + w; column++) {
      for (let row = y; row < y + h; row++) {
        assertEquals(taken.get(`${column},${row}`), undefined, title);
        taken.set(`${column},${row}`, title);
      }
    }
    for (const { expr } of targets) assertEquals(syntaxErrors(expr), [], title);
  }
});
