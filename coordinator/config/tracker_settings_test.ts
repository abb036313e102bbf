import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { readTrackerSettings, trackerSecrets, type TrackerSettings } from "./tracker_settings.ts";

function read(environment: Record<string, string> = {}): TrackerSettings {
  return readTrackerSettings((name) => environment[name] || null, "/data");
}

function missing(settings: TrackerSettings["mlflow"] | TrackerSettings["wandb"]): string {
  return "missing" in settings ? settings.missing : "nothing";
}

Deno.test("event files lie in the data folder or in TENSORBOARD_LOGGING_DIR", () => {
  assertEquals(read().runsFolder, "/data/runs");
  assertEquals(read({ TENSORBOARD_LOGGING_DIR: "/logs" }).runsFolder, "/logs");
});

Deno.test("MLflow by its client's variables; a user and a password in the address count and are no part of it", () => {
  const { mlflow } = read({
    ...{ MLFLOW_TRACKING_URI: "https://me:p%40ss@mlflow.example/base/", MLFLOW_TRACKING_TOKEN: "token-1" },
    MLFLOW_EXPERIMENT_NAME: "exp",
  });
  assertEquals(mlflow, {
    settings: {
      ...{ url: "https://mlflow.example/base", token: "token-1", username: "me", password: "p@ss" },
      ...{ experimentName: "exp", experimentId: null },
    },
  });
  assertStringIncludes(missing(read().mlflow), "set MLFLOW_TRACKING_URI");
  for (const uri of ["databricks", "file:///tmp/mlruns", "sqlite:///x", "mlflow.example"]) {
    assertStringIncludes(missing(read({ MLFLOW_TRACKING_URI: uri }).mlflow), "http:// nor https://", uri);
  }
});

Deno.test("W&B by its client's variables: a key, or a mode in which none is needed", () => {
  const { wandb } = read({
    WANDB_API_KEY: "key-123",
    WANDB_PROJECT: "p",
    WANDB_ENTITY: "e",
    WANDB_TAGS: "a, ,b",
  });
  assertEquals(wandb, {
    settings: {
      ...{ url: "https://api.wandb.ai", apiKey: "key-123", project: "p", entity: "e", tags: ["a", "b"] },
      ...{ group: null, username: "", email: "", isOffline: false },
    },
  });
  const { wandb: offline } = read({ WANDB_MODE: "offline" });
  assertEquals("settings" in offline && [offline.settings.isOffline, offline.settings.apiKey], [true, null]);
  assertStringIncludes(missing(read().wandb), "set WANDB_API_KEY");
  assertStringIncludes(missing(read({ WANDB_API_KEY: "k", WANDB_MODE: "disabled" }).wandb), "turns it off");
  assertStringIncludes(missing(read({ WANDB_API_KEY: "k", WANDB_DISABLED: "true" }).wandb), "turns it off");
  assertStringIncludes(missing(read({ WANDB_API_KEY: "k", WANDB_BASE_URL: "wandb.local" }).wandb), "http://");
});

Deno.test("keys, tokens and passwords are secrets of the log", () => {
  const settings = read({
    ...{
      MLFLOW_TRACKING_URI: "http://m",
      MLFLOW_TRACKING_TOKEN: "token-1",
      MLFLOW_TRACKING_PASSWORD: "pass-1",
    },
    WANDB_API_KEY: "key-123",
  });
  assertEquals(trackerSecrets(settings).toSorted(), ["key-123", "pass-1", "token-1"]);
  assertEquals(trackerSecrets(read()), []);
});

Deno.test("a price of a worker's hour is a number of at least 0", () => {
  const price = (text: string) => read({ LORAFLEET_WORKER_HOUR_PRICE: text }).workerHourPrice;
  assertEquals([price("0.29"), price("0"), price("")], [0.29, 0, null]);
  for (const bad of ["-1", "much", "NaN", "Infinity"]) {
    const error = assertThrows(() => price(bad), LoraFleetError, `LORAFLEET_WORKER_HOUR_PRICE is "${bad}"`);
    assertEquals(error.code, "usage");
  }
});
