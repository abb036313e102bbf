import { assert, assertEquals, assertThrows } from "@std/assert";
import { LoraFleetError } from "../../shared/errors.ts";
import { parseOptions } from "./options.ts";

const JOIN = "https://fleet.example:8787/base/join/token";
const ENV: Record<string, string> = {
  HOME: "/home/a",
  LORAFLEET_JOIN: JOIN,
  LORAFLEET_WORKER_IMAGE: "w:1",
  HF_TOKEN: "hf_x",
};
const parse = (args: string[], env: Record<string, string> = ENV) => parseOptions(args, (name) => env[name]);

Deno.test("a name of a GPU is enough, if the environment has the rest", () => {
  assertEquals(parse(["up", "--gpu", "RTX 3090"]), {
    kind: "up",
    fleet: "default",
    stateFolder: "/home/a/.local/state/lorafleet/runpod",
    wanted: { gpus: ["RTX 3090"], clouds: ["SECURE"], isSpot: false, maxPrice: null },
    ...{
      count: 1,
      joinUrl: JOIN,
      coordinatorUrl: "https://fleet.example:8787/base",
      image: "w:1",
      budget: null,
    },
    ...{
      jobId: null,
      untilDone: false,
      idleMinutes: 10,
      diskGb: 40,
      volumeId: null,
      dataCenters: [],
      registry: null,
    },
    ...{ env: {}, isConfirmed: false },
  });
});

Deno.test("every option arrives", () => {
  const args =
    "--count 4 --spot --cloud any --max-price $0.25 --budget 5 --for-job ftjob-1 --until-done --idle-minutes 0 " +
    "--disk 60 --volume vol --data-center US-1,EU-2 --registry reg --env HF_TOKEN --env A=b=c --yes --fleet blue " +
    "--coordinator https://c.example/ --join https://j.example/join/t --image x:2 --state-folder /s";
  assertEquals(parse(["up", "--gpu", "A40, RTX 4090", ...args.split(" ")]), {
    ...{
      kind: "up",
      fleet: "blue",
      stateFolder: "/s",
      count: 4,
      joinUrl: "https://j.example/join/t",
      image: "x:2",
    },
    wanted: { gpus: ["A40", "RTX 4090"], clouds: ["SECURE", "COMMUNITY"], isSpot: true, maxPrice: 0.25 },
    ...{
      coordinatorUrl: "https://c.example",
      budget: 5,
      jobId: "ftjob-1",
      untilDone: true,
      idleMinutes: null,
      diskGb: 60,
    },
    ...{
      volumeId: "vol",
      dataCenters: ["US-1", "EU-2"],
      registry: "reg",
      env: { HF_TOKEN: "hf_x", A: "b=c" },
    },
    isConfirmed: true,
  });
  const state = "/home/a/.local/state/lorafleet/runpod";
  assertEquals(parse(["logs", "--pod", "p", "--follow", "--tail", "0"]) as unknown, {
    ...{ kind: "logs", fleet: "default", stateFolder: state, pod: "p", isFollowing: true, tail: 0 },
  });
  assertEquals(parse(["down", "--all", "--patience", "0.5"]) as unknown, {
    ...{ kind: "down", fleet: null, stateFolder: state, patienceMs: 30_000 },
  });
  assertEquals(parse(["status", "--json"], { XDG_STATE_HOME: "/x" }) as unknown, {
    ...{ kind: "status", fleet: "default", stateFolder: "/x/lorafleet/runpod", isJson: true },
    coordinator: null,
  });
});

Deno.test("the join URL may be a secret that only RunPod knows; a job then needs the coordinator's address", () => {
  const secret = "{{ RUNPOD_SECRET_join }}";
  const options = parse(["up", "--gpu", "A40", "--join", secret]);
  assert(options?.kind === "up");
  assertEquals([options.joinUrl, options.coordinatorUrl], [secret, null]);
  assertThrows(
    () => parse(["up", "--gpu", "A40", "--join", secret, "--for-job", "j"]),
    LoraFleetError,
    "--coordinator is missing",
  );
});

Deno.test("help", () => {
  for (const args of [[], ["--help"], ["up", "--help"], ["down", "-h"]]) assertEquals(parse(args), null);
});

Deno.test("what is wrong is named with what would be right, and without secrets", () => {
  const up = (more: string) => ["up", "--gpu", "A40", ...more.split(" ")];
  const cases: [string[], string][] = [
    [["start"], 'the command is "start"; up, status, logs or down is needed'],
    [["up"], "--gpu is missing"],
    [up("--count 0"), '--count is "0"; a whole number from 1 to 500 is needed'],
    [up("--count 1.5"), '--count is "1.5"'],
    [up("--max-price free"), '--max-price is "free"; a number above 0 to 1000 is needed'],
    [up("--budget 0"), '--budget is "0"'],
    [up("--cloud private"), '--cloud is "private"; secure, community or any is needed'],
    [up("--until-done"), "--until-done needs --for-job"],
    [up("--fleet A.b"), '--fleet is "A.b"'],
    [up("--env NOT_SET"), "--env NOT_SET has no value"],
    [up("--env =x"), "--env needs NAME=VALUE"],
    [up("--join http://127.0.0.1:8787/join/t"), '--join has the host "127.0.0.1", which pods cannot reach'],
    [up("--join http://192.168.1.2:8787/join/t"), "which pods cannot reach"],
    [up("--join https://x.example/t"), "--join is not a URL of the form"],
    [up("--coordinator x"), '--coordinator is "x"'],
    [["status", "--follow"], "--follow is not an option of status"],
    [["down", "--all", "--fleet", "a"], "--all and --fleet exclude each other"],
    [["up", "--gpu", "A40", "--spott"], "--spott"],
  ];
  for (const [args, words] of cases) {
    const error = assertThrows(() => parse(args), LoraFleetError, words);
    assertEquals(error.code, "usage");
    assert(!error.message.includes("/join/t"));
  }
  const { LORAFLEET_WORKER_IMAGE: _, ...noImage } = ENV;
  assertThrows(() => parse(["up", "--gpu", "A40"], noImage), LoraFleetError, "--image is missing");
  const { LORAFLEET_JOIN: __, ...noJoin } = ENV;
  assertThrows(() => parse(["up", "--gpu", "A40"], noJoin), LoraFleetError, "--join is missing");
});
